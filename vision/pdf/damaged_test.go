//go:build unix

package pdf_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/pdf"
)

// Damaged documents are an error or pages each, in bounded time, and their decoders leave nothing behind.
func TestDamaged(t *testing.T) {
	n := 14
	if os.Getenv("FACET_FULL") != "" {
		n = 500
	}
	paths, err := fixtures.Damaged(t.TempDir(), "pdf", n, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Limits.Stall = 30 * time.Second
	pages, failed := 0, 0
	for _, path := range paths {
		begin := time.Now()
		drawn, err := drawAll(t, path, o)
		pages += drawn
		switch {
		case err == nil:
		case errors.As(err, new(vision.FormatError)), errors.As(err, new(vision.UnsupportedError)):
			failed++
		default:
			t.Errorf("%s: %v", path, err)
		}
		if d := time.Since(begin); d > 30*time.Second {
			t.Errorf("%s: took %v", path, d)
		}
	}
	t.Logf("%d pages, %d errors", pages, failed)
	if pages == 0 || failed == 0 {
		t.Errorf("%d pages and %d errors: the files are not damaged as they should be", pages, failed)
	}
}

// drawAll draws the pages of a document in thumbnails, and returns the first error.
func drawAll(t *testing.T, path string, o pdf.Options) (drawn int, first error) {
	d, err := pdf.Open(t.Context(), path, o)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for n := 1; n <= min(d.Pages(), 4); n++ {
		p, err := d.Page(t.Context(), n)
		if err == nil {
			w, h := p.At(p.Fit(200*200, 72))
			_, err = d.Render(t.Context(), n, w, h)
		}
		if err == nil {
			drawn++
		} else if first == nil {
			first = err
		}
	}
	return drawn, first
}
