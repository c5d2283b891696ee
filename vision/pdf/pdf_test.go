//go:build unix

package pdf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/pdf/pdfium"
)

// TestMain is a decoder when package pdf starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == pdf.Command {
		if isFake() {
			os.Exit(serveFake())
		}
		os.Exit(pdfium.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// options shares the compiled renderer among all tests of the machine: compiling takes seconds.
func options() pdf.Options { return pdf.Options{Cache: fixtures.PDFCache()} }

func open(t *testing.T, name string, o pdf.Options) *pdf.Document {
	t.Helper()
	d, err := pdf.Open(t.Context(), fixtures.Path("pdf/"+name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A scan in a document is, at its own resolution, the picture that went in.
func TestScan(t *testing.T) {
	d := open(t, "two.pdf", options())
	if d.Pages() != 2 {
		t.Fatalf("%d pages, want 2", d.Pages())
	}
	for n, want := range []pdf.Page{
		{Number: 1, Width: 345.6, Height: 241.92, Picture: [2]int{480, 336}},
		{Number: 2, Width: 384, Height: 288, Picture: [2]int{640, 480}},
	} {
		page, err := d.Page(t.Context(), n+1)
		if err != nil {
			t.Fatal(err)
		}
		if page != want {
			t.Errorf("page %+v, want %+v", page, want)
		}
		samePixels(t, d, n+1, page.Picture, scan(t, n))
	}
}

// The same scan in an encrypted document, with its password and without.
func TestPassword(t *testing.T) {
	o := options()
	o.Password = "open sesame"
	d := open(t, "locked.pdf", o)
	samePixels(t, d, 1, [2]int{480, 336}, scan(t, 0))
	for password, want := range map[string]string{"": "--password", "no": "wrong"} {
		o.Password = password
		_, err := pdf.Open(t.Context(), fixtures.Path("pdf/locked.pdf"), o)
		var unsupported vision.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "locked.pdf") {
			t.Errorf("password %q: %v, want %q", password, err, want)
		}
	}
}

// Scans that are turned by their page are upright; one that is cropped is what the page shows; one that has text on it, or lies
// askew, is drawn like anything else.
func TestTurnedScan(t *testing.T) {
	d := open(t, "turned.pdf", options())
	whole := scan(t, 0)
	for n := 1; n <= 2; n++ {
		page, err := d.Page(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if page.Picture != [2]int{480, 336} || page.Width != 480 || page.Height != 336 {
			t.Errorf("page %+v", page)
		}
		samePixels(t, d, n, [2]int{480, 336}, whole)
	}
	page, err := d.Page(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if page.Picture != [2]int{480, 168} {
		t.Errorf("page %+v", page)
	}
	half := *whole
	half.Height, half.Pix = 168, half.Pix[:3*480*168]
	samePixels(t, d, 3, page.Picture, &half)
	for n := 4; n <= 5; n++ {
		if page, err := d.Page(t.Context(), n); err != nil || page.Picture != [2]int{} {
			t.Errorf("page %+v, %v", page, err)
		}
	}
}

func scan(t *testing.T, n int) *vision.Image {
	t.Helper()
	data, err := os.ReadFile(fixtures.Path(fmt.Sprintf("pages/ocr_%02d.png", n)))
	if err != nil {
		t.Fatal(err)
	}
	img, err := vision.Decode(data, vision.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func samePixels(t *testing.T, d *pdf.Document, n int, size [2]int, want *vision.Image) {
	t.Helper()
	got, err := d.Render(t.Context(), n, size[0], size[1])
	if err != nil {
		t.Fatal(err)
	}
	if got.Width != want.Width || got.Height != want.Height {
		t.Fatalf("page %d: %d × %d pixels, want %d × %d", n, got.Width, got.Height, want.Width, want.Height)
	}
	if !bytes.Equal(got.Pix, want.Pix) {
		differ, most := 0, 0
		for i, v := range got.Pix {
			if e := int(v) - int(want.Pix[i]); e != 0 {
				differ++
				most = max(most, e, -e)
			}
		}
		t.Errorf("page %d: %d of %d samples differ, by up to %d", n, differ, len(got.Pix), most)
	}
}

// What a page shows is its crop box, turned as it asks.
func TestBoxes(t *testing.T) {
	const red, green, blue, grey, white = "red", "green", "blue", "grey", "white"
	d := open(t, "boxes.pdf", options())
	for n, want := range []struct {
		width, height float64
		corners       [4]string // upper left, upper right, lower left, lower right
	}{
		{200, 120, [4]string{white, white, "black", white}},
		{100, 60, [4]string{red, green, blue, grey}},
		{60, 100, [4]string{blue, red, grey, green}},
		{100, 60, [4]string{grey, blue, green, red}},
		{60, 100, [4]string{green, grey, red, blue}},
		{150, 90, [4]string{white, white, blue, white}},
	} {
		page, err := d.Page(t.Context(), n+1)
		if err != nil {
			t.Fatal(err)
		}
		if page.Width != want.width || page.Height != want.height || page.Picture != [2]int{} {
			t.Errorf("page %+v, want %v × %v points", page, want.width, want.height)
		}
		w, h := page.At(144)
		img, err := d.Render(t.Context(), n+1, w, h)
		if err != nil {
			t.Fatal(err)
		}
		got := [4]string{colour(img, 2, 2), colour(img, w-3, 2), colour(img, 2, h-3), colour(img, w-3, h-3)}
		if got != want.corners {
			t.Errorf("page %d: corners %v, want %v", n+1, got, want.corners)
		}
	}
}

func colour(img *vision.Image, x, y int) string {
	p := img.Pix[3*(y*img.Width+x):]
	switch [3]byte{p[0], p[1], p[2]} {
	case [3]byte{255, 0, 0}:
		return "red"
	case [3]byte{0, 255, 0}:
		return "green"
	case [3]byte{0, 0, 255}:
		return "blue"
	case [3]byte{255, 255, 255}:
		return "white"
	case [3]byte{0, 0, 0}:
		return "black"
	}
	if p[0] == p[1] && p[1] == p[2] {
		return "grey"
	}
	return fmt.Sprint(p[:3])
}

// What is filled into a form, and what is stamped on it, is seen.
func TestForm(t *testing.T) {
	d := open(t, "form.pdf", options())
	img, err := d.Render(t.Context(), 1, 110, 60)
	if err != nil {
		t.Fatal(err)
	}
	if field, stamp, paper := colour(img, 30, 30), colour(img, 80, 30), colour(img, 30, 5); field != "red" || stamp != "blue" || paper != "white" {
		t.Errorf("field %s, stamp %s, paper %s", field, stamp, paper)
	}
}

// A bad page is one error, and the others can be read.
func TestBadPages(t *testing.T) {
	d := open(t, "pages.pdf", options())
	for n, want := range []string{"", "page 2: this page is broken", "", "page 4: 60000 × 60000 pixels are more than the limit", "", "there is no page 6"} {
		page, err := d.Page(t.Context(), n+1)
		if err == nil {
			w, h := page.At(300)
			_, err = d.Render(t.Context(), n+1, w, h)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("page %d: %v, want %q", n+1, err, want)
		}
	}
	// It fits where it is drawn more coarsely.
	page, err := d.Page(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	dpi := page.Fit(1120*48*48, 300)
	w, h := page.At(dpi)
	if w*h > 1120*48*48 || w*h < 1110*48*48 {
		t.Errorf("%v dpi: %d × %d pixels", dpi, w, h)
	}
	img, err := d.Render(t.Context(), 4, w, h)
	if err != nil || colour(img, 2, 2) != "white" || colour(img, 2, h-3) != "black" {
		t.Errorf("page 4: %v", err)
	}
}

func TestNoDocument(t *testing.T) {
	whole, err := os.ReadFile(fixtures.Path("pdf/two.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"empty.pdf": nil, "text.pdf": []byte("no document at all\n"), "start.pdf": []byte("%PDF-1.7\n"), "cut.pdf": whole[:len(whole)/3],
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := pdf.Open(t.Context(), path, options())
		var format vision.FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = pdf.Open(context.Background(), fixtures.Path("pdf/none.pdf"), options())
	var format vision.FormatError
	if !errors.As(err, &format) || !strings.Contains(err.Error(), "no pages") {
		t.Errorf("none.pdf: %v", err)
	}
}

// Documents with a few bytes changed give pages, or one error that names the file; the decoder's crash would be one, too.
func TestMutants(t *testing.T) {
	n := 20
	if os.Getenv("FACET_FULL") != "" {
		n = 1000
	}
	o := options()
	o.Limits.Stall = 20 * time.Second
	names := []string{"two.pdf", "turned.pdf", "boxes.pdf", "pages.pdf", "form.pdf", "locked.pdf"}
	o.Password = "open sesame"
	r := rand.New(rand.NewPCG(5, 6))
	came := map[string]int{}
	for i := range n {
		name := names[i%len(names)]
		data, err := os.ReadFile(fixtures.Path("pdf/" + name))
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(8) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			data = data[:r.IntN(len(data))+1]
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		err = readAll(t.Context(), path, o)
		var (
			died        pdf.DecoderError
			format      vision.FormatError
			unsupported vision.UnsupportedError
		)
		switch {
		case err == nil:
			came["pages"]++
		case errors.As(err, &died):
			came["died"]++
			t.Logf("mutant %d of %s: %v", i, name, err)
		case errors.As(err, &format), errors.As(err, &unsupported):
			came["refused"]++
		default:
			t.Errorf("mutant %d of %s: %v", i, name, err)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("mutant %d: %v", i, err)
		}
	}
	t.Log(came)
}

// readAll draws every page of a document, as far as there are few, and returns the first error.
func readAll(ctx context.Context, path string, o pdf.Options) error {
	d, err := pdf.Open(ctx, path, o)
	if err != nil {
		return err
	}
	defer d.Close()
	for n := range min(d.Pages(), 10) {
		page, err := d.Page(ctx, n+1)
		if err != nil {
			return err
		}
		w, h := page.At(page.Fit(100_000, 100))
		if int64(w)*int64(h) > 1_000_000 { // a page of a point by a mile
			continue
		}
		if _, err := d.Render(ctx, n+1, w, h); err != nil {
			return err
		}
	}
	return nil
}
