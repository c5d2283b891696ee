package pipeline

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/source"
)

// runPaths is runInto for any paths and options.
func runPaths(t *testing.T, p *Pipeline, dir string, o OutputOptions, paths ...string) RunInfo {
	t.Helper()
	i, err := tryPaths(t.Context(), p, dir, o, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func tryPaths(ctx context.Context, p *Pipeline, dir string, o OutputOptions, paths ...string) (RunInfo, error) {
	sources, err := source.Open(paths, source.Options{Media: job.OCR.Media, Recursive: true})
	if err != nil {
		return RunInfo{}, err
	}
	defer sources.Close()
	o.Path, o.Folder, o.Stills, o.Documents = dir, sources.Folder(), p.Stills, p.Documents
	if o.Formats == nil {
		o.Formats = []Format{JSONL, Text}
	}
	out, err := OpenOutput(o, RunInfo{Facet: "test", Job: "ocr", Started: time.Now(), Inputs: sources.Len()}, testPrint)
	if err != nil {
		return RunInfo{}, err
	}
	_, err = p.Run(ctx, sources, out)
	if closing := out.Close(); err == nil {
		err = closing
	}
	return out.Info(), err
}

// agrees checks that what is said of a run that ended is what its folder has.
func agrees(t *testing.T, dir string, i RunInfo) {
	t.Helper()
	if i.Inputs != i.Done+i.Failed+i.Pending {
		t.Errorf("inputs are not done, failed and pending: %+v", i)
	}
	s, err := ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if g := s.Info; g.Inputs != i.Inputs || g.Done != i.Done || g.Failed != i.Failed || g.Pending != i.Pending || g.Finished != i.Finished {
		t.Errorf("the run said\n%+v, its folder\n%+v", i, g)
	}
	if n := strings.Count(read(t, filepath.Join(dir, recordsName)), "\n"); n != i.Done+i.Absent {
		t.Errorf("%d lines in records.jsonl: %+v", n, i)
	}
	if n := strings.Count(read(t, filepath.Join(dir, errorsName)), "\n"); n != i.Failed {
		t.Errorf("%d lines in errors.jsonl: %+v", n, i)
	}
}

// run.json is written beside the files of items, by another goroutine.
func TestInfoBesideFiles(t *testing.T) {
	in, out := folder(t, 12)
	mustRun(t, in, out, OutputOptions{Formats: []Format{JSONL}})
	o, err := OpenOutput(OutputOptions{Path: out, Formats: []Format{Text}}, RunInfo{Job: "ocr"}, testPrint)
	if err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	var beside sync.WaitGroup
	beside.Go(func() {
		for !ended.Load() {
			if err := o.folder.writeInfo(o); err != nil {
				t.Error(err)
				return
			}
		}
	})
	o.finish(0, false) // writes what the earlier run has
	ended.Store(true)
	beside.Wait()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

// Inputs that are gone are not in the counts, whether they were read or had failed; what a run that was stopped did not
// come to is.
func TestCountsOfWhatIsGone(t *testing.T) {
	in, out := folder(t, 12)
	bad := put(t, in, "bad.png", "\x89PNG\r\n\x1a\nbroken")
	p := reader(stills(t), 0)
	first := runPaths(t, p, out, OutputOptions{}, in)
	agrees(t, out, first)
	os.Remove(bad)
	pngs, _ := filepath.Glob(filepath.Join(in, "*.png"))
	os.Remove(pngs[1])
	if i := runPaths(t, p, out, OutputOptions{}, in); i.Absent != 1 || i.Failed != 0 || i.Inputs != first.Inputs-2 {
		t.Errorf("%+v", i)
	} else {
		agrees(t, out, i)
	}
	stop := make(chan struct{})
	close(stop)
	p.Stop = stop
	put(t, in, "000000.png", read(t, page("00")))
	if i := runPaths(t, p, out, OutputOptions{}, in); i.Absent != 0 || i.Finished || i.Done != first.Done {
		t.Errorf("stopped: %+v", i)
	} else {
		agrees(t, out, i)
	}
}

// The content of a member of an archive is not known by its name.
func TestResumeChangedMember(t *testing.T) {
	dir := t.TempDir()
	out, list := filepath.Join(dir, "out"), put(t, dir, "list.jsonl", `{"path": "`+filepath.ToSlash(dir)+`/a.zip/x.png"}`+"\n")
	archive := func(content string) {
		var b strings.Builder
		w := zip.NewWriter(&b)
		f, err := w.Create("x.png")
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err = w.Close(); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "a.zip", b.String())
	}
	p := reader(stills(t), 0)
	archive(read(t, page("00")))
	agrees(t, out, runPaths(t, p, out, OutputOptions{}, list))
	old := records(t, out)
	agrees(t, out, runPaths(t, p, out, OutputOptions{}, list))
	archive(read(t, page("01")))
	agrees(t, out, runPaths(t, p, out, OutputOptions{}, list))
	path := filepath.ToSlash(dir) + "/a.zip/x.png"
	if now := records(t, out); len(now) != 1 || now[path] == "" || now[path] == old[path] {
		t.Errorf("%v, was %v", now, old)
	}
}

// animation is a GIF of so many pages.
func animation(t *testing.T, pages int) string {
	t.Helper()
	var g gif.GIF
	for i := range pages {
		m := image.NewPaletted(image.Rect(0, 0, 80, 60), palette.Plan9)
		for x := range 40 {
			m.SetColorIndex(x, 10+i, 200)
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 1)
	}
	var b strings.Builder
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A document that could not be opened is its pages once it can.
func TestResumeMendedDocument(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	path := put(t, dir, "in/a.gif", animation(t, 3)[:60])
	p := reader(stills(t), 0)
	i := runPaths(t, p, out, OutputOptions{}, path)
	if i.Failed != 1 {
		t.Errorf("%+v", i)
	}
	agrees(t, out, i)
	put(t, dir, "in/a.gif", animation(t, 3))
	for range 2 {
		i := runPaths(t, p, out, OutputOptions{}, path)
		if i.Done != 3 || i.Failed != 0 || i.Changed != 0 {
			t.Errorf("%+v", i)
		}
		agrees(t, out, i)
	}
}

// Names of files may depend on the other items, so that a file is not taken for that of its item by its name.
func TestResumeOtherNames(t *testing.T) {
	in, out := folder(t, 6)
	p := reader(stills(t), 0)
	o := OutputOptions{Name: "{n}"}
	n := runPaths(t, p, out, o, in).Inputs
	put(t, in, "000000.png", read(t, page("00")))
	runPaths(t, p, out, o, in)
	runPaths(t, p, out, o, in)
	for i, line := range strings.Split(strings.TrimSpace(read(t, filepath.Join(out, recordsName))), "\n") {
		var r job.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		found := false
		files, _ := filepath.Glob(filepath.Join(out, fmt.Sprintf("%d*.txt", i+1)))
		for _, f := range files {
			found = found || read(t, f) == r.Text+"\n"
		}
		if !found {
			t.Errorf("item %d of %d: no file of %v has %q", i+1, n+1, files, r.Text)
		}
	}
}

// Two items have two keys, whatever a file is called.
func TestKeysDiffer(t *testing.T) {
	o := &job.Options{Budget: 70}
	items := []source.Item{
		{Path: "a"}, {Path: "a", Page: 1}, {Path: "a#1"}, {Path: "a", Options: o}, {Path: `a {"budget":70}`}, {Path: "a", CustomID: "b"}, {Path: `a "b"`},
		{Path: `{"budget":70} a`}, {Path: `"b" a`}, {Path: "#1 a"},
	}
	keys := map[string]source.Item{}
	for _, i := range items {
		k := keyOf("ocr", i).String()
		if other, ok := keys[k]; ok {
			t.Errorf("%+v and %+v are both %s", i, other, k)
		}
		keys[k] = i
	}
}
