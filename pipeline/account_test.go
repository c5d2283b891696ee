package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/journal"
)

// wrongs are ways in which an item fails before the model is asked; the script has two more.
func wrongs(t *testing.T, in string) []string {
	t.Helper()
	good := read(t, page("00"))
	paths := []string{
		put(t, in, "empty.png", ""), put(t, in, "text.png", "text"), put(t, in, "cut.png", good[:1500]), put(t, in, "head.png", good[:8]),
		put(t, in, "broken.jpg", "\xff\xd8\xff\xe0broken"), put(t, in, "broken.gif", "GIF89abroken"), put(t, in, "broken.pdf", "%PDF-1.7\nbroken"),
		put(t, in, "broken.tif", "II*\x00\xff\xff\xff\x7f"), filepath.Join(in, "missing.png"), in,
	}
	return paths
}

// Wherever a run is stopped, every input is done, failed or pending, and what was one of the first two stays so; in the
// end each item has one record or one reason.
func TestAccounting(t *testing.T) {
	count, stops := 150, 8
	if os.Getenv("FACET_FULL") != "" {
		count, stops = 10_000, 200
	}
	dir := t.TempDir()
	bad := wrongs(t, filepath.Join(dir, "in"))
	var list strings.Builder
	random := rand.New(rand.NewPCG(5, 6))
	wantFailed := 0
	for i := range count {
		path := page(fmt.Sprintf("%02d", random.IntN(10)))
		switch n := random.IntN(120); {
		case n < len(bad):
			path = bad[n]
			wantFailed++
		case n < len(bad)+2: // the script's
			wantFailed++
			fmt.Fprintf(&list, `{"path": %q, "custom_id": "%d", "prompt": "fail %d"}`+"\n", path, i, n)
			continue
		}
		fmt.Fprintf(&list, `{"path": %q, "custom_id": "%d"}`+"\n", path, i)
	}
	manifest, out := put(t, dir, "list.jsonl", list.String()), filepath.Join(dir, "out")
	p := reader(stills(t), 0)
	p.Separate = true
	say := p.newEngine().(*script).say
	var stop chan struct{}
	asked, at := 0, 0
	p.newEngine = func() engine {
		return &script{say: func(q *question, n int) (string, job.Finish) {
			if asked++; asked == at {
				close(stop)
			}
			if strings.HasPrefix(q.text, "fail") {
				return "fail", ""
			}
			return say(q, n)
		}}
	}
	accounted, stopped := 0, 0
	var mu sync.Mutex
	for n := range stops + 1 {
		if stop, asked, at = make(chan struct{}), 0, 1+random.IntN(2*count/stops); n == stops {
			at = -1
		}
		p.Stop = stop
		if n%3 == 1 && at > 0 { // at any time
			end := time.AfterFunc(time.Duration(random.IntN(20))*time.Millisecond, sync.OnceFunc(func() { close(stop) }))
			at = -1
			defer end.Stop()
		}
		p.Progress = func(g Progress) {
			mu.Lock()
			defer mu.Unlock()
			if g.Done > max(g.Inputs, count) || g.Failed > g.Done {
				t.Errorf("run %d: %+v", n, g)
			}
		}
		i := runPaths(t, p, out, OutputOptions{Formats: []Format{JSONL}}, manifest)
		agrees(t, out, i)
		if i.Inputs != count || i.Done+i.Failed < accounted || i.Before < accounted {
			t.Fatalf("run %d, %d accounted for before: %+v", n, accounted, i)
		}
		accounted = i.Done + i.Failed
		if i.Pending > 0 {
			stopped++
		}
		if n == stops && (i.Failed != wantFailed || i.Pending != 0 || !i.Finished) {
			t.Errorf("%d fail: %+v", wantFailed, i)
		}
	}
	if t.Logf("stopped %d times", stopped); stopped < stops/2 {
		t.Errorf("stopped %d times only", stopped)
	}
	seen := map[string]bool{}
	for _, name := range []string{recordsName, errorsName} {
		for line := range strings.Lines(read(t, filepath.Join(out, name))) {
			_, id, _ := strings.Cut(line, `"custom_id":"`)
			id, _, _ = strings.Cut(id, `"`)
			if seen[id] {
				t.Errorf("%q twice", id)
			}
			seen[id] = true
		}
	}
	if t.Failed() {
		t.Log(read(t, filepath.Join(out, errorsName)))
	}
	if len(seen) != count {
		t.Errorf("%d of %d accounted for", len(seen), count)
	}
}

// An input that is listed three times, in any order, is one; of two that go on in a folder at once, one does.
func TestExactlyOnce(t *testing.T) {
	in, out := folder(t, 16)
	paths, _ := filepath.Glob(filepath.Join(in, "*.png"))
	var thrice []string
	for range 3 {
		thrice = append(thrice, paths...)
	}
	p := reader(stills(t), time.Millisecond)
	for seed := range uint64(3) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(thrice), func(i, j int) { thrice[i], thrice[j] = thrice[j], thrice[i] })
		var both sync.WaitGroup
		var mu sync.Mutex
		refused, finished := 0, 0
		for range 2 {
			both.Go(func() {
				p := *p
				i, err := tryPaths(t.Context(), &p, out, OutputOptions{}, thrice...)
				mu.Lock()
				defer mu.Unlock()
				var locked journal.Locked
				switch {
				case errors.As(err, &locked):
					refused++
				case err == nil && i.Finished && i.Inputs == len(paths):
					finished++
				default:
					t.Errorf("%+v, %v", i, err)
				}
			})
		}
		both.Wait()
		if finished == 0 {
			t.Errorf("%d refused", refused)
		}
		if r := records(t, out); len(r) != len(paths) {
			t.Errorf("%d records of %d", len(r), len(paths))
		}
	}
}
