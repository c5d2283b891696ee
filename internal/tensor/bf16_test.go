package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"facet/internal/kernel"
)

// halved returns m rounded to bfloat16 as products round x.
func halved(m Mat, b Bounds) Mat {
	out := New(m.Rows, m.Cols)
	row := make([]uint16, m.Cols+32)
	for i := range m.Rows {
		kernel.RoundBF16(row, len(row), m.Row(i), m.Cols, 1, m.Cols, b.Lo, b.Hi)
		for k := range m.Cols {
			out.Row(i)[k] = math.Float32frombits(uint32(row[k]) << 16)
		}
	}
	return out
}

func TestBF16MatMul(t *testing.T) {
	p := newPool(t, 2)
	r := source()
	clip := Bounds{-1, 0.75}
	for _, s := range [][3]int{{1, 300, 200}, {5, 7, 3}, {40, 130, 64}, {400, 70, 33}, {130, 900, 20}, {0, 5, 5}, {3, 0, 5}, {3, 5, 0}} {
		rows, out, in := s[0], s[1], s[2]
		for _, dtype := range dtypeNames {
			w, values := weightOf(t, dtype, random(r, out, in))
			x := random(r, rows, in)
			panels := PackBF16(p, w)
			products := map[string]Weight{"panels": panels, "clipped panels": panels.Clipped(clip, Bounds{-2, 3})}
			if dtype == "BF16" {
				products["rows"] = BF16Rows(w)
			} else if BF16Rows(w) != w {
				t.Errorf("%s values became bfloat16", dtype)
			}
			for name, w := range products {
				dst := random(r, rows, out)
				w.MatMul(p, dst, x)
				bounds := [2]Bounds{unbounded, unbounded}
				if name == "clipped panels" {
					bounds = [2]Bounds{clip, {-2, 3}}
				}
				hx, hw := halved(x, bounds[0]), halved(values, unbounded)
				for i := range rows {
					for o := range out {
						var want, size float64
						for k := range in {
							v := float64(hx.Row(i)[k]) * float64(hw.Row(o)[k])
							want += v
							size += math.Abs(v)
						}
						want = min(max(want, float64(bounds[1].Lo)), float64(bounds[1].Hi))
						got := float64(dst.Row(i)[o])
						if bound := float64(in+1)*0x1p-24*size + 0x1p-120; !(math.Abs(got-want) <= bound) {
							t.Fatalf("%s, %s [%d, %d]·[%d, %d]ᵀ: dst[%d][%d] = %v, want %v ± %v", name, dtype, rows, in, out, in, i, o, got, want, bound)
						}
					}
				}
			}
		}
	}
}

// The same bits for any number of threads, any cut of the batch and any cut of the weight.
func TestBF16SameBits(t *testing.T) {
	r := source()
	x := random(r, 260, 96)
	stored, _ := weightOf(t, "BF16", random(r, 230, 96))
	for name, w := range map[string]Weight{"panels": PackBF16(newPool(t, 1), stored), "rows": BF16Rows(stored)} {
		sameBitsHowever(t, name, w, x, 1, 64, 129) // 64 is whole panels
	}
}

func TestBF16Row(t *testing.T) {
	stored, values := weightOf(t, "BF16", random(source(), 70, 7))
	panels := PackBF16(newPool(t, 2), stored)
	for name, w := range map[string]Weight{"panels": panels, "rows": BF16Rows(stored)} {
		row := make([]float32, 7)
		for i := range 70 {
			if w.Row(row, i); !slices.Equal(row, values.Row(i)) {
				t.Errorf("%s: row %d is %v, want %v", name, i, row, values.Row(i))
			}
		}
		if RowsOf(w, 35, 60).Row(row, 10); !slices.Equal(row, values.Row(45)) {
			t.Errorf("%s: row 10 of rows 35 to 60 is %v, want %v", name, row, values.Row(45))
		}
		for i, f := range []func(){
			func() { w.MatMul(newPool(t, 1), New(4, 70), New(5, 7)) },
			func() { w.MatMul(newPool(t, 1), New(4, 69), New(4, 7)) },
			func() { w.MatMul(newPool(t, 1), New(4, 70), New(4, 8)) },
			func() { w.Row(row, 70) },
			func() { RowsOf(w, 3, 71) },
		} {
			if panicOf(f) == nil {
				t.Errorf("%s: wrong use %d: no panic", name, i)
			}
		}
	}
}

func TestHalfTilingCoversTheProduct(t *testing.T) {
	for _, threads := range []int{1, 2, 16} {
		p := &Pool{workers: make([]*worker, threads-1)}
		for _, rows := range []int{1, 2, 16, 17, 100, 193, 5000} {
			for _, out := range []int{1, 3, 64, 100, 12288} {
				for _, in := range []int{1, 768, 12288} {
					c := halfTiling(p, rows, out, in)
					if c.rows*c.down < rows || c.rows*(c.down-1) >= rows || c.outs*c.across < out || c.outs*(c.across-1) >= out {
						t.Errorf("%d threads, %d rows, weight [%d, %d]: pieces %+v", threads, rows, out, in, c)
					}
					if c.across > 1 && c.outs%kernel.PanelOuts != 0 {
						t.Errorf("%d threads, %d rows, weight [%d, %d]: pieces of %d outputs cut panels", threads, rows, out, in, c.outs)
					}
				}
			}
		}
	}
}

// The vision tower's layers over a block of patches, and a step and a piece of a prompt
// of the decoder, weights in turns so that none stays in a cache.
func BenchmarkBF16(b *testing.B) {
	for _, s := range [][3]int{{1, 12288, 1536}, {8, 12288, 1536}, {512, 6144, 1536}, {512, 768, 768}, {512, 3072, 768}, {512, 768, 3072}} {
		rows, out, in := s[0], s[1], s[2]
		p := newPool(b, 2)
		x, dst := random(source(), rows, in), New(rows, out)
		stored := make([]byte, 2*out*in)
		for i := range stored {
			stored[i] = byte(i%7) | 0x38
		}
		d, err := WeightOf("BF16", stored, out, in)
		if err != nil {
			b.Fatal(err)
		}
		for name, make := range map[string]func() Weight{
			"rows":   func() Weight { return BF16Rows(d) },
			"panels": func() Weight { return PackBF16(p, d) },
		} {
			b.Run(fmt.Sprint(s, "/", name), func(b *testing.B) {
				w := make()
				for b.Loop() {
					w.MatMul(p, dst, x)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(float64(w.Bytes())/1e9/seconds, "GB/s")
				b.ReportMetric(2*float64(rows)*float64(out)*float64(in)/1e9/seconds, "GFLOP/s")
			})
		}
	}
}
