package job

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestPixels(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		box  Box2D
		w, h int
		want Box
	}{
		{Box2D{0, 0, 1000, 1000}, 640, 480, Box{0, 0, 640, 480}}, // 1000 is the exclusive end
		{Box2D{45, 229, 116, 688}, 480, 336, Box{109, 15, 331, 39}},
		{Box2D{570, 570, 580, 580}, 100, 100, Box{57, 57, 58, 58}}, // 0.57·100 is 56.99… in floats
		{Box2D{999, 999, 1000, 1000}, 10, 10, Box{9, 9, 10, 10}},   // never without area
		{Box2D{500, 500, 500.001, 500.001}, 1, 1, Box{0, 0, 1, 1}},
		{Box2D{-10, 990, 10, 1010}, 1000, 1000, Box{990, 0, 1000, 10}},
		{Box2D{0, 1000, 1000, 1100}, 10, 10, Box{}}, // beside the image
		{Box2D{500, 0, 500, 1000}, 10, 10, Box{}},   // no area
		{Box2D{600, 0, 500, 1000}, 10, 10, Box{}},   // swapped
		{Box2D{nan, 0, 500, 1000}, 10, 10, Box{}},
		{Box2D{0, 0, inf, 1000}, 10, 10, Box{}},
		{Box2D{-1e300, -1e300, 1e300, 1e300}, 10, 20, Box{0, 0, 10, 20}},
	}
	for _, c := range cases {
		if got := c.box.Pixels(c.w, c.h); got != c.want {
			t.Errorf("%v.Pixels(%d, %d) = %v, want %v", c.box, c.w, c.h, got, c.want)
		}
	}
}

// Any box on the grid comes out in the image, with an area, within a pixel of
// the exact place and not inside of it.
func TestPixelsProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		w, h := 1+rng.IntN(5000), 1+rng.IntN(5000)
		y0, x0 := rng.IntN(1000), rng.IntN(1000)
		b := Box2D{float64(y0), float64(x0), float64(y0 + 1 + rng.IntN(1000-y0)), float64(x0 + 1 + rng.IntN(1000-x0))}
		p := b.Pixels(w, h)
		if p[0] < 0 || p[1] < 0 || p[2] > w || p[3] > h || p[0] >= p[2] || p[1] >= p[3] {
			t.Fatalf("%v in %d x %d: %v", b, w, h, p)
		}
		for i, exact := range [4]float64{b[1] * float64(w), b[0] * float64(h), b[3] * float64(w), b[2] * float64(h)} {
			past := exact - float64(p[i])*1000 // in thousandths of a pixel, exact in float64
			if i >= 2 {
				past = -past
			}
			if past < 0 || past >= 1000 {
				t.Fatalf("%v in %d x %d: %v: side %d is off by %v/1000 pixels", b, w, h, p, i, past)
			}
		}
	}
}

func TestIoU(t *testing.T) {
	a := Box2D{0, 0, 10, 10}
	cases := []struct {
		b    Box2D
		want float64
	}{
		{a, 1},
		{Box2D{0, 0, 10, 5}, 0.5},
		{Box2D{5, 5, 15, 15}, 25.0 / 175},
		{Box2D{0, 10, 10, 20}, 0},
		{Box2D{}, 0},
		{Box2D{0, 0, math.MaxFloat64, math.MaxFloat64}, 0},
	}
	for _, c := range cases {
		if got := a.IoU(c.b); got != c.want {
			t.Errorf("%v.IoU(%v) = %v, want %v", a, c.b, got, c.want)
		}
		if got := c.b.IoU(a); got != c.want {
			t.Errorf("%v.IoU(%v) = %v, want %v", c.b, a, got, c.want)
		}
	}
}
