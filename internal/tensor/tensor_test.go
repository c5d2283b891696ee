package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"facet/internal/kernel"
)

func source() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

func random(r *rand.Rand, rows, cols int) Mat {
	m := New(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

// encode returns m's values as bytes of a dtype, cut to what it can hold.
func encode(dtype string, m Mat) []byte {
	var b []byte
	for _, v := range m.Data {
		u := math.Float32bits(v)
		switch dtype {
		case "F32":
			b = binary.LittleEndian.AppendUint32(b, u)
		case "BF16":
			b = binary.LittleEndian.AppendUint16(b, uint16(u>>16))
		case "F16": // normal numbers only, which random's are, all but a few that become 0
			h := uint16(u >> 16 & 0x8000)
			if e := int(u>>23&255) - 112; e > 0 {
				h |= uint16(e)<<10 | uint16(u>>13&1023)
			}
			b = binary.LittleEndian.AppendUint16(b, h)
		}
	}
	return b
}

// weightOf returns m as a weight, and as the matrix that it then is.
func weightOf(t testing.TB, dtype string, m Mat) (Weight, Mat) {
	t.Helper()
	w, err := WeightOf(dtype, encode(dtype, m), m.Rows, m.Cols)
	if err != nil {
		t.Fatal(err)
	}
	was := New(m.Rows, m.Cols)
	for i := range m.Rows {
		w.Row(was.Row(i), i)
	}
	return w, was
}

func sameBits(a, b Mat) bool {
	return slices.EqualFunc(a.Data, b.Data, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

var dtypeNames = []string{"BF16", "F16", "F32"}

func TestMat(t *testing.T) {
	m := New(3, 2)
	for i := range m.Data {
		m.Data[i] = float32(i)
	}
	if got, want := m.Row(1), []float32{2, 3}; !slices.Equal(got, want) {
		t.Errorf("row 1 is %v, want %v", got, want)
	}
	s := m.Slice(1, 3)
	if s.Rows != 2 || s.Cols != 2 || !slices.Equal(s.Row(1), []float32{4, 5}) {
		t.Errorf("rows 1 to 3 are %v: %v", s, s.Data)
	}
	_ = append(m.Row(0), 99)
	_ = append(m.Slice(0, 1).Data, 99)
	if m.Data[2] != 2 {
		t.Error("appending to a row changed the next one")
	}
	first := &m.Data[0]
	m.Reshape(2, 3)
	if m.Rows != 2 || m.Cols != 3 || len(m.Data) != 6 || &m.Data[0] != first {
		t.Errorf("Reshape to the same size: %v of %d values, same memory %v", m, len(m.Data), &m.Data[0] == first)
	}
	m.Reshape(1, 1)
	m.Reshape(2, 3)
	if &m.Data[0] != first {
		t.Error("Reshape gave memory away")
	}
	m.Reshape(10, 10)
	if len(m.Data) != 100 {
		t.Errorf("Reshape to 10 × 10 has %d values", len(m.Data))
	}
}

func TestWeightOf(t *testing.T) {
	for _, c := range []struct {
		dtype      string
		n, out, in int
		valid      bool
	}{
		{dtype: "BF16", n: 12, out: 2, in: 3, valid: true},
		{dtype: "F16", n: 12, out: 2, in: 3, valid: true},
		{dtype: "F32", n: 24, out: 2, in: 3, valid: true},
		{dtype: "F32", n: 0, out: 0, in: 3, valid: true},
		{dtype: "BF16", n: 11, out: 2, in: 3},
		{dtype: "BF16", n: 14, out: 2, in: 3},
		{dtype: "F32", n: 12, out: 2, in: 3},
		{dtype: "I64", n: 48, out: 2, in: 3},
		{dtype: "bf16", n: 12, out: 2, in: 3},
		{dtype: "F32", n: 4, out: -1, in: -1},
		{dtype: "F32", n: 0, out: 1 << 62, in: 4}, // the size in bytes overflows to 0
	} {
		w, err := WeightOf(c.dtype, make([]byte, c.n), c.out, c.in)
		if (err == nil) != c.valid {
			t.Errorf("%d bytes as %s [%d, %d]: error %v", c.n, c.dtype, c.out, c.in, err)
		}
		if err == nil && (w.Out() != c.out || w.In() != c.in || w.Bytes() != int64(c.n) || w.DType() != c.dtype) {
			t.Errorf("%d bytes as %s [%d, %d] is %s [%d, %d] of %d bytes", c.n, c.dtype, c.out, c.in, w.DType(), w.Out(), w.In(), w.Bytes())
		}
	}
}

func TestMatMul(t *testing.T) {
	p := newPool(t, 2)
	r := source()
	for _, dtype := range dtypeNames {
		for _, s := range [][3]int{{1, 300, 200}, {5, 7, 3}, {40, 130, 64}, {400, 70, 33}, {0, 5, 5}, {3, 0, 5}, {3, 5, 0}} {
			rows, out, in := s[0], s[1], s[2]
			w, values := weightOf(t, dtype, random(r, out, in))
			x, dst := random(r, rows, in), random(r, rows, out)
			w.MatMul(p, dst, x)
			for i := range rows {
				for o := range out {
					var want, size float64
					for k := range in {
						v := float64(x.Row(i)[k]) * float64(values.Row(o)[k])
						want += v
						size += math.Abs(v)
					}
					got := float64(dst.Row(i)[o])
					if bound := float64(in+1) * 0x1p-24 * size; !(math.Abs(got-want) <= bound) {
						t.Fatalf("%s [%d, %d]·[%d, %d]ᵀ: dst[%d][%d] = %v, want %v ± %v", dtype, rows, in, out, in, i, o, got, want, bound)
					}
				}
			}
		}
	}
}

// The same bits for any number of threads, any cut of the batch and any cut of the weight.
func TestMatMulSameBits(t *testing.T) {
	r := source()
	x := random(r, 260, 96)
	for _, dtype := range dtypeNames {
		w, _ := weightOf(t, dtype, random(r, 230, 96))
		sameBitsHowever(t, dtype, w, x, 1, 50, 129)
	}
}

// sameBitsHowever compares the product of x and w, computed at once by one thread, with
// that of any number of threads, any cut of the batch, and cuts of w into pieces of steps.
func sameBitsHowever(t *testing.T, name string, w Weight, x Mat, steps ...int) {
	t.Helper()
	rows, out := x.Rows, w.Out()
	want := New(rows, out)
	w.MatMul(newPool(t, 1), want, x)
	for _, threads := range []int{1, 2, 3, 4} {
		p := newPool(t, threads)
		for _, step := range []int{1, 2, 7, 17, 200, rows} {
			got := New(rows, out)
			for lo := 0; lo < rows; lo += step {
				hi := min(lo+step, rows)
				w.MatMul(p, got.Slice(lo, hi), x.Slice(lo, hi))
			}
			if !sameBits(got, want) {
				t.Fatalf("%s: %d threads, %d rows at a time: other bits than one thread, all rows", name, threads, step)
			}
		}
		for _, step := range steps {
			for lo := 0; lo < out; lo += step {
				hi := min(lo+step, out)
				part := New(rows, hi-lo)
				RowsOf(w, lo, hi).MatMul(p, part, x)
				for i := range rows {
					if !slices.Equal(part.Row(i), want.Row(i)[lo:hi]) {
						t.Fatalf("%s: %d threads, rows [%d, %d) of the weight: other bits than the whole", name, threads, lo, hi)
					}
				}
			}
		}
	}
}

func TestTilingCoversTheProduct(t *testing.T) {
	for _, threads := range []int{1, 2, 16} {
		p := &Pool{workers: make([]*worker, threads-1)}
		for _, rows := range []int{1, 2, 16, 17, 192, 193, 5000} {
			for _, out := range []int{1, 3, 64, 100, 12288} {
				for _, in := range []int{1, 768, 12288} {
					w := &dense{dtypes[0], nil, out, in}
					c := w.tiling(p, rows)
					if c.rows*c.down < rows || c.rows*(c.down-1) >= rows || c.outs*c.across < out || c.outs*(c.across-1) >= out {
						t.Errorf("%d threads, %d rows, weight [%d, %d]: pieces %+v", threads, rows, out, in, c)
					}
				}
			}
		}
	}
}

func TestRow(t *testing.T) {
	m := random(source(), 5, 7)
	for _, dtype := range dtypeNames {
		w, values := weightOf(t, dtype, m)
		if dtype == "F32" && !sameBits(values, m) {
			t.Error("F32 values change")
		}
		for i, v := range values.Data { // bf16 keeps 8 bits of the number, binary16 11
			if math.Abs(float64(v-m.Data[i])) > math.Abs(float64(m.Data[i]))/128 {
				t.Errorf("%s: value %d is %v, stored from %v", dtype, i, v, m.Data[i])
			}
		}
		row := make([]float32, 7)
		RowsOf(w, 2, 4).Row(row, 1)
		if !slices.Equal(row, values.Row(3)) {
			t.Errorf("%s: row 1 of rows 2 to 4 is %v, want %v", dtype, row, values.Row(3))
		}
		if part := RowsOf(w, 2, 4); part.Bytes() != w.Bytes()/5*2 || part.Out() != 2 || part.In() != 7 {
			t.Errorf("%s: rows 2 to 4 are [%d, %d] of %d bytes", dtype, part.Out(), part.In(), part.Bytes())
		}
	}
}

func TestRMSNorm(t *testing.T) {
	const rows, cols, eps = 500, 40, 1e-6
	r := source()
	x, w := random(r, rows, cols), random(r, 1, cols).Data
	var want Mat
	for _, threads := range []int{1, 2, 4} {
		dst := New(rows, cols)
		RMSNorm(newPool(t, threads), dst, x, w, eps)
		for i := range rows {
			var squares float64
			for _, v := range x.Row(i) {
				squares += float64(v) * float64(v)
			}
			for j, got := range dst.Row(i) {
				exact := float64(x.Row(i)[j]) / math.Sqrt(squares/cols+eps) * float64(w[j])
				// Six roundings after a sum of positive terms, whose error the root halves.
				if bound := (cols/2 + 6) * 0x1p-24 * math.Abs(exact); !(math.Abs(float64(got)-exact) <= bound) {
					t.Fatalf("%d threads: [%d][%d] = %v, want %v", threads, i, j, got, exact)
				}
			}
		}
		if threads == 1 {
			want = dst
		} else if !sameBits(dst, want) {
			t.Errorf("%d threads: other bits than one", threads)
		}
	}
	RMSNorm(newPool(t, 2), x, x, w, eps)
	if !sameBits(x, want) {
		t.Error("in place: other bits")
	}
}

func TestWrongShapesPanic(t *testing.T) {
	p := newPool(t, 1)
	w, err := WeightOf("F32", make([]byte, 4*6), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(){
		"MatMul, rows":       func() { w.MatMul(p, New(4, 2), New(5, 3)) },
		"MatMul, out":        func() { w.MatMul(p, New(4, 3), New(4, 3)) },
		"MatMul, in":         func() { w.MatMul(p, New(4, 2), New(4, 2)) },
		"MatMul, data":       func() { w.MatMul(p, Mat{4, 2, make([]float32, 7)}, New(4, 3)) },
		"Row, length":        func() { w.Row(make([]float32, 2), 0) },
		"Row, number":        func() { w.Row(make([]float32, 3), 2) },
		"RowsOf, end":        func() { RowsOf(w, 1, 3) },
		"RowsOf, order":      func() { RowsOf(w, 2, 1) },
		"RMSNorm, shapes":    func() { RMSNorm(p, New(2, 3), New(3, 2), nil, 0) },
		"RMSNorm, weight":    func() { RMSNorm(p, New(2, 3), New(2, 3), make([]float32, 2), 0) },
		"Row of no such row": func() { New(2, 3).Row(2) },
	} {
		if panicOf(f) == nil {
			t.Errorf("%s: no panic", name)
		}
	}
}

// The step of one sequence, [1, 1536]·[12288, 1536]ᵀ, and a piece of a prompt,
// [512, 1536]·[6144, 1536]ᵀ, with the weights of several layers in turns so that none
// stays in a cache.
func BenchmarkMatMul(b *testing.B) {
	const in, turns = 1536, 8
	data := make([]byte, turns*12288*in*2)
	for i := range data {
		data[i] = byte(i%7) | 0x38
	}
	for _, c := range []struct{ rows, out int }{{1, 12288}, {4, 12288}, {8, 12288}, {16, 12288}, {512, 6144}} {
		x, dst := random(source(), c.rows, in), New(c.rows, c.out)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("rows=%d/threads=%d", c.rows, threads), func(b *testing.B) {
				p := newPool(b, threads)
				size := c.out * in * 2
				for i := 0; b.Loop(); i++ {
					at := i % turns * size
					w, err := WeightOf("BF16", data[at:at+size], c.out, in)
					if err != nil {
						b.Fatal(err)
					}
					w.MatMul(p, dst, x)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(float64(size)/1e9/seconds, "GB/s")
				b.ReportMetric(2*float64(c.rows*c.out*in)/1e9/seconds, "GFLOP/s")
			})
		}
	}
}

// The memory's limit, for BenchmarkMatMul with few rows: threads that only read.
func BenchmarkRead(b *testing.B) {
	data := make([]byte, 256<<20)
	for i := range data {
		data[i] = 1
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p := newPool(b, threads)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				p.Run(len(data), 1<<20, func(lo, hi int) { kernel.PeakRead(data[lo:hi]) })
			}
		})
	}
}
