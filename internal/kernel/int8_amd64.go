//go:build cgo && !purego

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

import "golang.org/x/sys/cpu"

// int8Sets lists the integer bodies that this CPU can run, best first.
func int8Sets() []*int8Bodies {
	list := []*int8Bodies{&portableInt8}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		list = append([]*int8Bodies{int8InC("avx2", &C.facet_int8_avx2)}, list...)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VNNI {
			list = append([]*int8Bodies{int8InC("vnni", &C.facet_int8_vnni)}, list...)
		}
	}
	return list
}

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
