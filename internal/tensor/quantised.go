package tensor

import (
	"fmt"
	"sync"

	"facet/internal/kernel"
	"facet/internal/quant"
)

// quantised is a weight whose rows are blocks of a quantised format. It is multiplied
// exactly, as the values that the blocks stand for: a few rows at a time are
// dequantised and then multiplied in float32.
type quantised struct {
	format  *quant.Format
	data    []byte
	out, in int
}

// quantisedOf returns the weight [out, in] whose blocks are in data; it keeps data.
func quantisedOf(f *quant.Format, data []byte, out, in int) (Weight, error) {
	if !f.Fits(in) {
		return nil, fmt.Errorf("rows of %d values are no whole number of %s blocks of %d", in, f.Name, f.Values)
	}
	row := f.Size(in)
	if out < 0 || row > 0 && out > len(data)/row || len(data) != out*row {
		return nil, fmt.Errorf("%d bytes for %s values [%d, %d]", len(data), f.Name, out, in)
	}
	return &quantised{f, data, out, in}, nil
}

func (w *quantised) Out() int      { return w.out }
func (w *quantised) In() int       { return w.in }
func (w *quantised) Bytes() int64  { return int64(len(w.data)) }
func (w *quantised) DType() string { return w.format.Name }

func (w *quantised) rows(lo, hi int) Weight {
	return &quantised{w.format, w.bytes(lo, hi), hi - lo, w.in}
}

// bytes is the data of rows [lo, hi).
func (w *quantised) bytes(lo, hi int) []byte {
	row := w.format.Size(w.in)
	return w.data[lo*row : hi*row]
}

func (w *quantised) Row(dst []float32, i int) {
	if len(dst) != w.in || i < 0 || i >= w.out {
		panic(fmt.Sprintf("tensor: Row: row %d of a weight [%d, %d] into %d values", i, w.out, w.in, len(dst)))
	}
	w.format.Dequantize(dst, w.bytes(i, i+1))
}

// dequantisedValues is how many values are dequantised at a time: 256 KiB, which stay in
// the second-level cache until they are multiplied.
const dequantisedValues = 64 << 10

// dequantised holds the memory for them, which pieces of work pass on to each other.
var dequantised = sync.Pool{New: func() any { return new([]float32) }}

func (w *quantised) MatMul(p *Pool, dst, x Mat) {
	dst.check("MatMul", "dst")
	x.check("MatMul", "x")
	if dst.Rows != x.Rows || dst.Cols != w.out || x.Cols != w.in {
		panic(fmt.Sprintf("tensor: MatMul: dst %v, x %v, w [%d, %d]", dst, x, w.out, w.in))
	}
	if w.out == 0 || x.Rows == 0 {
		return
	}
	chunk := max(4, dequantisedValues/max(1, w.in)&^3) // rows in fours, as kernels take them
	p.Run(w.out, chunk, func(lo, hi int) {
		scratch := dequantised.Get().(*[]float32)
		defer dequantised.Put(scratch)
		m := Mat{Data: *scratch}
		m.Reshape(hi-lo, w.in)
		*scratch = m.Data
		w.format.Dequantize(m.Data, w.bytes(lo, hi))
		kernel.MatMulF32(dst.Data[lo:], w.out, x.Data, w.in, x.Rows, m.Data, w.in, hi-lo, w.in)
	})
}
