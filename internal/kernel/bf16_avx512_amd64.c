//go:build cgo && !purego

// bfloat16 products on CPUs with AVX-512 that lack VDPBF16PS: widened to float32.
#include "vec_avx512.h"

#include "pairs_avx512.h"

INLINE vec low(pairs a) { return _mm512_castsi512_ps(_mm512_slli_epi32(a, 16)); }
INLINE vec high(pairs a) { return _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(0xffff0000))); }
INLINE vec pdot(vec acc, pairs a, pairs b) { return vfma(low(a), low(b), vfma(high(a), high(b), acc)); }

// round16 rounds to nearest, ties to even; NaN becomes a quiet one.
INLINE __m256i round16(vec a) {
	__m512i u = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
	__m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
	r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), u, _mm512_set1_epi32(0x400000));
	return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
INLINE pairs pround(vec lo, vec hi) {
	return _mm512_inserti64x4(_mm512_castsi256_si512(round16(lo)), round16(hi), 1);
}

#define PEAK_FLOPS 64

#include "bf16_body.h"

const facet_bf16_bodies facet_bf16_avx512 = BF16_BODIES;
