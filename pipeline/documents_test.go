package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
)

// A document is one file with its pages in order, those that failed in their places; an export makes the same. One of
// which a page was not reached does not appear.
func TestPerDocument(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.MkdirAll(in, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.pdf", "b.pdf"} {
		if err := fixtures.PDF(filepath.Join(in, name), 5, 7+uint64(len(name))+uint64(name[0])); err != nil {
			t.Fatal(err)
		}
	}
	put(t, in, "c.png", read(t, page("00")))
	p := reader(stills(t), 0)
	say := p.newEngine().(*script).say
	p.newEngine = func() engine {
		const pageRows = 18 // of patches, in both documents; c.png has 21
		pages := 0
		return &script{say: func(q *question, n int) (string, job.Finish) {
			if q.images[0].Rows == pageRows { // the picture comes at any time
				pages++
				if pages == 3 || pages == 9 { // one in each document
					return "fail", ""
				}
			}
			return say(q, n)
		}}
	}
	o := OutputOptions{Formats: []Format{JSONL, Text, Markdown, ALTO, HOCR}, PerDocument: true}
	info, err := runInto(t.Context(), p, in, out, o, testPrint)
	if err != nil || info.Failed != 2 || info.Inputs != 11 {
		t.Fatalf("%+v, %v", info, err)
	}
	files := contents(t, out)
	for _, suffix := range []string{".txt", ".md", ".alto.xml", ".hocr"} {
		for _, name := range []string{"a.pdf", "b.pdf", "c.png"} {
			if files[name+suffix] == "" {
				t.Errorf("%s%s is missing", name, suffix)
			}
		}
	}
	if want := 4*3 + 2; len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	if n := strings.Count(files["a.pdf.alto.xml"], "<Page "); n != 5 {
		t.Errorf("%d pages in a.pdf", n)
	}
	if n := strings.Count(files["a.pdf.md"]+files["b.pdf.md"], "not read: the script fails here"); n != 2 {
		t.Errorf("%d pages not read", n)
	}
	exported := filepath.Join(dir, "exported")
	if _, err := Export(ExportOptions{Run: out, OutputOptions: OutputOptions{Path: exported, Formats: o.Formats[1:], PerDocument: true}}); err != nil {
		t.Fatal(err)
	}
	again := contents(t, exported)
	delete(files, recordsName)
	delete(files, errorsName)
	if diff := cmp.Diff(files, again); diff != "" {
		t.Errorf("exported (-run):\n%.2000s", diff)
	}

	// Broken off in the middle of b.pdf.
	stop := make(chan struct{})
	p = reader(stills(t), 50*time.Millisecond)
	p.Batch, p.Stop = 1, stop
	p.Progress = func(progress Progress) {
		if progress.Done >= 7 { // two may be done at once
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
	}
	broken := filepath.Join(dir, "broken")
	info, err = runInto(t.Context(), p, in, broken, o, testPrint)
	if err != nil || info.Finished || info.Done < 7 {
		t.Fatalf("%+v, %v", info, err)
	}
	files = contents(t, broken)
	if files["a.pdf.txt"] == "" || files["b.pdf.txt"] != "" {
		t.Errorf("a.pdf.txt %q, b.pdf.txt %q", files["a.pdf.txt"], files["b.pdf.txt"])
	}
}
