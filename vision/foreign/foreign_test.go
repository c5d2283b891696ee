package foreign

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"facet/vision"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t testing.TB, data []byte, o vision.DecodeOptions) (*vision.Image, error) {
	t.Helper()
	p, err := Open(data, o)
	if err != nil {
		return nil, err
	}
	return p.Decode(1)
}

// tolerances are levels off the reference; files that are not named must be exact.
var tolerances = map[string]struct {
	average float64
	most    int
}{
	// Readers differ in how they raise chroma, which shows at edges of strong colours: pillow-heif repeats it, where this interpolates, and
	// libavif without libyuv repeats it, where Pillow's interpolates. libde265 1.0.15 spoils chroma along the picture's border.
	"420.heic": {7, 140}, "turned.heic": {7, 140}, "alpha.heic": {7, 140},
	"420.avif": {6, 130}, "turned.avif": {6, 130}, "alpha.avif": {6, 130},
	"444.heic":  {0.1, 1},
	"lossy.jxl": {0.1, 1},
}

// testdata holds a file of each kind and the pixels that other builds of the same libraries give; see fixtures/make/formats.py.
func TestFormats(t *testing.T) {
	files, err := filepath.Glob("testdata/*.[hajx]*[fcl]")
	if err != nil || len(files) != 16 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m, err := decode(t, read(t, path), vision.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := png.Decode(bytes.NewReader(read(t, path+".1.png")))
			if err != nil {
				t.Fatal(err)
			}
			if b := want.Bounds(); m.Width != b.Dx() || m.Height != b.Dy() {
				t.Fatalf("%d × %d pixels, want %v", m.Width, m.Height, b)
			}
			sum, most := 0, 0
			for y := range m.Height {
				for x := range m.Width {
					r, g, b, _ := want.At(x, y).RGBA()
					for c, v := range []uint32{r, g, b} {
						d := int(m.Pix[3*(y*m.Width+x)+c]) - int(v>>8)
						sum += max(d, -d)
						most = max(most, d, -d)
					}
				}
			}
			t.Logf("off by %.3f on average, at most %d", float64(sum)/float64(len(m.Pix)), most)
			allowed := tolerances[filepath.Base(path)]
			if float64(sum) > allowed.average*float64(len(m.Pix)) || most > allowed.most {
				t.Errorf("off by %.3f on average, at most %d; want %+v", float64(sum)/float64(len(m.Pix)), most, allowed)
			}
		})
	}
}

// What a file claims is checked before its pixels are decoded.
func TestLimits(t *testing.T) {
	for _, name := range []string{"420.heic", "420.avif", "lossless.jxl"} {
		data := read(t, "testdata/"+name)
		for _, l := range []vision.Limits{{Pixels: 96*70 - 1}, {Side: 95}, {Bytes: int64(len(data)) - 1}} {
			var unsupported vision.UnsupportedError
			if _, err := decode(t, data, vision.DecodeOptions{Limits: l}); !errors.As(err, &unsupported) {
				t.Errorf("%s, %+v: %v", name, l, err)
			}
		}
	}
}

// A file that is cut or changed is an error of a known kind or a picture, and the next one is read.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"444.heic", "alpha.avif", "lossless.jxl", "boxed.jxl"} {
		data := read(t, "testdata/"+name)
		cut := 0
		for i := range 24 {
			damaged := bytes.Clone(data)
			if i%2 == 0 {
				damaged = damaged[:len(data)*(i+1)/25]
			} else {
				for j := range 3 {
					damaged[12+(i*7919+j*104729)%(len(data)-12)] ^= byte(1 + 37*i)
				}
			}
			m, err := decode(t, damaged, vision.DecodeOptions{Limits: vision.Limits{Pixels: 1 << 20}})
			var format vision.FormatError
			var unsupported vision.UnsupportedError
			switch {
			case err == nil && len(m.Pix) != 3*m.Width*m.Height:
				t.Errorf("%s, %d: %d × %d pixels in %d bytes", name, i, m.Width, m.Height, len(m.Pix))
			case err != nil && !errors.As(err, &format) && !errors.As(err, &unsupported):
				t.Errorf("%s, %d: %v", name, i, err)
			case err != nil && i%2 == 0:
				cut++
			}
		}
		if cut < 10 {
			t.Errorf("%s: %d of 12 cut files were refused", name, cut)
		}
	}
}

// What package vision reads comes through, with all its pages; what nobody reads is named.
func TestOthers(t *testing.T) {
	p, err := Open(read(t, "../testdata/formats/pages.tif"), vision.DecodeOptions{})
	if err != nil || p.Type() != "image/tiff" || p.Count() != 3 {
		t.Errorf("%v, %v", p, err)
	}
	var unsupported vision.UnsupportedError
	if p, err := Open([]byte("\x00\x00\x00\x0cjP  \r\n\x87\n"), vision.DecodeOptions{}); p != nil || !errors.As(err, &unsupported) {
		t.Errorf("%v, %v", p, err)
	}
}

// Turns that a file asks for beside its pixels, and colours.
func TestProperties(t *testing.T) {
	p := readProperties(read(t, "testdata/turned.avif"))
	if p.turns != 3 || p.mirror != 0 {
		t.Errorf("%+v", p)
	}
	if p = readProperties(read(t, "testdata/420.heic")); p.nclx == nil || p.nclx.matrix != 6 || !p.nclx.full {
		t.Errorf("%+v", p)
	}
	data := read(t, "testdata/turned.avif")
	for n := range len(data) {
		readProperties(data[:n]) // does not panic
	}
	m := &vision.Image{Width: 2, Height: 1, Pix: []byte{0, 0, 0, 1, 1, 1}}
	for pair, one := range combined {
		if a, b := m.Upright(pair[0]).Upright(pair[1]), m.Upright(one); !bytes.Equal(a.Pix, b.Pix) || a.Width != b.Width {
			t.Errorf("%v is not %d", pair, one)
		}
	}
}

// A HEIC that its camera held sideways is set upright by the property irot, as telephones write it.
func TestTurnedHEIC(t *testing.T) {
	data := read(t, "testdata/444.heic")
	upright, err := decode(t, data, vision.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("pixi")) // a property of the same length, that nobody needs
	if at < 0 {
		t.Fatal("no property pixi")
	}
	turned := bytes.Clone(data)
	copy(turned[at:], "irot\x03")
	m, err := decode(t, turned, vision.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := upright.Upright(6)
	if m.Width != want.Width || m.Height != want.Height || !bytes.Equal(m.Pix, want.Pix) {
		t.Errorf("%d × %d pixels, want %d × %d", m.Width, m.Height, want.Width, want.Height)
	}
}

// Over white, what is transparent is white.
func TestAlphaOverWhite(t *testing.T) {
	for _, name := range []string{"alpha.avif", "alpha.jxl"} {
		m, err := decode(t, read(t, "testdata/"+name), vision.DecodeOptions{AlphaOverWhite: true})
		if err != nil {
			t.Fatal(err)
		}
		// The gradient goes from transparent above to opaque below.
		for i, v := range m.Pix[:3*m.Width] {
			if v < 250 {
				t.Errorf("%s: value %d of the first row is %d", name, i, v)
				break
			}
		}
		if bottom := m.Pix[len(m.Pix)-3*m.Width:]; bytes.Count(bottom, []byte{255}) > len(bottom)/2 {
			t.Errorf("%s: the last row is white", name)
		}
	}
}
