//go:build unix

package pdf_test

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"facet/vision"
	"facet/vision/pdf"
)

// A JPEG 2000 file is a document of one page, which comes out as its pixels. testdata holds those that Pillow reads, see
// fixtures/make/formats.py.
func TestJPEG2000(t *testing.T) {
	files, err := filepath.Glob("testdata/*.j[p2][2k]")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			d, err := pdf.Open(t.Context(), path, options())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			page, err := d.Page(t.Context(), 1)
			if err != nil || d.Pages() != 1 || page.Picture != [2]int{90, 61} {
				t.Fatalf("%d pages, %+v, %v", d.Pages(), page, err)
			}
			m, err := d.Render(t.Context(), 1, page.Picture[0], page.Picture[1])
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path + ".1.png")
			if err != nil {
				t.Fatal(err)
			}
			want, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			sum, most := 0, 0
			for i, got := range m.Pix {
				r, g, b, _ := want.At(i/3%m.Width, i/3/m.Width).RGBA()
				d := int(got) - int([]uint32{r, g, b}[i%3]>>8)
				sum, most = sum+max(d, -d), max(most, d, -d)
			}
			if most > 1 {
				t.Errorf("off by %.3f on average, at most %d", float64(sum)/float64(len(m.Pix)), most)
			}
		})
	}
	data, err := os.ReadFile("testdata/rgb.jp2")
	if err != nil {
		t.Fatal(err)
	}
	bare, err := os.ReadFile("testdata/bare.j2k")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cut.jp2": data[:len(data)/2], "head.jp2": data[:40], "mark.jp2": data[:12], "cut.j2k": bare[:len(bare)/2], "mark.j2k": bare[:6],
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := pdf.Open(t.Context(), path, options())
		if err == nil {
			t.Cleanup(func() { d.Close() })
			_, err = d.Render(t.Context(), 1, 90, 61)
		}
		var format vision.FormatError
		if !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
