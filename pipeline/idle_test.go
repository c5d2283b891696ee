//go:build unix

package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/model"
	"facet/pipeline/job"
)

// slow is an engine that works for so long on each page, and notes what it does.
type slow struct {
	script
	page time.Duration

	begin, first, last time.Time // of the run, of the first question and of the last answer
	busy               time.Duration
}

func (s *slow) ask(id string, q *question, onToken func()) (cost, error) {
	if s.first.IsZero() {
		s.first = time.Now()
	}
	return s.script.ask(id, q, onToken)
}

func (s *slow) step() ([]answer, error) {
	start := time.Now()
	time.Sleep(s.page)
	s.last = time.Now()
	s.busy += s.last.Sub(start)
	return s.script.step()
}

// The model is hardly ever without work while items are pending, whatever files they come in, and the run knows how long it
// was. By default pages take so little time that the start of the first decoder counts for too much and is left out, and that other
// tests beside this one do as well.
func TestIdle(t *testing.T) {
	pages, each := full(40, 200), 50*time.Millisecond
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if os.Getenv("FACET_FULL") != "" {
		each *= 10
		if _, err := fixtures.Pages(in, pages, 5); err != nil {
			t.Fatal(err)
		}
	} else { // a document for every third page takes longer than its pages at 50 ms
		tinyImages(t, in, pages-20)
		if err := fixtures.PDF(filepath.Join(in, "many.pdf"), 20, 5); err != nil {
			t.Fatal(err)
		}
	}
	for _, batch := range []int{1, 8} {
		s := &slow{page: each, script: script{say: func(q *question, _ int) (string, job.Finish) {
			return fmt.Sprintf(`[{"box_2d":[10,20,300,400],"text":"page %v"}]`, q.images[0].Values[0]), job.FinishStop
		}}}
		p := instant(stills(t), 0)
		p.newEngine = func() engine { s.begin = time.Now(); return s }
		p.Batch = batch
		info, err := runInto(t.Context(), p, in, filepath.Join(dir, fmt.Sprint("out", batch)), OutputOptions{Formats: []Format{JSONL}}, testPrint)
		if err != nil || info.Done != info.Inputs || info.Done < pages*3/4 {
			t.Fatalf("%+v, %v", info, err)
		}
		whole, start := s.last.Sub(s.begin), s.first.Sub(s.begin)
		idle := whole - s.busy
		t.Logf("batch %d: %d pages in %v: %v idle, %.1f %%, of which %v until the first was there; the run says %.3f s; %v", batch, info.Done, whole, idle,
			100*float64(idle)/float64(whole), start, info.Idle, info.Stages)
		if said := time.Duration(info.Idle * float64(time.Second)); said > idle+10*time.Millisecond || idle-said > whole/20 {
			t.Errorf("batch %d: the run says that %v were idle, and it was %v", batch, said, idle)
		}
		limit := whole / 20
		if os.Getenv("FACET_FULL") == "" {
			idle, limit = idle-start, 3*limit
		}
		if idle > limit {
			t.Errorf("batch %d: idle for %v of %v", batch, idle, whole)
		}
	}
}

// Records are the same bytes for any batch, any number of threads and any order of answers.
func TestWorkersSameBytes(t *testing.T) {
	pages, err := filepath.Glob(fixtures.Path("nano/heldout/*.png"))
	if err != nil || len(pages) != 50 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	pages = pages[:full(6, 50)]
	var want []string
	for _, c := range []struct{ threads, batch int }{{1, 1}, {1, 8}, {2, 1}, {2, 3}, {2, 8}} {
		m, err := model.Open(fixtures.Path("nano"), model.Options{Threads: c.threads})
		if err != nil {
			t.Fatal(err)
		}
		p := newOCR(t, func(s *Settings) { s.Model, s.Batch = m, c.batch })
		results, _ := collect(t, p, items(pages...))
		got := recordLines(t, results)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v:\n%s", c, diff)
		}
		m.Close()
	}
	if len(want) != len(pages) {
		t.Errorf("%d records of %d pages", len(want), len(pages))
	}
}

// So they are when replies are of no use and pages are asked about again, in whatever order that comes to pass.
func TestWorkersSameBytesAfterRetries(t *testing.T) {
	pages, err := filepath.Glob(fixtures.Path("nano/heldout/[ol]*.png"))
	if err != nil {
		t.Fatal(err)
	}
	pages = pages[:full(10, 40)]
	var want []string
	for _, batch := range []int{1, 3, 8} {
		for _, backward := range []bool{false, true} {
			s := &script{backward: backward, say: moody}
			p := scripted(job.OCR, job.Options{Boxes: job.BoxesLine}, s)
			p.Stills, p.Batch = stills(t), batch
			results, _ := collect(t, p, items(pages...))
			got := recordLines(t, results)
			if want == nil {
				want = got
				asked := 0
				for _, r := range results {
					if r.Record != nil {
						asked += r.Record.Attempts
					}
				}
				if asked < len(pages)*3/2 {
					t.Errorf("asked %d times about %d pages", asked, len(pages))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("batch %d, backward %v:\n%s", batch, backward, diff)
			}
		}
	}
}

// moody answers as the question says, and more often than not uselessly.
func moody(q *question, _ int) (string, job.Finish) {
	sum := uint64(len(q.images[0].Values)) + q.seed + uint64(1000*q.temperature)
	for _, v := range q.images[0].Values[:5000] {
		sum = sum*31 + uint64(1000*v)
	}
	page := fmt.Sprintf(`[{"box_2d":[10,20,300,400],"text":"read as %016x"}]`, sum)
	switch sum >> 8 % 4 {
	case 0:
		return "no list at all", job.FinishStop
	case 1:
		return page[:len(page)-4], job.FinishLoop
	case 2:
		return page, job.FinishLength
	}
	return page, job.FinishStop
}

func recordLines(t *testing.T, results []Result) (lines []string) {
	t.Helper()
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		line, err := r.Record.Line()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	return lines
}

// wordy is a model whose replies have as many tokens as they may, whatever it would say.
type wordy struct{ *modelEngine }

func (e wordy) ask(id string, q *question, onToken func()) (cost, error) {
	prompt, soft, err := e.prompt(q)
	if err != nil {
		return cost{}, err
	}
	return cost{prompt.Len(), soft}, e.batch.Add(model.Request{
		ID: id, Stream: q.stream, Prompt: prompt, MaxTokens: q.maxTokens, IgnoreEnd: true, OnToken: func(model.Token) { onToken() },
	})
}

// Replies that are generated together are ready sooner than one after the other, by half at least: pages of 200 tokens, measured
// in turns.
func TestBatchIsFaster(t *testing.T) {
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("takes half a minute, and a machine that does nothing else: FACET_FULL=1")
	}
	pages := make([]string, 16)
	for i := range pages {
		pages[i] = fixtures.Path(fmt.Sprintf("nano/heldout/ocr_%02d.png", i))
	}
	const tokens, rounds = 200, 5
	m, err := nano()
	if err != nil {
		t.Fatal(err)
	}
	pool := stills(t)
	run := func(batch int) time.Duration {
		p := newOCR(t, func(s *Settings) { s.Batch, s.Options.MaxTokens, s.Stills = batch, tokens, pool })
		p.newEngine = func() engine { return wordy{&modelEngine{m, m.NewBatch()}} }
		start := time.Now()
		_, progress := collect(t, p, items(pages...))
		if progress.OutputTokens != tokens*len(pages) {
			t.Fatalf("%+v", progress)
		}
		return time.Since(start)
	}
	run(8) // what is done once only
	var ratios []float64
	for round := range rounds {
		one, eight := run(1), run(8)
		ratios = append(ratios, one.Seconds()/eight.Seconds())
		t.Logf("round %d: one by one %.2f s, 8 at once %.2f s: %.2f ×", round+1, one.Seconds(), eight.Seconds(), ratios[round])
	}
	slices.Sort(ratios)
	if median := ratios[rounds/2]; median < 1.5 {
		t.Errorf("8 at once are %.2f × as fast as one by one, want 1.5", median)
	}
}
