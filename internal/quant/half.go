package quant

import (
	"encoding/binary"
	"math"
)

const maxHalf = 65504 // the largest float16

// half returns the float16 that b begins with.
func half(b []byte) float32 { return fromHalf(binary.LittleEndian.Uint16(b)) }

// putHalf stores v, rounded to float16, and returns what was stored.
func putHalf(b []byte, v float32) float32 {
	h := toHalf(v)
	binary.LittleEndian.PutUint16(b, h)
	return fromHalf(h)
}

// fromHalf widens a float16 (IEEE 754 binary16), which is exact.
func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction · 2^−24
		v := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f: // infinities and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// toHalf rounds to the nearest float16, to the even one of two that are as near.
// Magnitudes from 65520 on become infinite.
func toHalf(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN
		return sign | 0x7e00
	case b >= 0x477ff000: // 65520, half a step above the largest
		return sign | 0x7c00
	case b < 0x38800000: // below 2^−14: a multiple of 2^−24, which float64 rounds
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*0x1p24))
	}
	b += 0xfff + b>>13&1 // carries into the exponent where the fraction is full
	return sign | uint16(b>>13-(127-15)<<10)
}

// toBFloat rounds to the nearest bfloat16, to the even one of two that are as near. v
// must not be NaN.
func toBFloat(v float32) uint16 {
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
