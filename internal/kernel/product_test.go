package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"unsafe"
)

// operands is a product's input with its exact answer: x [rows, in] and w [outs, in]
// lie in memory with strides, NaN between the rows.
type operands struct {
	rows, outs, in   int
	xStride, wStride int
	x                []float32
	w                []float32 // as decoded
	encoded          []byte
	format           format
}

func newOperands(rows, outs, in int, f format, gap int) *operands {
	o := &operands{rows: rows, outs: outs, in: in, xStride: in + gap, wStride: in + gap, format: f}
	r := source()
	o.x = randoms(r, rows*o.xStride)
	o.encoded, o.w = encode(f, randoms(r, outs*o.wStride))
	nan := []float32{float32(math.NaN())}
	nanBytes, _ := encode(f32, nan)
	if f != f32 {
		nanBytes = []byte{0xff, 0x7f} // NaN in both
	}
	for at := in; at < in+gap; at++ {
		for i := range rows {
			o.x[i*o.xStride+at] = nan[0]
		}
		for i := range outs {
			o.w[i*o.wStride+at] = nan[0]
			copy(o.encoded[(i*o.wStride+at)*f.size():], nanBytes)
		}
	}
	// The last row ends where its values do: reading on would be outside.
	o.x = o.x[:max(0, rows*o.xStride-gap)]
	o.w = o.w[:max(0, outs*o.wStride-gap)]
	o.encoded = o.encoded[:max(0, outs*o.wStride-gap)*f.size()]
	return o
}

// product computes the block of rows [r0, r1) × outs [o0, o1) into its place in dst.
func (o *operands) product(dst []float32, dstStride, r0, r1, o0, o1 int) {
	if r0 == r1 || o0 == o1 {
		return
	}
	d, x := dst[r0*dstStride+o0:], o.x[r0*o.xStride:]
	w := o.encoded[o0*o.wStride*o.format.size():]
	switch o.format {
	case f32:
		MatMulF32(d, dstStride, x, o.xStride, r1-r0, o.w[o0*o.wStride:], o.wStride, o1-o0, o.in)
	case bf16:
		MatMulBF16(d, dstStride, x, o.xStride, r1-r0, w, o.wStride, o1-o0, o.in)
	case f16:
		MatMulF16(d, dstStride, x, o.xStride, r1-r0, w, o.wStride, o1-o0, o.in)
	}
}

// check compares dst with the product in float64.
func (o *operands) check(t *testing.T, dst []float32, dstStride int) {
	t.Helper()
	blocks := float64((o.in + sumBlock - 1) / sumBlock)
	for r := range o.rows {
		for p := range o.outs {
			var want, size float64
			for k := range o.in {
				v := float64(o.x[r*o.xStride+k]) * float64(o.w[p*o.wStride+k])
				want += v
				size += math.Abs(v)
			}
			// A term goes through at most this many additions: its lane's (four lanes in Go,
			// sixteen in C), those of the lanes, of a tail and of the blocks; and one product.
			depth := float64(min(o.in, sumBlock))/4 + 8 + blocks
			got := float64(dst[r*dstStride+p])
			if bound := depth * 0x1p-24 * size; !(math.Abs(got-want) <= bound) {
				t.Fatalf("[%d, %d]·[%d, %d]ᵀ of format %d: dst[%d][%d] = %v, want %v ± %v",
					o.rows, o.in, o.outs, o.in, o.format, r, p, got, want, bound)
			}
		}
	}
}

var formats = map[format]string{f32: "F32", bf16: "BF16", f16: "F16"}

// Every tail in every dimension: k past a vector, rows and outputs past a tile.
func TestMatMul(t *testing.T) {
	shapes := [][3]int{{1, 1, 0}, {3, 5, 0}, {100, 30, 1100}, {7, 300, 40}, {13, 9, 2*sumBlock + 5}, {2, 3, sumBlock}}
	for in := 1; in < lengths; in++ {
		shapes = append(shapes, [3]int{1 + in%14, 1 + in%11, in})
	}
	for n := 1; n <= 20; n++ {
		shapes = append(shapes, [3]int{n, 9, 33}, [3]int{3, n, 33})
	}
	for f, name := range formats {
		t.Run(name, func(t *testing.T) {
			eachSet(t, func(t *testing.T) {
				for i, s := range shapes {
					o := newOperands(s[0], s[1], s[2], f, i%4)
					stride := o.outs + i%3
					dst, check := guarded(t, make([]float32, (o.rows-1)*stride+o.outs), i%8)
					for j := range dst {
						dst[j] = math.Float32frombits(guardBits) // old values must not count, gaps stay
					}
					o.product(dst, stride, 0, o.rows, 0, o.outs)
					check()
					o.check(t, dst, stride)
					for j, v := range dst {
						if j%stride >= o.outs && math.Float32bits(v) != guardBits {
							t.Fatalf("%v: wrote between rows", s)
						}
					}
				}
			})
		})
	}
}

// A result has the same bits however rows and outputs are cut into calls.
func TestMatMulSameBitsForAnyCut(t *testing.T) {
	for f, name := range formats {
		t.Run(name, func(t *testing.T) {
			eachSet(t, func(t *testing.T) {
				for _, in := range []int{5, 64, sumBlock + 37} {
					const rows, outs = 20, 150
					o := newOperands(rows, outs, in, f, 0)
					whole := make([]float32, rows*outs)
					o.product(whole, outs, 0, rows, 0, outs)
					for _, cut := range [][2]int{{1, outs}, {rows, 1}, {2, 7}, {3, 16}, {4, outs}, {5, 9}, {6, outs}, {7, 13}, {19, 149}} {
						parts := make([]float32, rows*outs)
						for r := 0; r < rows; r += cut[0] {
							for p := 0; p < outs; p += cut[1] {
								o.product(parts, outs, r, min(r+cut[0], rows), p, min(p+cut[1], outs))
							}
						}
						if !sameBits(parts, whole) {
							t.Fatalf("in %d: pieces of %d rows × %d outputs differ from the whole", in, cut[0], cut[1])
						}
					}
				}
			})
		})
	}
}

// F32 bytes at any alignment give the bits of the same floats.
func TestMatMulF32LE(t *testing.T) {
	const rows, outs, in = 7, 9, 50
	o := newOperands(rows, outs, in, f32, 0)
	eachSet(t, func(t *testing.T) {
		want := make([]float32, rows*outs)
		o.product(want, outs, 0, rows, 0, outs)
		for offset := range 8 {
			b := append(make([]byte, offset), o.encoded...)[offset:]
			got := make([]float32, rows*outs)
			MatMulF32LE(got, outs, o.x, in, rows, b, in, outs, in)
			if !sameBits(got, want) {
				t.Errorf("offset %d: results differ", offset)
			}
		}
	})
}

func TestProductSetsInCGiveSameBits(t *testing.T) {
	inC := sets()[:len(sets())-1]
	if len(inC) < 2 {
		t.Skip("fewer than two sets in C on this CPU and build")
	}
	for f, name := range formats {
		for _, in := range []int{1, 15, 16, 31, 64, sumBlock + 37} {
			o := newOperands(11, 13, in, f, 0)
			var results [2][]float32
			for i, s := range inC[:2] {
				results[i] = with(s, func() []float32 {
					dst := make([]float32, o.rows*o.outs)
					o.product(dst, o.outs, 0, o.rows, 0, o.outs)
					WeightedSum(dst, o.outs, o.x, in, o.rows, o.w, o.in, 1, min(in, o.outs))
					return dst
				})
			}
			if !sameBits(results[0], results[1]) {
				t.Errorf("%s, in %d: %s and %s differ", name, in, inC[0].name, inC[1].name)
			}
		}
	}
}

func TestWeightedSum(t *testing.T) {
	r := source()
	type shape struct{ rows, n, dim, gap int }
	shapes := []shape{{32, 300, 72, 0}, {8, 130, 256, 3}}
	for i := 1; i < lengths; i++ {
		shapes = append(shapes, shape{1 + i%13, 1 + i%7, i, i % 3}, shape{1 + i%5, i, 1 + i%35, 0})
	}
	eachSet(t, func(t *testing.T) {
		for i, s := range shapes {
			wStride, vStride, dStride := s.n+s.gap, s.dim+s.gap, s.dim+s.gap
			w, _ := guarded(t, randoms(r, (s.rows-1)*wStride+s.n), i%8)
			v, _ := guarded(t, randoms(r, (s.n-1)*vStride+s.dim), i%5)
			was := randoms(r, (s.rows-1)*dStride+s.dim)
			dst, check := guarded(t, was, i%3)
			WeightedSum(dst, dStride, w, wStride, s.rows, v, vStride, s.n, s.dim)
			check()
			for at, got := range dst {
				row, d := at/dStride, at%dStride
				if d >= s.dim {
					if got != was[at] {
						t.Fatalf("%+v: wrote between rows", s)
					}
					continue
				}
				want := float64(was[at])
				size := math.Abs(want)
				for j := range s.n {
					p := float64(w[row*wStride+j]) * float64(v[j*vStride+d])
					want += p
					size += math.Abs(p)
				}
				if bound := float64(s.n+1) * 0x1p-24 * size; !(math.Abs(float64(got)-want) <= bound) {
					t.Fatalf("%+v: dst[%d][%d] = %v, want %v ± %v", s, row, d, got, want, bound)
				}
			}
		}
	})
}

// Rows alone, and terms in several calls, give the bits of one call.
func TestWeightedSumSameBitsForAnyCut(t *testing.T) {
	const rows, n, dim = 13, 200, 77
	r := source()
	w, v := randoms(r, rows*n), randoms(r, n*dim)
	eachSet(t, func(t *testing.T) {
		whole := make([]float32, rows*dim)
		WeightedSum(whole, dim, w, n, rows, v, dim, n, dim)
		for _, cut := range [][2]int{{1, n}, {rows, 1}, {3, 64}, {5, 129}, {6, 17}} {
			parts := make([]float32, rows*dim)
			for i := 0; i < rows; i += cut[0] {
				for j := 0; j < n; j += cut[1] {
					WeightedSum(parts[i*dim:], dim, w[i*n+j:], n, min(cut[0], rows-i), v[j*dim:], dim, min(cut[1], n-j), dim)
				}
			}
			if !sameBits(parts, whole) {
				t.Fatalf("pieces of %d rows × %d terms differ from the whole", cut[0], cut[1])
			}
		}
	})
}

// All 65,536 values of both 16-bit formats. Values are built from their parts with
// math.Ldexp, apart from any bit shifting.
func TestWidenAllValues(t *testing.T) {
	const all = 1 << 16
	src := make([]byte, 2*all)
	for i := range all {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	value := func(h, exponentBits, fractionBits int) float64 {
		exponent, fraction := h>>fractionBits&(1<<exponentBits-1), h&(1<<fractionBits-1)
		bias := 1<<(exponentBits-1) - 1
		v := math.Ldexp(float64(fraction), 1-bias-fractionBits)
		switch {
		case exponent == 1<<exponentBits-1 && fraction != 0:
			return math.NaN()
		case exponent == 1<<exponentBits-1:
			v = math.Inf(1)
		case exponent > 0:
			v = math.Ldexp(float64(fraction+1<<fractionBits), exponent-bias-fractionBits)
		}
		if h&0x8000 != 0 {
			v = math.Copysign(v, -1)
		}
		return v
	}
	eachSet(t, func(t *testing.T) {
		for _, c := range []struct {
			name               string
			widen              func([]float32, []byte)
			exponent, fraction int
		}{{"BF16", WidenBF16, 8, 7}, {"F16", WidenF16, 5, 10}} {
			dst, check := guarded(t, make([]float32, all), 1)
			c.widen(dst, src)
			check()
			for i, got := range dst {
				want := float32(value(i, c.exponent, c.fraction))
				if want != want && got != got {
					continue
				}
				if math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%s %#04x is %v, want %v", c.name, i, got, want)
				}
			}
		}
	})
}

func TestWidenTails(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for n := range lengths {
			for f, widen := range map[format]func([]float32, []byte){f32: WidenF32LE, bf16: WidenBF16, f16: WidenF16} {
				src, want := encode(f, randoms(r, n))
				src = append(make([]byte, 1), src...)[1:] // unaligned
				dst, check := guarded(t, make([]float32, n), n%8)
				widen(dst, src)
				check()
				if !sameBits(dst, want) {
					t.Fatalf("%s, n %d: %v, want %v", formats[f], n, dst, want)
				}
			}
		}
	})
}

// Reads stay inside the operands, to the byte: each ends where a page does that may not be read past.
func TestProductsStayInTheirMemory(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for n := 1; n < lengths; n++ {
			for f, name := range formats {
				src, _ := encode(f, randoms(r, 3*n))
				w := atPageEnd(t, src)
				x := floatsAtPageEnd(t, randoms(r, 2*n))
				dst := floatsAtPageEnd(t, make([]float32, 2*3))
				matMulBytes(name, f, product{dst, 3, x, n, 2, n, 3, n}, w)
				widened := floatsAtPageEnd(t, make([]float32, 3*n))
				widen(name, widened, f, w)
				WeightedSum(widened, n, dst, 3, 2, floatsAtPageEnd(t, randoms(r, 3*n)), n, 3, n)
				RMSNorm(x, x, nil, 1)
				ExpSum(x, x, Max(x))
			}
		}
	})
}

func floatsAtPageEnd(t *testing.T, s []float32) []float32 {
	b, _ := encode(f32, s)
	b = atPageEnd(t, b)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(s))
}

func ExampleMatMulF32() {
	x := []float32{1, 2, 3} // [1, 3]
	w := []float32{
		1, 0, 0,
		0, 1, 1,
	} // [2, 3]
	dst := make([]float32, 2) // [1, 2]
	MatMulF32(dst, 2, x, 3, 1, w, 3, 2, 3)
	fmt.Println(dst)
	// Output: [1 5]
}
