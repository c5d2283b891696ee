//go:build cgo && !purego && (amd64 || (arm64 && (linux || darwin)))

package kernel

// #cgo CFLAGS: -O2 -std=c11
// #include "kernel.h"
//
// static void add(const facet_bodies *b, float *dst, const float *x, int64_t n) { b->add(dst, x, n); }
// static void add_scaled(const facet_bodies *b, float *dst, const float *x, int64_t n, float a) { b->add_scaled(dst, x, n, a); }
// static void scale(const facet_bodies *b, float *x, int64_t n, float a) { b->scale(x, n, a); }
// static void clamp(const facet_bodies *b, float *x, int64_t n, float lo, float hi) { b->clamp(x, n, lo, hi); }
// static void gelu_mul(const facet_bodies *b, float *dst, const float *gate, const float *up, int64_t n) { b->gelu_mul(dst, gate, up, n); }
// static void sigmoid_mul(const facet_bodies *b, float *dst, const float *gate, const float *up, int64_t n) { b->sigmoid_mul(dst, gate, up, n); }
// static void soft_cap(const facet_bodies *b, float *x, int64_t n, float limit) { b->soft_cap(x, n, limit); }
// static void rope(const facet_bodies *b, float *heads, int64_t count, int64_t stride, const float *cos, const float *sin, int64_t half) {
//   b->rope(heads, count, stride, cos, sin, half);
// }
// static void rms_norm(const facet_bodies *b, float *dst, const float *x, int64_t rows, const float *w, int64_t n, float eps) {
//   b->rms_norm(dst, x, rows, w, n, eps);
// }
// static float max_of(const facet_bodies *b, const float *x, int64_t n) { return b->max(x, n); }
// static float exp_sum(const facet_bodies *b, float *dst, const float *x, int64_t n, float max) { return b->exp_sum(dst, x, n, max); }
// static void mat_mul(const facet_bodies *b, int format, float *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows,
//                     const uint8_t *w, int64_t w_stride, int64_t outs, int64_t in) {
//   b->mat_mul(format, dst, dst_stride, x, x_stride, rows, w, w_stride, outs, in);
// }
// static void weighted_sum(const facet_bodies *b, float *dst, int64_t dst_stride, const float *w, int64_t w_stride, int64_t rows,
//                          const float *v, int64_t v_stride, int64_t n, int64_t dim) {
//   b->weighted_sum(dst, dst_stride, w, w_stride, rows, v, v_stride, n, dim);
// }
// static void widen(const facet_bodies *b, int format, float *dst, const uint8_t *src, int64_t n) { b->widen(format, dst, src, n); }
// static int64_t peak_fma(const facet_bodies *b, int64_t n) { return b->peak_fma(n); }
// static uint64_t peak_read(const facet_bodies *b, const uint8_t *p, int64_t n) { return b->peak_read(p, n); }
//
// #cgo noescape add
// #cgo nocallback add
// #cgo noescape add_scaled
// #cgo nocallback add_scaled
// #cgo noescape scale
// #cgo nocallback scale
// #cgo noescape clamp
// #cgo nocallback clamp
// #cgo noescape gelu_mul
// #cgo nocallback gelu_mul
// #cgo noescape sigmoid_mul
// #cgo nocallback sigmoid_mul
// #cgo noescape soft_cap
// #cgo nocallback soft_cap
// #cgo noescape rope
// #cgo nocallback rope
// #cgo noescape rms_norm
// #cgo nocallback rms_norm
// #cgo noescape max_of
// #cgo nocallback max_of
// #cgo noescape exp_sum
// #cgo nocallback exp_sum
// #cgo noescape mat_mul
// #cgo nocallback mat_mul
// #cgo noescape weighted_sum
// #cgo nocallback weighted_sum
// #cgo noescape widen
// #cgo nocallback widen
// #cgo noescape peak_fma
// #cgo nocallback peak_fma
// #cgo noescape peak_read
// #cgo nocallback peak_read
import "C"

import "unsafe"

// inC wraps a table of C functions. A call costs some 25 ns, less than the shortest
// slices that matter take in Go.
func inC(name string, b *C.facet_bodies) *bodies {
	return &bodies{
		name: name,
		add:  func(dst, x []float32) { C.add(b, floats(dst), floats(x), C.int64_t(len(dst))) },
		addScaled: func(dst, x []float32, a float32) {
			C.add_scaled(b, floats(dst), floats(x), C.int64_t(len(dst)), C.float(a))
		},
		scale: func(x []float32, a float32) { C.scale(b, floats(x), C.int64_t(len(x)), C.float(a)) },
		clamp: func(x []float32, lo, hi float32) { C.clamp(b, floats(x), C.int64_t(len(x)), C.float(lo), C.float(hi)) },
		geluMul: func(dst, gate, up []float32) {
			C.gelu_mul(b, floats(dst), floats(gate), floats(up), C.int64_t(len(dst)))
		},
		sigmoidMul: func(dst, gate, up []float32) {
			C.sigmoid_mul(b, floats(dst), floats(gate), floats(up), C.int64_t(len(dst)))
		},
		softCap: func(x []float32, limit float32) { C.soft_cap(b, floats(x), C.int64_t(len(x)), C.float(limit)) },
		rope: func(heads []float32, count, stride int, cos, sin []float32) {
			C.rope(b, floats(heads), C.int64_t(count), C.int64_t(stride), floats(cos), floats(sin), C.int64_t(len(cos)))
		},
		rmsNorm: func(dst, x []float32, n int, w []float32, eps float32) {
			C.rms_norm(b, floats(dst), floats(x), C.int64_t(len(x)/n), floats(w), C.int64_t(n), C.float(eps))
		},
		max: func(x []float32) float32 { return float32(C.max_of(b, floats(x), C.int64_t(len(x)))) },
		expSum: func(dst, x []float32, max float32) float32 {
			return float32(C.exp_sum(b, floats(dst), floats(x), C.int64_t(len(dst)), C.float(max)))
		},
		matMulF32: func(p product, w []float32) {
			p.inC(b, f32, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(w))))
		},
		matMulBytes: func(p product, f format, w []byte) { p.inC(b, f, bytes(w)) },
		weightedSum: func(s sum) {
			C.weighted_sum(b, floats(s.dst), C.int64_t(s.dstStride), floats(s.w), C.int64_t(s.wStride), C.int64_t(s.rows),
				floats(s.v), C.int64_t(s.vStride), C.int64_t(s.n), C.int64_t(s.dim))
		},
		widen: func(dst []float32, f format, src []byte) {
			C.widen(b, C.int(f), floats(dst), bytes(src), C.int64_t(len(dst)))
		},
		peakFMA:  func(n int) int64 { return int64(C.peak_fma(b, C.int64_t(n))) },
		peakRead: func(p []byte) uint64 { return uint64(C.peak_read(b, bytes(p), C.int64_t(len(p)))) },
	}
}

func (p *product) inC(b *C.facet_bodies, f format, w *C.uint8_t) {
	C.mat_mul(b, C.int(f), floats(p.dst), C.int64_t(p.dstStride), floats(p.x), C.int64_t(p.xStride), C.int64_t(p.rows),
		w, C.int64_t(p.wStride), C.int64_t(p.outs), C.int64_t(p.in))
}

// floats is the address of s[0], nil for a nil slice.
func floats(s []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(s))) }

func bytes(s []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(s))) }
