// The C side of package kernel: one table of functions for each instruction set.
// Lengths and strides count values. Arguments have been checked by the Go side.
#ifndef FACET_KERNEL_H
#define FACET_KERNEL_H

#include <stdint.h>

enum { F32, BF16, F16 }; // as format in product.go

// Products that one partial sum holds, as sumBlock in product.go.
#define SUM_BLOCK 1024

typedef struct {
	void (*add)(float *dst, const float *x, int64_t n);
	void (*add_scaled)(float *dst, const float *x, int64_t n, float a);
	void (*scale)(float *x, int64_t n, float a);
	void (*clamp)(float *x, int64_t n, float lo, float hi);
	void (*gelu_mul)(float *dst, const float *gate, const float *up, int64_t n);
	void (*sigmoid_mul)(float *dst, const float *gate, const float *up, int64_t n);
	void (*soft_cap)(float *x, int64_t n, float limit);
	void (*rope)(float *heads, int64_t count, int64_t stride, const float *cos, const float *sin, int64_t half);
	void (*rms_norm)(float *dst, const float *x, int64_t rows, const float *w, int64_t n, float eps);
	float (*max)(const float *x, int64_t n);
	float (*exp_sum)(float *dst, const float *x, int64_t n, float max);
	void (*mat_mul)(int format, float *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows,
			const uint8_t *w, int64_t w_stride, int64_t outs, int64_t in);
	void (*weighted_sum)(float *dst, int64_t dst_stride, const float *w, int64_t w_stride, int64_t rows,
			     const float *v, int64_t v_stride, int64_t n, int64_t dim);
	void (*widen)(int format, float *dst, const uint8_t *src, int64_t n);
	int64_t (*peak_fma)(int64_t n);
	uint64_t (*peak_read)(const uint8_t *b, int64_t n);
} facet_bodies;

extern const facet_bodies facet_avx512, facet_avx2; // amd64
extern const facet_bodies facet_neon;			 // arm64

#endif
