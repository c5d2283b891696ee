package video

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"facet/fixtures"
)

// program is facet-media, built for these tests, and unavailable is why it is not.
var program, unavailable string

// TestMain builds facet-media where it can be built. A test that needs it says why it is skipped where it cannot.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "facet-media")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program, unavailable = build(dir)
	status := m.Run()
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

func build(dir string) (program, unavailable string) {
	if runtime.GOOS == "windows" {
		return "", "facet-media is not for Windows"
	}
	if err := exec.Command("../scripts/have-libav").Run(); err != nil {
		return "", "facet-media cannot be built here: the headers of FFmpeg 5.1 are not installed"
	}
	program = filepath.Join(dir, "facet-media")
	cmd := exec.Command("go", "build", "-tags", "libav", "-o", program, "../cmd/facet-media")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "facet-media does not build: %v\n%s", err, out)
		os.Exit(1)
	}
	return program, ""
}

// sources reads what facet-media is built from. go test remembers the results of a package as long as its files do not change,
// and those that a test reads.
var sources = sync.OnceFunc(func() {
	for _, pattern := range []string{"libav/*", "../cmd/facet-media/*", "../internal/sandbox/*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			os.ReadFile(name)
		}
	}
})

// options returns those with the program of these tests, or skips the test.
func options(t testing.TB) Options {
	t.Helper()
	if unavailable != "" {
		t.Skip(unavailable)
	}
	sources()
	return Options{Program: program, Threads: 2}
}

// open opens a file of fixtures/video.
func open(t testing.TB, name string) *Clip {
	t.Helper()
	c, err := Open(context.Background(), fixtures.Path("video/"+name), options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func indexOf(t testing.TB, c *Clip) *Index {
	t.Helper()
	x, err := c.Index(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// frames decodes the frames at ticks.
func frames(t testing.TB, c *Clip, ticks []int64) (got []Frame) {
	t.Helper()
	for f, err := range c.Frames(context.Background(), 0, ticks) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	return got
}

// number reads which frame of a "count" film an image is: eight stripes, white for 1, the lowest bit first.
func number(t testing.TB, f Frame) (n int) {
	t.Helper()
	img := f.Image
	if img.Width != 64 || img.Height != 48 {
		t.Fatalf("a frame of %d × %d pixels", img.Width, img.Height)
	}
	for bit := range 8 {
		switch v := img.Pix[3*(64*24+8*bit+4)]; {
		case v > 160:
			n |= 1 << bit
		case v > 96:
			t.Fatalf("stripe %d is %d: neither black nor white", bit, v)
		}
	}
	return n
}

// readAll reads a sound to its end and returns its first channel.
func readAll(t testing.TB, s *Sound) (mono []float32) {
	t.Helper()
	p := make([]float32, 1000*s.Channels())
	for {
		n, err := s.Read(p)
		for i := 0; i < n; i += s.Channels() {
			mono = append(mono, p[i])
		}
		if n == 0 {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return mono
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(a, b []byte) bool { return bytes.Equal(a, b) }

func contains(text, word string) bool { return strings.Contains(text, word) }
