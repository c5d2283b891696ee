package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
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
	JSONL       Format = "jsonl"        // records.jsonl
	Text        Format = "txt"          // the text alone
	Overlay     Format = "overlay"      // the image with numbered boxes, PNG
	ALTO        Format = "alto"         // ALTO 4.4, XML
	HOCR        Format = "hocr"         // hOCR 1.2, XHTML
	SRT         Format = "srt"          // subtitles
	VTT         Format = "vtt"          // subtitles
	VerboseJSON Format = "verbose_json" // as OpenAI's transcriptions
	TSV         Format = "tsv"          // as Whisper's
	Markdown    Format = "md"
	Sidecar     Format = "sidecar" // the text in NAME.txt, as training sets want it
)

// Formats lists the formats of a job's records, the usual one first.
func Formats(jobName string) []Format {
	switch jobName {
	case job.Transcribe.Name:
		return []Format{JSONL, Text, SRT, VTT, VerboseJSON, TSV}
	case job.Caption.Name:
		return []Format{JSONL, Text, VTT, Markdown, Sidecar}
	}
	return []Format{JSONL, Text, Markdown, ALTO, HOCR, Overlay}
}

// suffix is the ending of an item's file in a folder.
func (f Format) suffix() string {
	switch f {
	case Overlay:
		return ".boxes.png"
	case ALTO:
		return ".alto.xml"
	case VerboseJSON:
		return ".json"
	case Sidecar:
		return ".txt"
	}
	return "." + string(f)
}

// byName gives the format of a single output file by its ending.
func byName(path string) (Format, bool) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".jsonl", ".json":
		return JSONL, true
	case ".txt", ".srt", ".vtt", ".tsv", ".md", ".hocr":
		return Format(ext[1:]), true
	case ".xml":
		return ALTO, true
	case ".png":
		return Overlay, true
	}
	return "", false
}

// OutputOptions say where the results of a run go, and as what.
type OutputOptions struct {
	// Path is a folder, which is made, or a file: one that ends as a format does or is
	// there already. Empty is Stdout.
	Path   string
	Stdout io.Writer
	// Formats may be empty: a file then has the format of its name, everything else JSONL.
	Formats []Format
	// Folder is what all inputs are in, from Sources.Folder: in an output folder the files
	// of items are named by what is below it.
	Folder string
	// Overwrite replaces the results of an earlier run, which is refused otherwise. The
	// files of items that only the earlier run had stay.
	Overwrite bool
	// Decode reads an image once more to draw on it, Documents a page.
	Decode    vision.DecodeOptions
	Documents Documents
	// Failed, if not nil, is told of each item that failed.
	Failed func(Item, error)
}

// Output is where the results of a run go: one stream, or a folder. It counts what it
// was given.
type Output struct {
	OutputOptions
	stream io.Writer  // in one file or on standard output; nil for a folder
	file   *sink.File // behind stream; nil for standard output

	dir             *sink.Dir
	records, errors *os.File
	names           *sink.Names
	suffixes        []string  // of the files that share a stem
	doc             *document // of the last page that was drawn on
	info            RunInfo
}

// RunInfo is what run.json says about a run. Times are in it and not in the records,
// so that the same input gives the same records. Inputs = Done + Failed + Pending.
type RunInfo struct {
	Facet       string         `json:"facet"` // version
	Command     []string       `json:"command"`
	Job         string         `json:"job"`
	Model       string         `json:"model"`
	ModelSHA256 string         `json:"model_sha256"`
	Kernels     string         `json:"kernels"`
	Threads     int            `json:"threads"`
	Started     time.Time      `json:"started"`
	Seconds     float64        `json:"seconds"`
	Finished    bool           `json:"finished"` // every input is done or failed
	Inputs      int            `json:"inputs"`
	Done        int            `json:"done"`   // with a record
	Failed      int            `json:"failed"` // with a line in errors.jsonl
	Pending     int            `json:"pending"`
	Skipped     int            `json:"skipped"` // files in folders that are no images
	Tokens      map[string]int `json:"tokens"`
}

// OpenOutput opens the place for the results of a run of info.Inputs items. An
// OptionError says which options do not go together. The caller ends it with Close.
func OpenOutput(options OutputOptions, info RunInfo) (*Output, error) {
	o := &Output{OutputOptions: options, info: info}
	o.info.Tokens = map[string]int{"soft": 0, "output": 0}
	o.Formats = nil
	for _, f := range options.Formats {
		if formats := Formats(info.Job); !slices.Contains(formats, f) {
			return nil, OptionError{fmt.Errorf("format %q: want one of %v", f, formats)}
		}
		if !slices.Contains(o.Formats, f) {
			o.Formats = append(o.Formats, f)
		}
	}
	named, isName := byName(o.Path)
	there, err := os.Stat(o.Path)
	switch {
	case o.Path == "":
		o.stream = o.Stdout
		return o, o.single(JSONL, "standard output")
	case err == nil && there.IsDir(), err != nil && !isName:
		return o, o.folder()
	}
	if err := o.single(cmp.Or(named, JSONL), o.Path); err != nil {
		return nil, err
	}
	if err == nil && there.Size() > 0 && !o.Overwrite {
		return nil, fmt.Errorf("%s: is there already and not empty: --overwrite replaces it", o.Path)
	}
	if o.file, err = sink.Create(o.Path); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, bare(err))
	}
	o.stream = o.file
	return o, nil
}

// single makes sure that a single stream gets a single format.
func (o *Output) single(usual Format, where string) error {
	if len(o.Formats) == 0 {
		o.Formats = []Format{usual}
	}
	switch f := o.Formats[0]; {
	case !slices.Contains(Formats(o.info.Job), f):
		return OptionError{fmt.Errorf("%s: %s does not give %s: want one of %v", where, o.info.Job, f, Formats(o.info.Job))}
	case len(o.Formats) > 1:
		return OptionError{fmt.Errorf("%s takes one format, not %v: name a folder with --out", where, o.Formats)}
	case f == Sidecar:
		return OptionError{errors.New("sidecars are files beside each other: name a folder with --out")}
	case f == Overlay && o.Path == "":
		return OptionError{errors.New("overlays do not go to standard output: name a folder or a .png file with --out")}
	case slices.Contains([]Format{ALTO, HOCR, Overlay}, f) && o.info.Inputs != 1:
		return OptionError{fmt.Errorf("%s takes the %s of one image, not of %d: name a folder with --out", where, f, o.info.Inputs)}
	case slices.Contains([]Format{SRT, VTT, TSV}, f) && o.info.Inputs != 1:
		return OptionError{fmt.Errorf("%s takes the %s of one recording, not of %d, whose times would be mixed: name a folder with --out", where, f, o.info.Inputs)}
	}
	return nil
}

// The files of a folder that are not those of items.
const (
	recordsName = "records.jsonl"
	errorsName  = "errors.jsonl"
	infoName    = "run.json"
)

func (o *Output) folder() (err error) {
	if len(o.Formats) == 0 {
		o.Formats = []Format{JSONL}
	}
	if o.dir, err = sink.OpenDir(o.Path); err != nil {
		return fmt.Errorf("%s: %w", o.Path, bare(err))
	}
	defer func() {
		if err != nil {
			o.closeDir()
		}
	}()
	// Not through sink.Dir: lines go to their place at once, so that what an interrupted
	// run did is there. A root follows no link that leads outside.
	root, err := os.OpenRoot(o.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range []string{recordsName, errorsName} {
		if there, err := root.Stat(name); err == nil && there.Size() > 0 && !o.Overwrite {
			return fmt.Errorf("%s: holds results of an earlier run: --overwrite replaces them", filepath.Join(o.Path, name))
		}
	}
	open := func(name string) (*os.File, error) {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o666)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(o.Path, name), bare(err))
		}
		return f, nil
	}
	if o.records, err = open(recordsName); err != nil {
		return err
	}
	if o.errors, err = open(errorsName); err != nil {
		return err
	}
	for _, f := range o.Formats {
		if f != JSONL && f != Sidecar {
			o.suffixes = append(o.suffixes, f.suffix())
		}
	}
	o.names = sink.NewNames(sink.NameOptions{
		Shared: o.Folder, Reserved: []string{recordsName, errorsName, infoName}, Occupied: o.dir.Occupied,
	})
	return o.writeInfo() // a killed run leaves it behind, with finished false
}

// Write writes the result of one item. A folder gets the lines of items in the order of
// the calls; an item has its other files before its line. One whose overlay cannot be
// drawn has none and a warning in its record.
func (o *Output) Write(r Result) error {
	o.info.Inputs = max(o.info.Inputs, r.Inputs)
	if f := o.Formats[0]; r.Err == nil && o.dir == nil && o.info.Done > 0 && slices.Contains([]Format{ALTO, HOCR, Overlay}, f) {
		r.Err = fmt.Errorf("one file takes the %s of one page: name a folder with --out", f)
	}
	var img *vision.Image
	if r.Err == nil && slices.Contains(o.Formats, Overlay) {
		var err error
		switch img, err = o.decode(r.Record); {
		case err != nil && o.dir == nil: // nothing else would be written
			r.Err = fmt.Errorf("no overlay: %w", err)
		case err != nil:
			r.Record.Warnings = append(r.Record.Warnings, fmt.Sprintf("no overlay: %v", err))
		}
	}
	if r.Err != nil {
		return o.fail(r)
	}
	if o.dir == nil {
		if o.Formats[0] == Markdown && o.info.Done > 0 { // or dashes would make a heading of the line above
			if _, err := io.WriteString(o.stream, "\n"); err != nil {
				return err
			}
		}
		if err := o.write(o.stream, o.Formats[0], r.Record, img); err != nil {
			return err
		}
	} else {
		named := sink.Named{Source: r.Item.Path, Page: r.Item.Page, ID: r.Record.ID, Job: r.Record.Job}
		stem := o.names.Stem(sink.DefaultTemplate, named, o.suffixes...)
		for _, f := range o.Formats {
			if f == JSONL || f == Overlay && img == nil {
				continue
			}
			name := stem + f.suffix()
			if f == Sidecar {
				name = o.names.Stem(sink.SidecarTemplate, named, f.suffix()) + f.suffix()
			}
			if err := o.dir.Write(name, func(w io.Writer) error { return o.write(w, f, r.Record, img) }); err != nil {
				return err
			}
		}
		if err := sink.WriteRecord(o.records, r.Record); err != nil {
			return err
		}
	}
	o.info.Done++
	return nil
}

func (o *Output) fail(r Result) error {
	if o.Failed != nil {
		o.Failed(r.Item, r.Err)
	}
	if o.dir != nil {
		e := job.ErrorRecord{Error: r.Err.Error()}
		e.Entry = job.Entry{ID: r.Item.ID, Path: r.Item.Path, Page: r.Item.Page, Job: cmp.Or(r.Item.Job, o.info.Job), Options: r.Options}
		if err := sink.WriteError(o.errors, &e); err != nil {
			return err
		}
	}
	o.info.Failed++
	return nil
}

func (o *Output) write(w io.Writer, f Format, rec *job.Record, img *vision.Image) error {
	switch f {
	case Text, Sidecar:
		return sink.WriteText(w, rec)
	case SRT:
		return sink.WriteSRT(w, rec)
	case VTT:
		return sink.WriteVTT(w, rec)
	case VerboseJSON:
		return sink.WriteVerboseJSON(w, rec)
	case TSV:
		return sink.WriteTSV(w, rec)
	case Markdown:
		if o.info.Job == job.OCR.Name {
			return sink.WritePageMarkdown(w, rec, o.info.Facet)
		}
		return sink.WriteMarkdown(w, rec)
	case ALTO:
		return sink.WriteALTO(w, rec, o.info.Facet)
	case HOCR:
		return sink.WriteHOCR(w, rec, o.info.Facet)
	case Overlay:
		return sink.WriteOverlay(w, img.NRGBA(), rec, o.info.Facet)
	}
	return sink.WriteRecord(w, rec)
}

// decode reads an image once more: to keep those of a whole window of items would take
// gigabytes. A file that changed meanwhile is not what the boxes belong to.
func (o *Output) decode(rec *job.Record) (*vision.Image, error) {
	s := rec.Source
	if s.Page > 0 {
		return o.redraw(rec)
	}
	data, err := ReadFile(s.Path, o.Decode.Limits.Bytes)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != s.SHA256 {
		return nil, errChanged
	}
	return vision.Decode(data, o.Decode)
}

var errChanged = errors.New("the file has changed since it was read")

// Info returns the counts so far.
func (o *Output) Info() RunInfo {
	i := o.info
	i.Seconds = time.Since(i.Started).Round(time.Millisecond).Seconds()
	i.Pending = i.Inputs - i.Done - i.Failed
	i.Finished = i.Pending == 0
	return i
}

// Close ends the output; p are the counts of the run. A file appears if anything was
// done. A folder gets run.json.
func (o *Output) Close(p Progress) error {
	o.info.Inputs = max(o.info.Inputs, p.Inputs)
	o.doc.release()
	o.doc = nil
	if o.file != nil {
		if o.info.Done > 0 {
			return o.file.Commit()
		}
		o.file.Discard()
	}
	if o.dir == nil {
		return nil
	}
	o.info.Tokens = map[string]int{"soft": p.SoftTokens, "output": p.OutputTokens}
	return errors.Join(o.records.Sync(), o.errors.Sync(), o.writeInfo(), o.closeDir())
}

func (o *Output) writeInfo() error {
	return o.dir.Write(infoName, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(o.Info())
	})
}

func (o *Output) closeDir() error {
	err := o.dir.Close()
	for _, f := range []*os.File{o.records, o.errors} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// Files lists what the output consists of, for people.
func (o *Output) Files() string {
	if o.dir == nil {
		return o.Path
	}
	files := []string{recordsName}
	if o.info.Failed > 0 {
		files = append(files, errorsName)
	}
	for _, f := range o.Formats {
		if f != JSONL {
			files = append(files, "*"+f.suffix())
		}
	}
	return fmt.Sprintf("%s: %s", o.Path, strings.Join(files, ", "))
}
