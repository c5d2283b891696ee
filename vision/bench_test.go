package vision

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// a4Page draws an A4 page at 300 dpi: lines of text on paper that isn't quite white, and a coloured picture.
func a4Page() *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 2480, 3508))
	for i := range m.Pix {
		m.Pix[i] = 0xff - byte(i*7919>>7)&7
	}
	for y := 200; y < 1000; y++ {
		for x := 1400; x < 2300; x++ {
			m.SetRGBA(x, y, color.RGBA{byte(x), byte(y), byte(x * y >> 8), 0xff})
		}
	}
	for y := 1100; y < 3300; y += 20 {
		d := font.Drawer{Dst: m, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(200, y)}
		for d.Dot.X < fixed.I(2200) {
			d.DrawString("The quick brown fox jumps over 1,234.50 lazy dogs. ")
		}
	}
	return m
}

// BenchmarkPage reads an A4 page at 300 dpi and prepares it for the largest budget, step by step.
func BenchmarkPage(b *testing.B) {
	page := a4Page()
	var buffer bytes.Buffer
	if err := jpeg.Encode(&buffer, page, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	asPNG := encodePNG(b, page)
	decode := func(data []byte) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(page.Pix) / 4)) // so that MB/s is megapixels a second
			for b.Loop() {
				if _, err := Decode(data, DecodeOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("decode/jpeg", decode(buffer.Bytes()))
	b.Run("decode/png", decode(asPNG))
	m, err := Decode(buffer.Bytes(), DecodeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	w, h, _ := released.Size(m.Width, m.Height, 1120)
	seen := m.Resize(w, h)
	b.Run("resize", func(b *testing.B) {
		b.SetBytes(int64(m.Width * m.Height))
		for b.Loop() {
			m.Resize(w, h)
		}
	})
	b.Run("patches", func(b *testing.B) {
		b.SetBytes(int64(w * h))
		for b.Loop() {
			released.Patches(seen)
		}
	})
}
