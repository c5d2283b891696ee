// The C side of the bfloat16 kernels: one table of functions for each instruction set.
// See bf16.go and attention.go for what the functions do and how operands lie in memory.
#ifndef FACET_BF16_H
#define FACET_BF16_H

#include <stdint.h>

// As in bf16.go.
#define PANEL_OUTS 32
#define PANEL_BLOCK 768
#define ROW_BLOCK 1536

// As in attention.go.
#define BLOCK_KEYS 512
#define PAGE_KEYS 128

typedef struct {
	void (*round)(uint16_t *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n, float lo, float hi);
	void (*mat_mul_rows)(float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows, const uint8_t *w,
			     int64_t w_stride, int64_t outs, int64_t in);
	void (*mat_mul_panels)(float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows, const uint16_t *w,
			       int64_t outs, int64_t in, float lo, float hi);
	void (*put_keys)(uint16_t *page, int64_t slot, const float *k, int64_t k_stride, const float *v, int64_t v_stride, int64_t n,
			 int64_t dim);
	void (*attend)(float *max, float *sum, float *out, const uint16_t *q, int64_t rows, int64_t dim, const int32_t *from,
		       const int32_t *to, const uint16_t *page0, const uint16_t *page1, const uint16_t *page2,
		       const uint16_t *page3);
	void (*merge)(float *max, float *sum, float *out, const float *max2, const float *sum2, const float *out2, int64_t rows,
		      int64_t cols);
	void (*finish)(float *dst, int64_t dst_stride, int64_t group, const float *sum, const float *out, int64_t rows, int64_t dim);
	int64_t (*peak)(int64_t n);
} facet_bf16_bodies;

extern const facet_bf16_bodies facet_bf16_dot, facet_bf16_avx512, facet_bf16_avx2; // amd64
extern const facet_bf16_bodies facet_bf16_bfdot, facet_bf16_neon;		    // arm64

#endif
