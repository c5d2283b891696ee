package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// Format is a form in which the records of a run are written.
type Format string

// The formats. In a folder each item has its own file, but for records.jsonl.
const (
	JSONL   Format = "jsonl"   // records.jsonl
	Text    Format = "txt"     // the text alone
	Overlay Format = "overlay" // the picture with numbered boxes, PNG
)

// Formats lists all formats.
var Formats = []Format{JSONL, Text, Overlay}

// suffix is the ending of an item's file in a folder.
func (f Format) suffix() string {
	if f == Overlay {
		return ".boxes.png"
	}
	return "." + string(f)
}

// byName gives the format of a single output file by its ending.
func byName(path string) (Format, bool) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".json":
		return JSONL, true
	case ".txt":
		return Text, true
	case ".png":
		return Overlay, true
	}
	return "", false
}

// Output is where the results of a run go: one stream, or a folder.
type Output struct {
	formats []Format
	decode  vision.DecodeOptions

	stream io.Writer // in one file or on standard output; nil for a folder
	file   *sink.File

	dir             *sink.Dir
	path            string
	records, errors *os.File
	names           *sink.Names
	info            RunInfo
}

// RunInfo is what run.json says about a run. Times are in it and not in the records,
// so that the same input gives the same records.
type RunInfo struct {
	Facet       string         `json:"facet"` // version
	Command     []string       `json:"command"`
	Model       string         `json:"model"`
	ModelSHA256 string         `json:"model_sha256"`
	Kernels     string         `json:"kernels"`
	Threads     int            `json:"threads"`
	Started     time.Time      `json:"started"`
	Seconds     float64        `json:"seconds"`
	Finished    bool           `json:"finished"` // every input is done or failed
	Inputs      int            `json:"inputs"`
	Done        int            `json:"done"`
	Failed      int            `json:"failed"`
	Pending     int            `json:"pending"`
	Skipped     int            `json:"skipped"` // files in folders that are no media
	Tokens      map[string]int `json:"tokens"`
}

// OpenOutput opens the place that path names: standard output for "", a file if path
// ends in .jsonl, .txt or .png or is a file already, else a folder, which is made.
// formats may be empty: a file then has the format of its name, everything else jsonl.
func OpenOutput(path string, stdout io.Writer, formats []Format, decode vision.DecodeOptions, info RunInfo) (*Output, error) {
	for _, f := range formats {
		if !slices.Contains(Formats, f) {
			return nil, fmt.Errorf("format %q: want one of %v", f, Formats)
		}
	}
	o := &Output{formats: slices.Compact(formats), decode: decode, path: path, info: info}
	if path == "" {
		return o, o.single(stdout, JSONL, "standard output")
	}
	if named, ok := byName(path); ok || isFile(path) {
		if !isFile(path) && isDir(path) {
			return o, o.folder()
		}
		if err := o.single(nil, named, path); err != nil {
			return nil, err
		}
		var err error
		if o.file, err = sink.Create(path); err != nil {
			return nil, err
		}
		o.stream = o.file
		return o, nil
	}
	return o, o.folder()
}

// single makes sure that one stream is asked for one format.
func (o *Output) single(w io.Writer, usual Format, where string) error {
	if len(o.formats) == 0 {
		if usual == "" {
			usual = JSONL
		}
		o.formats = []Format{usual}
	}
	if len(o.formats) > 1 {
		return fmt.Errorf("%s takes one format, not %v: name a folder with --out", where, o.formats)
	}
	if o.formats[0] == Overlay && w != nil {
		return errors.New("pictures do not go to standard output: name a folder or a .png file with --out")
	}
	o.stream = w
	return nil
}

func (o *Output) folder() error {
	if len(o.formats) == 0 {
		o.formats = []Format{JSONL}
	}
	var err error
	if o.dir, err = sink.OpenDir(o.path); err != nil {
		return err
	}
	// Lines go to their place at once: what an interrupted run did is there.
	if o.records, err = os.Create(filepath.Join(o.path, "records.jsonl")); err != nil {
		return err
	}
	if o.errors, err = os.Create(filepath.Join(o.path, "errors.jsonl")); err != nil {
		return err
	}
	var suffixes []string
	for _, f := range o.formats {
		suffixes = append(suffixes, f.suffix())
	}
	o.names = sink.NewNames(suffixes...)
	return nil
}

// Write writes the result of one item.
func (o *Output) Write(r Result, options job.Options, name string) error {
	if r.Err != nil {
		if o.dir == nil {
			return nil // the caller reports it
		}
		return sink.WriteError(o.errors, &job.ErrorRecord{Entry: job.Entry{Path: r.Item.Path, Job: name, Options: options}, Error: r.Err.Error()})
	}
	if o.dir == nil {
		return o.write(o.stream, o.formats[0], r)
	}
	if err := sink.WriteRecord(o.records, r.Record); err != nil {
		return err
	}
	stem := o.names.Stem(r.Item.Path, 0)
	for _, f := range o.formats {
		if f == JSONL {
			continue
		}
		if err := o.dir.Write(stem+f.suffix(), func(w io.Writer) error { return o.write(w, f, r) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *Output) write(w io.Writer, f Format, r Result) error {
	switch f {
	case Text:
		return sink.WriteText(w, r.Record)
	case Overlay:
		return o.overlay(w, r)
	}
	return sink.WriteRecord(w, r.Record)
}

// overlay decodes the picture once more: to keep those of a whole window of items
// would take gigabytes.
func (o *Output) overlay(w io.Writer, r Result) error {
	data, err := read(r.Item.Path, o.decode.Limits.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Item.Path, err)
	}
	img, err := vision.Decode(data, o.decode)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Item.Path, err)
	}
	return sink.WriteOverlay(w, img.NRGBA(), r.Record.Blocks)
}

// Close ends the output. In a folder it writes run.json with the counts of the run.
func (o *Output) Close(p Progress, inputs int) error {
	if o.file != nil {
		return o.file.Commit()
	}
	if o.dir == nil {
		return nil
	}
	i := &o.info
	i.Seconds = time.Since(i.Started).Round(time.Millisecond).Seconds()
	i.Inputs, i.Done, i.Failed, i.Pending = inputs, p.Done-p.Failed, p.Failed, inputs-p.Done
	i.Finished = i.Pending == 0
	i.Tokens = map[string]int{"soft": p.SoftTokens, "output": p.OutputTokens}
	err := errors.Join(o.records.Sync(), o.records.Close(), o.errors.Sync(), o.errors.Close())
	err = errors.Join(err, o.dir.Write("run.json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(i)
	}))
	return errors.Join(err, o.dir.Close())
}

// Files lists what a folder holds now, for people.
func (o *Output) Files() string {
	if o.dir == nil {
		return o.path
	}
	files := []string{"records.jsonl"}
	for _, f := range o.formats {
		if f != JSONL {
			files = append(files, "*"+f.suffix())
		}
	}
	return fmt.Sprintf("%s: %s", o.path, strings.Join(files, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
