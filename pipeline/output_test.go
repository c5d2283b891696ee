package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
	"facet/pipeline/source"
)

func good(path, text string) Result {
	box := job.Box{10, 10, 50, 30}
	return Result{Item: source.Item{Path: path}, Job: "ocr", Record: &job.Record{
		ID: "0123", Job: "ocr", Source: job.Source{Path: path}, Text: text, Blocks: []job.Block{{Text: text, Box: box}},
	}}
}

func bad(path, reason string) Result {
	return Result{Item: source.Item{Path: path}, Job: "ocr", Options: job.Options{Budget: 70}, Err: errors.New(reason)}
}

func open(t *testing.T, inputs int, o OutputOptions) *Output {
	t.Helper()
	o.Stills = stills(t)
	out, err := OpenOutput(o, RunInfo{Job: "ocr", Model: "nano", Started: time.Now(), Inputs: inputs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// writeAll puts results, and waits until they are written.
func writeAll(t *testing.T, out *Output, results ...Result) {
	t.Helper()
	for i, r := range results {
		r.Index = i
		if !out.put(r) {
			t.Fatal(out.failure())
		}
	}
	out.finish(len(results), true)
}

// runInfo reads run.json, whose counts must add up.
func runInfo(t *testing.T, dir string) RunInfo {
	t.Helper()
	var i RunInfo
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "run.json"))), &i); err != nil {
		t.Fatal(err)
	}
	if i.Inputs != i.Done+i.Failed+i.Pending {
		t.Errorf("run.json: %d inputs are not %d done, %d failed, %d pending", i.Inputs, i.Done, i.Failed, i.Pending)
	}
	return i
}

func TestOutputFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	var failed []string
	out := open(t, 5, OutputOptions{Path: dir, Formats: []Format{JSONL, Text}, Folder: "scans", Failed: func(i source.Item, err error) { failed = append(failed, i.Path) }})
	if i := runInfo(t, dir); i.Finished || i.Pending != 5 {
		t.Errorf("before the run: %+v", i)
	}
	out.show(Progress{Inputs: 5, SoftTokens: 7, OutputTokens: 8})
	writeAll(t, out, good("scans/a.png", "one"), bad("scans/b.png", "broken"), good("scans/a.jpg", "two"), good("/abs/../c.png", "three"))
	if err := out.Close(); err != nil { // one result was lost
		t.Fatal(err)
	}
	var records []string
	for line := range strings.Lines(read(t, filepath.Join(dir, "records.jsonl"))) {
		var r job.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r.Source.Path)
	}
	if want := []string{"scans/a.png", "scans/a.jpg", "/abs/../c.png"}; !slices.Equal(records, want) {
		t.Errorf("records of %v, want %v", records, want)
	}
	if !bad("a", "the decoder hung: not a word in 2m0s").errorRecord().TimedOut || bad("a", "broken").errorRecord().TimedOut {
		t.Error("what time ended is not told from what is broken")
	}
	line := read(t, filepath.Join(dir, "errors.jsonl"))
	if want := `{"path":"scans/b.png","job":"ocr","budget":70,"error":"broken"}` + "\n"; line != want {
		t.Errorf("got %s, want %s", line, want)
	}
	if e, err := job.ParseEntry([]byte(line)); err != nil || e.Path != "scans/b.png" || e.Budget != 70 {
		t.Errorf("fed back: %+v, %v", e, err)
	}
	if !slices.Equal(failed, []string{"scans/b.png"}) {
		t.Errorf("told of %v", failed)
	}
	i := runInfo(t, dir)
	if i.Done != 3 || i.Failed != 1 || i.Pending != 1 || i.Finished || i.Tokens["soft"] != 7 || i.Tokens["output"] != 8 {
		t.Errorf("after the run: %+v", i)
	}
	var texts []string
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".txt" {
			name, _ := filepath.Rel(dir, path)
			texts = append(texts, filepath.ToSlash(name)+": "+read(t, path))
		}
		return err
	})
	if len(texts) != 3 || !slices.Contains(texts, "a.png.txt: one\n") || !slices.Contains(texts, "abs/c.png.txt: three\n") {
		t.Errorf("got %q", texts)
	}
	if got, want := out.Files(), dir+": records.jsonl, errors.jsonl, *.txt"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An item whose overlay cannot be drawn any more has its record all the same.
func TestOutputOverlay(t *testing.T) {
	dir := t.TempDir()
	data := read(t, page("00"))
	there := put(t, dir, "a.png", data)
	changed := put(t, dir, "changed.png", read(t, page("01")))
	gone := filepath.Join(dir, "gone.png")
	out := open(t, 3, OutputOptions{Path: filepath.Join(dir, "out"), Formats: []Format{Overlay}, Folder: dir})
	var warnings []string
	out.Warn = func(text string) { warnings = append(warnings, strings.TrimPrefix(text, dir+"/")) }
	var results []Result
	for _, path := range []string{gone, changed, there} {
		r := good(path, "text")
		r.Record.Source.SHA256 = fmt.Sprintf("%x", sha256.Sum256([]byte(data)))
		results = append(results, r)
	}
	writeAll(t, out, results...)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if i := runInfo(t, filepath.Join(dir, "out")); i.Done != 3 || i.Failed != 0 || !i.Finished {
		t.Errorf("got %+v", i)
	}
	want := []string{"gone.png: no overlay: no such file or directory", "changed.png: no overlay: the file has changed since it was read"}
	if diff := cmp.Diff(want, warnings); diff != "" && runtime.GOOS != "windows" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	drawn := filepath.Join(dir, "out", "a.png.boxes.png")
	if pictures, err := filepath.Glob(filepath.Join(dir, "out", "*.png")); err != nil || !slices.Equal(pictures, []string{drawn}) {
		t.Fatalf("drawn: %v, %v", pictures, err)
	}
	img, err := png.Decode(strings.NewReader(read(t, drawn)))
	if err != nil {
		t.Fatal(err)
	}
	if s := img.Bounds().Size(); s.X != 480 || s.Y != 336 {
		t.Errorf("an overlay of %v", s)
	}
}

func TestOutputStream(t *testing.T) {
	var stdout bytes.Buffer
	out := open(t, 2, OutputOptions{Stdout: &stdout, Formats: []Format{Text}})
	writeAll(t, out, good("a.png", "one"), bad("b.png", "broken"), good("c.png", "two"))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String(); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
	if i := out.Info(); i.Done != 2 || i.Failed != 1 {
		t.Errorf("got %+v", i)
	}
}

// Pages of Markdown below each other do not run together.
func TestOutputMarkdownStream(t *testing.T) {
	var stdout bytes.Buffer
	out := open(t, 3, OutputOptions{Stdout: &stdout, Formats: []Format{Markdown}})
	writeAll(t, out, good("a.png", "one"), bad("b.png", "broken"), good("c.png", "two"))
	if got := stdout.String(); strings.HasPrefix(got, "\n") || !strings.Contains(got, "\none\n\n---\nsource: \"c.png\"\n") || !strings.HasSuffix(got, "\n---\n\ntwo\n") {
		t.Errorf("got %q", got)
	}
}

func TestOutputFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.TXT")
	out := open(t, 1, OutputOptions{Path: path})
	writeAll(t, out, good("a.png", "one"))
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there before it is whole")
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one\n" {
		t.Errorf("got %q", got)
	}
	// A run of which nothing came leaves it alone.
	out = open(t, 1, OutputOptions{Path: path, Overwrite: true})
	writeAll(t, out, bad("a.png", "broken"))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one\n" {
		t.Errorf("got %q", got)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestOutputErrors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "full.jsonl", "{}\n")
	put(t, dir, "empty.jsonl", "")
	put(t, dir, "run/records.jsonl", "{}\n")
	put(t, dir, "again/records.jsonl", "")
	put(t, dir, "again/errors.jsonl", "{}\n")
	put(t, dir, "folder.png/x", "")
	put(t, dir, "outside", "keep")
	put(t, dir, "linked/x", "")
	link(t, filepath.Join(dir, "outside"), filepath.Join(dir, "linked", "records.jsonl"))
	for _, c := range []struct {
		o      OutputOptions
		option bool   // it is an OptionError
		want   string // "": it opens
	}{
		{OutputOptions{Formats: []Format{"pdf"}}, true, `format "pdf": want one of [jsonl txt md alto hocr overlay]`},
		{OutputOptions{Formats: []Format{JSONL, Text}}, true, "standard output takes one format, not [jsonl txt]"},
		{OutputOptions{Formats: []Format{JSONL, JSONL}}, false, ""},
		{OutputOptions{Formats: []Format{Overlay}}, true, "overlays do not go to standard output"},
		{OutputOptions{Formats: []Format{HOCR}}, true, "standard output takes the hocr of one image, not of 2"},
		{OutputOptions{Path: "a.xml"}, true, "a.xml takes the alto of one image, not of 2"},
		{OutputOptions{Path: "a.png"}, true, "a.png takes the overlay of one image, not of 2"},
		{OutputOptions{Path: "a.txt", Formats: []Format{JSONL, Text}}, true, "a.txt takes one format, not [jsonl txt]"},
		{OutputOptions{Path: "folder.png"}, false, ""},
		{OutputOptions{Path: "full.jsonl"}, false, "full.jsonl: is there already and not empty: --overwrite replaces it"},
		{OutputOptions{Path: "full.jsonl", Overwrite: true}, false, ""},
		{OutputOptions{Path: "empty.jsonl"}, false, ""},
		{OutputOptions{Path: "run"}, false, filepath.Join("run", "records.jsonl") + ": holds results, and there is no journal of a run to go on with: --overwrite replaces them"},
		{OutputOptions{Path: "again"}, false, filepath.Join("again", "errors.jsonl") + ": holds results, and there is no journal of a run to go on with: --overwrite replaces them"},
		{OutputOptions{Path: "full.jsonl/out"}, false, "full.jsonl/out: "},
		{OutputOptions{Path: "missing/a.txt"}, false, "missing/a.txt: "},
		{OutputOptions{Path: "linked", Overwrite: true}, false, filepath.Join("linked", "records.jsonl") + ": "},
	} {
		c.o.Stdout = new(bytes.Buffer)
		out, err := OpenOutput(c.o, RunInfo{Job: "ocr", Inputs: 2}, nil)
		if err == nil {
			if err := out.Close(); err != nil {
				t.Errorf("%s %v: %v", c.o.Path, c.o.Formats, err)
			}
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s %v: got %v, want %s", c.o.Path, c.o.Formats, err, c.want)
		}
		if got := errors.As(err, new(OptionError)); got != c.option {
			t.Errorf("%s %v: OptionError is %t: %v", c.o.Path, c.o.Formats, got, err)
		}
	}
	if got := read(t, "run/records.jsonl"); got != "{}\n" {
		t.Errorf("records of an earlier run: %q", got)
	}
	if got := read(t, "outside"); got != "keep" {
		t.Errorf("written through a link: %q", got)
	}
	if got := read(t, "full.jsonl"); got != "{}\n" {
		t.Errorf("a file that nothing replaced: %q", got)
	}
}

// The counts of what lies on the disk, whatever a run that broke off has counted.
func TestRunIntoOutput(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	in := items("missing")
	for n := range 20 {
		in = append(in, item(fixtures.Path(fmt.Sprintf("nano/heldout/ocr_%02d.png", n)), nil))
	}
	out := open(t, len(in), OutputOptions{Path: dir})
	ctx, cancel := context.WithCancel(t.Context())
	p := newOCR(t, func(s *Settings) { s.Batch = 2 })
	p.Progress = func(progress Progress) {
		if progress.Done == 4 {
			cancel()
		}
	}
	_, err := p.Run(ctx, sample(in), out)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	i := runInfo(t, dir)
	lines := func(name string) int { return strings.Count(read(t, filepath.Join(dir, name)), "\n") }
	if i.Inputs != 21 || i.Failed != 1 || i.Pending == 0 || i.Finished || lines(recordsName) != i.Done || lines(errorsName) != 1 {
		t.Errorf("%d records: %+v", lines(recordsName), i)
	}
}

// The times of two recordings do not go into one file of subtitles.
func TestOutputOneRecordingAFile(t *testing.T) {
	for _, f := range []Format{SRT, VTT, TSV} {
		for inputs, want := range map[int]bool{1: true, 2: false} {
			_, err := OpenOutput(OutputOptions{Stdout: new(bytes.Buffer), Formats: []Format{f}}, RunInfo{Job: "transcribe", Inputs: inputs}, nil)
			if (err == nil) != want || err != nil && !errors.As(err, new(OptionError)) {
				t.Errorf("%s of %d: %v", f, inputs, err)
			}
		}
	}
}
