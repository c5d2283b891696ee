package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// eachInt8Set runs f once for every set of integer bodies that this CPU has.
func eachInt8Set[T interface{ Run(string, func(T)) bool }](t T, f func(T)) {
	before := chosenInt8
	defer func() { chosenInt8 = before }()
	for _, s := range int8Sets() {
		chosenInt8 = s
		t.Run(s.name, f)
	}
}

func eachQuant[T interface{ Run(string, func(T)) bool }](t T, f func(T, Quant)) {
	for q := range Quant(len(quantFormats)) {
		t.Run(q.String(), func(t T) { f(t, q) })
	}
}

// randomRows returns rows of a file: any quants and bytes of scales, and binary16 scales of
// all sizes and signs, some of them subnormal and some zero.
func (q Quant) randomRows(r *rand.Rand, rows, in int) []byte {
	b := make([]byte, rows*q.RowBytes(in))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	q.eachScale(b, func(scale []byte) {
		h := uint16(r.Uint32() & 0x8fff) // below 2⁻¹⁰
		if r.IntN(8) == 0 {
			h = 0
		}
		binary.LittleEndian.PutUint16(scale, h)
	})
	return b
}

// eachScale calls f with the place of every binary16 in rows of a file.
func (q Quant) eachScale(b []byte, f func(scale []byte)) {
	format := &quantFormats[q]
	for ; len(b) > 0; b = b[format.bytes:] {
		switch {
		case format.scheme == kHalf:
			f(b[208:210])
		case format.hasMin():
			f(b[2:4])
			fallthrough
		default:
			f(b[0:2])
		}
	}
}

// packed returns rows of a file in groups.
func (q Quant) packed(src []byte, rows, in int) []byte {
	size := q.GroupBytes(in)
	w := make([]byte, (rows+GroupRows-1)/GroupRows*size)
	for i := range w {
		w[i] = 0xaa // must not matter
	}
	for o := 0; o < rows; o += GroupRows {
		q.PackGroup(w[o/GroupRows*size:], src[o*q.RowBytes(in):], min(GroupRows, rows-o), in)
	}
	return w
}

// lengthsOf lists row lengths with every number of blocks in a span, several times around.
func (q Quant) lengthsOf() (in []int) {
	for n := 1; n <= 5; n++ {
		in = append(in, n*q.Columns())
	}
	return in
}

func TestQuantizeRows(t *testing.T) {
	r := source()
	eachInt8Set(t, func(t *testing.T) {
		for blocks := 1; blocks <= 5; blocks++ {
			const rows = 3
			in := blocks * xColumns
			stride := in + blocks
			x, check := guarded(t, randoms(r, rows*stride), blocks)
			for i := range x {
				x[i] *= float32(math.Exp(20 * r.NormFloat64()))
			}
			clear(x[:xColumns])
			dst := make([]byte, rows*QuantizedBytes(in))
			for i := range dst {
				dst[i] = 0xaa
			}
			QuantizeRows(dst, x, stride, rows, in)
			check()
			for row := range rows {
				for b := range QuantizedBytes(in) / xBlockBytes {
					got := dst[row*QuantizedBytes(in)+b*xBlockBytes:][:xBlockBytes]
					want := make([]byte, xBlockBytes)
					if b < blocks {
						quantizeBlock(want, x[row*stride+b*xColumns:][:xColumns])
						checkRounded(t, got, x[row*stride+b*xColumns:][:xColumns])
					}
					if string(got) != string(want) {
						t.Fatalf("%d blocks: row %d, block %d is %v, portable %v", blocks, row, b, got, want)
					}
				}
			}
		}
	})
}

// checkRounded holds a rounded block to what QuantizeRows says of it.
func checkRounded(t *testing.T, block []byte, x []float32) {
	t.Helper()
	scale := float64(math.Float32frombits(binary.LittleEndian.Uint32(block[32:])))
	var top float64
	var sum, first int32
	for _, v := range x {
		top = max(top, math.Abs(float64(v)))
	}
	for i, v := range x {
		q := int32(int8(block[i]))
		if q == -128 {
			t.Fatalf("element %d of %v is −128", i, x)
		}
		// Half a step, and three roundings of numbers up to 127 steps.
		if bound := top / 254 * (1 + 254*3*0x1p-24); !(math.Abs(scale*float64(q)-float64(v)) <= max(bound, tooSmall)) {
			t.Fatalf("element %d of %v is %v·%d, off by more than %v", i, x, scale, q, bound)
		}
		sum += q
		if i < 16 {
			first += q
		}
	}
	gotSum := int32(binary.LittleEndian.Uint32(block[36:]))
	gotFirst := int32(binary.LittleEndian.Uint32(block[40:]))
	if gotSum != -128*sum || gotFirst != -128*first {
		t.Fatalf("sums %d and %d, want %d and %d", gotSum, gotFirst, -128*sum, -128*first)
	}
	if got := float64(math.Float32frombits(binary.LittleEndian.Uint32(block[44:]))); math.Abs(got-scale*float64(sum)) > 0x1p-24*math.Abs(got) {
		t.Fatalf("sum of %v·%d is %v", scale, sum, got)
	}
}

// Ties, the largest and the smallest numbers, and what is no number.
func TestQuantizeRowsEdges(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachInt8Set(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			x     []float32
			q     []int8
			scale float32
		}{
			{"ties to even", []float32{127, 0.5, 1.5, 2.5, -0.5, -1.5, -126.5}, []int8{127, 0, 2, 2, 0, -2, -126}, 1},
			{"zeros", []float32{0, float32(math.Copysign(0, -1))}, nil, 0},
			{"largest", []float32{math.MaxFloat32, -math.MaxFloat32}, []int8{127, -127}, math.MaxFloat32 / 127},
			{"smallest", []float32{tooSmall, tooSmall / 2}, []int8{127, 64}, tooSmall / 127},
			{"too small", []float32{tooSmall / 2, -tooSmall / 2}, nil, 0},
			{"subnormal", []float32{1e-45}, nil, 0},
			{"NaN", []float32{1, nan}, nil, nan},
			{"infinity", []float32{-inf, 3}, nil, nan},
			{"NaN and infinity", []float32{inf, nan, -nan}, nil, nan},
		} {
			x, dst := make([]float32, xColumns), make([]byte, QuantizedBytes(xColumns))
			for at := range xColumns - len(c.x) {
				clear(x)
				copy(x[at:], c.x)
				QuantizeRows(dst, x, xColumns, 1, xColumns)
				scale := math.Float32frombits(binary.LittleEndian.Uint32(dst[32:]))
				if scale != c.scale && !(scale != scale && c.scale != c.scale) {
					t.Fatalf("%s at %d: scale %v, want %v", c.name, at, scale, c.scale)
				}
				for i := range xColumns {
					var want int8
					if i >= at && i-at < len(c.q) {
						want = c.q[i-at]
					}
					if int8(dst[i]) != want {
						t.Fatalf("%s at %d: element %d is %d, want %d", c.name, at, i, int8(dst[i]), want)
					}
				}
			}
		}
	})
}

// int8Case is a product, with the numbers that go into it.
type int8Case struct {
	q              Quant
	rows, outs, in int
	x, w           []byte
	want           []float64 // for each output, each row
	size           []float64 // what the terms of the sum come to without their signs
}

// newInt8Case rounds x and computes the product in float64, from the values that the
// packed weights stand for.
func newInt8Case(q Quant, x []float32, rows int, src []byte, outs, in int) *int8Case {
	c := &int8Case{q: q, rows: rows, outs: outs, in: in, w: q.packed(src, outs, in)}
	c.x = make([]byte, rows*QuantizedBytes(in))
	QuantizeRows(c.x, x, in, rows, in)
	f := &quantFormats[q]
	values := make([]float32, in)
	for o := range outs {
		q.UnpackRow(values, c.w, o)
		group := c.w[o/GroupRows*q.GroupBytes(in):]
		for r := range rows {
			var want, size float64
			for k := range in {
				block := c.x[r*QuantizedBytes(in)+k/xColumns*xBlockBytes:]
				xv := float64(math.Float32frombits(binary.LittleEndian.Uint32(block[32:]))) * float64(int8(block[k%xColumns]))
				want += float64(values[k]) * xv
				head, _, b := f.span(group, k)
				_, _, min := f.scales(head, o%GroupRows, b)
				size += (math.Abs(float64(values[k])) + 2*math.Abs(float64(min))) * math.Abs(xv)
			}
			c.want, c.size = append(c.want, want), append(c.size, size)
		}
	}
	return c
}

// check compares dst [rows, hi−lo] with the product's outputs [lo, hi).
func (c *int8Case) check(t *testing.T, dst []float32, stride, lo, hi int) {
	t.Helper()
	// Two roundings of a term, one of it where it is a sum times a scale, and one for each
	// addition after it: of two or three terms for 32 columns.
	depth := float64(3*c.in/xColumns + 4)
	for r := range c.rows {
		for o := lo; o < hi; o++ {
			got, at := float64(dst[r*stride+o-lo]), o*c.rows+r
			if bound := depth * 0x1p-24 * c.size[at]; !(math.Abs(got-c.want[at]) <= bound) {
				t.Fatalf("%v [%d, %d]·[%d, %d]ᵀ, outputs [%d, %d): row %d of output %d is %v, want %v ± %v",
					c.q, c.rows, c.in, c.outs, c.in, lo, hi, r, o, got, c.want[at], bound)
			}
		}
	}
}

// Every number of rows past a tile's, every first and last output of a group, every
// number of blocks, and nothing read behind the operands nor written beside the result.
func TestMatMulInt8(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		eachInt8Set(t, func(t *testing.T) {
			for i, in := range q.lengthsOf() {
				for rows := 1 + i%2; rows <= 15; rows += 2 {
					outs := 1 + (rows*7+i*11)%70
					c := newInt8Case(q, randoms(r, rows*in), rows, q.randomRows(r, outs, in), outs, in)
					c.x, c.w = atPageEnd(t, c.x), atPageEnd(t, c.w)
					lo, hi := outs*(i%3)/4, outs-outs*(i%2)/3
					stride := hi - lo + i
					dst, check := guarded(t, make([]float32, max(0, (rows-1)*stride+hi-lo)), i)
					for j := range dst {
						dst[j] = math.Float32frombits(guardBits)
					}
					q.MatMul(dst, stride, c.x, rows, c.w, lo, hi, in)
					check()
					c.check(t, dst, stride, lo, hi)
					for j, v := range dst {
						if j%stride >= hi-lo && math.Float32bits(v) != guardBits {
							t.Fatalf("wrote %v between rows of %d at stride %d", v, hi-lo, stride)
						}
					}
				}
			}
		})
	})
}

// The largest sums there can be: every quant at an end of its range, and so all of x.
func TestMatMulInt8Extremes(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		eachInt8Set(t, func(t *testing.T) {
			const outs, rows = 16, 6
			in := 2 * q.Columns()
			for _, fill := range []int{0x00, 0xff, 0x80, 0x7f, -1} {
				src := make([]byte, outs*q.RowBytes(in))
				for i := range src {
					src[i] = byte(fill)
					if fill < 0 {
						src[i] = byte(-r.IntN(2))
					}
				}
				q.eachScale(src, func(b []byte) { binary.LittleEndian.PutUint16(b, 0x3c00) })
				x := make([]float32, rows*in)
				for i := range x {
					x[i] = float32([]int{1, -1, 1 - 2*(i%2), 1 - 2*(i/16%2), i % 2, 1 - 2*r.IntN(2)}[i/in])
				}
				c := newInt8Case(q, x, rows, src, outs, in)
				dst := make([]float32, rows*outs)
				q.MatMul(dst, outs, c.x, rows, c.w, 0, outs, in)
				c.check(t, dst, outs, 0, outs)
			}
		})
	})
}

// The same bits for any rows beside a row and any cut of the outputs, and in all sets
// but the portable one, which rounds sums twice.
func TestMatMulInt8SameBits(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		const rows, outs = 14, 75
		in := 3 * q.Columns()
		x, w := randoms(r, rows*in), q.packed(q.randomRows(r, outs, in), outs, in)
		var first []float32
		eachInt8Set(t, func(t *testing.T) {
			xq := make([]byte, rows*QuantizedBytes(in))
			QuantizeRows(xq, x, in, rows, in)
			want := make([]float32, rows*outs)
			q.MatMul(want, outs, xq, rows, w, 0, outs, in)
			for n := 1; n <= rows; n++ {
				for _, step := range []int{1, 5, 16, 33, outs} {
					got := make([]float32, rows*outs)
					for a := 0; a < rows; a += n {
						for lo := 0; lo < outs; lo += step {
							hi := min(lo+step, outs)
							q.MatMul(got[a*outs+lo:], outs, xq[a*QuantizedBytes(in):], min(n, rows-a), w, lo, hi, in)
						}
					}
					if !sameBits(got, want) {
						t.Fatalf("%d rows × %d outputs at a time: other bits", n, step)
					}
				}
			}
			switch {
			case first == nil:
				first = want
			case chosenInt8 != &portableInt8 && !sameBits(want, first):
				t.Errorf("other bits than %s", int8Sets()[0].name)
			}
		})
	})
}

// Many rows go through the columns in parts, with sums kept in the result.
func TestMatMulInt8Parts(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		const rows, outs, lo, hi = 19, 50, 3, 45
		for _, in := range []int{0, q.Columns(), 1536, 1536 + q.Columns(), 2*1536 - q.Columns(), 3 * 1536} {
			x, w := randoms(r, rows*in), q.packed(q.randomRows(r, outs, in), outs, in)
			eachInt8Set(t, func(t *testing.T) {
				xq := make([]byte, rows*QuantizedBytes(in))
				QuantizeRows(xq, x, in, rows, in)
				got, check := guarded(t, make([]float32, rows*(hi-lo)), 1)
				q.MatMul(got, hi-lo, xq, rows, w, lo, hi, in)
				check()
				one := make([]float32, hi-lo)
				for row := range rows {
					q.MatMul(one, hi-lo, xq[row*QuantizedBytes(in):], 1, w, lo, hi, in)
					if !sameBits(one, got[row*(hi-lo):][:hi-lo]) {
						t.Fatalf("%d columns: row %d of %d has other bits than alone", in, row, rows)
					}
				}
			})
		}
	})
}

// A row with a NaN or an infinity becomes NaN, and no other row does; zeros give zeros.
func TestMatMulInt8NaN(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		eachInt8Set(t, func(t *testing.T) {
			const outs, rows = 20, 4
			in := 2 * q.Columns()
			x := randoms(r, rows*in)
			clear(x[:in])
			x[in+in/2] = float32(math.NaN())
			x[2*in+1] = float32(math.Inf(-1))
			xq, dst := make([]byte, rows*QuantizedBytes(in)), make([]float32, rows*outs)
			QuantizeRows(xq, x, in, rows, in)
			q.MatMul(dst, outs, xq, rows, q.packed(q.randomRows(r, outs, in), outs, in), 0, outs, in)
			for i, v := range dst {
				switch row := i / outs; {
				case row == 0 && v != 0:
					t.Fatalf("zeros: output %d is %v", i%outs, v)
				case (row == 1 || row == 2) != (v != v):
					t.Fatalf("row %d, output %d is %v", row, i%outs, v)
				}
			}
		})
	})
}

// Products with the weights as they are, against x before it was rounded: the error is
// that of rounding x, half a step of its block for each weight.
func TestMatMulInt8RoundsOnlyX(t *testing.T) {
	r := source()
	eachQuant(t, func(t *testing.T, q Quant) {
		const outs = 16
		in := 4 * q.Columns()
		x := randoms(r, in)
		w := q.packed(q.randomRows(r, outs, in), outs, in)
		xq, dst, row := make([]byte, QuantizedBytes(in)), make([]float32, outs), make([]float32, in)
		QuantizeRows(xq, x, in, 1, in)
		q.MatMul(dst, outs, xq, 1, w, 0, outs, in)
		for o, got := range dst {
			q.UnpackRow(row, w, o)
			var want, bound float64
			for k, v := range row {
				var top float64
				for _, e := range x[k/xColumns*xColumns:][:xColumns] {
					top = max(top, math.Abs(float64(e)))
				}
				want += float64(v) * float64(x[k])
				bound += math.Abs(float64(v)) * top / 254 * 1.001 // and float32's rounding, far less
			}
			if !(math.Abs(float64(got)-want) <= bound) {
				t.Errorf("output %d is %v, want %v ± %v", o, got, want, bound)
			}
		}
	})
}

func TestQuant(t *testing.T) {
	for q, f := range quantFormats {
		if got, ok := QuantOf(f.name); !ok || got != Quant(q) || got.String() != f.name {
			t.Errorf("%s is format %v, %v", f.name, got, ok)
		}
		// Packing costs no more than 3 % where rows have whole spans.
		file, group := Quant(q).RowBytes(1536)*GroupRows, Quant(q).GroupBytes(1536)
		if group < file || float64(group) > 1.03*float64(file) {
			t.Errorf("%s: a group of %d bytes for %d in a file", f.name, group, file)
		}
		if group%64 != 0 || f.headBytes()%64 != 0 || f.blockBytes()%64 != 0 {
			t.Errorf("%s: heads of %d, blocks of %d and groups of %d bytes are not whole lines", f.name, f.headBytes(), f.blockBytes(), group)
		}
	}
	if _, ok := QuantOf("BF16"); ok {
		t.Error("BF16 is a format of quants")
	}
}

func TestInt8Misuse(t *testing.T) {
	x, w, dst := make([]byte, 2*QuantizedBytes(64)), make([]byte, 2*Q4_0.GroupBytes(64)), make([]float32, 64)
	for name, f := range map[string]func(){
		"x short":             func() { Q4_0.MatMul(dst, 32, x[:len(x)-1], 2, w, 0, 32, 64) },
		"w short":             func() { Q4_0.MatMul(dst, 32, x, 2, w[:len(w)-1], 0, 32, 64) },
		"dst short":           func() { Q4_0.MatMul(dst[:63], 32, x, 2, w, 0, 32, 64) },
		"stride":              func() { Q4_0.MatMul(dst, 31, x, 2, w, 0, 32, 64) },
		"outputs":             func() { Q4_0.MatMul(dst, 32, x, 2, w, 3, 2, 64) },
		"columns":             func() { Q4_K.MatMul(dst, 32, x, 1, w, 0, 1, 64) },
		"rows of x":           func() { QuantizeRows(x, dst, 33, 1, 33) },
		"QuantizeRows, dst":   func() { QuantizeRows(x[:len(x)-1], make([]float32, 128), 64, 2, 64) },
		"UnpackRow, no row":   func() { Q4_0.UnpackRow(dst, w, 32) },
		"UnpackRow, columns":  func() { Q4_0.UnpackRow(dst[:33], w, 0) },
		"PackGroup, src":      func() { Q4_0.PackGroup(w, make([]byte, 16*36-1), 16, 64) },
		"PackGroup, dst":      func() { Q4_0.PackGroup(w[:575], make([]byte, 16*36), 16, 64) },
		"PackGroup, rows":     func() { Q4_0.PackGroup(w, make([]byte, 17*36), 17, 64) },
		"PackGroup, no block": func() { Q4_0.PackGroup(w, make([]byte, 16*36), 16, 33) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
	Q4_0.MatMul(nil, 0, nil, 0, nil, 0, 0, 64) // nothing to do
}

// FACET_KERNEL picks the best set that it allows, and other names are errors.
func TestEnvironment(t *testing.T) {
	type choice struct {
		value string
		ok    bool
	}
	choices := []choice{{"", true}, {"sse", false}, {"AVX2", false}}
	for _, arch := range []string{"amd64", "arm64", "other"} {
		for _, value := range levelsOf(arch) {
			choices = append(choices, choice{value, value == Name()})
		}
	}
	for _, c := range choices {
		t.Setenv(Environment, c.value)
		if err := CheckEnvironment(); (err == nil) != c.ok {
			t.Errorf("%q: error %v", c.value, err)
		} else if err != nil && !strings.Contains(err.Error(), c.value) {
			t.Errorf("%q: error %q does not name it", c.value, err)
		}
	}
	checkChoice(t, sets(), func(s *bodies) string { return s.name })
	checkChoice(t, int8Sets(), func(s *int8Bodies) string { return s.name })
	checkChoice(t, bf16Sets(), func(s *bf16Bodies) string { return s.name })
}

// checkChoice checks which of sets, of one kind and best first, each value of Environment chooses.
func checkChoice[T any](t *testing.T, sets []*T, name func(*T) string) {
	t.Helper()
	for i, s := range sets {
		if level(name(s)) < 0 || i > 0 && level(name(s)) >= level(name(sets[i-1])) {
			t.Errorf("set %s, number %d of %d, is not between portable and the one before", name(s), i, len(sets))
		}
		t.Setenv(Environment, levels[level(name(s))])
		if got := best(sets, name); name(got) != name(s) {
			t.Errorf("%s chooses %s", os.Getenv(Environment), name(got))
		}
	}
	for _, value := range []string{"", levels[len(levels)-1], "nonsense"} {
		t.Setenv(Environment, value)
		if got := best(sets, name); got != sets[0] {
			t.Errorf("%q chooses %s of %s", value, name(got), name(sets[0]))
		}
	}
	t.Setenv(Environment, "portable")
	if got := best(sets, name); name(got) != "portable" {
		t.Errorf("portable chooses %s", name(got))
	}
}

// Weights from memory for few rows, from the second-level cache for many.
func BenchmarkMatMulInt8(b *testing.B) {
	const in = 1536
	eachQuant(b, func(b *testing.B, q Quant) {
		size := q.GroupBytes(in)
		groups := 128 << 20 / size
		w := make([]byte, groups*size)
		q.packedOnes(w, in)
		for _, rows := range []int{1, 4, 16, 192} {
			part := groups / 8
			if rows == 192 {
				part = 32
			}
			outs := part * GroupRows
			x, dst := make([]byte, rows*QuantizedBytes(in)), make([]float32, rows*outs)
			QuantizeRows(x, written[float32](rows*in), in, rows, in)
			b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
				eachInt8Set(b, func(b *testing.B) {
					if chosenInt8 == &portableInt8 {
						b.Skip("some minutes")
					}
					for i := 0; b.Loop(); i++ {
						q.MatMul(dst, outs, x, rows, w[i*part%groups/part*part*size:], 0, outs, in)
					}
					seconds := b.Elapsed().Seconds() / float64(b.N)
					b.ReportMetric(float64(part*size)/1e9/seconds, "GB/s")
					b.ReportMetric(2*float64(rows*outs*in)/1e9/seconds, "GOP/s")
				})
			})
		}
	})
	b.Run("peak", func(b *testing.B) {
		eachInt8Set(b, func(b *testing.B) {
			var n int64
			for b.Loop() {
				n += PeakInt8(10_000)
			}
			b.ReportMetric(float64(n)/1e9/b.Elapsed().Seconds(), "GOP/s")
		})
	})
}

// packedOnes fills groups with equal weights.
func (q Quant) packedOnes(w []byte, in int) {
	src := q.randomRows(source(), GroupRows, in)
	q.PackGroup(w, src, GroupRows, in)
	size := q.GroupBytes(in)
	for at := size; at < len(w); at += size {
		copy(w[at:], w[:size])
	}
}
