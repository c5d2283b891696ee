package kernel

import "fmt"

// bodies is one implementation of every function of the package. The exported
// functions check their arguments and call the chosen one, so a body may trust
// lengths.
type bodies struct {
	name       string
	add        func(dst, x []float32)
	addScaled  func(dst, x []float32, a float32)
	scale      func(x []float32, a float32)
	clamp      func(x []float32, lo, hi float32)
	geluMul    func(dst, gate, up []float32)
	sigmoidMul func(dst, gate, up []float32)
	softCap    func(x []float32, limit float32)
	rope       func(heads []float32, count, stride int, cos, sin []float32)
	rmsNorm    func(dst, x []float32, n int, w []float32, eps float32)
	max        func(x []float32) float32
	expSum     func(dst, x []float32, max float32) float32

	// The matrix products: see product.go.
	matMulF32   func(p product, w []float32)
	matMulBytes func(p product, f format, w []byte)
	weightedSum func(s sum)
	widen       func(dst []float32, f format, src []byte)

	peakFMA  func(n int) int64
	peakRead func(b []byte) uint64
}

// chosen is what the exported functions run. Only tests change it after start.
var chosen = best(sets(), func(b *bodies) string { return b.name })

// Name returns the name of the bodies in use: "portable", "avx2", "avx512", "vnni" (AVX-512
// with integer and bfloat16 products), "neon", "dotprod" (NEON with integer products) or
// "i8mm" (with better ones, and bfloat16 products).
func Name() string {
	switch integers, halves := chosenInt8.name, chosenBF16.name; {
	case integers == "vnni" && halves == "avx512bf16":
		return "vnni"
	case integers == "i8mm" && halves == "bf16":
		return "i8mm"
	case integers == "i8mm", integers == "dotprod":
		return "dotprod"
	}
	return chosen.name
}

// Add adds x to dst, element by element. x may be dst.
// It panics if the lengths differ.
func Add(dst, x []float32) {
	checkLen("Add", "x", len(x), len(dst))
	chosen.add(dst, x)
}

// AddScaled adds a·x to dst, element by element. x may be dst.
// It panics if the lengths differ.
func AddScaled(dst, x []float32, a float32) {
	checkLen("AddScaled", "x", len(x), len(dst))
	chosen.addScaled(dst, x, a)
}

// Scale multiplies every element of x by a.
func Scale(x []float32, a float32) { chosen.scale(x, a) }

// Clamp holds every element of x between lo and hi. NaN stays NaN.
func Clamp(x []float32, lo, hi float32) { chosen.clamp(x, lo, hi) }

// GELUMul sets dst to gelu(gate)·up, element by element, where
// gelu(g) = ½g·(1 + tanh(√(2/π)·(g + 0.044715·g³))), the tanh approximation of
// Hendrycks and Gimpel (arXiv:1606.08415, section 2; "gelu_pytorch_tanh" in
// configs). dst may be gate or up.
// It panics if the lengths differ.
func GELUMul(dst, gate, up []float32) {
	checkLen("GELUMul", "gate", len(gate), len(dst))
	checkLen("GELUMul", "up", len(up), len(dst))
	chosen.geluMul(dst, gate, up)
}

// SigmoidMul sets dst to up/(1 + exp(−gate)), element by element: a gated linear unit
// (arXiv:1612.08083, section 2), and where up is gate SiLU (arXiv:1606.08415). dst may be
// gate or up.
// It panics if the lengths differ.
func SigmoidMul(dst, gate, up []float32) {
	checkLen("SigmoidMul", "gate", len(gate), len(dst))
	checkLen("SigmoidMul", "up", len(up), len(dst))
	chosen.sigmoidMul(dst, gate, up)
}

// SoftCap sets every element of x to limit·tanh(x/limit), which bends values
// smoothly below ±limit (config key final_logit_softcapping).
func SoftCap(x []float32, limit float32) { chosen.softCap(x, limit) }

// Rope turns one head's vector in place by the angles whose cosines and sines are
// given: element i of the first half and element i of the second are the two
// coordinates of pair i ("rotate half"; RoFormer, arXiv:2104.09864, section 3.2.2,
// with the pairs laid out as in the Gemma checkpoints).
// It panics unless len(cos) = len(sin) = len(head)/2.
func Rope(head, cos, sin []float32) {
	if len(head) != 2*len(cos) {
		panic(fmt.Sprintf("kernel: Rope: a head of %d with %d cosines and %d sines", len(head), len(cos), len(sin)))
	}
	RopeHeads(head, 1, len(head), cos, sin)
}

// RopeHeads turns count vectors of 2·len(cos) values, stride apart in heads, as Rope does.
// It panics if they do not fit in heads or overlap, or if len(sin) is not len(cos).
func RopeHeads(heads []float32, count, stride int, cos, sin []float32) {
	checkMat("Rope", "heads", len(heads), stride, count, 2*len(cos))
	if len(cos) != len(sin) {
		panic(fmt.Sprintf("kernel: Rope: %d cosines and %d sines", len(cos), len(sin)))
	}
	chosen.rope(heads, count, stride, cos, sin)
}

// RMSNorm sets dst to x / √(mean(x²) + eps) · w, or without the weight where w is
// nil (arXiv:1910.07467, section 4; Gemma 4 multiplies by w, not 1 + w). dst may be x.
// It panics if the lengths differ.
func RMSNorm(dst, x, w []float32, eps float32) { RMSNormRows(dst, x, len(x), w, eps) }

// RMSNormRows is RMSNorm of each row of n values of x, one after the other.
// It panics if the lengths differ, or are not a whole number of rows.
func RMSNormRows(dst, x []float32, n int, w []float32, eps float32) {
	checkLen("RMSNorm", "x", len(x), len(dst))
	if w != nil && len(w) != n || n > 0 && len(x)%n != 0 {
		panic(fmt.Sprintf("kernel: RMSNorm: %d values in rows of %d, len(w) = %d", len(x), n, len(w)))
	}
	if n > 0 {
		chosen.rmsNorm(dst, x, n, w, eps)
	}
}

// Max returns the largest element of x, passing over NaN; −Inf if there is none.
func Max(x []float32) float32 { return chosen.max(x) }

// ExpSum sets dst to exp(x − max) and returns the sum of dst: the two parts of a
// softmax row. dst may be x. NaN goes through to dst and sum, −Inf gives 0.
// It panics if the lengths differ.
func ExpSum(dst, x []float32, max float32) float32 {
	checkLen("ExpSum", "x", len(x), len(dst))
	return chosen.expSum(dst, x, max)
}

// PeakFMA runs n rounds of independent float32 multiply-adds in registers, as wide
// as the bodies in use are, and returns how many floating-point operations that
// was (a multiply-add counts two). With the caller's clock it gives the multiply
// rate of one core, the limit that a matrix product can reach.
func PeakFMA(n int) int64 { return chosen.peakFMA(n) }

// PeakRead reads b from end to end, as fast as the bodies in use can load, and
// returns a checksum that keeps the loads from being optimised away. With the
// caller's clock, and a b larger than the caches, it gives the memory bandwidth of
// one core, the limit of a product with one row.
func PeakRead(b []byte) uint64 { return chosen.peakRead(b) }

func checkLen(function, name string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("kernel: %s: len(%s) = %d, len(dst) = %d", function, name, got, want))
	}
}
