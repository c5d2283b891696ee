//go:build unix

package pdf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"facet/fixtures"
	"facet/internal/child"
	"facet/internal/sandbox"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/still"
)

// fakeMagic begins a file for which the decoder of the tests is a puppet, see fake.
const fakeMagic = "FAKE"

// input lives as long as the process: a file that nobody refers to is closed.
var input = os.NewFile(child.Input, "input")

// isFake reports whether descriptor 3 is such a file.
func isFake() bool {
	head := make([]byte, len(fakeMagic))
	_, err := input.ReadAt(head, 0)
	return err == nil && string(head) == fakeMagic
}

// fake has 1,000 pages of 10 × 10 points, and most of them are sound.
type fake struct{ drawn int }

const (
	crash = 10 * (1 + iota) // numbers of pages
	hang
	greed
	more // pixels than were asked for
	less
	odd // size
	second
	spinning
)

func (f *fake) Pages() int { return 1000 }

func (f *fake) Page(n int) (pdf.Page, error) {
	switch n {
	case crash:
		var p *fake
		p.drawn++
	case hang:
		time.Sleep(time.Hour)
	case odd:
		return pdf.Page{Width: -1, Height: 10}, nil
	}
	return pdf.Page{Width: 10, Height: 10}, nil
}

func (f *fake) Render(n, width, height int, emit func([]byte) error) error {
	f.drawn++
	size := 3 * width * height
	switch n {
	case greed:
		return errors.New("out of memory")
	case more:
		size++
	case less:
		size--
	case second: // comes to grief on what others left behind
		if f.drawn > 1 {
			return errors.New("worn out")
		}
	case spinning:
		for {
			f.drawn++
		}
	}
	return emit(bytes.Repeat([]byte{byte(os.Getpid()), byte(os.Getpid() >> 8), byte(f.drawn)}, size/3+1)[:size])
}

func (f *fake) Characters(int) (int, error) { return 0, nil }

func (f *fake) Text(n int, emit func(pdf.Line) error) error {
	switch n {
	case odd:
		return emit(pdf.Line{Text: "a", Box: pdf.Box{X0: 2, X1: 1}, Words: []pdf.Word{{Text: "a"}}})
	case more:
		for {
			if err := emit(pdf.Line{Text: "many", Words: []pdf.Word{{Text: "many"}}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func serveFake() int {
	err := pdf.Serve(os.Stdin, os.Stdout, nil, func(string) (pdf.Source, error) { return new(fake), nil })
	if err != nil {
		fmt.Fprintln(os.Stderr, "facet decode:", err)
		return 1
	}
	return 0
}

func openFake(t *testing.T, o pdf.Options) *pdf.Document {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake.pdf")
	if err := os.WriteFile(path, []byte(fakeMagic), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := pdf.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func see(ctx context.Context, d *pdf.Document, n int) (*vision.Image, error) {
	if _, err := d.Page(ctx, n); err != nil {
		return nil, err
	}
	return d.Render(ctx, n, 4, 5)
}

// Whatever a page does to its decoder is an error of that page, and the next is read.
func TestDecoderDies(t *testing.T) {
	o := options()
	o.Limits.Stall = time.Second
	d := openFake(t, o)
	for _, c := range []struct {
		page int
		want string
	}{
		{1, ""},
		{crash, "crashed (SIGSEGV)"},
		{2, ""},
		{hang, "hung: not a word in 1s"},
		{greed, "needed more than its 1024 MiB"},
		{3, ""},
		{more, "answered wrongly"},
		{less, "answered wrongly: 59 bytes of 60"},
		{odd, "answered wrongly: a page of -1 × 10 points"},
		{4, ""},
		{second, ""}, // a fresh decoder can
		{1001, "no page 1001"},
		{5, ""},
	} {
		_, err := see(t.Context(), d, c.page)
		if c.want == "" {
			if err != nil {
				t.Errorf("page %d: %v", c.page, err)
			}
			continue
		}
		var died pdf.DecoderError
		place := fmt.Sprintf("fake.pdf: page %d: ", c.page)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), place) || errors.As(err, &died) != (c.page <= 1000) {
			t.Errorf("page %d: %v, want %q", c.page, err, c.want)
		}
	}
}

// A decoder is replaced after some pages, and asked by many at once.
func TestManyPages(t *testing.T) {
	d := openFake(t, options())
	var pids sync.Map
	var all sync.WaitGroup
	for worker := range 3 {
		all.Go(func() {
			for n := 101 + worker; n <= 1000; n += 3 {
				img, err := see(t.Context(), d, n)
				if err != nil {
					t.Errorf("page %d: %v", n, err)
					return
				}
				pids.Store([2]byte(img.Pix[:2]), true)
			}
		})
	}
	all.Wait()
	decoders := 0
	pids.Range(func(any, any) bool { decoders++; return true })
	if decoders < 5 { // 900 pages, at most 200 each
		t.Errorf("%d decoders", decoders)
	}
}

// When the context ends, so does what is under way, and the document goes on with another one.
func TestCancelled(t *testing.T) {
	d := openFake(t, options())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := see(ctx, d, spinning); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := see(t.Context(), d, 1); err != nil {
		t.Errorf("after it: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := pdf.Open(ctx, fixtures.Path("pdf/two.pdf"), options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A page that needs more memory than there is does not come out half drawn.
func TestMemory(t *testing.T) {
	o := options()
	o.Limits.Memory = 64 << 20
	d := open(t, "two.pdf", o)
	_, err := d.Render(t.Context(), 1, 6000, 4200)
	var died pdf.DecoderError
	if !errors.As(err, &died) || !strings.Contains(err.Error(), "page 1: the decoder needed more than its 64 MiB") {
		t.Errorf("got %v", err)
	}
	samePixels(t, d, 1, [2]int{480, 336}, scan(t, 0))
}

// The decoder is shut in before it reads, as far as the kernel can.
func TestSandbox(t *testing.T) {
	o := options()
	report, err := pdf.Sandbox(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var r sandbox.Report
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && (r.FileSize != 0 || r.Memory < 1<<30 || r.CPU != time.Hour) {
		t.Errorf("%+v", r)
	}
	o.Sandbox = still.Require
	if _, err := pdf.Sandbox(t.Context(), o); (err == nil) != r.Full() {
		t.Errorf("%v, where %+v", err, r)
	}
	if r.Full() {
		samePixels(t, open(t, "two.pdf", o), 1, [2]int{480, 336}, scan(t, 0))
	}
}

func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.pdf")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{dir, pipe} {
		var format vision.FormatError
		if _, err := pdf.Open(t.Context(), path, options()); !errors.As(err, &format) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := pdf.Open(t.Context(), filepath.Join(dir, "gone.pdf"), options()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The cache is filled by a child that has no document. What is no renderer, or a foreign one, is compiled anew; where nothing
// can be written there is one error.
func TestCache(t *testing.T) {
	o := pdf.Options{Cache: filepath.Join(t.TempDir(), "no", "such")}
	if os.Geteuid() != 0 { // who may write anywhere
		if err := os.MkdirAll(filepath.Dir(o.Cache), 0o500); err != nil {
			t.Fatal(err)
		}
		var unavailable pdf.UnavailableError
		if _, err := pdf.Open(t.Context(), fixtures.Path("pdf/two.pdf"), o); !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "XDG_CACHE_HOME") {
			t.Errorf("got %v", err)
		}
	}
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("compiles three times: FACET_FULL=1")
	}
	o.Cache = filepath.Join(t.TempDir(), "a [b]")
	use := func() (files []string) {
		t.Helper()
		d, err := pdf.Open(t.Context(), fixtures.Path("pdf/two.pdf"), o)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		folders, err := os.ReadDir(o.Cache)
		if err != nil || len(folders) != 1 {
			t.Fatalf("%v, %v", folders, err)
		}
		dir := filepath.Join(o.Cache, folders[0].Name())
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			files = append(files, filepath.Join(dir, e.Name()))
		}
		return files
	}
	cold := use()
	if len(cold) != 1 {
		t.Fatalf("%v", cold)
	}
	foreign := filepath.Join(filepath.Dir(cold[0]), "00") // as of another version
	if err := os.Rename(cold[0], foreign); err != nil {
		t.Fatal(err)
	}
	if again := use(); len(again) != 2 {
		t.Errorf("beside a foreign one: %v", again)
	}
	if err := os.WriteFile(cold[0], []byte("no renderer"), 0o600); err != nil {
		t.Fatal(err)
	}
	use()
}
