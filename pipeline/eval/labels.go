package eval

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"facet/pipeline/job"
)

// Label is what an input holds: one line of a labels file, a JSON object with
// these keys; others are ignored.
type Label struct {
	File string `json:"file"`           // the input's path, or the end of it
	Path string `json:"path,omitempty"` // another name of File
	ID   string `json:"id,omitempty"`   // of the record, in place of a path
	Page int    `json:"page,omitempty"` // from 1, in documents
	Task string `json:"task,omitempty"` // job name; "" is ocr, and for the other jobs their own

	Lines []Line `json:"lines"` // ocr: in reading order; locate: the places that are right, none of what is absent

	Find string `json:"find,omitempty"` // locate: what was to be found; "" where the record has one question

	Text     *string `json:"text,omitempty"`     // transcribe: what is said
	Segments []Span  `json:"segments,omitempty"` // transcribe: when

	// Words are what a caption must tell, and Not what it must not, by a name such as "colour": lists of words or phrases,
	// or of lists of those that mean the same.
	Words  map[string][]Synonyms `json:"words,omitempty"`
	Not    map[string][]Synonyms `json:"not,omitempty"`
	Scenes []Span                `json:"scenes,omitempty"`
}

// Span is a stretch of time, in seconds.
type Span struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

// Synonyms are words or phrases that mean the same. In JSON one is a string, several are a list.
type Synonyms []string

// UnmarshalJSON reads either.
func (s *Synonyms) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*s = make(Synonyms, 1)
		return json.Unmarshal(data, &(*s)[0])
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// empty tells whether there is a phrase without a word, which any text has, or none.
func (s Synonyms) empty() bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(phrase string) bool { return len(Words(phrase)) == 0 })
}

// of tells whether a label is about a job.
func (l Label) of(job string) bool { return l.Task == job || l.Task == "" && l.kind() == job }

// kind is the job that a label without a task is about, by what it has.
func (l Label) kind() string {
	switch {
	case l.Text != nil:
		return job.Transcribe.Name
	case l.Words != nil || l.Not != nil || l.Scenes != nil:
		return job.Caption.Name
	case l.Find != "":
		return job.Locate.Name
	}
	return job.OCR.Name
}

// name is how people know the input.
func (l Label) name() string { return cmp.Or(l.File, l.ID) }

// Line is one line of text on a page, or an element of an interface.
type Line struct {
	Box2D job.Box2D `json:"box_2d"`
	Text  string    `json:"text"`
	Label string    `json:"label,omitempty"` // of an element; for people
}

// text is the page's text.
func (l Label) text() string {
	var b bytes.Buffer
	for _, line := range l.Lines {
		fmt.Fprintln(&b, line.Text)
	}
	return b.String()
}

func (l *Label) check() error {
	if l.File = cmp.Or(l.File, l.Path); l.File == "" && l.ID == "" {
		return fmt.Errorf("no file and no id")
	}
	switch task := cmp.Or(l.Task, l.kind()); {
	case task == job.Transcribe.Name && l.Text == nil:
		return fmt.Errorf("no text")
	case task == job.Caption.Name && l.Words == nil && l.Not == nil && l.Scenes == nil:
		return fmt.Errorf("no words, no not, no scenes")
	case task == job.Locate.Name && l.Lines == nil:
		return fmt.Errorf("no lines: an empty list says that there is nothing to find")
	}
	for _, words := range []map[string][]Synonyms{l.Words, l.Not} {
		for name, list := range words {
			if slices.ContainsFunc(list, Synonyms.empty) {
				return fmt.Errorf("words: %s: an entry without a word", name)
			}
		}
	}
	for i, s := range append(slices.Clone(l.Segments), l.Scenes...) {
		if !(s.Start >= 0 && s.End >= s.Start) {
			return fmt.Errorf("time %d: from %v to %v", i+1, s.Start, s.End)
		}
	}
	for i, line := range l.Lines {
		if b := line.Box2D; b[0] >= b[2] || b[1] >= b[3] {
			return fmt.Errorf("line %d: box_2d %v has no area", i+1, b)
		}
		if line.Text == "" && l.of(job.OCR.Name) {
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
		err := l.check()
		labels = append(labels, l)
		return err
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
