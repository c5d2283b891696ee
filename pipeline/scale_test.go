//go:build unix

package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/image/tiff"

	"facet/fixtures"
	"facet/pipeline/job"
	"facet/vision"
	"facet/vision/still"
)

// measuredRun is a run that another process is to do, to be measured.
type measuredRun struct {
	In, Out string
	Formats []Format
	Ahead   int64         // bytes
	First   time.Duration // that the first answer takes, so that what is prepared ahead piles up
}

// measurement is what that process says of itself.
type measurement struct {
	Info RunInfo
	Peak int64 // VmHWM, in bytes, without its decoders
}

// measured does a run, writes its measurement to standard output and ends the process.
func measured(args string) {
	var m measurement
	var r measuredRun
	err := json.Unmarshal([]byte(args), &r)
	if err == nil {
		m.Info, err = r.do()
	}
	if err == nil {
		m.Peak, err = peakOf("self")
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (r measuredRun) do() (RunInfo, error) {
	pool, err := still.Open(still.Options{DecodeOptions: vision.DecodeOptions{Limits: vision.DefaultLimits}, Sandbox: "auto", Children: Decoders})
	if err != nil {
		return RunInfo{}, err
	}
	defer pool.Close()
	p := instant(pool, r.First)
	p.Ahead = r.Ahead
	return runInto(context.Background(), p, r.In, r.Out, OutputOptions{Formats: r.Formats}, testPrint)
}

// instant is a pipeline whose engine answers at once, but for the first question.
func instant(pool *still.Pool, first time.Duration) *Pipeline {
	p := scripted(job.OCR, job.Options{Budget: 70}, &script{say: func(q *question, asked int) (string, job.Finish) {
		if asked == 0 {
			time.Sleep(first)
		}
		return fmt.Sprintf(`[{"box_2d":[10,20,300,400],"text":"page %v"}]`, q.images[0].Values[0]), job.FinishStop
	}})
	p.Stills, p.Separate, p.Batch = pool, false, 8
	p.Documents.Cache = fixtures.PDFCache()
	return p
}

// peakOf is the most memory that a process had, in bytes.
func peakOf(process string) (int64, error) {
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kB); n == 1 {
			return kB << 10, nil
		}
	}
	return 0, fmt.Errorf("no VmHWM in %s", status)
}

// measure does a run in a process of its own.
func measure(t *testing.T, r measuredRun) measurement {
	t.Helper()
	if _, err := peakOf("self"); err != nil {
		t.Skip(err)
	}
	args, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "FACET_MEASURED="+string(args))
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var m measurement
	if err := json.Unmarshal(stdout.Bytes(), &m); err != nil {
		t.Fatalf("%q: %v", &stdout, err)
	}
	i := m.Info
	t.Logf("%d pages in %.1f s; peak %d MiB; %v", i.Done, i.Seconds, m.Peak>>20, i.Stages)
	return m
}

// The memory that a run may take, whatever it reads: what is prepared ahead, as much again until the garbage is
// collected, and the program with what it knows of 100,000 items. Decoders come on top.
const (
	scaleAhead = 64 << 20
	scaleLimit = 256 << 20
)

// full is how many of something a test takes: few by default.
func full(few, many int) int {
	if os.Getenv("FACET_FULL") != "" {
		return many
	}
	return few
}

// A folder of so many images is read within the limit of memory, also when the model is slower than what prepares.
func TestManyImages(t *testing.T) {
	n := full(200, 100_000)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	tinyImages(t, in, n)
	m := measure(t, measuredRun{In: in, Out: filepath.Join(dir, "out"), Formats: []Format{JSONL, Text}, Ahead: scaleAhead, First: time.Duration(full(1, 10)) * time.Second})
	if i := m.Info; i.Done != n || !i.Finished {
		t.Errorf("%+v", i)
	}
	if m.Peak > scaleLimit {
		t.Errorf("%d images took %d MiB, more than %d", n, m.Peak>>20, scaleLimit>>20)
	}
	checkLines(t, filepath.Join(dir, "out", recordsName), n)
}

// So is a document of so many pages.
func TestManyPages(t *testing.T) {
	n := full(60, 5000)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := fixtures.PDF(filepath.Join(in, "many.pdf"), n, 1); err != nil {
		t.Fatal(err)
	}
	m := measure(t, measuredRun{In: in, Out: filepath.Join(dir, "out"), Formats: []Format{JSONL, Text}, Ahead: scaleAhead, First: time.Duration(full(1, 10)) * time.Second})
	if i := m.Info; i.Done != n || !i.Finished {
		t.Errorf("%+v", i)
	}
	if m.Peak > scaleLimit {
		t.Errorf("%d pages took %d MiB, more than %d", n, m.Peak>>20, scaleLimit>>20)
	}
	checkLines(t, filepath.Join(dir, "out", recordsName), n)
}

// tinyImages writes n images of a few pixels, each another.
func tinyImages(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	img := image.NewGray(image.Rect(0, 0, 8, 6))
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	for i := range n {
		for bit := range len(img.Pix) {
			img.Pix[bit] = byte(255 * (i >> (bit % 24) & 1))
		}
		var b bytes.Buffer
		if err := encoder.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// checkLines checks that a file has n lines in the order of the inputs, no two of the same page.
func checkLines(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, last := 0, ""
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		var r struct {
			Source struct {
				Path string
				Page int
			}
		}
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if at := fmt.Sprintf("%s %06d", r.Source.Path, r.Source.Page); at > last {
			last = at
		} else {
			t.Fatalf("%q comes after %q", at, last)
		}
	}
	if lines != n {
		t.Errorf("%d lines, want %d", lines, n)
	}
}

// What the pipeline takes for itself: pages of a megapixel in files of each kind, and an engine that answers at once. The CPU
// time of decoders, which end with each round, is apart. The last kind is documents of one small page, where opening counts.
func BenchmarkPipeline(b *testing.B) {
	const pages = 24
	for _, kind := range []string{"png", "jpg", "tif", "pdf", "documents"} {
		b.Run(kind, func(b *testing.B) {
			in := b.TempDir()
			if err := megapixels(in, kind, pages); err != nil {
				b.Fatal(err)
			}
			before, children := cpuOf(syscall.RUSAGE_SELF), cpuOf(syscall.RUSAGE_CHILDREN)
			var info RunInfo
			for b.Loop() {
				r := measuredRun{In: in, Out: filepath.Join(b.TempDir(), "out"), Ahead: 256 << 20, Formats: []Format{JSONL}}
				var err error
				if info, err = r.do(); err != nil || info.Done != pages {
					b.Fatalf("%+v, %v", info, err)
				}
			}
			n := float64(b.N * pages)
			b.ReportMetric(n/b.Elapsed().Seconds(), "pages/s")
			b.ReportMetric((cpuOf(syscall.RUSAGE_SELF)-before).Seconds()*1000/n, "cpu-ms/page")
			b.ReportMetric((cpuOf(syscall.RUSAGE_CHILDREN)-children).Seconds()*1000/n, "decoders-cpu-ms/page")
			for _, s := range info.Stages {
				b.ReportMetric(1000*s.Busy/pages, s.Name+"-ms/page")
			}
		})
	}
}

// cpuOf is the CPU time of this process or of the children that have ended.
func cpuOf(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// megapixels writes n pages of a megapixel, of text as far as a compressor sees: a file each, or one PDF of scans.
func megapixels(dir, kind string, n int) error {
	var scans [][]byte
	for i := range n {
		if kind == "documents" {
			if err := fixtures.PDF(filepath.Join(dir, fmt.Sprintf("%03d.pdf", i)), 1, uint64(i)); err != nil {
				return err
			}
			continue
		}
		img := textual(uint64(i))
		var b bytes.Buffer
		var err error
		switch kind {
		case "png":
			err = png.Encode(&b, img)
		case "tif":
			err = tiff.Encode(&b, img, &tiff.Options{Compression: tiff.Deflate})
		default:
			err = jpeg.Encode(&b, img, nil)
		}
		if err != nil {
			return err
		}
		if kind == "pdf" {
			scans = append(scans, b.Bytes())
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.%s", i, kind)), b.Bytes(), 0o666); err != nil {
			return err
		}
	}
	if kind == "pdf" {
		return os.WriteFile(filepath.Join(dir, "scans.pdf"), scanned(scans), 0o666)
	}
	return nil
}

const textualWidth, textualHeight = 880, 1200

func textual(seed uint64) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, textualWidth, textualHeight))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for y := 40; y < textualHeight-40; y += 24 {
		for x := 40; x < textualWidth-40; x++ {
			if r.IntN(2) == 0 {
				for dy := range 12 {
					img.SetGray(x, y+dy, color.Gray{Y: byte(r.IntN(64))})
				}
			}
		}
	}
	return img
}

// scanned makes a PDF with a page for each grey JPEG.
func scanned(scans [][]byte) []byte {
	var b bytes.Buffer
	var offsets []int
	object := func(head string, stream []byte) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\n", len(offsets), head)
		if stream != nil {
			fmt.Fprintf(&b, "stream\n%s\nendstream\n", stream)
		}
		b.WriteString("endobj\n")
	}
	b.WriteString("%PDF-1.4\n")
	var kids strings.Builder
	for i := range scans {
		fmt.Fprintf(&kids, "%d 0 R ", 3+3*i)
	}
	object("<</Type/Catalog/Pages 2 0 R>>", nil)
	object(fmt.Sprintf("<</Type/Pages/Count %d/Kids[%s]/MediaBox[0 0 422.4 576]>>", len(scans), kids.String()), nil)
	for i, scan := range scans {
		object(fmt.Sprintf("<</Type/Page/Parent 2 0 R/Contents %d 0 R/Resources<</XObject<</I %d 0 R>>>>>>", 4+3*i, 5+3*i), nil)
		const draw = "422.4 0 0 576 0 0 cm /I Do"
		object(fmt.Sprintf("<</Length %d>>", len(draw)), []byte(draw))
		object(fmt.Sprintf("<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/DCTDecode/Length %d>>",
			textualWidth, textualHeight, len(scan)), scan)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
	return b.Bytes()
}
