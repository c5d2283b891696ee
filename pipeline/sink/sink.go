// Package sink turns records into bytes: lines of JSON, text files, and
// images with the boxes drawn in. It also knows how to put them on a disk: under safe
// names (Names), and whole or not at all (Dir, File).
package sink

import (
	"io"
	"strings"

	"facet/pipeline/job"
)

// WriteRecord writes rec as one line of records.jsonl, in one Write: where w
// is a file opened for appending, a line is whole or missing, and several
// processes do not mix theirs.
func WriteRecord(w io.Writer, rec *job.Record) error {
	line, err := rec.Line()
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// WriteError writes e as one line of errors.jsonl, in one Write.
func WriteError(w io.Writer, e *job.ErrorRecord) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// WriteText writes the text of rec with a line break at its end, nothing for
// a blank page; of what was translated the translation. Characters that would command a terminal are written as
// Printable shows them: people look at text files with cat and less. Elements are written by WriteElements.
func WriteText(w io.Writer, rec *job.Record) error {
	if rec.Elements != nil {
		return WriteElements(w, rec)
	}
	text := rec.Text
	if translated(rec) && rec.Scenes == nil {
		var lines []string
		for _, s := range shown(rec) {
			lines = append(lines, s.Text)
		}
		text = strings.Join(lines, "\n")
	}
	if text == "" {
		return nil
	}
	_, err := io.WriteString(w, strings.TrimSuffix(Printable(text), "\n")+"\n")
	return err
}
