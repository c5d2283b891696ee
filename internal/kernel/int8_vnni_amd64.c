//go:build cgo && !purego

// Integer products with AVX-512 VNNI: one instruction multiplies 64 unsigned by 64
// signed bytes and adds the products to 16 sums, four to each.
#include "vec_avx512.h"

#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

// The tile: 12 sums of integers and 12 of floats, 2 vectors of weights, 2 of scales and
// one of x, of 32 registers. Each weight serves six rows and each x two groups; a tile
// of one group and twelve rows has to load twice as often and is slower.
#define MAX_ROWS 6
#define MAX_GROUPS 2

// Quants stand at the top of their byte, so that the upper half of a byte is ready once
// the lower is masked off, and the middle of the range is 128 for all formats.
#define TOP 1

typedef __m512i acc, bytes64, x_bytes;

INLINE acc acc_start(const int bits, int32_t start) { return _mm512_set1_epi32(start); }
// spread returns columns 4c to 4c + 3 of a row of x, for each row of weights.
INLINE x_bytes spread(const int8_t *q, const int c) {
	int32_t v;
	memcpy(&v, q + 4 * c, 4);
	return _mm512_set1_epi32(v);
}
INLINE acc acc_dot(const int bits, acc a, bytes64 w, x_bytes x, const int c, const int i) { return _mm512_dpbusd_epi32(a, w, x); }
INLINE vec acc_end(const int bits, acc a, int32_t start, const int count) { return _mm512_cvtepi32_ps(a); }

// shift moves bits of 16-bit pieces up, or down if n is negative.
INLINE __m512i shift(__m512i v, const int n) { return n >= 0 ? _mm512_slli_epi16(v, n) : _mm512_srli_epi16(v, -n); }

#define OR_AND 0xf8 // a | b & c; Clang wants the number itself

// weights returns columns 4c to 4c + 3 of 16 rows of a block.
INLINE bytes64 weights(const int bits, const uint8_t *q, const int c) {
	if (bits == 8)
		return _mm512_loadu_si512(q + 64 * c);
	__m512i v = _mm512_loadu_si512(q + 64 * (c & 3));
	v = _mm512_and_si512(c < 4 ? shift(v, 4) : v, _mm512_set1_epi8((char)0xf0));
	if (bits == 5) {
		__m512i low = shift(_mm512_loadu_si512(q + 256), 3 - c);
		v = _mm512_ternarylogic_epi32(v, low, _mm512_set1_epi8(0x08), OR_AND);
	} else if (bits == 6) {
		__m512i low = shift(_mm512_loadu_si512(q + 256 + 64 * (c / 4)), 2 - 2 * (c & 3));
		v = _mm512_ternarylogic_epi32(v, low, _mm512_set1_epi8(0x0c), OR_AND);
	}
	return v;
}

INLINE vec vload_u8(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p))); }
INLINE vec vload_s8(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p))); }

#include "int8_body.h"

INLINE uint32_t largest(vec a, vec b) {
	__m512i sign = _mm512_set1_epi32(0x7fffffff);
	return _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), sign),
							_mm512_and_si512(_mm512_castps_si512(b), sign)));
}

INLINE int32_t round16(int8_t *q, vec v) {
	__m512i n = _mm512_cvtps_epi32(v); // to nearest, ties to even
	_mm_storeu_si128((void *)q, _mm512_cvtepi32_epi8(n));
	return _mm512_reduce_add_epi32(n);
}

#include "int8_rows.h"

// Sixteen independent sums fill two pipes of four cycles.
TARGET static int64_t peak_int8(int64_t n) {
	__m512i s[16], one = _mm512_set1_epi8(1);
	UNROLL
	for (int i = 0; i < 16; i++)
		s[i] = _mm512_set1_epi32(i);
	for (int64_t k = 0; k < n; k++) {
		UNROLL
		for (int i = 0; i < 16; i++)
			s[i] = _mm512_dpbusd_epi32(s[i], one, one);
	}
	for (int i = 1; i < 16; i++)
		s[0] = _mm512_xor_si512(s[0], s[i]);
	return _mm512_reduce_add_epi32(s[0]) == 1 ? 0 : n * 16 * 128; // looks at the sums, so that they are computed
}

const facet_int8 facet_int8_vnni = {quantize_rows, mat_mul_int8, peak_int8};
