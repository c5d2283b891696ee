package pipeline

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
	"facet/pipeline/source"
)

// asker is a script that notes how it was asked: with how many patches, at which temperature, and for boxes or not.
type asker struct{ asked []string }

func (a *asker) script(say func(n int) (string, job.Finish)) *script {
	return &script{say: func(q *question, n int) (string, job.Finish) {
		a.asked = append(a.asked, fmt.Sprintf("%d×%d %v %d", q.images[0].Columns, q.images[0].Rows, q.temperature, q.maxTokens))
		return say(n)
	}}
}

// A page whose reply loops is looked at more finely, then asked about less certainly, and at last for its text alone;
// the best of that is kept, and the record says what was tried.
func TestLadderOfPages(t *testing.T) {
	noLeak(t)
	pdf := item(fixtures.Path("pdf/two.pdf"), nil)
	pdf.Page = 2
	for _, in := range []source.Item{item(page("00"), nil), pdf} {
		var a asker
		good := `[{"box_2d":[1,2,300,400],"text":"found"}]`
		s := a.script(func(n int) (string, job.Finish) {
			if n == 3 {
				return good, job.FinishStop
			}
			return `[{"box_2d":[1,2,300,400],"text":"so so"}`, job.FinishLoop
		})
		p := scripted(job.OCR, job.Options{}, s)
		p.Stills = stills(t)
		p.Documents.Cache = fixtures.PDFCache()
		p.checkpoint.Jobs = map[string]job.Setting{"ocr": {Budgets: []int{70, 140}, Budget: 70}}
		results, progress := collect(t, p, []source.Item{in})
		rec := results[0].Record
		if rec == nil {
			t.Fatal(results[0].Err)
		}
		if rec.Text != "found" || rec.Finish != job.FinishStop || rec.Attempts != 4 || len(rec.Tries) != 4 || rec.Effective.Budget != 140 || progress.Done != 1 {
			t.Errorf("%s: %+v", in.Path, rec)
		}
		if len(a.asked) != 4 || a.asked[0] == a.asked[1] || a.asked[0][:3] == a.asked[1][:3] && len(a.asked[0]) == len(a.asked[1]) {
			t.Errorf("asked %q", a.asked)
		}
		var temperatures []float64
		for i, try := range rec.Tries {
			temperatures = append(temperatures, try.Temperature)
			if try.Kept != (i == 3) || (try.Budget == 70) != (i == 0) {
				t.Errorf("try %d: %+v", i, try)
			}
		}
		if want := []float64{0, 0, 0.2, 0.5}; !slices.Equal(temperatures, want) {
			t.Errorf("temperatures %v", temperatures)
		}
		if rec.Effective.Temperature != 0.5 {
			t.Errorf("effective %+v", rec.Effective)
		}
	}
}

// A page that stands on its head is turned until it reads well, and boxes are those of the turned one.
func TestRotate(t *testing.T) {
	noLeak(t)
	for _, c := range []struct {
		rotate job.Rotate
		asked  int
		want   int
	}{{"", 1, 0}, {"90", 1, 90}, {"270", 1, 270}, {job.RotateAuto, 3, 90}} {
		var a asker
		s := a.script(func(n int) (string, job.Finish) {
			if n == 2 {
				return `[{"box_2d":[0,0,1000,1000],"text":"upright"}]`, job.FinishStop
			}
			return `[{"box_2d":[0,0,1000,1000],"text":"upright"}]`, job.FinishStop
		})
		s.sure = func(n int) float64 { return []float64{0.3, 0.4, 0.99, 0.2}[n] }
		p := scripted(job.OCR, job.Options{Budget: 70, Rotate: c.rotate}, s)
		p.Stills = stills(t)
		results, _ := collect(t, p, items(page("00"))) // 480 × 336
		rec := results[0].Record
		if rec == nil {
			t.Fatal(results[0].Err)
		}
		size := [2]int{480, 336}
		if c.want%180 != 0 {
			size = [2]int{336, 480}
		}
		box := job.Box{0, 0, size[0], size[1]}
		if rec.Effective.Rotated != c.want || rec.Effective.SizeOriginal != size || rec.Blocks[0].Box != box || len(a.asked) != c.asked || rec.Attempts != c.asked {
			t.Errorf("%q: asked %q: %+v", c.rotate, a.asked, rec)
		}
	}
}

// The text layer of a page takes the place of the model where there is one.
func TestSkipTextLayer(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.pdf")
	if err := fixtures.PDF(path, 2, 7); err != nil {
		t.Fatal(err)
	}
	asked := 0
	p := scripted(job.OCR, job.Options{Budget: 70, SkipTextLayer: true}, &script{say: func(*question, int) (string, job.Finish) {
		asked++
		return "[]", job.FinishStop
	}})
	p.Stills = stills(t)
	p.Documents.Cache = fixtures.PDFCache()
	results, _ := collect(t, p, items(path, fixtures.Path("pdf/two.pdf"))) // the latter's first page is a picture, the second has hidden text
	if asked != 1 || len(results) != 4 {
		t.Fatalf("asked about %d of %d", asked, len(results))
	}
	for i, r := range results {
		rec := r.Record
		if rec == nil {
			t.Fatal(r.Err)
		}
		if layer := i != 2; rec.TextLayer != layer || layer && (rec.Attempts != 0 || len(rec.Blocks) == 0 || rec.Text == "" || rec.Usage != (job.Usage{})) {
			t.Errorf("result %d: %+v", i, rec)
		}
		for _, b := range rec.Blocks {
			size := rec.Effective.SizeOriginal
			if b.Box[0] < 0 || b.Box[1] < 0 || b.Box[2] > size[0] || b.Box[3] > size[1] || b.Box[0] >= b.Box[2] || b.Box[1] >= b.Box[3] {
				t.Errorf("result %d: %v in %v", i, b.Box, size)
			}
		}
	}
	again, _ := collect(t, p, items(path))
	if diff := cmp.Diff(results[0].Record, again[0].Record); diff != "" {
		t.Error(diff)
	}
}
