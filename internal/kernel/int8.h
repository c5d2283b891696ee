// Products of quantised weights and quantised rows: the C side. int8.go describes
// the formats and int8_portable.go defines the results.
#ifndef FACET_INT8_H
#define FACET_INT8_H

#include <stdint.h>

enum { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K }; // as Quant in int8.go

#define GROUP 16 // rows of weights that lie together
#define BLOCK 32 // columns that share a scale of x

// A block of a quantised row: x ≈ scale·q. The sums are those that kernels start or end with.
typedef struct {
	int8_t q[BLOCK];
	float scale;
	int32_t whole; // −128·Σ q
	int32_t first; // −128·Σ q of the first 16
	float sum;     // scale·Σ q
} x_block;

typedef struct {
	void (*quantize_rows)(uint8_t *dst, const float *x, int64_t x_stride, int64_t rows, int64_t in);
	void (*mat_mul_int8)(int quant, float *dst, int64_t dst_stride, const uint8_t *x, int64_t x_stride, int64_t rows,
			     const uint8_t *w, int64_t lo, int64_t hi, int64_t in);
	int64_t (*peak_int8)(int64_t n);
} facet_int8;

extern const facet_int8 facet_int8_vnni, facet_int8_avx2;			     // amd64
extern const facet_int8 facet_int8_i8mm, facet_int8_dotprod, facet_int8_neon; // arm64

#endif
