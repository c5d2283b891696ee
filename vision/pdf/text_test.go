//go:build unix

package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/vision"
	"facet/vision/pdf"
)

// document writes a PDF whose pages have the entries and contents given, and opens it.
func document(t *testing.T, pages [][2]string) *pdf.Document {
	t.Helper()
	var b bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n", len(offsets))
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\nendobj\n")
	}
	b.WriteString("%PDF-1.7\n")
	object("<</Type/Catalog/Pages 2 0 R>>")
	var kids strings.Builder
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 4+2*i)
	}
	object("<</Type/Pages/Count %d/Kids[%s]>>", len(pages), kids.String())
	object("<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
	for i, p := range pages {
		object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 120]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>>>%s>>", 5+2*i, p[0])
		object("<</Length %d>>\nstream\n%s\nendstream", len(p[1]), p[1])
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, at)
	path := filepath.Join(t.TempDir(), "text.pdf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := pdf.Open(t.Context(), path, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// ink returns the box around what is not white, in pixels.
func ink(m *vision.Image) (b pdf.Box) {
	for i, v := range m.Pix {
		if v < 128 {
			x, y := float64(i/3%m.Width), float64(i/3/m.Width)
			b = b.Union(pdf.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
		}
	}
	return b
}

// The text layer says what was written, and its boxes lie around the ink of the drawn page, however it is cropped and turned.
func TestText(t *testing.T) {
	const text = "BT /F 12 Tf 60 70 Td (Gross sum 12.50) Tj 0 -25 Td (gr\\374n) Tj ET BT /F 12 Tf 60 5 Td (beside) Tj ET"
	var pages [][2]string
	pages = append(pages, [2]string{"", text})
	for turn := 0; turn < 360; turn += 90 {
		pages = append(pages, [2]string{fmt.Sprintf("/CropBox[50 30 160 90]/Rotate %d", turn), text})
	}
	pages = append(pages,
		[2]string{"/CropBox[50 30 160 90]/Rotate 90/UserUnit 2", text},
		// As landscape pages are made: the text climbs, and the page is turned for the reader.
		[2]string{"/Rotate 90", "BT /F 12 Tf 0 1 -1 0 60 10 Tm (Gross sum) Tj 0 -25 Td (12.50 gr\\374n) Tj ET"},
		[2]string{"", "0 g 10 10 50 50 re f"},
		[2]string{"", "3 Tr BT /F 12 Tf 60 70 Td (Gross sum 12.50) Tj ET"})
	d := document(t, pages)
	const invisible, drawing, landscape = 9, 8, 7
	for n := range pages {
		n++
		lines, err := d.Text(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		count, err := d.Characters(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		var all pdf.Box
		for _, l := range lines {
			got = append(got, l.Text)
			all = all.Union(l.Box)
			var words []string
			for _, w := range l.Words {
				words = append(words, w.Text)
			}
			if strings.Join(words, " ") != l.Text {
				t.Errorf("page %d: the words of %q are %q", n, l.Text, words)
			}
		}
		want := []string{"Gross sum 12.50", "grün", "beside"}
		switch n {
		case 1:
		case drawing:
			want = nil
		case invisible:
			want = want[:1]
		case landscape:
			want = []string{"Gross sum", "12.50 grün"}
		default:
			want = want[:2]
			slices.Sort(got) // lines that stand on their side come in one order or the other
		}
		if strings.Join(got, "|") != strings.Join(want, "|") || (count == 0) != (want == nil) {
			t.Errorf("page %d: %q and %d characters, want %q", n, got, count, want)
		}
		if n >= drawing {
			continue
		}
		page, err := d.Page(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		w, h := page.At(288)
		m, err := d.Render(t.Context(), n, w, h)
		if err != nil {
			t.Fatal(err)
		}
		seen, box := ink(m), all.Scale(page, w, h)
		const slack = 3 // pixels of a quarter of a point
		for i, v := range []float64{seen.X0 - box.X0, seen.Y0 - box.Y0, seen.X1 - box.X1, seen.Y1 - box.Y1} {
			if v < -slack || v > slack {
				t.Errorf("page %d: ink at %+v, text at %+v: side %d", n, seen, box, i)
			}
		}
	}
	first, err := d.Text(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	words := first[0].Words
	if len(words) != 3 || words[0].Box.X1 >= words[1].Box.X0 || words[1].Box.X1 >= words[2].Box.X0 || words[0].Box.X0 < 10 || words[0].Box.X0 > 12 {
		t.Errorf("%+v", words)
	}
}

// A decoder that gives boxes that are none, or text without end, has answered wrongly.
func TestTextOfDecoder(t *testing.T) {
	d := openFake(t, options())
	if lines, err := d.Text(t.Context(), 1); err != nil || len(lines) != 0 {
		t.Errorf("%v, %v", lines, err)
	}
	for _, n := range []int{odd, more} {
		_, err := d.Text(t.Context(), n)
		var died pdf.DecoderError
		if !errors.As(err, &died) {
			t.Errorf("page %d: %v", n, err)
		}
	}
}
