package kernel

import (
	"fmt"
	"math"
)

// Products of bfloat16 values with float32 sums: twice the rate of float32 on CPUs
// with VDPBF16PS or BFDOT, for 8 bits of each factor instead of 24. The left operand is rounded
// by RoundBF16 first.

// bf16Bodies is one implementation of the bfloat16 kernels.
type bf16Bodies struct {
	name         string
	round        func(dst []uint16, dstStride int, x []float32, xStride, rows, n int, lo, hi float32)
	matMulRows   func(p halfProduct, w []byte, wStride int)
	matMulPanels func(p halfProduct, w []uint16, lo, hi float32)
	putKeys      func(page []uint16, slot int, k []float32, kStride int, v []float32, vStride, n, dim int)
	attend       func(a *Attention, t *AttentionTile)
	merge        func(a, next *Attention)
	finish       func(a *Attention, dst []float32, dstStride, group int)
	peak         func(n int) int64
}

// chosenBF16 is what the exported functions run. Only tests change it after start.
var chosenBF16 = best(bf16Sets(), func(b *bf16Bodies) string { return b.name })

// BF16Name returns the name of the bfloat16 bodies in use: "avx512bf16", "avx512",
// "avx2", "bf16" (arm64), "neon" or "portable". All but "avx512bf16" and "bf16" widen to
// float32.
func BF16Name() string { return chosenBF16.name }

// RoundBF16 rounds rows of x to bfloat16, to the nearest and ties to even, after holding
// them between lo and hi: dst[r·dstStride+i] = x[r·xStride+i] for i < n. It writes zeros
// up to the next multiple of 32, where the kernels that read dst expect them. NaN stays
// NaN; subnormal numbers may become 0.
// It panics if a slice is too short or a stride smaller than its row.
func RoundBF16(dst []uint16, dstStride int, x []float32, xStride, rows, n int, lo, hi float32) {
	checkMat("RoundBF16", "dst", len(dst), dstStride, rows, (n+31)&^31)
	checkMat("RoundBF16", "x", len(x), xStride, rows, n)
	if rows > 0 && n > 0 {
		chosenBF16.round(dst, dstStride, x, xStride, rows, n, lo, hi)
	}
}

// halfProduct is the operands of dst = x·Wᵀ, all but W: x [rows, in] in bfloat16, dst [rows, outs].
type halfProduct struct {
	dst       []float32
	dstStride int
	x         []uint16
	xStride   int
	rows      int
	outs, in  int
}

const (
	// PanelOuts is the number of rows of W that lie side by side in a panel.
	PanelOuts = 32
	// panelBlock is the number of products that a product with panels adds up before it
	// puts them into the result, as sumBlock does for float32.
	panelBlock = 768
	// rowBlock is the same for weights in rows.
	rowBlock = 1536
)

// MatMulBF16Rows sets dst [rows, outs] to x [rows, in] · (w [outs, in])ᵀ, x as RoundBF16
// left it: each row followed by zeros up to a multiple of 32. w is little-endian
// bfloat16 at any alignment; strides count values.
// It panics if a slice is too short or a stride smaller than its row.
func MatMulBF16Rows(dst []float32, dstStride int, x []uint16, xStride, rows int, w []byte, wStride, outs, in int) {
	p := halfProduct{dst, dstStride, x, xStride, rows, outs, in}
	checkMat("MatMulBF16Rows", "w", len(w)/2, wStride, outs, in)
	if p.check("MatMulBF16Rows") {
		chosenBF16.matMulRows(p, w, wStride)
	}
}

// PanelLen is the number of values of a weight [outs, in] in panels.
func PanelLen(outs, in int) int {
	return (outs + PanelOuts - 1) / PanelOuts * PanelOuts * ((in + 1) &^ 1)
}

// PackPanel writes one panel, rows [o, o+PanelOuts) of a weight, to dst: pairs of values
// along k with the outputs beside each other, [in/2][PanelOuts][2]. w holds those rows
// as RoundBF16 leaves them, wStride apart; rows from n on are filled with zeros.
// It panics if a slice is too short.
func PackPanel(dst []uint16, w []uint16, wStride, n, in int) {
	checkMat("PackPanel", "w", len(w), wStride, n, (in+1)&^1)
	if len(dst) < PanelLen(1, in) || n > PanelOuts {
		panic(fmt.Sprintf("kernel: PackPanel: %d rows of %d into %d values", n, in, len(dst)))
	}
	clear(dst[:PanelLen(1, in)])
	for o := range n {
		row := w[o*wStride:]
		for k := 0; k < in; k += 2 {
			at := k*PanelOuts + 2*o
			dst[at], dst[at+1] = row[k], row[k+1]
		}
	}
}

// MatMulBF16Panels sets dst [rows, outs] to x [rows, in] · Wᵀ held between lo and hi. x is as
// RoundBF16 left it and W as PackPanel did, one panel after the other.
// It panics if a slice is too short or a stride smaller than its row.
func MatMulBF16Panels(dst []float32, dstStride int, x []uint16, xStride, rows int, w []uint16, outs, in int, lo, hi float32) {
	p := halfProduct{dst, dstStride, x, xStride, rows, outs, in}
	if len(w) < PanelLen(outs, in) {
		panic(fmt.Sprintf("kernel: MatMulBF16Panels: %d values for panels of [%d, %d]", len(w), outs, in))
	}
	if p.check("MatMulBF16Panels") {
		chosenBF16.matMulPanels(p, w, lo, hi)
	}
}

// check panics on operands that do not fit and reports whether there is anything to do.
func (p *halfProduct) check(function string) bool {
	checkMat(function, "dst", len(p.dst), p.dstStride, p.rows, p.outs)
	checkMat(function, "x", len(p.x), p.xStride, p.rows, (p.in+31)&^31)
	return p.rows > 0 && p.outs > 0
}

// PeakBF16 is PeakFMA for products of bfloat16 pairs.
func PeakBF16(n int) int64 { return chosenBF16.peak(n) }

// widenHalf is the value of a bfloat16.
func widenHalf(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// roundHalf is the nearest bfloat16, of two equally near ones the even.
func roundHalf(v float32) uint16 {
	u := math.Float32bits(v)
	if v != v {
		return uint16(u>>16) | 0x40 // quiet, and not infinity where the upper half of the payload is 0
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
