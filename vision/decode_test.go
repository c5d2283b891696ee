package vision

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
)

// difference counts the values of got that depart from want by more than 0, 1 and 2 levels, and gives the largest departure.
type difference struct {
	values, over0, over1, over2, most int
}

func compare(t *testing.T, got, want *Image) (d difference) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height || len(got.Pix) != len(want.Pix) {
		t.Fatalf("got %d × %d pixels in %d bytes, want %d × %d in %d", got.Width, got.Height, len(got.Pix), want.Width, want.Height, len(want.Pix))
	}
	d.values = len(got.Pix)
	for i, v := range got.Pix {
		e := int(v) - int(want.Pix[i])
		e = max(e, -e)
		d.most = max(d.most, e)
		if e > 0 {
			d.over0++
		}
		if e > 1 {
			d.over1++
		}
		if e > 2 {
			d.over2++
		}
	}
	return d
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readRGB reads a reference picture, an 8-bit PNG without alpha, with the standard library alone.
func readRGB(t testing.TB, path string) *Image {
	t.Helper()
	src, err := png.Decode(bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m := &Image{Width: src.Bounds().Dx(), Height: src.Bounds().Dy()}
	for y := range m.Height {
		for x := range m.Width {
			r, g, b, a := src.At(x, y).RGBA()
			if a != 0xffff {
				t.Fatalf("%s has alpha", path)
			}
			m.Pix = append(m.Pix, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return m
}

func decodeFile(t testing.TB, path string, o DecodeOptions) *Image {
	t.Helper()
	m, err := Decode(readFile(t, path), o)
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return m
}

// goldenFiles returns the files below fixtures/golden that match a pattern.
func goldenFiles(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(fixtures.Path("golden/" + pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	return paths
}

// Every file of golden/decode gives Pillow's pixels: exactly, except that of JPEG files 1 value in 1000 may
// differ by more than 2 levels, since the inverse DCT isn't libjpeg's, and conversion can double a difference.
func TestDecodeGolden(t *testing.T) {
	for _, reference := range goldenFiles(t, "decode/*.rgb.png") {
		path := strings.TrimSuffix(reference, ".rgb.png")
		t.Run(filepath.Base(path), func(t *testing.T) {
			if filepath.Base(path) == "grey16.png" {
				t.Skip("Pillow clips 16-bit grey: see TestGrey16")
			}
			d := compare(t, decodeFile(t, path, DecodeOptions{}), readRGB(t, reference))
			t.Logf("of %d values %d differ, %d by more than 1, %d by more than 2, at most by %d", d.values, d.over0, d.over1, d.over2, d.most)
			if strings.HasSuffix(path, ".jpg") {
				if d.over2*1000 > d.values {
					t.Errorf("%d of %d values differ by more than 2 levels", d.over2, d.values)
				}
			} else if d.over0 > 0 {
				t.Errorf("%d of %d values differ, at most by %d", d.over0, d.values, d.most)
			}
		})
	}
}

// testdata holds tiles of one colour, whose DCT leaves decoders nothing to differ in, so that the way chroma is raised and
// converted can be held to Pillow's to the last bit; and a picture whose resizing shows which direction goes first.
// fixtures/make/pillow_judge.py makes them.
func TestTilesExactly(t *testing.T) {
	references, err := filepath.Glob("testdata/*.rgb.png")
	if err != nil || len(references) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, reference := range references {
		path := strings.TrimSuffix(reference, ".rgb.png")
		want := readRGB(t, reference)
		m := decodeFile(t, path, DecodeOptions{})
		if filepath.Ext(path) == ".png" {
			m = m.Resize(want.Width, want.Height)
		}
		d := compare(t, m, want)
		if filepath.Base(path) == "narrow.jpg" { // four pixels wide, too little for tiles of one colour
			d.over0 = d.over2
		}
		if d.over0 > 0 {
			t.Errorf("%s: %d of %d values differ, at most by %d", path, d.over0, d.values, d.most)
		}
	}
}

// Turning a picture outside of Decode is the same turn.
func TestUpright(t *testing.T) {
	img := &Image{Width: 2, Height: 3, Pix: []byte{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5}, Orientation: 1}
	for orientation, want := range map[int]string{1: "012345", 2: "103254", 3: "543210", 4: "452301", 5: "024135", 6: "420531", 7: "531420", 8: "135024"} {
		got := ""
		turned := img.Upright(orientation)
		for i := 0; i < len(turned.Pix); i += 3 {
			got += string('0' + rune(turned.Pix[i]))
		}
		if got != want || turned.Width*turned.Height != 6 || (turned.Width == 3) != (orientation >= 5) || turned.Orientation != orientation {
			t.Errorf("orientation %d: %s, %d × %d, want %s", orientation, got, turned.Width, turned.Height, want)
		}
	}
}
