package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"facet/pipeline/job"
)

// Label is what a page holds: one line of a labels file, a JSON object with
// these keys; others are ignored.
type Label struct {
	File  string `json:"file"`           // the page's path, or the end of it
	Page  int    `json:"page,omitempty"` // from 1, in documents
	Task  string `json:"task,omitempty"` // job name; "" is ocr
	Lines []Line `json:"lines"`          // in reading order
}

// Line is one line of text on a page.
type Line struct {
	Box2D job.Box2D `json:"box_2d"`
	Text  string    `json:"text"`
}

// text is the page's text.
func (l Label) text() string {
	var b bytes.Buffer
	for _, line := range l.Lines {
		fmt.Fprintln(&b, line.Text)
	}
	return b.String()
}

func (l Label) check() error {
	if l.File == "" {
		return fmt.Errorf("no file")
	}
	for i, line := range l.Lines {
		if b := line.Box2D; b[0] >= b[2] || b[1] >= b[3] {
			return fmt.Errorf("line %d: box_2d %v has no area", i+1, b)
		}
		if line.Text == "" && (l.Task == "" || l.Task == job.OCR.Name) {
			return fmt.Errorf("line %d: no text", i+1)
		}
	}
	return nil
}

// ReadLabels reads a labels file, one Label a line.
func ReadLabels(path string) ([]Label, error) {
	var labels []Label
	err := readLines(path, func(data []byte) error {
		var l Label
		if err := json.Unmarshal(data, &l); err != nil {
			return err
		}
		labels = append(labels, l)
		return l.check()
	})
	return labels, err
}

// Run is what a run wrote.
type Run struct {
	Records []job.Record
	Errors  []job.ErrorRecord
}

// ReadRun reads records from a .jsonl file, or, from the folder of a run,
// records.jsonl and errors.jsonl if there is one.
func ReadRun(path string) (Run, error) {
	var run Run
	info, err := os.Stat(path)
	if err != nil {
		return run, err
	}
	records := path
	if info.IsDir() {
		records = filepath.Join(path, "records.jsonl")
		err := readLines(filepath.Join(path, "errors.jsonl"), func(data []byte) error {
			var e job.ErrorRecord
			err := json.Unmarshal(data, &e)
			run.Errors = append(run.Errors, e)
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return run, err
		}
	}
	return run, readLines(records, func(data []byte) error {
		var r job.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		run.Records = append(run.Records, r)
		if r.Source.Path == "" {
			return fmt.Errorf("no source.path: not a record of facet")
		}
		return nil
	})
}

// maxLine is the longest line of JSON that is read, in bytes: far more than
// any page of text, and little enough to hold.
const maxLine = 64 << 20

// readLines calls each with the lines of a file, empty ones left out. Errors
// name the file and the number of the line.
func readLines(path string, each func(line []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLine)
	n := 0
	for s.Scan() {
		n++
		if line := bytes.TrimSpace(s.Bytes()); len(line) > 0 {
			if err := each(line); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, n+1, err)
	}
	return nil
}
