package vision

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"facet/fixtures"
)

// paper is a page of one colour with noise of a scanner on it: sigma levels in each pixel, and a shade that
// takes fall levels from left to right.
func paper(w, h int, c [3]int, sigma, fall float64) *Image {
	m := &Image{Width: w, Height: h, Pix: make([]byte, 3*w*h)}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		if sigma == 0 && fall == 0 {
			m.Pix[i] = byte(c[i%3])
			continue
		}
		x := float64(i / 3 % w)
		m.Pix[i] = byte(max(0, min(255, math.Round(float64(c[i%3])+sigma*random.NormFloat64()-fall*x/float64(w)))))
	}
	return m
}

// fill paints a rectangle.
func (m *Image) fill(r image.Rectangle, c [3]byte) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			copy(m.Pix[3*(y*m.Width+x):], c[:])
		}
	}
}

func TestInkBlank(t *testing.T) {
	white := [3]int{255, 255, 255}
	for _, c := range []struct {
		name string
		page *Image
		want bool
	}{
		{"white", paper(1000, 3508, white, 0, 0), true},
		{"black", paper(100, 100, [3]int{}, 0, 0), true},
		{"one pixel", paper(1, 1, white, 0, 0), true},
		{"one row", paper(70000, 1, white, 0, 0), true},
		{"scanned", paper(300, 1754, [3]int{235, 230, 215}, 2, 0), true},
		{"scanned at 300 dpi", paper(400, 3508, [3]int{235, 230, 215}, 4, 30), true},
		{"very noisy", paper(500, 500, [3]int{128, 128, 128}, 12, 0), false},
	} {
		if got := c.page.Ink().Blank(); got != c.want {
			t.Errorf("%s: blank is %v, contrast %d", c.name, got, c.page.Ink().contrast)
		}
	}
	// Whatever is on a page, and wherever: it is not empty.
	for _, c := range []struct {
		name  string
		at    image.Rectangle
		color [3]byte
	}{
		{"speck", image.Rect(1000, 1000, 1001, 1001), [3]byte{}},
		{"speck in the corner", image.Rect(2479, 3507, 2480, 3508), [3]byte{}},
		{"hairline", image.Rect(300, 900, 2000, 901), [3]byte{215, 215, 215}},
		{"pencil", image.Rect(300, 900, 330, 903), [3]byte{200, 200, 200}},
		{"half the page", image.Rect(0, 0, 2480, 1792), [3]byte{240, 240, 240}},      // 1792 is the edge of a square
		{"half, upright", image.Rect(1280, 0, 2480, 3508), [3]byte{240, 240, 240}},   // and so is 1280
		{"same lightness", image.Rect(500, 500, 540, 560), [3]byte{255, 255, 200}},   // yellow on white
		{"a whole square", image.Rect(640, 640, 704, 704), [3]byte{230, 230, 230}},   //
		{"the last column", image.Rect(2479, 0, 2480, 3508), [3]byte{180, 180, 180}}, // shadow of the edge
	} {
		m := paper(2480, 3508, white, 0, 0)
		m.fill(c.at, c.color)
		if k := m.Ink(); k.Blank() {
			t.Errorf("%s: blank, contrast %d", c.name, k.contrast)
		}
	}
}

// Print of any of a page's sizes is seen, in faint grey as well.
func TestInkSmallPrint(t *testing.T) {
	for _, size := range []int{200, 1000, 2480} {
		m := image.NewNRGBA(image.Rect(0, 0, size, size*7/5))
		draw.Draw(m, m.Rect, image.White, image.Point{}, draw.Src)
		d := font.Drawer{Dst: m, Src: image.NewUniform(color.Gray{190}), Face: basicfont.Face7x13, Dot: fixed.P(size/2, size)}
		d.DrawString("p. 7")
		r := flatten(m, false)
		if (&Image{Width: r.width, Height: r.height, Pix: r.pix}).Ink().Blank() {
			t.Errorf("a page number on %d pixels is not seen", size)
		}
	}
}

// The pages of text are not empty, and their labels hold their ink.
func TestInkOfPages(t *testing.T) {
	for _, name := range []string{"ocr_00.png", "ocr_03.png", "ocr_08.png"} {
		data, err := os.ReadFile(fixtures.Path("pages/" + name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(data, DecodeOptions{Limits: DefaultLimits})
		if err != nil {
			t.Fatal(err)
		}
		if k := m.Ink(); k.Blank() || k.count == 0 || k.Outside(nil) != 1 || k.Outside([]image.Rectangle{image.Rect(0, 0, m.Width, m.Height)}) != 0 {
			t.Errorf("%s: %d cells of ink, blank %v", name, k.count, k.Blank())
		}
	}
}

// Within and Outside say what counting cell by cell says.
func TestInkBoxes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []image.Point{{1, 1}, {63, 5}, {64, 64}, {200, 130}, {2600, 900}} {
		m := paper(size.X, size.Y, [3]int{255, 255, 255}, 0, 0)
		for range 20 {
			x, y := random.IntN(size.X), random.IntN(size.Y)
			m.fill(image.Rect(x, y, min(x+30, size.X), min(y+7, size.Y)), [3]byte{})
		}
		k := m.Ink()
		printed := func(x, y int) bool { return k.printed[y*k.words+x/64]>>(x%64)&1 == 1 }
		for range 50 {
			var boxes []image.Rectangle
			for range random.IntN(4) {
				x, y := random.IntN(size.X+20)-10, random.IntN(size.Y+20)-10
				boxes = append(boxes, image.Rect(x, y, x+random.IntN(100), y+random.IntN(100)))
			}
			outside, all := 0, 0
			found := make([]bool, len(boxes))
			for y := range k.rows {
				for x := range k.columns {
					if !printed(x, y) {
						continue
					}
					all++
					in := false
					for i, b := range boxes {
						if b.Overlaps(image.Rect(x*k.cell, y*k.cell, x*k.cell+k.cell, y*k.cell+k.cell)) {
							in, found[i] = true, true
						}
					}
					if !in {
						outside++
					}
				}
			}
			want := 0.0
			if all > 0 {
				want = float64(outside) / float64(all)
			}
			if got := k.Outside(boxes); got != want {
				t.Errorf("%v: outside %v: %v, want %v", size, boxes, got, want)
			}
			for i, b := range boxes {
				if got := k.Within(b); got != found[i] {
					t.Errorf("%v: within %v: %v", size, b, got)
				}
			}
		}
	}
	far := image.Rect(-1<<62, -1<<62, 1<<62, 1<<62)
	if k := paper(9, 9, [3]int{}, 0, 0).Ink(); k.Within(far) || k.Outside([]image.Rectangle{far}) != 0 {
		t.Error("ink on an empty page")
	}
}

func BenchmarkInk(b *testing.B) {
	m := paper(2480, 3508, [3]int{235, 230, 215}, 4, 30)
	m.fill(image.Rect(300, 300, 2200, 3200), [3]byte{90, 90, 90})
	b.SetBytes(int64(len(m.Pix)))
	for b.Loop() {
		m.Ink()
	}
}
