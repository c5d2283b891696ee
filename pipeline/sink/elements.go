package sink

import (
	"fmt"
	"io"
	"strings"

	"facet/pipeline/job"
)

// WriteElements writes the elements of rec, each in a line: its name, and x and y of its point in pixels of the upright
// original, with tabs between them. Characters in a name that would command a terminal or end the line are written as
// PrintableLine shows them.
func WriteElements(w io.Writer, rec *job.Record) error {
	var b strings.Builder
	for _, e := range rec.Elements {
		fmt.Fprintf(&b, "%s\t%d\t%d\n", strings.ReplaceAll(PrintableLine(e.Name()), "\t", " "), e.Point[0], e.Point[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
