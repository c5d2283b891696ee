//go:build linux

package still_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"testing"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/still"
)

// page1MP is a page of a megapixel, of text as far as a compressor sees.
func page1MP(b *testing.B, ext string) []byte {
	img := image.NewGray(image.Rect(0, 0, 880, 1200))
	r := rand.New(rand.NewPCG(1, 1))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for y := 40; y < 1160; y += 24 {
		for x := 40; x < 840; x++ {
			if r.IntN(2) == 0 {
				for dy := range 12 {
					img.Pix[(y+dy)*img.Stride+x] = byte(r.IntN(64))
				}
			}
		}
	}
	var buf bytes.Buffer
	var err error
	if ext == "png" {
		err = png.Encode(&buf, img)
	} else {
		err = jpeg.Encode(&buf, img, nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

// The price of the child: a page of a megapixel in this process and through the pool.
func BenchmarkPage(b *testing.B) {
	for _, ext := range []string{"png", "jpg"} {
		data := page1MP(b, ext)
		b.Run(ext+"/here", func(b *testing.B) {
			for b.Loop() {
				if _, err := vision.Decode(data, vision.DecodeOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(ext+"/child", func(b *testing.B) {
			p := open(b, still.Options{Children: 1})
			path := write(b, data)
			for b.Loop() {
				if _, err := first(b, p, path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A small file, for which the way is everything.
func BenchmarkSmall(b *testing.B) {
	p := open(b, still.Options{Children: 1})
	paths, err := fixtures.Pages(b.TempDir(), 1, 1)
	if err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			if _, err := vision.Decode(data, vision.DecodeOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("child", func(b *testing.B) {
		for b.Loop() {
			if _, err := first(b, p, paths[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Until a decoder is ready for its first file.
func BenchmarkStart(b *testing.B) {
	p := open(b, still.Options{})
	for b.Loop() {
		if _, err := p.Confinement(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
