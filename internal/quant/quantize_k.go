package quant

import "math"

// toQ4K fits scale and minimum to each 32 values, then rounds all eight of both to
// multiples of the block's d and m, and the values to what these have become.
func toQ4K(dst []byte, src []float32) {
	var scales, minimums [8]float32
	var topScale, topMinimum float32
	for j := range scales {
		scales[j], minimums[j] = fitAffine(src[32*j : 32*j+32])
		topScale = max(topScale, scales[j])
		topMinimum = max(topMinimum, minimums[j])
	}
	d := putHalf(dst, topScale/63)
	m := putHalf(dst[2:], topMinimum/63)
	packed, qs := dst[4:16], dst[16:144]
	clear(packed)
	for j := range scales {
		s := uint8(roundEven(ratio(scales[j], topScale) * 63))
		t := uint8(roundEven(ratio(minimums[j], topMinimum) * 63))
		putKScales(packed, j, s, t)
	}
	clear(qs)
	for j := range scales {
		s, t := kScales(packed, j)
		scale, minimum := d*float32(s), m*float32(t)
		if scale == 0 {
			continue // every value is −minimum
		}
		for i, v := range src[32*j : 32*j+32] {
			q := byte(max(0, min(15, roundEven((v+minimum)/scale))))
			qs[j/2*32+i] |= q << (j % 2 * 4)
		}
	}
}

// putKScales stores what kScales reads, into bytes that are 0 before.
func putKScales(packed []byte, j int, scale, minimum uint8) {
	if j < 4 {
		packed[j] |= scale
		packed[j+4] |= minimum
		return
	}
	packed[j+4] |= scale&15 | minimum&15<<4
	packed[j-4] |= scale >> 4 << 6
	packed[j] |= minimum >> 4 << 6
}

// affine is the approximation v ≈ q·scale + offset by integers q of 0 … 15.
type affine struct{ scale, offset float32 }

const topQ4K = 15

// fitAffine returns a scale and a minimum, both of 0 or more, for which q·scale − minimum
// comes close to src: of 21 roundings to integers, each with a slightly other step, the
// one whose least-squares fit leaves the smallest error.
//
// Larger values weigh more: by their magnitude and the root mean square of all.
func fitAffine(src []float32) (scale, minimum float32) {
	var squares, lo, hi float32 // lo ≤ 0: the minimum can only be subtracted
	for _, v := range src {
		squares += v * v
		lo, hi = min(lo, v), max(hi, v)
	}
	if hi == lo {
		return 0, 0
	}
	var weights, q [32]float32
	mean := float32(math.Sqrt(float64(squares / float32(len(src)))))
	for i, v := range src {
		weights[i] = mean + abs(v)
	}
	best := affine{(hi - lo) / topQ4K, lo} // as it is where no least squares can be told
	roundAffine(q[:], src, lo, topQ4K/(hi-lo))
	bestError := best.error(src, weights[:], q[:])
	for step := range 21 {
		roundAffine(q[:], src, lo, (topQ4K-1+0.1*float32(step))/(hi-lo))
		fit, ok := leastSquares(src, weights[:], q[:])
		if !ok {
			continue
		}
		if e := fit.error(src, weights[:], q[:]); e < bestError {
			best, bestError = fit, e
		}
	}
	return best.scale, -best.offset
}

// roundAffine sets q to the integers of 0 … 15 nearest to (src − lo)·inverse.
func roundAffine(q, src []float32, lo, inverse float32) {
	for i, v := range src {
		// Adding and subtracting 1.5·2^23 rounds to the nearest integer, halves to the even one.
		q[i] = max(0, min(topQ4K, float32((v-lo)*inverse)+0x1.8p23-0x1.8p23))
	}
}

// error returns Σ weight·(q·scale + offset − v)².
func (a affine) error(src, weights, q []float32) float32 {
	var sum float32
	for i, v := range src {
		diff := q[i]*a.scale + a.offset - v
		sum += weights[i] * diff * diff
	}
	return sum
}

// leastSquares returns the scale and the offset of at most 0 that leave the smallest
// error for these integers; ok is false where they are all the same.
func leastSquares(src, weights, q []float32) (fit affine, ok bool) {
	var sw, sv, sq, sqq, sqv float32 // Σ weight, and of it times value, integer, …
	for i, v := range src {
		w, k := weights[i], q[i]
		sw += w
		sv += w * v
		sq += w * k
		sqq += w * k * k
		sqv += w * k * v
	}
	det := sw*sqq - sq*sq
	if !(det > 0) {
		return fit, false
	}
	fit = affine{(sw*sqv - sv*sq) / det, (sqq*sv - sq*sqv) / det}
	if fit.offset > 0 {
		fit = affine{sqv / sqq, 0}
	}
	return fit, fit.scale >= 0
}

// toQ6K fits a scale to each 16 values, then rounds all 16 of them to multiples of the
// block's d by −128 … 127, and the values to what these have become.
func toQ6K(dst []byte, src []float32) {
	low, high, scales := dst[:128], dst[128:192], dst[192:208]
	var fits [16]float32
	for j := range fits {
		fits[j] = fitScale(src[16*j : 16*j+16])
	}
	top := largest(fits[:])
	d := putHalf(dst[208:], top/-128)
	clear(dst[:208])
	for j := range fits {
		s := int8(min(127, roundEven(ratio(fits[j], top)*-128)))
		scales[j] = byte(s)
		scale := d * float32(s)
		for i, v := range src[16*j : 16*j+16] {
			q := 0
			if scale != 0 {
				q = max(-32, min(31, roundEven(v/scale)))
			}
			putQ6(low, high, 16*j+i, byte(q+32))
		}
	}
}

// putQ6 stores the six bits of value i where fromQ6K reads them, into bits that are 0 before.
func putQ6(low, high []byte, i int, q byte) {
	part, quarter, at := i/128, i/32%4, i%32
	low[64*part+quarter%2*32+at] |= q & 15 << (quarter / 2 * 4)
	high[32*part+at] |= q >> 4 << (2 * quarter)
}

// fitScale returns a scale for which q·scale with integers q of −32 … 31 comes close to
// src: of 19 roundings to integers, each with a slightly other step, the one whose
// least-squares fit leaves the smallest error. Values weigh by their squares.
func fitScale(src []float32) float32 {
	top := largest(src)
	if top == 0 {
		return 0
	}
	var scale, best float32
	for step := -9; step <= 9; step++ {
		inverse := -(32 + 0.1*float32(step)) / top
		var sqv, sqq float32
		for _, v := range src {
			q := max(-32, min(31, float32(v*inverse)+0x1.8p23-0x1.8p23))
			w := v * v
			sqv += w * q * v
			sqq += w * q * q
		}
		// The error left is Σ weight·v² − sqv²/sqq.
		if sqq > 0 && sqv*sqv > best*sqq {
			scale = sqv / sqq
			best = scale * sqv
		}
	}
	return scale
}

// ratio is v/top, for a top of at least v's magnitude; 0 where that is 0.
func ratio(v, top float32) float32 {
	if top == 0 {
		return 0
	}
	return v / top
}
