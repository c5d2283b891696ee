//go:build cgo && !purego

// bfloat16 products with AVX2: widened to float32, in two registers of eight.
#include "vec_avx2.h"

typedef struct {
	__m256i l, h;
} pairs;

#define ATTEND_ROWS 4
#define ATTEND_VECS 1
#define PANEL_ROWS 4
#define PANEL_VECS 1
#define ROW_ROWS 3
#define ROW_OUTS 2

INLINE pairs pload(const void *p) {
	return (pairs){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
INLINE pairs pload_n(const uint16_t *p, int64_t n) {
	if (n >= 32)
		return pload(p);
	uint16_t buf[32] = {0};
	memcpy(buf, p, 2 * n);
	return pload(buf);
}
INLINE void pstore(void *p, pairs a) {
	_mm256_storeu_si256(p, a.l);
	_mm256_storeu_si256((__m256i *)p + 1, a.h);
}
INLINE pairs pset(const uint16_t *p) {
	int pair;
	memcpy(&pair, p, 4);
	return (pairs){_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
INLINE __m256i zip(const uint16_t *a, const uint16_t *b) {
	__m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)a));
	__m256i hi = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)b));
	return _mm256_or_si256(lo, _mm256_slli_epi32(hi, 16));
}
INLINE pairs pzip(const uint16_t *a, const uint16_t *b) { return (pairs){zip(a, b), zip(a + 8, b + 8)}; }
INLINE __m256 low(__m256i a) { return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16)); }
INLINE __m256 high(__m256i a) { return _mm256_castsi256_ps(_mm256_and_si256(a, _mm256_set1_epi32(0xffff0000))); }
INLINE vec pdot(vec acc, pairs a, pairs b) {
	return (vec){_mm256_fmadd_ps(low(a.l), low(b.l), _mm256_fmadd_ps(high(a.l), high(b.l), acc.l)),
		     _mm256_fmadd_ps(low(a.h), low(b.h), _mm256_fmadd_ps(high(a.h), high(b.h), acc.h))};
}
// round16 rounds to nearest, ties to even; NaN becomes a quiet one. The results are in
// the upper halves.
INLINE __m256i round16(__m256 a) {
	__m256i u = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
	__m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
	__m256i nan = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
	return _mm256_blendv_epi8(r, nan, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
INLINE __m256i pack16(vec a) {
	__m256i l = _mm256_srli_epi32(round16(a.l), 16), h = _mm256_srli_epi32(round16(a.h), 16);
	return _mm256_permute4x64_epi64(_mm256_packus_epi32(l, h), 0xd8);
}
INLINE pairs pround(vec lo, vec hi) { return (pairs){pack16(lo), pack16(hi)}; }

INLINE __m256 exponent(__m256 p, __m256 r, __m256 t) {
	__m256i e = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(r), 23));
	return _mm256_and_ps(_mm256_castsi256_ps(e), _mm256_cmp_ps(t, _mm256_set1_ps(-126), _CMP_NLE_UQ));
}
INLINE vec vexponent(vec p, vec r, vec t) { return (vec){exponent(p.l, r.l, t.l), exponent(p.h, r.h, t.h)}; }
INLINE __m256 keep_range(__m256 a, int first, int lo, int hi) {
	__m256i i = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
	__m256i out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(lo), i), _mm256_cmpgt_epi32(i, _mm256_set1_epi32(hi - 1)));
	return _mm256_blendv_ps(a, _mm256_set1_ps(-__builtin_inff()), _mm256_castsi256_ps(out));
}
INLINE vec vkeep_range(vec a, int lo, int hi) { return (vec){keep_range(a.l, 0, lo, hi), keep_range(a.h, 8, lo, hi)}; }

#define PEAK_FLOPS 64

#include "bf16_body.h"

const facet_bf16_bodies facet_bf16_avx2 = BF16_BODIES;
