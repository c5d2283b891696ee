package eval

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"facet/pipeline/sink"
)

// table is a score for people: a figure a line, a remark, the items if they are wanted, and what is missing.
type table struct {
	rows   [][3]string // name, value, note
	remark string
	items  [][]string // the first are the heads
	absent string
}

// row adds a figure.
func (t *table) row(name, format string, args ...any) *table {
	t.rows = append(t.rows, [3]string{name, fmt.Sprintf(format, args...)})
	return t
}

// percent adds a share with so many digits.
func (t *table) percent(name string, share float64, digits int) *table {
	return t.row(name, "%.*f %%", digits, 100*share)
}

// note says more about the last figure.
func (t *table) note(format string, args ...any) {
	t.rows[len(t.rows)-1][2] = fmt.Sprintf(format, args...)
}

func (t *table) heads(names ...string) { t.items = append(t.items, names) }

// item adds an input and its values, whole numbers as they are and others as format has it.
func (t *table) item(file string, page int, format string, values ...any) {
	name := sink.PrintableLine(file)
	if page > 0 {
		name += fmt.Sprintf(" page %d", page)
	}
	line := []string{name}
	for _, v := range values {
		switch v := v.(type) {
		case bool:
			line = append(line, map[bool]string{true: "yes", false: "no"}[v])
		case float64:
			line = append(line, fmt.Sprintf(format, v))
		default:
			line = append(line, sink.PrintableLine(fmt.Sprint(v)))
		}
	}
	t.items = append(t.items, line)
}

// maxNamed is how many missing inputs a table names; the JSON output has all.
const maxNamed = 20

// missing names inputs without a record.
func (t *table) missing(what string, list []Missing) {
	if len(list) == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Missing %s, counted as empty answers:\n", what)
	for _, m := range list[:min(maxNamed, len(list))] {
		fmt.Fprintf(&b, "  %s", sink.PrintableLine(m.File))
		if m.Page > 0 {
			fmt.Fprintf(&b, " page %d", m.Page)
		}
		if m.Error != "" {
			fmt.Fprintf(&b, ": %s", sink.PrintableLine(m.Error))
		}
		b.WriteByte('\n')
	}
	if more := len(list) - maxNamed; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	t.absent = b.String()
}

func (t *table) write(w io.Writer) error {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		line := r[0] + "\t" + r[1]
		if r[2] != "" {
			line += "\t" + r[2]
		}
		fmt.Fprintln(columns, line)
	}
	columns.Flush() // into memory
	if t.remark != "" {
		b.WriteString("\n" + t.remark + "\n")
	}
	if len(t.items) > 0 {
		b.WriteByte('\n')
		for _, line := range t.items {
			fmt.Fprintln(columns, strings.Join(line, "\t"))
		}
		columns.Flush()
	}
	if t.absent != "" && len(t.items) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(t.absent)
	_, err := io.WriteString(w, b.String())
	return err
}

// ratio is a over b; where b is 0, as the length of an empty text is, it is a.
func ratio(a, b int) float64 { return float64(a) / float64(max(1, b)) }
