package audio

import (
	"encoding/binary"
	"math"
)

// A sampleFormat is how samples lie in a file.
type sampleFormat struct {
	codec  string // FFmpeg's name
	width  int    // bytes a sample
	decode func(dst []float32, src []byte)
}

// pcmFormat returns integers of a width in bytes. Integers of fewer bits than that lie at the upper end, so that the
// width alone counts. 8 bits are unsigned.
func pcmFormat(width int) (sampleFormat, bool) {
	switch width {
	case 1:
		return sampleFormat{"pcm_u8", 1, decodeU8}, true
	case 2:
		return sampleFormat{"pcm_s16le", 2, decodeS16}, true
	case 3:
		return sampleFormat{"pcm_s24le", 3, decodeS24}, true
	case 4:
		return sampleFormat{"pcm_s32le", 4, decodeS32}, true
	}
	return sampleFormat{}, false
}

func floatFormat(width int) (sampleFormat, bool) {
	switch width {
	case 4:
		return sampleFormat{"pcm_f32le", 4, decodeF32}, true
	case 8:
		return sampleFormat{"pcm_f64le", 8, decodeF64}, true
	}
	return sampleFormat{}, false
}

var (
	aLawFormat  = sampleFormat{"pcm_alaw", 1, func(dst []float32, src []byte) { decodeTable(dst, src, &aLaw) }}
	muLawFormat = sampleFormat{"pcm_mulaw", 1, func(dst []float32, src []byte) { decodeTable(dst, src, &muLaw) }}
)

func decodeU8(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int(src[i])-128) / 0x1p7
	}
}

func decodeS16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:]))) / 0x1p15
	}
}

func decodeS24(dst []float32, src []byte) {
	for i := range dst {
		b := src[3*i : 3*i+3]
		dst[i] = float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / 0x1p31
	}
}

func decodeS32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:]))) / 0x1p31
	}
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

func decodeTable(dst []float32, src []byte, table *[256]float32) {
	for i := range dst {
		dst[i] = table[src[i]]
	}
}

// The values of ITU-T G.711, its 13 and 14 bits set into 16 as everywhere.
var aLaw, muLaw = companded()

func companded() (a, mu [256]float32) {
	for i := range 256 {
		// A-law sends its even bits inverted: sign, exponent of 3 bits, mantissa of 4; a set sign bit is plus.
		b := byte(i) ^ 0x55
		v := int(b&0x0f)<<4 + 8
		if e := int(b >> 4 & 7); e > 0 {
			v = (v + 0x100) << (e - 1)
		}
		if b&0x80 == 0 {
			v = -v
		}
		a[i] = float32(v) / 0x1p15

		// µ-law sends all bits inverted, and a magnitude that had 33 added in 14 bits; a set sign bit is minus.
		b = ^byte(i)
		v = (int(b&0x0f)<<3+0x84)<<(b>>4&7) - 0x84
		if b&0x80 != 0 {
			v = -v
		}
		mu[i] = float32(v) / 0x1p15
	}
	return a, mu
}
