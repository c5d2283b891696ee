//go:build linux

package still_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"context"

	"facet/fixtures"
	"facet/internal/sandbox"
	"facet/vision"
	"facet/vision/still"
)

func full() bool { return os.Getenv("FACET_FULL") != "" }

func evil(t testing.TB, deed, object string) string {
	t.Helper()
	if escapes[deed] == nil && misdeeds[deed] == nil && deed != "pages" {
		t.Fatalf("no deed %q", deed)
	}
	return write(t, []byte(evilMagic+deed+"|"+object))
}

// confinement returns how a decoder of the pool is shut in.
func confinement(t *testing.T, p *still.Pool) (r sandbox.Report) {
	t.Helper()
	b, err := p.Confinement(t.Context())
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a file that takes the decoder over reaches for is denied. That the same works without the sandbox shows that the
// test can fail.
func TestEscapes(t *testing.T) {
	closed, unlocked := open(t, still.Options{Children: 1}), open(t, still.Options{Children: 1, Sandbox: still.Off})
	if !sandbox.Available() {
		t.Skip("this kernel lacks Landlock or seccomp")
	}
	if r := confinement(t, closed); !r.Full() {
		t.Errorf("with a sandbox: %+v", r)
	}
	if r := confinement(t, unlocked); r.Full() || r.Memory <= 0 || r.CPU != time.Minute || r.FileSize != 0 {
		t.Errorf("without a sandbox: %+v", r)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	worked := 0
	for deed := range escapes {
		object := write(t, []byte("secret"))
		switch deed {
		case "connect", "send":
			object = listener.Addr().String()
		case "read what is open":
			var info syscall.Stat_t
			if err := syscall.Stat(object, &info); err != nil {
				t.Fatal(err)
			}
			object = fmt.Sprint(info.Dev)
		}
		if _, err := first(t, closed, evil(t, deed, object)); !errors.As(err, new(vision.UnsupportedError)) {
			t.Errorf("%s: %v", deed, err)
		}
		switch deed {
		case "become another", "fork", "read what is open":
			continue
		}
		if _, err := first(t, unlocked, evil(t, deed, object)); errors.Is(err, errEscaped) || err != nil && err.Error() == string(errEscaped) {
			worked++
		} else {
			t.Logf("outside, %s: %v", deed, err)
		}
	}
	if worked < 8 {
		t.Errorf("only %d deeds work without the sandbox: the test tells little", worked)
	}
}

// A required sandbox is there from the beginning, or nothing is decoded.
func TestRequire(t *testing.T) {
	p, err := still.Open(still.Options{Sandbox: still.Require})
	if (err == nil) != sandbox.Available() {
		t.Fatalf("%v, where a sandbox is %v", err, sandbox.Available())
	}
	if err == nil {
		p.Close()
	}
	if _, err := still.Open(still.Options{Sandbox: "maybe"}); err == nil || !strings.Contains(err.Error(), "maybe") {
		t.Errorf("got %v", err)
	}
}

// Whatever a file does to its decoder is one error of that file, and the next is read.
func TestDecoderDies(t *testing.T) {
	p := open(t, still.Options{Children: 1, Memory: 256 << 20, CPU: time.Second})
	impatient := open(t, still.Options{Children: 1, Stall: time.Second})
	good := fixtures.Path("golden/decode/grey16.png")
	want, err := first(t, p, good)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ deed, want string }{
		{"crash", "vision: the decoder crashed (SIGSEGV)"},
		{"exit", "vision: the decoder ended: exit status 0"},
		{"hang", "vision: the decoder hung: no"},
		{"spin", "vision: the decoder used up its CPU time"},
		{"kill", "vision: the decoder was killed"},
		{"greed", "vision: the decoder needed more than its 256 MiB of memory"},
		{"garbage", "vision: the decoder answered wrongly: "},
		{"promise", "vision: the decoder answered wrongly: "},
		{"huge", "vision: the decoder answered wrongly: an image of 1073741824 × 1073741824 pixels"},
		{"large", "vision: the decoder answered wrongly: an image of 60000 × 60000 pixels"},
		{"negative", "vision: the decoder answered wrongly: an image of -1 × 10 pixels"},
		{"less", "vision: the decoder answered wrongly: 59 bytes of 60"},
		{"more", "vision: the decoder answered wrongly: "},
		{"twice", "vision: the decoder answered wrongly: "},
		{"nothing", "vision: the decoder answered wrongly: no page"},
		{"pages", "vision: the decoder answered wrongly: no number of pages"},
		{"endless", "vision: the decoder hung: no answer in 1s"},
	} {
		if c.deed == "greed" && !bounded {
			continue
		}
		begin := time.Now()
		p := p
		if strings.Contains(c.want, "hung") {
			p = impatient
		}
		_, err := first(t, p, evil(t, c.deed, ""))
		if !errors.As(err, new(still.DecoderError)) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", c.deed, err, c.want)
		}
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%s: took %v", c.deed, d)
		}
		if got, err := first(t, p, good); err != nil || !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("after %s: %v", c.deed, err)
		}
	}
}

// A decoder is replaced after a hundred files, and what one dies of that had others is tried with a fresh one.
func TestReplaced(t *testing.T) {
	p := open(t, still.Options{Children: 1})
	path := evil(t, "tell", "")
	told := map[string]int{}
	for range 250 {
		_, err := first(t, p, path)
		decoder, file, ok := strings.Cut(fmt.Sprint(err), ", file ")
		if !ok {
			t.Fatal(err)
		}
		told[decoder]++
		if file != fmt.Sprint(told[decoder]) {
			t.Errorf("%s is at file %s after %d", decoder, file, told[decoder])
		}
	}
	if len(told) != 3 {
		t.Errorf("decoders and their files: %v", told)
	}
	if _, err := first(t, p, evil(t, "grudge", "")); err == nil || err.Error() != "fresh" {
		t.Errorf("got %v", err)
	}
	// What has a fresh one is not tried twice.
	begin := time.Now()
	impatient := open(t, still.Options{Children: 1, Stall: 3 * time.Second})
	if _, err := first(t, impatient, evil(t, "hang", "")); !errors.As(err, new(still.DecoderError)) || time.Since(begin) > 5900*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// A broken file has its hash, its size and its type; so has one that its decoder dies of before it says a word.
func TestBrokenIsKnown(t *testing.T) {
	p := open(t, still.Options{Children: 1})
	for _, path := range []string{evil(t, "pages", ""), write(t, []byte("\xff\xd8\xff and no more"))} {
		pic, err := p.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer pic.Close()
		if info, err := os.Stat(path); err != nil || pic.Bytes() != info.Size() || pic.SHA256() == [32]byte{} {
			t.Errorf("%d bytes, %x", pic.Bytes(), pic.SHA256())
		}
		if _, err := pic.Page(t.Context(), 1); err == nil {
			t.Error("no error")
		}
	}
}

// When the context ends, so does what is under way, and the pool goes on with another decoder.
func TestCancelled(t *testing.T) {
	p := open(t, still.Options{Children: 1})
	pic, err := p.Open(t.Context(), evil(t, "hang", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer pic.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := pic.Page(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	time.Sleep(10 * time.Millisecond)
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := p.Open(soon, fixtures.Path("golden/decode/grey16.png")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the only decoder is at work: %v", err)
	}
	waiting.Wait()
	if _, err := first(t, p, fixtures.Path("golden/decode/grey16.png")); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// More pictures are open than there are decoders, and each gives its own pages; one whose file changed gives none.
func TestManyOpen(t *testing.T) {
	p := open(t, still.Options{Children: 2})
	paths, err := fixtures.Pages(t.TempDir(), 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	var pictures []*still.Picture
	for _, path := range paths {
		if filepath.Ext(path) == ".pdf" {
			continue
		}
		pic, err := p.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer pic.Close()
		pictures = append(pictures, pic)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(pictures) == 1 {
			if err := os.WriteFile(path, data[:len(data)-1], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := 1 + worker; i < len(pictures); i += 4 {
				img, err := pictures[i].Page(t.Context(), 1)
				if err != nil || img.Width != fixtures.PageWidth {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	if _, err := pictures[0].Page(t.Context(), 1); !errors.As(err, new(vision.FormatError)) || !strings.Contains(err.Error(), "changed") || !pictures[0].Changed() {
		t.Errorf("changed: %v", err)
	}
}

// A file that a decoder refuses takes the place of the one before all the same.
func TestRefusedBetween(t *testing.T) {
	p := open(t, still.Options{Children: 1})
	pic, err := p.Open(t.Context(), fixtures.Path("golden/decode/grey16.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer pic.Close()
	if _, err := first(t, p, write(t, []byte("no image"))); err == nil {
		t.Fatal("no error")
	}
	if _, err := pic.Page(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// Files that claim or hold far more than they are.
func TestBombs(t *testing.T) {
	p := open(t, still.Options{Children: 1, Memory: 256 << 20})
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 9000, 9000))); err != nil { // 243 MB of red, green and blue
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"pixels":     {pngOf(1<<30, 1<<30, nil), "pixels are more than the limit"},
		"a side":     {pngOf(1<<20, 1, nil), "longer than the limit"},
		"truncated":  {pngOf(10_000, 10_000, []byte("x")), "image/png: truncated"},
		"much":       {large.Bytes(), "the decoder needed more than its 256 MiB of memory"},
		"text chunk": {pngOf(8, 8, nil, chunk("zTXt", append([]byte("a\x00\x00"), deflated(64<<20)...))), ""},
	} {
		if name == "much" && !bounded {
			continue
		}
		path := write(t, c.data)
		before := allocated()
		begin := time.Now()
		_, err := first(t, p, path)
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, %d bytes: %v, want %s", name, len(c.data), err, c.want)
		}
		if d, n := time.Since(begin), allocated()-before; d > 30*time.Second || n > 8<<20 {
			t.Errorf("%s: took %v, and %d bytes of this process", name, d, n)
		}
		if _, err := first(t, p, fixtures.Path("golden/decode/grey16.png")); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// allocated returns how many bytes this process has allocated, all in all.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func deflated(n int) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(make([]byte, n))
	w.Close()
	return b.Bytes()
}

func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngOf returns a PNG of 8 bits of grey.
func pngOf(width, height uint32, idat []byte, extra ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	b := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(head, 8, 0, 0, 0, 0))...)
	for _, e := range extra {
		b = append(b, e...)
	}
	return append(append(b, chunk("IDAT", idat)...), chunk("IEND", nil)...)
}

// A third of the files end their decoder, each in its way, and all others come out right. Nothing is left behind.
func TestPoolChaos(t *testing.T) {
	n := 60
	if full() {
		n = 1000
	}
	p := open(t, still.Options{Children: 2, Memory: 256 << 20, Stall: 2 * time.Second, CPU: 2 * time.Second})
	paths, err := fixtures.Pages(t.TempDir(), 12, 4)
	if err != nil {
		t.Fatal(err)
	}
	var good []string
	want := map[string][]byte{}
	for _, path := range paths {
		if filepath.Ext(path) == ".pdf" {
			continue
		}
		img, err := first(t, p, path)
		if err != nil {
			t.Fatal(err)
		}
		good, want[path] = append(good, path), img.Pix
	}
	deaths := []string{"crash", "crash", "exit", "kill", "garbage", "less"}
	if bounded {
		deaths = append(deaths, "greed")
	}
	rare := []string{"hang", "spin"}
	before := openFiles(t)
	r := rand.New(rand.NewPCG(1, 2))
	type job struct{ path, deed string }
	jobs := make(chan job)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for j := range jobs {
				img, err := first(t, p, j.path)
				switch {
				case j.deed != "":
					if !errors.As(err, new(still.DecoderError)) {
						t.Errorf("%s: %v", j.deed, err)
					}
				case err != nil || !bytes.Equal(img.Pix, want[j.path]):
					t.Errorf("%s: %v", j.path, err)
				}
			}
		})
	}
	for i := range n {
		j := job{path: good[r.IntN(len(good))]}
		if r.IntN(10) < 3 {
			j.deed = deaths[r.IntN(len(deaths))]
			if i%100 == 50 {
				j.deed = rare[i/100%2]
			}
			j.path = evil(t, j.deed, fmt.Sprint(i))
		}
		jobs <- j
	}
	close(jobs)
	all.Wait()
	p.Close()
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
	if c := children(t); c != "" {
		t.Errorf("children are left: %s", c)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// children returns the ids of the children of this process.
func children(t *testing.T) string {
	t.Helper()
	paths, _ := filepath.Glob("/proc/self/task/*/children")
	var all []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil {
			all = append(all, strings.Fields(string(b))...)
		}
	}
	return strings.Join(all, " ")
}

// Damaged files of every format are an error or an image each, in bounded time.
func TestDamaged(t *testing.T) {
	n := 60
	if full() {
		n = 1000
	}
	paths, err := fixtures.Damaged(t.TempDir(), "image", n, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, still.Options{Children: 2, Stall: 30 * time.Second})
	images, failed := 0, 0
	for _, path := range paths {
		begin := time.Now()
		_, err := first(t, p, path)
		switch {
		case err == nil:
			images++
		case errors.As(err, new(vision.FormatError)), errors.As(err, new(vision.UnsupportedError)):
			failed++
		default:
			t.Errorf("%s: %v", path, err)
		}
		if d := time.Since(begin); d > 15*time.Second {
			t.Errorf("%s: took %v", path, d)
		}
	}
	t.Logf("%d images, %d errors", images, failed)
	if failed < n/3 || images == 0 {
		t.Errorf("%d images and %d errors: the files are not damaged as they should be", images, failed)
	}
}
