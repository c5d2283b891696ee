// Sixteen float32 as AVX-512 sees them. See vec_avx2.h for the same in AVX2.
#include "compiler.h"
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef __m512 vec;

// The tile of a matrix product, rows × outs: 24 sums, 4 weights and one x of the 32 registers.
#define TILE_ROWS 6
#define TILE_OUTS 4
#define TILE_OUTS_1 TILE_OUTS // for one row alone
// The tile of a weighted sum, rows × vectors.
#define TILE_VECS 4
// Independent multiply-adds that fill two pipes of four cycles.
#define PEAK_VECS 16

// mask has the lowest n of 16 bits set.
INLINE __mmask16 mask(int64_t n) { return n >= 16 ? 0xffff : (1u << n) - 1; }

INLINE vec vset(float a) { return _mm512_set1_ps(a); }
INLINE vec vload(const void *p) { return _mm512_loadu_ps(p); }
INLINE vec vadd(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vsub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vmul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vdiv(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vfma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }    // a·b + c
INLINE vec vfnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }  // c − a·b
INLINE vec vmax(vec a, vec b) { return _mm512_max_ps(a, b); }                // b if one is NaN
INLINE vec vmin(vec a, vec b) { return _mm512_min_ps(a, b); }                // b if one is NaN
INLINE vec vabs(vec a) { return _mm512_abs_ps(a); }
INLINE vec vround(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec vor(vec a, vec b) { return _mm512_or_ps(a, b); }
INLINE vec vcopysign(vec a, vec s) { return vor(vabs(a), _mm512_and_ps(s, _mm512_set1_ps(-0.0f))); }
// vless is yes where a < b, no elsewhere.
INLINE vec vless(vec a, vec b, vec yes, vec no) {
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
// vexp2i is a·2ⁿ for whole n, rounded once where the result is subnormal.
INLINE vec vexp2i(vec a, vec n) { return _mm512_scalef_ps(a, n); }

// The first n of 16 elements; the others are 0, or left as they are in memory.
INLINE vec vload_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(mask(n), p); }
INLINE void vstore_n(float *p, int64_t n, vec a) { _mm512_mask_storeu_ps(p, mask(n), a); }
INLINE vec vkeep_n(vec a, int64_t n) { return _mm512_maskz_mov_ps(mask(n), a); }

INLINE vec widen_bf16(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
INLINE vec vload_bf16(const void *p) { return widen_bf16(_mm256_loadu_si256(p)); }
INLINE vec vload_bf16_n(const void *p, int64_t n) { return widen_bf16(_mm256_maskz_loadu_epi16(mask(n), p)); }
INLINE vec vload_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INLINE vec vload_f16_n(const void *p, int64_t n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(n), p)); }

// vsum4 adds up each vector: in halves, element i to i + 8, i + 4, i + 2, i + 1.
INLINE quad vsum4(vec a, vec b, vec c, vec d) {
	vec ab = vadd(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
	vec cd = vadd(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
	vec s = vadd(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd)); // a, b, c, d: 4 each
	s = vadd(s, _mm512_permute_ps(s, 0x4e));
	s = vadd(s, _mm512_permute_ps(s, 0xb1));
	const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	return _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, s));
}
INLINE float vsum(vec a) { return vsum4(a, a, a, a)[0]; }
INLINE float root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
INLINE float vmax_all(vec a) { return _mm512_reduce_max_ps(a); }
