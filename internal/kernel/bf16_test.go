package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// eachBF16Set runs f once for every set of bfloat16 bodies that this CPU has.
func eachBF16Set[T interface{ Run(string, func(T)) bool }](t T, f func(T)) {
	before := chosenBF16
	defer func() { chosenBF16 = before }()
	for _, s := range bf16Sets() {
		chosenBF16 = s
		t.Run(s.name, f)
	}
}

func asBytes(s []uint16) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 2*len(s))
}

// halvesAtPageEnd returns a copy of s that ends where memory does.
func halvesAtPageEnd(t *testing.T, s []uint16) []uint16 {
	if len(s) == 0 {
		return s
	}
	b := atPageEnd(t, asBytes(s))
	return unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), len(s))
}

func TestRoundBF16(t *testing.T) {
	inf := float32(math.Inf(1))
	values := []float32{0, 1, -1, 1 + 0x1p-8, 1 + 3*0x1p-8, 1 + 0x1p-8 + 0x1p-20, -1 - 0x1p-8, 3.3895314e38, math.MaxFloat32,
		inf, -inf, float32(math.NaN()), math.Float32frombits(0x7f800001), math.Float32frombits(0xff800001), 0x1p-126, 5, -5, 1e-3}
	values = append(values, randoms(source(), 300)...)
	eachBF16Set(t, func(t *testing.T) {
		for _, clip := range []float32{inf, 2} {
			for n := 1; n < 80; n++ {
				const stride, rows = 96 + 7, 3
				x, check := guarded(t, values[:2*n+n], n%8)
				dst := make([]uint16, 2*stride+(n+31)&^31)
				for i := range dst {
					dst[i] = 0xabcd
				}
				RoundBF16(dst, stride, x, n, rows, n, -clip, clip)
				check()
				for i, got := range dst {
					r, c := i/stride, i%stride
					want := uint16(0xabcd)
					if c < n {
						want = roundHalf(max(-clip, min(clip, x[r*n+c])))
					} else if c < (n+31)&^31 {
						want = 0
					}
					if got != want {
						t.Fatalf("row %d, value %d of %d: %v became %#x, want %#x", r, c, n, x[r*n+min(c, n-1)], got, want)
					}
				}
			}
		}
	})
}

// halfOperands is a product in bfloat16 with strides; the fill between rows of x is
// zeros up to a multiple of 32, and NaN beyond.
type halfOperands struct {
	rows, outs, in   int
	xStride, wStride int
	x, w, panels     []uint16
}

func newHalfOperands(r *rand.Rand, rows, outs, in int) *halfOperands {
	o := &halfOperands{rows: rows, outs: outs, in: in, xStride: (in+31)&^31 + 5, wStride: in + 3}
	x, w := randoms(r, rows*in), randoms(r, outs*in)
	o.x, o.w = make([]uint16, rows*o.xStride), make([]uint16, outs*o.wStride)
	for i := range o.x {
		o.x[i] = 0x7fff
	}
	for i := range o.w {
		o.w[i] = 0x7fff
	}
	for i := range rows {
		clear(o.x[i*o.xStride:][:(in+31)&^31])
		for k := range in {
			o.x[i*o.xStride+k] = roundHalf(x[i*in+k])
		}
	}
	o.x = o.x[:max(0, rows*o.xStride-5)]
	padded := make([]uint16, outs*((in+1)&^1))
	for i := range outs {
		for k := range in {
			o.w[i*o.wStride+k] = roundHalf(w[i*in+k])
			padded[i*((in+1)&^1)+k] = roundHalf(w[i*in+k])
		}
	}
	o.w = o.w[:max(0, outs*o.wStride-3)]
	o.panels = make([]uint16, PanelLen(outs, in))
	for p := 0; p < outs; p += PanelOuts {
		PackPanel(o.panels[PanelLen(1, in)*(p/PanelOuts):], padded[p*((in+1)&^1):], (in+1)&^1, min(PanelOuts, outs-p), in)
	}
	return o
}

// check compares dst with the product in float64, held between ±clip.
func (o *halfOperands) check(t *testing.T, dst []float32, stride int, clip float64) {
	t.Helper()
	for r := range o.rows {
		for p := range o.outs {
			var want, size float64
			for k := range o.in {
				v := float64(widenHalf(o.x[r*o.xStride+k])) * float64(widenHalf(o.w[p*o.wStride+k]))
				want += v
				size += math.Abs(v)
			}
			want = max(-clip, min(clip, want))
			got := float64(dst[r*stride+p])
			// Products of bfloat16 are exact in float32. A term goes through at most in
			// additions; VDPBF16PS rounds each to nearest, and drops subnormal results.
			if bound := float64(o.in)*0x1p-24*size + 0x1p-120; !(math.Abs(got-want) <= bound) {
				t.Fatalf("[%d, %d]·[%d, %d]ᵀ: dst[%d][%d] = %v, want %v ± %v", o.rows, o.in, o.outs, o.in, r, p, got, want, bound)
			}
		}
	}
}

func halfShapes() [][3]int {
	shapes := [][3]int{{1, 1, 1}, {3, 40, 0}, {30, 3, 0}, {30, 70, 1700}, {26, 300, 40}, {13, 33, 2*panelBlock + 5}, {3, 5, 2*rowBlock + 1}, {40, 37, rowBlock + 64}, {2, 3, panelBlock}}
	for in := 1; in < 70; in++ {
		shapes = append(shapes, [3]int{1 + in%14, 1 + in%37, in})
	}
	for n := 1; n <= 40; n++ {
		shapes = append(shapes, [3]int{n, 9, 33}, [3]int{3, n, 34})
	}
	return shapes
}

func TestMatMulBF16(t *testing.T) {
	eachBF16Set(t, func(t *testing.T) {
		r := source()
		for i, s := range halfShapes() {
			o := newHalfOperands(r, s[0], s[1], s[2])
			o.x, o.w, o.panels = halvesAtPageEnd(t, o.x), halvesAtPageEnd(t, o.w), halvesAtPageEnd(t, o.panels)
			stride := o.outs + i%3
			fresh := func() ([]float32, func()) {
				dst, check := guarded(t, make([]float32, (o.rows-1)*stride+o.outs), i%8)
				for j := range dst {
					dst[j] = math.Float32frombits(guardBits) // old values must not count, gaps stay
				}
				return dst, func() {
					t.Helper()
					check()
					for j, v := range dst {
						if j%stride >= o.outs && math.Float32bits(v) != guardBits {
							t.Fatalf("%v: wrote between rows", s)
						}
					}
				}
			}
			dst, check := fresh()
			MatMulBF16Rows(dst, stride, o.x, o.xStride, o.rows, asBytes(o.w), o.wStride, o.outs, o.in)
			check()
			o.check(t, dst, stride, math.Inf(1))
			for _, clip := range []float64{math.Inf(1), 1} {
				dst, check := fresh()
				MatMulBF16Panels(dst, stride, o.x, o.xStride, o.rows, o.panels, o.outs, o.in, float32(-clip), float32(clip))
				check()
				o.check(t, dst, stride, clip)
			}
		}
	})
}

// A row's bits do not depend on the rows beside it, nor an output's on the cut of the weight.
func TestMatMulBF16SameBits(t *testing.T) {
	const rows, outs = 61, 160
	eachBF16Set(t, func(t *testing.T) {
		for _, in := range []int{40, 770, 3200} {
			if in > 1000 && chosenBF16 == &portableBF16 {
				continue // cuts are the same for every length there
			}
			o := newHalfOperands(source(), rows, outs, in)
			whole, panels := make([]float32, rows*outs), make([]float32, rows*outs)
			MatMulBF16Rows(whole, outs, o.x, o.xStride, rows, asBytes(o.w), o.wStride, outs, in)
			inf := float32(math.Inf(1))
			MatMulBF16Panels(panels, outs, o.x, o.xStride, rows, o.panels, outs, in, -inf, inf)
			for _, step := range [][2]int{{1, outs}, {2, 32}, {5, 64}, {13, 96}, {rows, 32}} {
				got, gotPanels := make([]float32, rows*outs), make([]float32, rows*outs)
				for r := 0; r < rows; r += step[0] {
					for p := 0; p < outs; p += step[1] {
						h, n := min(step[0], rows-r), min(step[1], outs-p)
						MatMulBF16Rows(got[r*outs+p:], outs, o.x[r*o.xStride:], o.xStride, h, asBytes(o.w[p*o.wStride:]), o.wStride, n, in)
						MatMulBF16Panels(gotPanels[r*outs+p:], outs, o.x[r*o.xStride:], o.xStride, h, o.panels[PanelLen(p, in):], n, in, -inf, inf)
					}
				}
				if !sameBits(got, whole) || !sameBits(gotPanels, panels) {
					t.Fatalf("in %d: %d rows × %d outputs a call: other bits than all at once", in, step[0], step[1])
				}
			}
		}
	})
}

func BenchmarkMatMulBF16(b *testing.B) {
	inf := float32(math.Inf(1))
	for _, s := range [][3]int{{1, 4096, 1536}, {8, 4096, 1536}, {96, 768, 768}, {96, 768, 3072}, {480, 2048, 1536}} {
		rows, outs, in := s[0], s[1], s[2]
		x, w, dst := written[byte](2*rows*(in+32)), written[byte](2*outs*in), written[float32](rows*outs)
		half := func(b []byte) []uint16 { return unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), len(b)/2) }
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			for name, f := range map[string]func(){
				"rows":   func() { MatMulBF16Rows(dst, outs, half(x), in+32, rows, w, in, outs, in) },
				"panels": func() { MatMulBF16Panels(dst, outs, half(x), in+32, rows, half(w), outs, in, -inf, inf) },
			} {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(rows*outs*in)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
		})
	}
	b.Run("peak", func(b *testing.B) {
		var flops int64
		for b.Loop() {
			flops += PeakBF16(100_000)
		}
		b.ReportMetric(float64(flops)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
	})
}
