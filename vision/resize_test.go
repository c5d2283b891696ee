package vision

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"facet/fixtures"
)

var released = Spec{PatchSize: 16, PoolingKernelSize: 3}

func TestSizeGolden(t *testing.T) {
	var sizes struct{ Rows [][6]int }
	if err := json.Unmarshal(readFile(t, fixtures.Path("golden/image/sizes.json")), &sizes); err != nil {
		t.Fatal(err)
	}
	if len(sizes.Rows) != 450 {
		t.Fatalf("%d cases, want 450", len(sizes.Rows))
	}
	for _, r := range sizes.Rows {
		w, h, err := released.Size(r[0], r[1], r[2])
		if err != nil {
			if r[3] != 0 { // zeros: the reference refuses the size
				t.Errorf("Size(%d, %d, %d): %v, want %d × %d", r[0], r[1], r[2], err, r[3], r[4])
			}
			continue
		}
		if w != r[3] || h != r[4] || released.SoftTokens(w, h) != r[5] {
			t.Errorf("Size(%d, %d, %d) = %d × %d, %d soft tokens, want %d × %d, %d",
				r[0], r[1], r[2], w, h, released.SoftTokens(w, h), r[3], r[4], r[5])
		}
	}
}

func TestSizeRefuses(t *testing.T) {
	for _, c := range [][3]int{{0, 10, 70}, {10, 0, 70}, {-1, 10, 70}, {10, 10, 0}} {
		if w, h, err := released.Size(c[0], c[1], c[2]); err == nil {
			t.Errorf("Size(%d, %d, %d) = %d × %d, want an error", c[0], c[1], c[2], w, h)
		}
	}
}

func TestAutoBudget(t *testing.T) {
	for _, c := range []struct {
		width, height, least, most int
		factor                     float64
		want                       int
	}{
		{384, 384, 70, 1120, 1, 70},       // 70 gives 384 × 384: nothing lost
		{385, 384, 70, 1120, 1, 140},      // one pixel more is
		{2480, 3508, 70, 1120, 1, 1120},   // no budget keeps an A4 page at 300 dpi: the largest
		{2480, 3508, 70, 560, 1, 560},     // or the largest allowed
		{1240, 1754, 70, 1120, 0.5, 280},  // 280 gives 672 × 912, over half
		{1240, 1754, 560, 1120, 0.5, 560}, // though at least 560 is wanted
		{10, 10, 280, 1120, 1, 280},
	} {
		if got := released.AutoBudget(c.width, c.height, c.least, c.most, c.factor); got != c.want {
			t.Errorf("AutoBudget(%d, %d, %d, %d, %v) = %d, want %d", c.width, c.height, c.least, c.most, c.factor, got, c.want)
		}
	}
}

// The resized pictures of golden/image: exactly Pillow's, where the decoder gives exactly Pillow's pixels.
func TestPrepareGolden(t *testing.T) {
	for _, reference := range goldenFiles(t, "image/*.png") {
		name := filepath.Base(reference)
		t.Run(name, func(t *testing.T) {
			var stem string
			var budget int
			if _, err := fmt.Sscanf(name, "%s", &stem); err != nil {
				t.Fatal(err)
			}
			stem = name[:len(name)-len(filepath.Ext(name))]
			if _, err := fmt.Sscanf(filepath.Ext(stem), ".%d", &budget); err != nil {
				t.Fatal(err)
			}
			stem = stem[:len(stem)-len(filepath.Ext(stem))]
			source := goldenFiles(t, "media/"+stem+".*")[0]
			p, seen, err := Prepare(decodeFile(t, source, DecodeOptions{}), released, budget)
			if err != nil {
				t.Fatal(err)
			}
			d := compare(t, seen, readRGB(t, reference))
			t.Logf("of %d values %d differ, %d by more than 1, %d by more than 2, at most by %d", d.values, d.over0, d.over1, d.over2, d.most)
			if filepath.Ext(source) == ".jpg" {
				if d.over2*1000 > d.values {
					t.Errorf("%d of %d values differ by more than 2 levels", d.over2, d.values)
				}
			} else if d.over0 > 0 {
				t.Errorf("%d of %d values differ, at most by %d", d.over0, d.values, d.most)
			}
			if p.Columns*released.PatchSize != seen.Width || p.Rows*released.PatchSize != seen.Height {
				t.Errorf("%d × %d patches for %d × %d pixels", p.Columns, p.Rows, seen.Width, seen.Height)
			}
		})
	}
}

// A constant picture stays constant, and one row or column is no special case.
func TestResizeConstant(t *testing.T) {
	for _, c := range [][4]int{{1, 1, 48, 96}, {100, 3, 7, 3}, {3, 100, 3, 7}, {50, 40, 49, 41}, {1000, 1, 48, 48}} {
		m := &Image{Width: c[0], Height: c[1], Pix: make([]byte, 3*c[0]*c[1])}
		for i := range m.Pix {
			m.Pix[i] = byte(77 + i%3)
		}
		out := m.Resize(c[2], c[3])
		if out.Width != c[2] || out.Height != c[3] || len(out.Pix) != 3*c[2]*c[3] {
			t.Fatalf("%v: %d × %d pixels in %d bytes", c, out.Width, out.Height, len(out.Pix))
		}
		for i, v := range out.Pix {
			if v != byte(77+i%3) {
				t.Fatalf("%v: value %d is %d, want %d", c, i, v, 77+i%3)
			}
		}
	}
}

func noise(width, height int, seed uint64) *Image {
	m := &Image{Width: width, Height: height, Pix: make([]byte, 3*width*height), Orientation: 1, Pages: 1}
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	return m
}

func TestPatches(t *testing.T) {
	m := noise(96, 48, 3)
	p := released.Patches(m)
	if p.Columns != 6 || p.Rows != 3 || len(p.Values) != 6*3*768 {
		t.Fatalf("%d × %d patches, %d values", p.Columns, p.Rows, len(p.Values))
	}
	for i, v := range p.Values {
		patch, inside := i/768, i%768
		x := patch%6*16 + inside/3%16
		y := patch/6*16 + inside/48
		if want := float32(m.Pix[3*(y*96+x)+inside%3]) / 255; v != want {
			t.Fatalf("value %d of patch %d is %v, want %v of pixel (%d, %d)", inside, patch, v, want, x, y)
		}
	}
}
