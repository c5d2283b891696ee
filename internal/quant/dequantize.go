package quant

import "encoding/binary"

// The functions here take one block and follow ggml's dequantize_row_*. Products that are
// added to something are converted to float32 by name, which keeps a compiler from
// fusing the two: fused, the last bit would depend on the machine.

// Q4_0: d, then 16 bytes; byte j holds value j in its low half and value j + 16 in its high half.
func fromQ4_0(dst []float32, src []byte) {
	d := half(src)
	lo, hi := dst[:16], dst[16:32]
	for j, b := range src[2:18] {
		lo[j] = float32(int(b&15)-8) * d
		hi[j] = float32(int(b>>4)-8) * d
	}
}

// Q4_1: d, m, then as Q4_0.
func fromQ4_1(dst []float32, src []byte) {
	d, m := half(src), half(src[2:])
	lo, hi := dst[:16], dst[16:32]
	for j, b := range src[4:20] {
		lo[j] = float32(float32(b&15)*d) + m
		hi[j] = float32(float32(b>>4)*d) + m
	}
}

// Q5_0: d, a fifth bit for each value, then the other four as in Q4_0.
func fromQ5_0(dst []float32, src []byte) {
	d, fifth := half(src), binary.LittleEndian.Uint32(src[2:])
	lo, hi := dst[:16], dst[16:32]
	for j, b := range src[6:22] {
		lo[j] = float32(int(b&15)|int(fifth>>j&1)<<4-16) * d
		hi[j] = float32(int(b>>4)|int(fifth>>(j+16)&1)<<4-16) * d
	}
}

// Q5_1: d, m, then as Q5_0.
func fromQ5_1(dst []float32, src []byte) {
	d, m, fifth := half(src), half(src[2:]), binary.LittleEndian.Uint32(src[4:])
	lo, hi := dst[:16], dst[16:32]
	for j, b := range src[8:24] {
		lo[j] = float32(float32(uint32(b&15)|fifth>>j&1<<4)*d) + m
		hi[j] = float32(float32(uint32(b>>4)|fifth>>(j+16)&1<<4)*d) + m
	}
}

// Q8_0: d, then a signed byte for each value.
func fromQ8_0(dst []float32, src []byte) {
	d := half(src)
	dst = dst[:32]
	for j, b := range src[2:34] {
		dst[j] = float32(int8(b)) * d
	}
}

// kScales returns the scale and the minimum of sub-block j of a Q4_K or Q5_K block: 6 bits
// each, packed into 12 bytes. The first four of both lie in the low bits of bytes 0–3 and
// 4–7; of the last four, the low halves lie in bytes 8–11 and the high bits above the
// first four's.
func kScales(packed []byte, j int) (scale, minimum uint8) {
	if j < 4 {
		return packed[j] & 63, packed[j+4] & 63
	}
	return packed[j+4]&15 | packed[j-4]>>6<<4, packed[j+4]>>4 | packed[j]>>6<<4
}

// Q4_K: d, m, 12 bytes of scales, then 32 bytes for each pair of sub-blocks, the first in
// the low halves.
func fromQ4K(dst []float32, src []byte) {
	d, m := half(src), half(src[2:])
	scales, qs := src[4:16], src[16:144]
	for j := 0; j < 8; j += 2 {
		s0, t0 := kScales(scales, j)
		s1, t1 := kScales(scales, j+1)
		d0, m0 := d*float32(s0), m*float32(t0)
		d1, m1 := d*float32(s1), m*float32(t1)
		lo, hi := dst[32*j:32*j+32], dst[32*j+32:32*j+64]
		for i, b := range qs[16*j : 16*j+32] {
			lo[i] = float32(d0*float32(b&15)) - m0
			hi[i] = float32(d1*float32(b>>4)) - m1
		}
	}
}

// Q5_K: d, m, scales, 32 bytes whose bit j is the fifth bit of sub-block j's values, then as Q4_K.
func fromQ5K(dst []float32, src []byte) {
	d, m := half(src), half(src[2:])
	scales, fifth, qs := src[4:16], src[16:48], src[48:176]
	for j := 0; j < 8; j += 2 {
		s0, t0 := kScales(scales, j)
		s1, t1 := kScales(scales, j+1)
		d0, m0 := d*float32(s0), m*float32(t0)
		d1, m1 := d*float32(s1), m*float32(t1)
		lo, hi := dst[32*j:32*j+32], dst[32*j+32:32*j+64]
		for i, b := range qs[16*j : 16*j+32] {
			lo[i] = float32(d0*float32(b&15|fifth[i]>>j&1<<4)) - m0
			hi[i] = float32(d1*float32(b>>4|fifth[i]>>(j+1)&1<<4)) - m1
		}
	}
}

// Q6_K: for each half of 128 values 64 bytes of their low four bits and 32 of their high
// two, the halves' bytes together; then a signed scale for each 16 values, and d.
func fromQ6K(dst []float32, src []byte) {
	low, high, scales, d := src[:128], src[128:192], src[192:208], half(src[208:])
	for range 2 {
		for i, h := range high[:32] {
			a, b, s := low[i], low[i+32], scales[i/16:]
			dst[i] = d * float32(int8(s[0])) * float32(int(a&15|h&3<<4)-32)
			dst[i+32] = d * float32(int8(s[2])) * float32(int(b&15|h>>2&3<<4)-32)
			dst[i+64] = d * float32(int8(s[4])) * float32(int(a>>4|h>>4&3<<4)-32)
			dst[i+96] = d * float32(int8(s[6])) * float32(int(b>>4|h>>6<<4)-32)
		}
		dst, low, high, scales = dst[128:], low[64:], high[32:], scales[8:]
	}
}
