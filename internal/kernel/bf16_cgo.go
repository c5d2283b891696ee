//go:build cgo && !purego && (amd64 || (arm64 && (linux || darwin)))

package kernel

// #include "bf16.h"
//
// static void bf16_round(const facet_bf16_bodies *b, uint16_t *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows,
//                        int64_t n, float lo, float hi) {
//   b->round(dst, dst_stride, x, x_stride, rows, n, lo, hi);
// }
// static void bf16_rows(const facet_bf16_bodies *b, float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows,
//                       const uint8_t *w, int64_t w_stride, int64_t outs, int64_t in) {
//   b->mat_mul_rows(dst, dst_stride, x, x_stride, rows, w, w_stride, outs, in);
// }
// static void bf16_panels(const facet_bf16_bodies *b, float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows,
//                         const uint16_t *w, int64_t outs, int64_t in, float lo, float hi) {
//   b->mat_mul_panels(dst, dst_stride, x, x_stride, rows, w, outs, in, lo, hi);
// }
// static void bf16_put_keys(const facet_bf16_bodies *b, uint16_t *page, int64_t slot, const float *k, int64_t k_stride, const float *v,
//                           int64_t v_stride, int64_t n, int64_t dim) {
//   b->put_keys(page, slot, k, k_stride, v, v_stride, n, dim);
// }
// static void bf16_attend(const facet_bf16_bodies *b, float *max, float *sum, float *out, const uint16_t *q, int64_t rows, int64_t dim,
//                         const int32_t *from, const int32_t *to, const uint16_t *p0, const uint16_t *p1, const uint16_t *p2,
//                         const uint16_t *p3) {
//   b->attend(max, sum, out, q, rows, dim, from, to, p0, p1, p2, p3);
// }
// static void bf16_merge(const facet_bf16_bodies *b, float *max, float *sum, float *out, const float *max2, const float *sum2,
//                        const float *out2, int64_t rows, int64_t cols) {
//   b->merge(max, sum, out, max2, sum2, out2, rows, cols);
// }
// static void bf16_finish(const facet_bf16_bodies *b, float *dst, int64_t dst_stride, int64_t group, const float *sum, const float *out,
//                         int64_t rows, int64_t dim) {
//   b->finish(dst, dst_stride, group, sum, out, rows, dim);
// }
// static int64_t bf16_peak(const facet_bf16_bodies *b, int64_t n) { return b->peak(n); }
//
// #cgo noescape bf16_round
// #cgo nocallback bf16_round
// #cgo noescape bf16_rows
// #cgo nocallback bf16_rows
// #cgo noescape bf16_panels
// #cgo nocallback bf16_panels
// #cgo noescape bf16_put_keys
// #cgo nocallback bf16_put_keys
// #cgo noescape bf16_attend
// #cgo nocallback bf16_attend
// #cgo noescape bf16_merge
// #cgo nocallback bf16_merge
// #cgo noescape bf16_finish
// #cgo nocallback bf16_finish
// #cgo noescape bf16_peak
// #cgo nocallback bf16_peak
import "C"

import "unsafe"

// bf16InC wraps a table of C functions. Pages go one by one: C must not be shown
// memory of Go's that holds pointers.
func bf16InC(name string, b *C.facet_bf16_bodies) *bf16Bodies {
	return &bf16Bodies{
		name: name,
		round: func(dst []uint16, dstStride int, x []float32, xStride, rows, n int, lo, hi float32) {
			C.bf16_round(b, halves(dst), C.int64_t(dstStride), floats(x), C.int64_t(xStride), C.int64_t(rows), C.int64_t(n), C.float(lo), C.float(hi))
		},
		matMulRows: func(p halfProduct, w []byte, wStride int) {
			C.bf16_rows(b, floats(p.dst), C.int64_t(p.dstStride), halves(p.x), C.int64_t(p.xStride), C.int64_t(p.rows),
				bytes(w), C.int64_t(wStride), C.int64_t(p.outs), C.int64_t(p.in))
		},
		matMulPanels: func(p halfProduct, w []uint16, lo, hi float32) {
			C.bf16_panels(b, floats(p.dst), C.int64_t(p.dstStride), halves(p.x), C.int64_t(p.xStride), C.int64_t(p.rows),
				halves(w), C.int64_t(p.outs), C.int64_t(p.in), C.float(lo), C.float(hi))
		},
		putKeys: func(page []uint16, slot int, k []float32, kStride int, v []float32, vStride, n, dim int) {
			C.bf16_put_keys(b, halves(page), C.int64_t(slot), floats(k), C.int64_t(kStride), floats(v), C.int64_t(vStride), C.int64_t(n), C.int64_t(dim))
		},
		attend: func(a *Attention, t *AttentionTile) {
			C.bf16_attend(b, floats(a.max), floats(a.sum), floats(a.out), halves(t.q), C.int64_t(t.rows), C.int64_t(t.dim),
				ints(t.From), ints(t.To), halves(t.Pages[0]), halves(t.Pages[1]), halves(t.Pages[2]), halves(t.Pages[3]))
		},
		merge: func(a, next *Attention) {
			C.bf16_merge(b, floats(a.max), floats(a.sum), floats(a.out), floats(next.max), floats(next.sum), floats(next.out),
				C.int64_t(a.rows), C.int64_t(outColumns(a.dim)))
		},
		finish: func(a *Attention, dst []float32, stride, group int) {
			C.bf16_finish(b, floats(dst), C.int64_t(stride), C.int64_t(group), floats(a.sum), floats(a.out), C.int64_t(a.rows), C.int64_t(a.dim))
		},
		peak: func(n int) int64 { return int64(C.bf16_peak(b, C.int64_t(n))) },
	}
}

func halves(s []uint16) *C.uint16_t { return (*C.uint16_t)(unsafe.Pointer(unsafe.SliceData(s))) }

func ints(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(s))) }
