package pipeline

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"facet/fixtures"
	"facet/model"
	"facet/pipeline/job"
	"facet/pipeline/source"
)

// nano is opened once for all tests: it computes in turns anyway.
var nano = sync.OnceValues(func() (*model.Model, error) {
	return model.Open(fixtures.Path("nano"), model.Options{Threads: 2})
})

func newOCR(t *testing.T, change func(*Settings)) *Pipeline {
	t.Helper()
	m, err := nano()
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{Model: m, Job: job.OCR, Stills: stills(t), Separate: true}
	if change != nil {
		change(&s)
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// noLeak fails the test if it leaves goroutines behind.
func noLeak(t *testing.T) {
	t.Helper()
	if _, err := nano(); err != nil { // its threads stay
		t.Fatal(err)
	}
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) })
}

func items(paths ...string) []source.Item {
	var out []source.Item
	for _, p := range paths {
		out = append(out, item(p, nil))
	}
	return out
}

// item is a file as a listing gives it.
func item(path string, o *job.Options) source.Item {
	i := source.Item{Path: path, File: path, Options: o}
	if info, err := os.Stat(path); err == nil {
		i.Stat = source.Stat{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	}
	return i
}

// collect runs the items and returns what was emitted.
func collect(t *testing.T, p *Pipeline, items []source.Item) ([]Result, Progress) {
	t.Helper()
	var results []Result
	progress, err := emitTo(t.Context(), p, items, func(r Result) error {
		results = append(results, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return results, progress
}

// emitTo runs the items and emits their results.
func emitTo(ctx context.Context, p *Pipeline, items []source.Item, emit func(Result) error) (Progress, error) {
	out, err := OpenOutput(OutputOptions{Emit: emit, Stills: p.Stills, Documents: p.Documents}, RunInfo{Started: time.Now()}, nil)
	if err != nil {
		return Progress{}, err
	}
	progress, err := p.Run(ctx, sample(items), out)
	return progress, errors.Join(err, out.Close())
}

func TestRunBadItemsAmongGood(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	text := put(t, dir, "text.png", "This is text.")
	cut := put(t, dir, "cut.png", read(t, page("00"))[:1500])
	missing := filepath.Join(dir, "missing.png")
	in := items(page("03"), text, page("00"), cut, missing, page("00"))
	results, progress := collect(t, newOCR(t, func(s *Settings) { s.Batch = 2 }), in)

	var got []string
	for i, r := range results {
		if r.Item.Path != in[i].Path {
			t.Errorf("result %d is of %v", i, r.Item)
		}
		if r.Err != nil {
			got = append(got, r.Err.Error())
		} else {
			got = append(got, r.Record.Text)
		}
	}
	want := []string{
		"sooty 02.02.2009 Rangers\nREDEVELOPS disrupt\n38.02 KNOCKS.",
		"vision: not an image",
		"itineraries",
		"vision: image/png: truncated: the file ends at byte 1500, before the image is complete",
		"no such file or directory",
		"itineraries",
	}
	if runtime.GOOS == "windows" {
		want[4] = got[4]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if progress.Done != 6 || progress.Failed != 3 || progress.Prepared != 6 || progress.Encoded != 3 {
		t.Errorf("got %+v", progress)
	}
	soft, output := 0, 0
	for _, r := range results {
		if r.Record != nil {
			soft += r.Record.Effective.ImageTokens
			output += r.Record.Usage.OutputTokens
		}
	}
	if progress.SoftTokens != soft || progress.OutputTokens != output || soft == 0 {
		t.Errorf("progress counts %d soft and %d output tokens, the records %d and %d", progress.SoftTokens, progress.OutputTokens, soft, output)
	}
}

// Equal files at two paths are two items with one id, which draw alike wherever they stand.
func TestRunEqualFiles(t *testing.T) {
	copied := put(t, t.TempDir(), "copy.png", read(t, page("00")))
	text := map[job.Options]string{}
	for _, o := range []job.Options{{}, {Temperature: 3, Seed: 1, MaxTokens: 20}, {Temperature: 3, Seed: 2, MaxTokens: 20}} {
		results, _ := collect(t, newOCR(t, func(s *Settings) { s.Options = o }), items(page("00"), "missing", copied))
		a, b := *results[0].Record, *results[2].Record
		if a.Source.Path == b.Source.Path || a.ID != b.ID {
			t.Errorf("got %s at %s and %s at %s", a.ID, a.Source.Path, b.ID, b.Source.Path)
		}
		b.Source.Path = a.Source.Path
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%+v: records of equal files differ:\n%s", o, diff)
		}
		for other, t2 := range text {
			if a.Text == t2 {
				t.Errorf("%+v and %+v give the same text", o, other)
			}
		}
		text[o] = a.Text
	}
}

// A page that is certainly empty is not asked about, unless the user wants it.
func TestRunBlankPages(t *testing.T) {
	white := image.NewGray(image.Rect(0, 0, 300, 200))
	for i := range white.Pix {
		white.Pix[i] = 0xff
	}
	var file bytes.Buffer
	if err := png.Encode(&file, white); err != nil {
		t.Fatal(err)
	}
	path := put(t, t.TempDir(), "blank.png", file.String())
	in := []source.Item{item(path, nil), item(page("00"), nil), item(path, &job.Options{Blank: job.BlankAsk})}
	results, progress := collect(t, newOCR(t, nil), in)
	if r := results[0].Record; !*r.Blank || r.Attempts != 0 || r.Usage != (job.Usage{}) || r.Text != "" || r.InkOutside != nil ||
		*r.Effective.Seen != (job.Seen{Budget: 70, SizeOriginal: [2]int{300, 200}}) {
		t.Errorf("empty: %+v", r)
	}
	if r := results[1].Record; *r.Blank || r.Text != "itineraries" || r.InkOutside == nil || *r.InkOutside > 0.1 {
		t.Errorf("not empty: %+v", r)
	}
	if r := results[2].Record; r.Attempts != 1 || r.Usage.PromptTokens == 0 {
		t.Errorf("asked about: %+v", r)
	}
	if progress.Encoded != 2 || progress.Prepared != 3 || progress.Done != 3 {
		t.Errorf("got %+v", progress)
	}
}

// What the engine says about one request names no other thing than the item does.
func TestRunErrorOfRequest(t *testing.T) {
	p := newOCR(t, func(s *Settings) { s.Options.Prompt = strings.Repeat("a ", 30_000) })
	results, _ := collect(t, p, items(page("00")))
	if err := results[0].Err; err == nil || !strings.HasPrefix(err.Error(), "model: the prompt has ") {
		t.Errorf("got %v", err)
	}
}

func TestRunRefusesPathsThatRecordsCannotHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "caf\xe9.png")
	if err := os.WriteFile(path, []byte(read(t, page("00"))), 0o666); err != nil {
		t.Skip(err) // macOS takes UTF-8 only
	}
	results, _ := collect(t, newOCR(t, nil), items(path))
	if err := results[0].Err; err == nil || err.Error() != "this path is not UTF-8 and records cannot hold it: rename the file" {
		t.Errorf("got %v", err)
	}
}

// What a manifest asks for goes before the options of the run, item by item.
func TestRunOptionsOfItems(t *testing.T) {
	p := newOCR(t, func(s *Settings) { s.Options = job.Options{MaxTokens: 3, Seed: 5} })
	of := func(o *job.Options, change func(*source.Item)) source.Item {
		i := item(page("00"), o)
		change(&i)
		return i
	}
	same := func(*source.Item) {}
	in := []source.Item{
		of(nil, same),
		of(&job.Options{MaxTokens: 100}, same),
		of(nil, func(i *source.Item) { i.ID, i.Job = "a3997e6fed3b1e7e", "ocr" }),
		of(&job.Options{Language: "German"}, same),
		of(nil, func(i *source.Item) { i.Page = 1 }),
		of(nil, func(i *source.Item) { i.Job = "caption" }),
		of(nil, func(i *source.Item) { i.ID = "x" }),
	}
	results, _ := collect(t, p, in)
	if r := results[0].Record; r.Finish != job.FinishLength || r.Usage.OutputTokens != 3 || r.Effective.Seed != 5 {
		t.Errorf("got %+v", r)
	}
	if r := results[1].Record; r.Finish != job.FinishStop || r.Effective.Seed != 5 {
		t.Errorf("got %+v", r)
	}
	if got := results[3].Options; got != (job.Options{Language: "German", MaxTokens: 3, Seed: 5}) {
		t.Errorf("done with %+v", got)
	}
	if results[2].Err != nil {
		t.Error(results[2].Err)
	}
	for _, r := range results[3:] {
		if r.Err == nil {
			t.Errorf("%+v: no error", r.Item)
		}
	}
}

// A budget by image size, where neither user nor checkpoint sets one: the smallest that
// leaves 0.8 of the sides. 48 · 48 pixels a soft token: page.png has 133 times as many, of
// which 0.8² are 85.
func TestRunAutoBudget(t *testing.T) {
	m, err := model.Open(fixtures.Path("golden/checkpoints/tiny-e"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p := newOCR(t, func(s *Settings) { s.Model = m; s.Options.MaxTokens = 1 })
	results, _ := collect(t, p, items(fixtures.Path("golden/media/tiny.png"), fixtures.Path("golden/media/page.png")))
	for i, want := range []int{70, 140} {
		r := results[i]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if got := r.Record.Effective.Budget; got != want {
			t.Errorf("%s: budget %d, want %d", filepath.Base(r.Item.Path), got, want)
		}
	}
}

func TestRunEmitErrorStops(t *testing.T) {
	noLeak(t)
	full := errors.New("disk full")
	in := slices.Repeat(items(page("00"), "missing"), 50)
	n := 0
	progress, err := emitTo(t.Context(), newOCR(t, nil), in, func(Result) error {
		if n++; n == 3 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || n != 3 {
		t.Errorf("got %v after %d results", err, n)
	}
	if progress.Done == len(in) {
		t.Error("the run went on to its end")
	}
}

func TestRunCancelled(t *testing.T) {
	noLeak(t)
	in := slices.Repeat(items(page("00"), "missing", page("03"), "missing"), 25)
	for _, after := range []int{0, 1, 2, 7} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		var results []Result
		progress, err := emitTo(ctx, newOCR(t, func(s *Settings) { s.Batch = 3 }), in, func(r Result) error {
			if results = append(results, r); len(results) == after {
				cancel()
			}
			return nil
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d: got %v", after, err)
		}
		// What was finished is emitted, if need be past items that were not.
		if len(results) != progress.Done || len(results) < after || len(results) == len(in) {
			t.Errorf("after %d: %d results emitted, %d done", after, len(results), progress.Done)
		}
		at := 0
		for _, r := range results {
			for at < len(in) && in[at].Path != r.Item.Path {
				at++
			}
			at++
		}
		if at > len(in) {
			t.Errorf("after %d: results out of order", after)
		}
	}
}

// A run that is cancelled with its last result is complete.
func TestRunCancelledAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := emitTo(ctx, newOCR(t, nil), items(page("00")), func(Result) error {
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRunNothing(t *testing.T) {
	noLeak(t)
	results, progress := collect(t, newOCR(t, nil), nil)
	if len(results) != 0 || progress != (Progress{Listed: true}) {
		t.Errorf("got %v, %+v", results, progress)
	}
}

// Records are the same bytes for any batch and whatever else is read.
func TestRunSameBytes(t *testing.T) {
	names := items(page("03"), page("05"), page("00"), page("11"))
	record := func(results []Result) (lines []string) {
		for _, r := range results {
			if r.Err == nil {
				line, err := r.Record.Line()
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, string(line))
			}
		}
		return lines
	}
	results, _ := collect(t, newOCR(t, func(s *Settings) { s.Batch = 1 }), names)
	want := record(results)
	for _, batch := range []int{2, 3, 8} {
		results, _ := collect(t, newOCR(t, func(s *Settings) { s.Batch = batch }), append(items("missing"), names...))
		if diff := cmp.Diff(want, record(results)); diff != "" {
			t.Errorf("batch %d:\n%s", batch, diff)
		}
	}
}

func TestNewErrors(t *testing.T) {
	m, err := nano()
	if err != nil {
		t.Fatal(err)
	}
	var option OptionError
	_, err = New(Settings{Model: m, Job: job.OCR, Options: job.Options{Language: "German"}})
	if !errors.As(err, &option) || !strings.Contains(err.Error(), "German") {
		t.Errorf("got %v", err)
	}

	for _, batch := range []int{-1, MaxBatch + 1, math.MaxInt} {
		_, err = New(Settings{Model: m, Job: job.OCR, Batch: batch})
		if !errors.As(err, &option) || !strings.Contains(err.Error(), "want 1 to 4096") {
			t.Errorf("batch %d: got %v", batch, err)
		}
	}

	deaf, err := model.Open(fixtures.Path("golden/checkpoints/tiny-dense"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	_, err = New(Settings{Model: deaf, Job: job.Caption, Options: job.Options{Watching: job.Watching{WithSpeech: true}}})
	if !errors.As(err, &option) || !strings.Contains(err.Error(), "with_speech: this checkpoint takes no sound") {
		t.Errorf("got %v", err)
	}

	// A facet.json that is broken is no fault of the options.
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		link(t, fixtures.Path("nano/"+name), filepath.Join(dir, name))
	}
	put(t, dir, model.JobsFile, `{"jobs": {"orc": {}}}`)
	broken, err := model.Open(dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	_, err = New(Settings{Model: broken, Job: job.OCR})
	if err == nil || errors.As(err, &option) || !strings.Contains(err.Error(), model.JobsFile) {
		t.Errorf("got %v", err)
	}
}
