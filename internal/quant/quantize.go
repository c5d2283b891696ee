package quant

import (
	"encoding/binary"
	"math"
)

// The choices of scales here are those of ggml's reference quantisers (ggml-quants.c,
// quantize_row_*_ref, without an importance matrix), and give its bytes for Q4_0 and
// Q8_0, with one exception: values that lie on a Q4_0 grid are kept exactly, whatever
// the grid (exactQ4_0). Values of a block are finite and within the format's limit.

func toF32(dst []byte, src []float32) {
	binary.LittleEndian.PutUint32(dst, math.Float32bits(src[0]))
}

func toF16(dst []byte, src []float32) { binary.LittleEndian.PutUint16(dst, toHalf(src[0])) }

func toBF16(dst []byte, src []float32) { binary.LittleEndian.PutUint16(dst, toBFloat(src[0])) }

// toQ8_0 takes the scale that makes the largest magnitude 127.
func toQ8_0(dst []byte, src []float32) {
	d := abs(largest(src)) / 127
	inverse := inverseOf(d)
	putHalf(dst, d)
	for j, v := range src {
		dst[2+j] = byte(int8(roundAway(v * inverse)))
	}
}

// toQ4_0 takes the scale that makes the value of largest magnitude −8, the one integer
// without a counterpart, unless the values lie on a grid already.
func toQ4_0(dst []byte, src []float32) {
	d := largest(src) / -8
	inverse := inverseOf(d)
	if exact, ok := exactQ4_0(src); ok {
		d, inverse = exact, inverseOf(exact)
	}
	putHalf(dst, d)
	for j := range 16 {
		dst[2+j] = q4(float32(src[j]*inverse)) | q4(float32(src[j+16]*inverse))<<4 // not fused with what q4 adds
	}
}

// q4 is the nearest integer of −8 … 7, stored with 8 added.
func q4(v float32) byte { return byte(min(15, int8(v+8.5))) }

// exactQ4_0 returns a scale that is a float16 and of which every value is a multiple by
// −8 … 7, if there is one.
//
// Checkpoints trained for Q4_0 are published with such values, and their scales need
// not be an eighth of the largest value: a block whose largest integer is 5 would come
// out on another grid, and with it the whole model. Where the values are all bfloat16
// the products may have been rounded to it, and it is these roundings that must agree.
func exactQ4_0(src []float32) (d float32, ok bool) {
	top := largest(src)
	if top == 0 {
		return 0, false
	}
	least := leastAbove0(src)
	var room [len(q4Integers)]uint16
	centers := room[:0] // float16 scales of which the largest value may be a multiple
	for _, k := range q4Integers {
		if least < abs(top/k)*(1-0x1p-7) { // the multiple by 1, but for rounding, is not reached
			continue
		}
		center := toHalf(top / k)
		if d := fromHalf(center); onGrid(src, d, false) {
			return d, true
		}
		centers = append(centers, center)
	}
	if !allBFloat(src) {
		return 0, false
	}
	for _, center := range centers {
		for step := range uint16(halfSteps) {
			for _, h := range [2]uint16{center - step, center + step} {
				if d := fromHalf(h); onGrid(src, d, true) {
					return d, true
				}
			}
		}
	}
	return 0, false
}

// q4Integers are those the largest value may be, first the one that ggml makes it.
var q4Integers = [...]float32{-8, 7, -7, 6, -6, 5, -5, 4, -4, 3, -3, 2, -2, 1, -1}

// halfSteps is how far a scale may lie from the quotient that a bfloat16 gives: half a
// step of bfloat16 is at most 2^−8 of a value, a step of float16 at least 2^−11.
const halfSteps = 9

// onGrid reports whether every value is a multiple of d by −8 … 7; once rounded to
// bfloat16, if rounded is true.
func onGrid(src []float32, d float32, rounded bool) bool {
	if d == 0 || math.IsInf(float64(d), 0) || math.IsNaN(float64(d)) {
		return false
	}
	inverse := 1 / d
	for _, v := range src {
		q := math.RoundToEven(float64(v * inverse))
		if q < -8 || q > 7 {
			return false
		}
		product := float32(q) * d
		if rounded {
			product = math.Float32frombits(uint32(toBFloat(product)) << 16)
		}
		if product != v {
			return false
		}
	}
	return true
}

func allBFloat(src []float32) bool {
	for _, v := range src {
		if math.Float32bits(v)&0xffff != 0 {
			return false
		}
	}
	return true
}

// largest returns the value of largest magnitude, the first of equals.
func largest(src []float32) float32 {
	var top float32
	for _, v := range src {
		if abs(v) > abs(top) {
			top = v
		}
	}
	return top
}

// leastAbove0 returns the smallest magnitude that is not 0.
func leastAbove0(src []float32) float32 {
	least := float32(math.Inf(1))
	for _, v := range src {
		if v != 0 {
			least = min(least, abs(v))
		}
	}
	return least
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// inverseOf is 1/d; 0 for 0 and where it is infinite, so that no product with it is NaN.
func inverseOf(d float32) float32 {
	if inverse := 1 / d; !math.IsInf(float64(inverse), 0) {
		return inverse
	}
	return 0
}

// roundAway rounds to the nearest integer, halves away from 0.
func roundAway(v float32) float32 { return float32(math.Round(float64(v))) }

// roundEven rounds to the nearest integer, halves to the even one.
func roundEven(v float32) int { return int(math.RoundToEven(float64(v))) }
