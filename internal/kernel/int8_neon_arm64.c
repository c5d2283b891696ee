//go:build cgo && !purego

// Integer products on arm64 CPUs that lack SDOT: SMLAL multiplies bytes and adds to
// 16 bits, which hold as many products as FOLD says; then they are widened.
#include "int8_neon.h"

// The tile: 24 registers of sums in 16 bits, 4 of weights, of which one at a time is in
// use, and one of x; sums in 32 bits and of floats are kept in memory between blocks.
#define MAX_ROWS 3
#define MAX_GROUPS 1

typedef int8x16_t x_bytes;

// Sums of 8 rows of weights, in 16 bits for each column of a word.
typedef struct {
	int16x8_t a, b, c, d;
} sums8;

typedef struct {
	sums8 low, high;
	sums16 s32;
} acc;

// FOLD is how many products fit 16 bits: 8·15·127 = 15240, 8·31·127 = 31496, 4·63·127 = 32004, 2·128·127 = 32512.
#define FOLD(bits) ((bits) <= 5 ? 8 : (bits) == 6 ? 4 : 2)

INLINE acc acc_start(const int bits, int32_t start) {
	int16x8_t z = vdupq_n_s16(0);
	int32x4_t s = vdupq_n_s32(first(bits, start));
	return (acc){{z, z, z, z}, {z, z, z, z}, {s, s, s, s}};
}

// spread returns columns 4c to 4c + 3 of a row of x, for each row of weights.
INLINE x_bytes spread(const int8_t *q, const int c) {
	int32_t v;
	memcpy(&v, q + 4 * c, 4);
	return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

INLINE int16x8_t mul_low(int16x8_t s, int8x16_t w, int8x16_t x, const int fresh) {
	int8x8_t a = vget_low_s8(w), b = vget_low_s8(x);
	return fresh ? vmull_s8(a, b) : vmlal_s8(s, a, b);
}
INLINE int16x8_t mul_high(int16x8_t s, int8x16_t w, int8x16_t x, const int fresh) {
	return fresh ? vmull_high_s8(w, x) : vmlal_high_s8(s, w, x);
}
// fold adds up the columns of words.
INLINE int32x4_t fold(int32x4_t s, int16x8_t l, int16x8_t h) {
	return vaddq_s32(s, vpaddq_s32(vpaddlq_s16(l), vpaddlq_s16(h)));
}

// acc_dot adds the i-th products.
INLINE acc acc_dot(const int bits, acc s, bytes64 w, x_bytes x, const int c, const int i) {
	const int fresh = i % FOLD(bits) == 0;
	s.low = (sums8){mul_low(s.low.a, w.a, x, fresh), mul_high(s.low.b, w.a, x, fresh), mul_low(s.low.c, w.b, x, fresh),
			mul_high(s.low.d, w.b, x, fresh)};
	s.high = (sums8){mul_low(s.high.a, w.c, x, fresh), mul_high(s.high.b, w.c, x, fresh), mul_low(s.high.c, w.d, x, fresh),
			 mul_high(s.high.d, w.d, x, fresh)};
	if (i % FOLD(bits) == FOLD(bits) - 1)
		s.s32 = (sums16){fold(s.s32.a, s.low.a, s.low.b), fold(s.s32.b, s.low.c, s.low.d), fold(s.s32.c, s.high.a, s.high.b),
				 fold(s.s32.d, s.high.c, s.high.d)};
	return s;
}

// Blocks, and the halves of Q6_K, are whole folds.
INLINE vec acc_end(const int bits, acc s, int32_t start, const int count) { return to_floats(s.s32); }

#include "int8_body.h"

#include "int8_rows.h"

// Two rows' sums; what a product of 4-bit quants does for 32 columns.
TARGET static int64_t peak_int8(int64_t n) {
	acc s[2] = {acc_start(4, 0), acc_start(4, 0)};
	int8x16_t one = vdupq_n_s8(1);
	for (int64_t k = 0; k < n; k++) {
		UNROLL
		for (int i = 0; i < 8; i++) {
			__asm__("" : "+w"(one)); // or the sums would all be the same
			bytes64 w = {one, one, one, one};
			UNROLL
			for (int j = 0; j < 2; j++)
				s[j] = acc_dot(4, s[j], w, one, 0, i);
		}
	}
	int32x4_t sum = vdupq_n_s32(0);
	UNROLL
	for (int j = 0; j < 2; j++)
		sum = vorrq_s32(sum, vorrq_s32(vorrq_s32(s[j].s32.a, s[j].s32.b), vorrq_s32(s[j].s32.c, s[j].s32.d)));
	return vmaxvq_s32(sum) == 0 ? 0 : n * 2 * 8 * 128;
}

const facet_int8 facet_int8_neon = {quantize_rows, mat_mul_int8, peak_int8};
