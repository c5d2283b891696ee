//go:build libav

package libav

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"facet/fixtures"
	"facet/video"
)

// TestMain has the C library keep one arena of memory instead of one for each thread, so that what is kept can be told from
// what is forgotten.
func TestMain(m *testing.M) {
	if os.Getenv("MALLOC_ARENA_MAX") == "" {
		os.Setenv("MALLOC_ARENA_MAX", "1")
		if self, err := os.Executable(); err == nil {
			syscall.Exec(self, os.Args, os.Environ())
		}
	}
	Init(512 << 20)
	os.Exit(m.Run())
}

func open(t *testing.T, name string) *Media {
	t.Helper()
	b, err := os.ReadFile(fixtures.Path("video/" + name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(bytes.NewReader(b), int64(len(b)), video.Settings{Threads: 2, Pixels: 1 << 20, Note: func(string) {}, Alive: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Matrices as containers store them, and what cameras make of them.
func TestOrientation(t *testing.T) {
	const one = 1 << 16
	for _, c := range []struct {
		a, b, c, d int32
		want       int
	}{
		{one, 0, 0, one, 1}, {-one, 0, 0, one, 2}, {-one, 0, 0, -one, 3}, {one, 0, 0, -one, 4},
		{0, one, one, 0, 5}, {0, one, -one, 0, 6}, {0, -one, -one, 0, 7}, {0, -one, one, 0, 8},
		{0, 0, 0, 0, 1}, {-1 << 31, 0, 0, -1 << 31, 3}, {60000, 20000, -20000, 60000, 1}, {20000, 60000, -60000, 20000, 6},
	} {
		if got := orientation([9]int32{c.a, c.b, 0, c.c, c.d, 0, 0, 0, 1 << 30}); got != c.want {
			t.Errorf("%d %d %d %d: orientation %d, want %d", c.a, c.b, c.c, c.d, got, c.want)
		}
	}
}

// pixels decodes the frames at ticks.
func pixels(t *testing.T, m *Media, ticks []int64) (all [][]byte) {
	t.Helper()
	err := m.Frames(0, ticks, func(p video.Picture) error {
		all = append(all, bytes.Clone(p.Pix))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A frame is the same whether what lies before it was read over or skipped by a seek, forwards and back.
func TestSeeking(t *testing.T) {
	for _, name := range []string{"count.mp4", "opengop.mp4", "hevc.mp4", "edited.mp4", "vfr.mkv", "late.mkv", "count.webm", "late.ts", "scenes.mp4"} {
		m := open(t, name)
		ticks, _, _, err := m.Index(0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		want := pixels(t, m, ticks)
		m.farAhead = 0
		for i := range ticks {
			from := i * 7 % len(ticks) // an order that jumps
			got := pixels(t, m, []int64{ticks[from/3], ticks[from]})
			if !bytes.Equal(got[0], want[from/3]) || !bytes.Equal(got[1], want[from]) {
				t.Errorf("%s: frames %d and %d differ after a seek", name, from/3, from)
			}
		}
		m.Close()
	}
}

// counted counts what is read.
type counted struct {
	r io.ReaderAt
	n int64
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.r.ReadAt(p, at)
	c.n += int64(n)
	return n, err
}

// Frames that are asked for one after the other are those that come at once, and cost no more: the file is read for
// the index, and once more.
func TestOneAfterTheOther(t *testing.T) {
	for _, name := range []string{"count.mp4", "opengop.mp4", "hevc.mp4", "vfr.mkv", "edited.mp4", "count.webm", "late.ts", "count.avi", "count.mpg"} {
		b, err := os.ReadFile(fixtures.Path("video/" + name))
		if err != nil {
			t.Fatal(err)
		}
		r := &counted{r: bytes.NewReader(b)}
		m, err := Open(r, int64(len(b)), video.Settings{Threads: 2, Pixels: 1 << 20, Note: func(text string) { t.Error(name, text) }, Alive: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		ticks, _, _, err := m.Index(0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		want := pixels(t, m, ticks)
		for _, step := range []int{1, 2, 5, 13} {
			m.stop()
			r.n = 0
			for i := 0; i < len(ticks); i += step {
				window := ticks[i:min(i+2, len(ticks))] // the first two of each step
				if step == 1 {
					window = window[:1]
				}
				for j, got := range pixels(t, m, window) {
					if !bytes.Equal(got, want[i+j]) {
						t.Errorf("%s in steps of %d: frame %d differs", name, step, i+j)
					}
				}
			}
			if most := 2*int64(len(b)) + 4*ioBuffer; r.n > most {
				t.Errorf("%s in steps of %d: %d bytes are read of a file of %d", name, step, r.n, len(b))
			}
		}
		m.Close()
	}
}

// While something takes long, that it goes on is said about once a second.
func TestAlive(t *testing.T) {
	m := open(t, "count.mp4")
	defer m.Close()
	n := 0
	m.settings.Alive = func() { n++ }
	nothing := func(video.Picture) error { return nil }
	for name, do := range map[string]func() error{
		"index":  func() error { _, err := m.readIndex(m.video[0], 1000); return err },
		"frames": func() error { return m.Frames(0, []int64{0, 10000}, nothing) },
		"cuts":   func() error { return m.Cuts(0, 0.3, func(int64) error { return nil }) },
		"sound": func() error {
			return m.Sound(0, func(int, int, float64) error { return nil }, func([]float32) error { return nil })
		},
	} {
		n, m.alive = 0, time.Now().Add(-time.Minute)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if n != 1 {
			t.Errorf("%s: %d signs of life in less than a second", name, n)
		}
	}
}

// round does everything once with a file.
func round(t *testing.T, name string) {
	m := open(t, name)
	defer m.Close()
	nothing := func(video.Picture) error { return nil }
	for track := range m.Info().Video {
		ticks, _, _, err := m.Index(track, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(ticks); i += 9 { // forwards and back again
			if err := m.Frames(track, ticks[len(ticks)-1-i:len(ticks)-i], nothing); err != nil {
				t.Fatal(err)
			}
		}
		stop := errors.New("stop")
		if err := m.Frames(track, ticks, func(video.Picture) error { return stop }); err != stop {
			t.Fatalf("stopped: %v", err)
		}
		if err := m.Cuts(track, 0.3, func(int64) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for track := range m.Info().Audio {
		if err := m.Sound(track, func(int, int, float64) error { return nil }, func([]float32) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// resident returns the memory of the process in bytes, after the heap was tidied.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Everything is given back: memory does not grow with the number of files, also of those that cannot be opened. The bound is
// what the allocators keep; in 500 rounds 4 KiB that are forgotten in each are more, which is less than a frame takes.
func TestNothingIsKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	files := []string{"count.mp4", "late.ts", "count.webm"}
	rounds, bound := 40, 2<<20
	if os.Getenv("FACET_FULL") != "" {
		rounds = 500
	}
	work := func(n int) {
		for i := range n {
			round(t, files[i%len(files)])
			if m, err := Open(strings.NewReader("no film"), 7, video.Settings{}); err == nil {
				m.Close()
				t.Fatal("opened")
			}
		}
	}
	work(20)
	before := resident(t)
	work(rounds)
	if grown := resident(t) - before; grown > bound {
		t.Errorf("%d rounds took %d KiB", rounds, grown>>10)
	} else {
		t.Logf("%d rounds took %d KiB", rounds, grown>>10)
	}
}

// What a file makes FFmpeg say is bounded and printable.
func TestLogIsBounded(t *testing.T) {
	long := "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + strings.Repeat("x\x1b[31m", 100_000) + "\n"
	_, err := Open(strings.NewReader(long), int64(len(long)), video.Settings{Pixels: 1 << 20})
	if err == nil || len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("error %.200q", err)
	}
}
