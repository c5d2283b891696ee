// Package quant turns values into the blocks of ggml's weight formats and back.
//
// A block holds a fixed number of neighbouring values of a row: small integers and the
// float16 scale that they are multiplied with. In every format a value is
//
//	Q4_0, Q5_0, Q8_0         v = q·d                       blocks of 32
//	Q4_1, Q5_1               v = q·d + m                   blocks of 32
//	Q4_K, Q5_K               v = q·(s·d) − (t·m)           super-blocks of 256, s and t for each 32
//	Q6_K                     v = q·(s·d)                   super-blocks of 256, s for each 16
//	F32, F16, BF16           v                             one by one
//
// where d and m are float16, s and t integers, and the arithmetic is float32 with every
// operation rounded, in this order. Dequantize gives the values of ggml's reference
// (ggml-quants.c) to the last bit, on every machine.
//
// Quantize chooses the integers and scales: see quantize.go. The package knows blocks
// and rows of them, no shapes and no threads.
package quant

import (
	"fmt"
	"math"

	"facet/internal/kernel"
)

// Format is one way to store values.
type Format struct {
	Name          string // ggml's, as in weights.Tensor's DType
	Values, Bytes int    // of one block

	limit      float32                         // the largest magnitude that can be written
	dequantize func(dst []float32, src []byte) // any number of blocks
	quantize   func(dst []byte, src []float32) // one block; nil where it is not written
}

// A scale is a float16, and the integers multiply it.
var formats = []*Format{
	{"F32", 1, 4, math.MaxFloat32, kernel.WidenF32LE, toF32},
	{"F16", 1, 2, maxHalf, kernel.WidenF16, toF16},
	{"BF16", 1, 2, 0x1.fep127, kernel.WidenBF16, toBF16},
	{"Q4_0", 32, 18, 8 * maxHalf, eachBlock(32, 18, fromQ4_0), toQ4_0},
	{"Q4_1", 32, 20, 0, eachBlock(32, 20, fromQ4_1), nil},
	{"Q5_0", 32, 22, 0, eachBlock(32, 22, fromQ5_0), nil},
	{"Q5_1", 32, 24, 0, eachBlock(32, 24, fromQ5_1), nil},
	{"Q8_0", 32, 34, 127 * maxHalf, eachBlock(32, 34, fromQ8_0), toQ8_0},
	{"Q4_K", 256, 144, 63 * maxHalf, eachBlock(256, 144, fromQ4K), toQ4K},
	{"Q5_K", 256, 176, 0, eachBlock(256, 176, fromQ5K), nil},
	{"Q6_K", 256, 210, 31 * 127 * maxHalf, eachBlock(256, 210, fromQ6K), toQ6K},
}

// eachBlock returns a function that calls f for each block.
func eachBlock(values, bytes int, f func(dst []float32, src []byte)) func(dst []float32, src []byte) {
	return func(dst []float32, src []byte) {
		for len(dst) > 0 {
			f(dst[:values:values], src[:bytes:bytes])
			dst, src = dst[values:], src[bytes:]
		}
	}
}

// Named returns the format with this name; ok is false if there is none.
func Named(name string) (f *Format, ok bool) {
	for _, f := range formats {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Fits reports whether a row of n values is a whole number of blocks.
func (f *Format) Fits(n int) bool { return n >= 0 && n%f.Values == 0 }

// Size returns the bytes that n values take. It panics unless they fit.
func (f *Format) Size(n int) int {
	if !f.Fits(n) {
		panic(fmt.Sprintf("quant: %d values are no whole number of %s blocks of %d", n, f.Name, f.Values))
	}
	return n / f.Values * f.Bytes
}

// Dequantize sets dst to the values that src holds. It panics unless they fit and
// src has exactly their bytes.
func (f *Format) Dequantize(dst []float32, src []byte) {
	if len(src) != f.Size(len(dst)) {
		panic(fmt.Sprintf("quant: Dequantize: %d bytes of %s for %d values", len(src), f.Name, len(dst)))
	}
	f.dequantize(dst, src)
}

// CanQuantize reports whether Quantize can write the format.
func (f *Format) CanQuantize() bool { return f.quantize != nil }

// Quantize sets dst to src in this format. NaN, infinities and values that are too
// large for it are an error that names the first by its place in src; dst is then
// undefined. It panics unless the values fit, dst has exactly their bytes and the
// format can be written.
func (f *Format) Quantize(dst []byte, src []float32) error {
	if f.quantize == nil {
		panic("quant: Quantize: " + f.Name + " is not written")
	}
	if len(dst) != f.Size(len(src)) {
		panic(fmt.Sprintf("quant: Quantize: %d bytes of %s for %d values", len(dst), f.Name, len(src)))
	}
	for i := 0; i < len(src); i += f.Values {
		block := src[i : i+f.Values]
		if j := outside(block, f.limit); j >= 0 {
			return fmt.Errorf("value %d is %g, which %s cannot hold", i+j, block[j], f.Name)
		}
		f.quantize(dst[:f.Bytes], block)
		dst = dst[f.Bytes:]
	}
	return nil
}

// outside returns the first value that is not within ±limit; −1 if all are.
func outside(block []float32, limit float32) int {
	for i, v := range block {
		if !(v >= -limit && v <= limit) { // also NaN
			return i
		}
	}
	return -1
}
