package tensor

import (
	"fmt"

	"facet/internal/kernel"
	"facet/internal/quant"
)

// Weight is a matrix W [Out, In] as a checkpoint stores it, to multiply with. It does
// not change and is safe for concurrent use.
type Weight interface {
	Out() int
	In() int
	// Bytes is the size of what is stored: what a product of one row has to read.
	Bytes() int64
	// DType is the stored format, as weights.Tensor names it.
	DType() string
	// MatMul sets dst to x·Wᵀ. Shapes: dst [T, Out], x [T, In]; dst must not overlap x.
	// It panics on other shapes. Row t of dst depends on row t of x alone, bit for bit.
	MatMul(p *Pool, dst, x Mat)
	// Row sets dst to row i of W as float32. It panics unless len(dst) = In.
	Row(dst []float32, i int)
	// rows returns rows [lo, hi) as a weight that shares the memory.
	rows(lo, hi int) Weight
}

// dtype is a stored format: its name, bytes a value, and the kernels that read it.
type dtype struct {
	name   string
	size   int
	matMul func(dst []float32, dstStride int, x []float32, xStride, rows int, w []byte, wStride, outs, in int)
	widen  func(dst []float32, src []byte)
}

var dtypes = []*dtype{
	{"BF16", 2, kernel.MatMulBF16, kernel.WidenBF16},
	{"F16", 2, kernel.MatMulF16, kernel.WidenF16},
	{"F32", 4, kernel.MatMulF32LE, kernel.WidenF32LE},
}

// WeightOf returns the weight [out, in] whose little-endian values are in data, row
// by row, at any alignment; it keeps data. dtype is BF16, F16, F32, or a format of
// blocks that quant knows, of which rows must be a whole number.
// Another dtype, or a length that does not fit, is an error.
func WeightOf(dtype string, data []byte, out, in int) (Weight, error) {
	for _, d := range dtypes {
		if d.name != dtype {
			continue
		}
		if out < 0 || in < 0 || in > 0 && out > len(data)/d.size/in || len(data) != out*in*d.size {
			return nil, fmt.Errorf("%d bytes for %s values [%d, %d]", len(data), dtype, out, in)
		}
		return &dense{d, data, out, in}, nil
	}
	if f, ok := quant.Named(dtype); ok {
		return quantisedOf(f, data, out, in)
	}
	return nil, fmt.Errorf("weights of type %s are not supported", dtype)
}

// RowsOf returns rows [lo, hi) of w as a weight that shares its memory.
// It panics if w has no such rows.
func RowsOf(w Weight, lo, hi int) Weight {
	if lo < 0 || hi < lo || hi > w.Out() {
		panic(fmt.Sprintf("tensor: RowsOf: rows [%d, %d) of a weight [%d, %d]", lo, hi, w.Out(), w.In()))
	}
	return w.rows(lo, hi)
}

// dense is a weight whose rows lie one after the other, value by value.
type dense struct {
	*dtype
	data    []byte
	out, in int
}

func (w *dense) Out() int      { return w.out }
func (w *dense) In() int       { return w.in }
func (w *dense) Bytes() int64  { return int64(len(w.data)) }
func (w *dense) DType() string { return w.name }

func (w *dense) rows(lo, hi int) Weight {
	return &dense{w.dtype, w.from(lo)[:(hi-lo)*w.in*w.size], hi - lo, w.in}
}

// from is the data from row i on.
func (w *dense) from(i int) []byte { return w.data[i*w.in*w.size:] }

func (w *dense) Row(dst []float32, i int) {
	if len(dst) != w.in || i < 0 || i >= w.out {
		panic(fmt.Sprintf("tensor: Row: row %d of a weight [%d, %d] into %d values", i, w.out, w.in, len(dst)))
	}
	w.widen(dst, w.from(i))
}

func (w *dense) MatMul(p *Pool, dst, x Mat) {
	dst.check("MatMul", "dst")
	x.check("MatMul", "x")
	if dst.Rows != x.Rows || dst.Cols != w.out || x.Cols != w.in {
		panic(fmt.Sprintf("tensor: MatMul: dst %v, x %v, w [%d, %d]", dst, x, w.out, w.in))
	}
	if w.out == 0 || x.Rows == 0 {
		return
	}
	t := w.tiling(p, x.Rows)
	p.Run(t.count(), t.chunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			r, o := i/t.across*t.rows, i%t.across*t.outs
			rows, outs := min(t.rows, x.Rows-r), min(t.outs, w.out-o)
			w.matMul(dst.Data[r*w.out+o:], w.out, x.Data[r*w.in:], w.in, rows, w.from(o), w.in, outs, w.in)
		}
	})
}

// tiling cuts a product into pieces of work of rows × outs each; chunk of them are
// taken at a time.
type tiling struct {
	rows, outs   int
	down, across int
	chunk        int
}

func (t tiling) count() int { return t.down * t.across }

const (
	// Pieces of fewer multiply-adds than this (a few microseconds) are not worth handing out.
	smallProduct = 1 << 15
	// A piece of few rows is this many bytes of weights: some microseconds at the memory's
	// speed, so that threads end together, and whole pages for the prefetcher.
	pieceBytes = 64 << 10
	// A piece of many rows has this many, so that its x stays in the second-level cache …
	pieceRows = 192
	// … and this many outputs, whose weights then stay there too.
	pieceOuts = 64
	// fewRows is where the reading of weights stops to be what limits a product.
	fewRows = 16
)

func (w *dense) tiling(p *Pool, rows int) tiling {
	if p.Threads() == 1 || rows*w.out*w.in < smallProduct {
		return tiling{rows, w.out, 1, 1, 1}
	}
	t := tiling{rows: rows, outs: pieceOuts, chunk: 1}
	if rows <= fewRows {
		t.outs = max(1, pieceBytes/(w.in*w.size))
	} else {
		t.rows = min(rows, pieceRows)
	}
	// Not fewer than two pieces a thread, and outs in fours, as kernels take them.
	t.outs = min(t.outs, (w.out+2*p.Threads()-1)/(2*p.Threads()))
	t.outs = (t.outs + 3) &^ 3
	t.down, t.across = (rows+t.rows-1)/t.rows, (w.out+t.outs-1)/t.outs
	return t
}
