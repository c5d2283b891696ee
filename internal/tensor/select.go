package tensor

import "fmt"

// MatMulRows sets dst[i] to row rows[i] of W times x, to the bit what MatMul has in column
// rows[i]. Shapes: x [W.In], dst and rows of equal length. Neighbouring rows cost less when
// they follow each other in rows.
// It panics on other shapes, and if w has no such row.
func MatMulRows(p *Pool, dst, x []float32, w Weight, rows []int32) {
	if len(dst) != len(rows) || len(x) != w.In() {
		panic(fmt.Sprintf("tensor: MatMulRows: dst [%d], x [%d], %d rows of w [%d, %d]", len(dst), len(x), len(rows), w.Out(), w.In()))
	}
	p.Run(len(rows), selectChunk, func(lo, hi int) {
		for n := 0; lo < hi; lo += n {
			n = 1
			for lo+n < hi && rows[lo+n] == rows[lo]+int32(n) {
				n++
			}
			first := int(rows[lo])
			RowsOf(w, first, first+n).MatMul(&alone, Mat{1, n, dst[lo : lo+n]}, Mat{1, len(x), x})
		}
	})
}

// alone is a pool of the thread that calls it, whichever that is, and so of use within a piece.
var alone Pool

// selectChunk is the number of rows that a thread takes at a time, some microseconds' worth.
const selectChunk = 16
