package kernel

import "fmt"

// format is how a weight is stored, little-endian.
type format int

const (
	f32  format = iota // IEEE 754 binary32
	bf16               // the upper half of a binary32
	f16                // IEEE 754 binary16
)

func (f format) size() int {
	if f == f32 {
		return 4
	}
	return 2
}

// product is the operands of dst = x·Wᵀ, all but W: x [rows, in], dst [rows, outs].
type product struct {
	dst       []float32
	dstStride int
	x         []float32
	xStride   int
	rows      int
	wStride   int
	outs, in  int
}

// sumBlock is the number of products that a matrix product adds up before it puts
// them into the result: dst = ((block 0 + block 1) + block 2) + …, blocks starting at
// multiples of sumBlock. It keeps six rows of x in the first-level cache while
// weights stream past, and keeps the rounding error of long sums small.
const sumBlock = 1024

// MatMulF32 sets dst[r·dstStride+o] = Σₖ x[r·xStride+k] · w[o·wStride+k] for r < rows,
// o < outs, k < in: dst [rows, outs] = x [rows, in] · (w [outs, in])ᵀ. The slices may
// be longer than needed.
// It panics if one is too short or a stride smaller than its row.
func MatMulF32(dst []float32, dstStride int, x []float32, xStride, rows int, w []float32, wStride, outs, in int) {
	p := product{dst, dstStride, x, xStride, rows, wStride, outs, in}
	if p.check("MatMulF32", len(w)) {
		chosen.matMulF32(p, w)
	}
}

// MatMulF32LE is MatMulF32 over the little-endian bytes of w, at any alignment.
func MatMulF32LE(dst []float32, dstStride int, x []float32, xStride, rows int, w []byte, wStride, outs, in int) {
	matMulBytes("MatMulF32LE", f32, product{dst, dstStride, x, xStride, rows, wStride, outs, in}, w)
}

// MatMulBF16 is MatMulF32 over a w of little-endian bfloat16 values, which are
// widened to float32 on the way; wStride counts values.
func MatMulBF16(dst []float32, dstStride int, x []float32, xStride, rows int, w []byte, wStride, outs, in int) {
	matMulBytes("MatMulBF16", bf16, product{dst, dstStride, x, xStride, rows, wStride, outs, in}, w)
}

// MatMulF16 is MatMulF32 over a w of little-endian binary16 values, which are
// widened to float32 on the way; wStride counts values.
func MatMulF16(dst []float32, dstStride int, x []float32, xStride, rows int, w []byte, wStride, outs, in int) {
	matMulBytes("MatMulF16", f16, product{dst, dstStride, x, xStride, rows, wStride, outs, in}, w)
}

func matMulBytes(function string, f format, p product, w []byte) {
	if p.check(function, len(w)/f.size()) {
		chosen.matMulBytes(p, f, w)
	}
}

// check panics on operands that do not fit and reports whether there is anything to do.
func (p *product) check(function string, wLen int) bool {
	checkMat(function, "dst", len(p.dst), p.dstStride, p.rows, p.outs)
	checkMat(function, "x", len(p.x), p.xStride, p.rows, p.in)
	checkMat(function, "w", wLen, p.wStride, p.outs, p.in)
	return p.rows > 0 && p.outs > 0
}

// sum is the operands of dst[r] += Σⱼ w[r][j]·v[j]: w [rows, n], v [n, dim], dst [rows, dim].
type sum struct {
	dst       []float32
	dstStride int
	w         []float32
	wStride   int
	rows      int
	v         []float32
	vStride   int
	n, dim    int
}

// WeightedSum adds w·v to dst: dst[r·dstStride+d] += Σⱼ w[r·wStride+j] · v[j·vStride+d] for
// r < rows, j < n, d < dim. Terms are added to dst one after the other in order
// of j, so a sum may be cut between calls at any j. The slices may be longer than
// needed.
// It panics if one is too short or a stride smaller than its row.
func WeightedSum(dst []float32, dstStride int, w []float32, wStride, rows int, v []float32, vStride, n, dim int) {
	checkMat("WeightedSum", "dst", len(dst), dstStride, rows, dim)
	checkMat("WeightedSum", "w", len(w), wStride, rows, n)
	checkMat("WeightedSum", "v", len(v), vStride, n, dim)
	if rows > 0 && n > 0 && dim > 0 {
		chosen.weightedSum(sum{dst, dstStride, w, wStride, rows, v, vStride, n, dim})
	}
}

// WidenF32LE sets dst to the float32 values whose little-endian bytes src begins with.
// It panics if src is too short.
func WidenF32LE(dst []float32, src []byte) { widen("WidenF32LE", dst, f32, src) }

// WidenBF16 sets dst to the bfloat16 values, little-endian, that src begins with.
// Every value is exact; NaN keeps its sign and payload.
// It panics if src is too short.
func WidenBF16(dst []float32, src []byte) { widen("WidenBF16", dst, bf16, src) }

// WidenF16 sets dst to the binary16 values, little-endian, that src begins with.
// Every value is exact; NaN stays NaN.
// It panics if src is too short.
func WidenF16(dst []float32, src []byte) { widen("WidenF16", dst, f16, src) }

func widen(function string, dst []float32, f format, src []byte) {
	if len(src)/f.size() < len(dst) {
		panic(fmt.Sprintf("kernel: %s: %d bytes for %d values", function, len(src), len(dst)))
	}
	chosen.widen(dst, f, src)
}

// checkMat panics unless rows of cols values, stride apart, lie within n values.
func checkMat(function, name string, n, stride, rows, cols int) {
	switch {
	case rows < 0 || cols < 0:
	case rows == 0 || cols == 0:
		return
	case (rows == 1 || stride >= cols) && (rows-1)*stride+cols <= n:
		return
	}
	panic(fmt.Sprintf("kernel: %s: %s [%d, %d] with stride %d does not fit in %d values", function, name, rows, cols, stride, n))
}
