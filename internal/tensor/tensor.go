// Package tensor gives kernels shapes and threads: matrices of float32, weights in
// the formats that checkpoints store, and a pool of workers that share out rows.
//
// Threads share out rows and outputs, never a sum, so that every result has the
// same bits for any number of threads and for any way of cutting a batch.
package tensor

import (
	"fmt"

	"facet/internal/kernel"
)

// Mat is a matrix [Rows, Cols], row-major, rows one after the other in Data. Copies
// of a Mat share the data. The zero value is an empty matrix.
type Mat struct {
	Rows, Cols int
	Data       []float32
}

// New returns a matrix of zeros.
func New(rows, cols int) Mat { return Mat{rows, cols, make([]float32, rows*cols)} }

// Row returns row i, which shares m's data.
func (m Mat) Row(i int) []float32 {
	return m.Data[i*m.Cols : (i+1)*m.Cols : (i+1)*m.Cols]
}

// Slice returns rows [lo, hi), which share m's data.
func (m Mat) Slice(lo, hi int) Mat {
	return Mat{hi - lo, m.Cols, m.Data[lo*m.Cols : hi*m.Cols : hi*m.Cols]}
}

// Reshape makes m a [rows, cols] matrix, in its own memory where that suffices. What
// it holds afterwards is undefined.
func (m *Mat) Reshape(rows, cols int) {
	n := rows * cols
	if cap(m.Data) < n {
		m.Data = make([]float32, n)
	}
	m.Rows, m.Cols, m.Data = rows, cols, m.Data[:n]
}

func (m Mat) String() string { return fmt.Sprintf("[%d, %d]", m.Rows, m.Cols) }

// check panics unless m's data fits its shape.
func (m Mat) check(function, name string) {
	if m.Rows < 0 || m.Cols < 0 || len(m.Data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("tensor: %s: %s is %v with %d values", function, name, m, len(m.Data)))
	}
}

// RMSNorm sets each row of dst to x / √(mean(x²) + eps) · w, or without the weight
// where w is nil. Shapes: dst and x [T, D], w [D]; dst may be x.
// It panics on other shapes.
func RMSNorm(p *Pool, dst, x Mat, w []float32, eps float32) {
	dst.check("RMSNorm", "dst")
	x.check("RMSNorm", "x")
	if dst.Rows != x.Rows || dst.Cols != x.Cols || w != nil && len(w) != x.Cols {
		panic(fmt.Sprintf("tensor: RMSNorm: dst %v, x %v, w [%d]", dst, x, len(w)))
	}
	p.Run(x.Rows, 1+normChunk/(1+x.Cols), func(lo, hi int) {
		kernel.RMSNormRows(dst.Slice(lo, hi).Data, x.Slice(lo, hi).Data, x.Cols, w, eps)
	})
}

// normChunk is the number of values that one piece of RMSNorm's work holds: about a
// microsecond, which is what it costs to hand a piece out.
const normChunk = 1 << 14
