//go:build cgo && !purego && (amd64 || (arm64 && (linux || darwin)))

package kernel

// #include "int8.h"
//
// static void quantize_rows(const facet_int8 *b, uint8_t *dst, const float *x, int64_t x_stride, int64_t rows, int64_t in) {
//   b->quantize_rows(dst, x, x_stride, rows, in);
// }
// static void mat_mul_int8(const facet_int8 *b, int quant, float *dst, int64_t dst_stride, const uint8_t *x, int64_t x_stride, int64_t rows,
//                          const uint8_t *w, int64_t lo, int64_t hi, int64_t in) {
//   b->mat_mul_int8(quant, dst, dst_stride, x, x_stride, rows, w, lo, hi, in);
// }
// static int64_t peak_int8(const facet_int8 *b, int64_t n) { return b->peak_int8(n); }
//
// #cgo noescape quantize_rows
// #cgo nocallback quantize_rows
// #cgo noescape mat_mul_int8
// #cgo nocallback mat_mul_int8
// #cgo noescape peak_int8
// #cgo nocallback peak_int8
import "C"

// int8InC wraps a table of C functions.
func int8InC(name string, b *C.facet_int8) *int8Bodies {
	return &int8Bodies{
		name: name,
		quantizeRows: func(dst []byte, x []float32, xStride, rows, in int) {
			C.quantize_rows(b, bytes(dst), floats(x), C.int64_t(xStride), C.int64_t(rows), C.int64_t(in))
		},
		matMul: func(p int8Product) {
			C.mat_mul_int8(b, C.int(p.quant), floats(p.dst), C.int64_t(p.dstStride), bytes(p.x), C.int64_t(QuantizedBytes(p.in)), C.int64_t(p.rows),
				bytes(p.w), C.int64_t(p.lo), C.int64_t(p.hi), C.int64_t(p.in))
		},
		peak: func(n int) int64 { return int64(C.peak_int8(b, C.int64_t(n))) },
	}
}
