//go:build cgo && !purego

// Integer products with AVX2. VPMADDUBSW adds up pairs of products of unsigned and
// signed bytes in 16 bits and saturates, so quants stand at the lower end of their
// byte: the sum of as many pairs as FOLD says stays below 2¹⁵, and is then widened.
#include "vec_avx2.h"

// The tile: three rows of sums in 16 bits (two registers each), weights and x; sums in
// 32 bits and of floats are kept in memory between blocks.
#define MAX_ROWS 4
#define MAX_GROUPS 1
#define TOP 0

typedef struct {
	__m256i l, h;
} bytes64, x_bytes;

typedef struct {
	bytes64 s16, s32;
} acc;

// FOLD is how many pairs of products fit 16 bits: 8·2·15·127 = 30480, 4·2·31·127 = 31496, 2·2·63·127 = 32004,
// and of 8-bit quants, which go in by their magnitude, 2·128·127 = 32512.
#define FOLD(bits) ((bits) == 4 ? 8 : (bits) == 5 ? 4 : (bits) == 6 ? 2 : 1)

INLINE acc acc_start(const int bits, int32_t start) {
	__m256i z = _mm256_setzero_si256();
	return (acc){{z, z}, {z, z}};
}
// spread returns columns 4c to 4c + 3 of a row of x, for each row of weights.
INLINE x_bytes spread(const int8_t *q, const int c) {
	int32_t v;
	memcpy(&v, q + 4 * c, 4);
	return (x_bytes){_mm256_set1_epi32(v), _mm256_set1_epi32(v)};
}

INLINE bytes64 add32(bytes64 a, bytes64 b) {
	return (bytes64){_mm256_add_epi32(a.l, b.l), _mm256_add_epi32(a.h, b.h)};
}
INLINE bytes64 widen16(bytes64 a) {
	__m256i one = _mm256_set1_epi16(1);
	return (bytes64){_mm256_madd_epi16(a.l, one), _mm256_madd_epi16(a.h, one)};
}

// products of unsigned quants, or of signed ones for 8 bits, as pairs.
INLINE __m256i pairs(const int bits, __m256i w, __m256i x) {
	return bits == 8 ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)) : _mm256_maddubs_epi16(w, x);
}

// acc_dot adds the i-th products.
INLINE acc acc_dot(const int bits, acc a, bytes64 w, x_bytes x, const int c, const int i) {
	bytes64 p = {pairs(bits, w.l, x.l), pairs(bits, w.h, x.h)};
	a.s16 = i % FOLD(bits) ? (bytes64){_mm256_add_epi16(a.s16.l, p.l), _mm256_add_epi16(a.s16.h, p.h)} : p;
	if (i % FOLD(bits) == FOLD(bits) - 1)
		a.s32 = add32(a.s32, widen16(a.s16));
	return a;
}

// acc_end adds start, which is −128·Σ q(x) for quants whose middle is 128. Theirs is
// 2^(bits−1) here, and that of 8-bit quants is 0.
INLINE vec acc_end(const int bits, acc a, int32_t start, const int count) {
	if (count % FOLD(bits)) // less than a fold was left
		a.s32 = add32(a.s32, widen16(a.s16));
	__m256i c = _mm256_set1_epi32(bits == 8 ? 0 : start >> (8 - bits));
	return (vec){_mm256_cvtepi32_ps(_mm256_add_epi32(a.s32.l, c)), _mm256_cvtepi32_ps(_mm256_add_epi32(a.s32.h, c))};
}

INLINE __m256i shift(__m256i v, const int n) { return n >= 0 ? _mm256_slli_epi16(v, n) : _mm256_srli_epi16(v, -n); }

// weights32 returns columns 4c to 4c + 3 of 8 rows of a block.
INLINE __m256i weights32(const int bits, const uint8_t *q, const int c) {
	if (bits == 8)
		return _mm256_xor_si256(_mm256_loadu_si256((const void *)(q + 64 * c)), _mm256_set1_epi8((char)0x80));
	const int below = bits - 4;
	__m256i v = shift(_mm256_loadu_si256((const void *)(q + 64 * (c & 3))), below - (c < 4 ? 0 : 4));
	v = _mm256_and_si256(v, _mm256_set1_epi8((char)(15 << below)));
	if (bits == 5) {
		__m256i low = shift(_mm256_loadu_si256((const void *)(q + 256)), -c);
		v = _mm256_or_si256(v, _mm256_and_si256(low, _mm256_set1_epi8(1)));
	} else if (bits == 6) {
		__m256i low = shift(_mm256_loadu_si256((const void *)(q + 256 + 64 * (c / 4))), -2 * (c & 3));
		v = _mm256_or_si256(v, _mm256_and_si256(low, _mm256_set1_epi8(3)));
	}
	return v;
}
INLINE bytes64 weights(const int bits, const uint8_t *q, const int c) {
	return (bytes64){weights32(bits, q, c), weights32(bits, q + 32, c)};
}

INLINE __m256 u8x8(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p))); }
INLINE __m256 s8x8(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p))); }
INLINE vec vload_u8(const uint8_t *p) { return (vec){u8x8(p), u8x8(p + 8)}; }
INLINE vec vload_s8(const uint8_t *p) { return (vec){s8x8(p), s8x8(p + 8)}; }

#include "int8_body.h"

INLINE uint32_t largest(vec a, vec b) {
	__m256i sign = _mm256_set1_epi32(0x7fffffff);
#define MAGNITUDE(v) _mm256_and_si256(_mm256_castps_si256(v), sign)
	__m256i m = _mm256_max_epi32(_mm256_max_epi32(MAGNITUDE(a.l), MAGNITUDE(a.h)), _mm256_max_epi32(MAGNITUDE(b.l), MAGNITUDE(b.h)));
	__m128i n = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
	n = _mm_max_epi32(n, _mm_shuffle_epi32(n, 0x4e));
	n = _mm_max_epi32(n, _mm_shuffle_epi32(n, 0xb1));
	return _mm_cvtsi128_si32(n);
}

INLINE int32_t round16(int8_t *q, vec v) {
	__m256i l = _mm256_cvtps_epi32(v.l), h = _mm256_cvtps_epi32(v.h); // to nearest, ties to even
	__m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(l, h), 0xd8);
	_mm_storeu_si128((void *)q, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
	__m256i s = _mm256_add_epi32(l, h);
	__m128i n = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
	n = _mm_add_epi32(n, _mm_shuffle_epi32(n, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(n, _mm_shuffle_epi32(n, 0xb1)));
}

#include "int8_rows.h"

// Eight independent sums of both halves; what a product of 4-bit quants does for 32 columns.
TARGET static int64_t peak_int8(int64_t n) {
	acc s[4];
	bytes64 w = {_mm256_set1_epi8(1), _mm256_set1_epi8(1)};
	UNROLL
	for (int i = 0; i < 4; i++)
		s[i] = acc_start(4, 0);
	for (int64_t k = 0; k < n; k++) {
		for (int i = 0; i < 8; i++) {
			__asm__("" : "+x"(w.l), "+x"(w.h)); // or the sums would all be the same
			UNROLL
			for (int j = 0; j < 4; j++)
				s[j] = acc_dot(4, s[j], w, w, 0, i);
		}
	}
	__m256i sum = _mm256_setzero_si256();
	UNROLL
	for (int j = 0; j < 4; j++)
		sum = _mm256_or_si256(sum, _mm256_or_si256(s[j].s32.l, s[j].s32.h));
	return _mm256_testz_si256(sum, sum) ? 0 : n * 4 * 8 * 128;
}

const facet_int8 facet_int8_avx2 = {quantize_rows, mat_mul_int8, peak_int8};
