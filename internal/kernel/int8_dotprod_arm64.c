//go:build cgo && !purego

// Integer products with FEAT_DotProd: SDOT.
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#include "int8_neon.h"

#include "sdot_neon.h"

// The tile: 16 registers of sums of integers, 8 of x and 4 of weights; sums of floats
// are kept in memory between blocks.
#define MAX_ROWS 4
#define MAX_GROUPS 1

#include "int8_body.h"

#include "int8_rows.h"

// Sixteen independent sums fill four pipes of four cycles.
TARGET static int64_t peak_int8(int64_t n) {
	int32x4_t s[16];
	int8x16_t one = vdupq_n_s8(1);
	UNROLL
	for (int i = 0; i < 16; i++)
		s[i] = vdupq_n_s32(i);
	for (int64_t k = 0; k < n; k++) {
		UNROLL
		for (int i = 0; i < 16; i++)
			s[i] = vdotq_s32(s[i], one, one);
	}
	UNROLL
	for (int i = 1; i < 16; i++)
		s[0] = veorq_s32(s[0], s[i]);
	return vaddvq_s32(s[0]) == 1 ? 0 : n * 16 * 32; // looks at the sums, so that they are computed
}

const facet_int8 facet_int8_dotprod = {quantize_rows, mat_mul_int8, peak_int8};
