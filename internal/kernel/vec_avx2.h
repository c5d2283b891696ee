// Sixteen float32 in two AVX2 registers. Each function rounds as its namesake in
// vec_avx512.h does, so that both sets give the same bits.
#include "compiler.h"
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef struct {
	__m256 l, h;
} vec;

// The tile of a matrix product: 12 registers of sums, 2 of weights and one of x, of 16.
#define TILE_ROWS 3
#define TILE_OUTS 2
#define TILE_OUTS_1 4 // for one row alone: sums enough to hide the latency of one
#define TILE_VECS 2
#define PEAK_VECS 6

#define BOTH(f) ((vec){f(a.l), f(a.h)})
#define BOTH2(f) ((vec){f(a.l, b.l), f(a.h, b.h)})
#define BOTH3(f) ((vec){f(a.l, b.l, c.l), f(a.h, b.h, c.h)})

INLINE vec vset(float a) { return (vec){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
INLINE vec vload(const void *p) { return (vec){_mm256_loadu_ps(p), _mm256_loadu_ps((const float *)p + 8)}; }
INLINE vec vadd(vec a, vec b) { return BOTH2(_mm256_add_ps); }
INLINE vec vsub(vec a, vec b) { return BOTH2(_mm256_sub_ps); }
INLINE vec vmul(vec a, vec b) { return BOTH2(_mm256_mul_ps); }
INLINE vec vdiv(vec a, vec b) { return BOTH2(_mm256_div_ps); }
INLINE vec vfma(vec a, vec b, vec c) { return BOTH3(_mm256_fmadd_ps); }
INLINE vec vfnma(vec a, vec b, vec c) { return BOTH3(_mm256_fnmadd_ps); }
INLINE vec vmax(vec a, vec b) { return BOTH2(_mm256_max_ps); }
INLINE vec vmin(vec a, vec b) { return BOTH2(_mm256_min_ps); }
INLINE vec vor(vec a, vec b) { return BOTH2(_mm256_or_ps); }
INLINE vec vand(vec a, vec b) { return BOTH2(_mm256_and_ps); }
INLINE vec vabs(vec a) {
	vec b = vset(-0.0f);
	return (vec){_mm256_andnot_ps(b.l, a.l), _mm256_andnot_ps(b.h, a.h)};
}
INLINE vec vcopysign(vec a, vec s) { return vor(vabs(a), vand(s, vset(-0.0f))); }
INLINE __m256 round1(__m256 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec vround(vec a) { return BOTH(round1); }
INLINE vec vless(vec a, vec b, vec yes, vec no) {
	return (vec){_mm256_blendv_ps(no.l, yes.l, _mm256_cmp_ps(a.l, b.l, _CMP_LT_OQ)),
		     _mm256_blendv_ps(no.h, yes.h, _mm256_cmp_ps(a.h, b.h, _CMP_LT_OQ))};
}
// exp2i multiplies by 2ⁿ in two halves, so that each is a normal number for |n| ≤ 252;
// only the second multiplication can round.
INLINE __m256 exp2i(__m256 a, __m256 b) {
	__m256i n = _mm256_cvtps_epi32(b), half = _mm256_srai_epi32(n, 1), bias = _mm256_set1_epi32(127);
	__m256i rest = _mm256_sub_epi32(n, half);
	a = _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
	return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
INLINE vec vexp2i(vec a, vec b) { return BOTH2(exp2i); }

// mask_from has all bits set in the lanes i + first < n.
INLINE __m256i mask_from(int first, int64_t n) {
	__m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - first), lane);
}
INLINE vec vload_n(const float *p, int64_t n) {
	if (n >= 16)
		return vload(p);
	return (vec){_mm256_maskload_ps(p, mask_from(0, n)), _mm256_maskload_ps(p + 8, mask_from(8, n))};
}
INLINE void vstore_n(float *p, int64_t n, vec a) {
	if (n >= 16) {
		_mm256_storeu_ps(p, a.l);
		_mm256_storeu_ps(p + 8, a.h);
		return;
	}
	_mm256_maskstore_ps(p, mask_from(0, n), a.l);
	_mm256_maskstore_ps(p + 8, mask_from(8, n), a.h);
}
INLINE vec vkeep_n(vec a, int64_t n) {
	if (n >= 16)
		return a;
	return vand(a, (vec){_mm256_castsi256_ps(mask_from(0, n)), _mm256_castsi256_ps(mask_from(8, n))});
}

INLINE __m256 bf16x8(const void *p) {
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INLINE __m256 f16x8(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INLINE vec vload_bf16(const void *p) { return (vec){bf16x8(p), bf16x8((const char *)p + 16)}; }
INLINE vec vload_f16(const void *p) { return (vec){f16x8(p), f16x8((const char *)p + 16)}; }
// There is no masked load of 16-bit values; the tail of a row goes through a buffer.
INLINE vec vload_bf16_n(const void *p, int64_t n) {
	char buf[32] = {0};
	memcpy(buf, p, 2 * n);
	return vload_bf16(buf);
}
INLINE vec vload_f16_n(const void *p, int64_t n) {
	char buf[32] = {0};
	memcpy(buf, p, 2 * n);
	return vload_f16(buf);
}

// vsum2 adds up a and b, in the order of AVX-512's vsum4; each sum fills one half.
INLINE __m256 vsum2(vec a, vec b) {
	__m256 s = _mm256_add_ps(a.l, a.h), t = _mm256_add_ps(b.l, b.h);
	s = _mm256_add_ps(_mm256_permute2f128_ps(s, t, 0x20), _mm256_permute2f128_ps(s, t, 0x31));
	s = _mm256_add_ps(s, _mm256_permute_ps(s, 0x4e));
	return _mm256_add_ps(s, _mm256_permute_ps(s, 0xb1));
}
INLINE quad vsum4(vec a, vec b, vec c, vec d) {
	__m256 s = vsum2(a, b), t = vsum2(c, d);
	__m128 ab = _mm_unpacklo_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
	__m128 cd = _mm_unpacklo_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
	return _mm_movelh_ps(ab, cd);
}
INLINE float vsum(vec a) { return _mm_cvtss_f32(_mm256_castps256_ps128(vsum2(a, a))); }
INLINE float root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
INLINE float vmax_all(vec a) {
	__m256 m = _mm256_max_ps(a.l, a.h);
	m = _mm256_max_ps(m, _mm256_permute2f128_ps(m, m, 1));
	m = _mm256_max_ps(m, _mm256_permute_ps(m, 0x4e));
	return _mm_cvtss_f32(_mm256_castps256_ps128(_mm256_max_ps(m, _mm256_permute_ps(m, 0xb1))));
}
