package kernel

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// portable is the definition of every kernel: float64 where rounding could be in
// question, no tricks where clarity would suffer. A compiler may fuse x*y + z.
var portable = bodies{
	name: "portable",
	add: func(dst, x []float32) {
		for i, v := range x {
			dst[i] += v
		}
	},
	addScaled: func(dst, x []float32, a float32) {
		for i, v := range x {
			dst[i] += a * v
		}
	},
	scale: func(x []float32, a float32) {
		for i := range x {
			x[i] *= a
		}
	},
	clamp: func(x []float32, lo, hi float32) {
		for i, v := range x {
			if v < lo { // false for NaN
				x[i] = lo
			} else if v > hi {
				x[i] = hi
			}
		}
	},
	geluMul: func(dst, gate, up []float32) {
		for i, g := range gate {
			dst[i] = float32(gelu(float64(g))) * up[i]
		}
	},
	sigmoidMul: func(dst, gate, up []float32) {
		for i, g := range gate {
			dst[i] = up[i] * float32(1/(1+math.Exp(-float64(g))))
		}
	},
	softCap: func(x []float32, limit float32) {
		for i, v := range x {
			x[i] = limit * float32(math.Tanh(float64(v/limit)))
		}
	},
	rope: func(heads []float32, count, stride int, cos, sin []float32) {
		half := len(cos)
		for h := range count {
			first, second := heads[h*stride:][:half], heads[h*stride+half:][:half]
			for i, c := range cos {
				a, b, s := first[i], second[i], sin[i]
				first[i] = a*c - b*s
				second[i] = b*c + a*s
			}
		}
	},
	rmsNorm: func(dst, x []float32, n int, w []float32, eps float32) {
		for ; len(x) >= n; dst, x = dst[n:], x[n:] {
			var squares float64
			for _, v := range x[:n] {
				squares += float64(v) * float64(v)
			}
			s := float32(1 / math.Sqrt(squares/float64(n)+float64(eps)))
			for i, v := range x[:n] {
				dst[i] = v * s
				if w != nil {
					dst[i] *= w[i]
				}
			}
		}
	},
	max: func(x []float32) float32 {
		top := float32(math.Inf(-1))
		for _, v := range x {
			if v > top {
				top = v
			}
		}
		return top
	},
	expSum: func(dst, x []float32, max float32) float32 {
		var sum float64
		for i, v := range x {
			dst[i] = float32(math.Exp(float64(v - max)))
			sum += float64(dst[i])
		}
		return float32(sum)
	},
	matMulF32: func(p product, w []float32) {
		p.portable(func(_ []float32, at, n int) []float32 { return w[at : at+n] })
	},
	matMulBytes: func(p product, f format, w []byte) {
		p.portable(func(buf []float32, at, n int) []float32 {
			portableWiden(buf[:n], f, w[at*f.size():])
			return buf[:n]
		})
	},
	weightedSum: func(s sum) {
		for r := range s.rows {
			dst := s.dst[r*s.dstStride:][:s.dim]
			for j, a := range s.w[r*s.wStride:][:s.n] {
				for d, v := range s.v[j*s.vStride:][:s.dim] {
					dst[d] += a * v
				}
			}
		}
	},
	widen: portableWiden,
	peakFMA: func(n int) int64 {
		var a, b, c, d float32 = 1, 2, 3, 4
		for range n {
			a, b, c, d = a*0.5+1, b*0.5+1, c*0.5+1, d*0.5+1
		}
		if a+b+c+d == 0 { // keeps the loop; the four go to 2
			return 0
		}
		return int64(n) * 8
	},
	peakRead: func(b []byte) uint64 {
		var s0, s1, s2, s3 uint64
		for ; len(b) >= 32; b = b[32:] {
			s0 |= binary.LittleEndian.Uint64(b)
			s1 |= binary.LittleEndian.Uint64(b[8:])
			s2 |= binary.LittleEndian.Uint64(b[16:])
			s3 |= binary.LittleEndian.Uint64(b[24:])
		}
		for _, v := range b {
			s0 |= uint64(v)
		}
		return s0 | s1 | s2 | s3
	},
}

// gelu uses ½(1 + tanh u) = 1/(1 + exp(−2u)), which keeps its precision where tanh is near −1.
func gelu(x float64) float64 {
	return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// portable computes the product with weights(buf, at, n), which returns values
// [at, at+n) of w as float32, in buf if it has to convert them. Each stretch of
// weights is converted once for all rows.
func (p *product) portable(weights func(buf []float32, at, n int) []float32) {
	var buf [sumBlock]float32
	for o := range p.outs {
		for k := 0; k == 0 || k < p.in; k += sumBlock {
			n := min(p.in-k, sumBlock)
			w := weights(buf[:], o*p.wStride+k, n)
			for r := range p.rows {
				s := dot(p.x[r*p.xStride+k:][:n], w)
				if k > 0 {
					s += p.dst[r*p.dstStride+o]
				}
				p.dst[r*p.dstStride+o] = s
			}
		}
	}
}

// dot returns Σ x·w. Four sums, for a quarter of the elements each, because one
// alone would wait for each addition to finish.
func dot(x, w []float32) float32 {
	w = w[:len(x)]
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(w) >= 4 { // the second is for the compiler
		s0 += x[0] * w[0]
		s1 += x[1] * w[1]
		s2 += x[2] * w[2]
		s3 += x[3] * w[3]
		x, w = x[4:], w[4:]
	}
	for i, v := range x {
		s0 += v * w[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func portableWiden(dst []float32, f format, src []byte) {
	switch f {
	case f32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case bf16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case f16:
		for i := range dst {
			dst[i] = fromF16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	}
}

// fromF16 widens a binary16: 1 sign, 5 exponent (bias 15) and 10 fraction bits.
func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&31), uint32(h&0x3ff)
	switch {
	case exponent == 31 && fraction != 0: // NaN is made quiet, as the CPU does
		return math.Float32frombits(sign | 0x7fc00000 | fraction<<13)
	case exponent == 31: // infinity
		return math.Float32frombits(sign | 0x7f800000)
	case exponent == 0 && fraction == 0:
		return math.Float32frombits(sign)
	case exponent == 0: // subnormal: fraction · 2⁻²⁴, which float32 holds as a normal number
		shift := uint32(bits.LeadingZeros16(uint16(fraction))) - 5 // brings the top bit to bit 10
		return math.Float32frombits(sign | (127-14-shift)<<23 | (fraction<<shift&0x3ff)<<13)
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}
