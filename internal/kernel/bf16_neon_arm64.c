//go:build cgo && !purego

// bfloat16 products on arm64 CPUs that lack BFDOT: widened to float32.
#include "vec_neon.h"

#include "pairs_neon.h"

// pset is the pair at p in every lane.
INLINE pairs pset(const uint16_t *p) {
	uint32_t pair;
	memcpy(&pair, p, 4);
	uint16x8_t v = vreinterpretq_u16_u32(vdupq_n_u32(pair));
	return (pairs){v, v, v, v};
}
INLINE float32x4_t low(uint16x8_t a) { return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u16(a), 16)); }
INLINE float32x4_t high(uint16x8_t a) {
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u16(a), vdupq_n_u32(0xffff0000)));
}
INLINE float32x4_t dot4(float32x4_t acc, uint16x8_t a, uint16x8_t b) {
	return fma4(low(a), low(b), fma4(high(a), high(b), acc));
}
INLINE vec pdot(vec acc, pairs a, pairs b) {
	return (vec){dot4(acc.a, a.a, b.a), dot4(acc.b, a.b, b.b), dot4(acc.c, a.c, b.c), dot4(acc.d, a.d, b.d)};
}

// round4 rounds to nearest, ties to even; NaN becomes a quiet one. The results are in
// the upper halves.
INLINE uint16x8_t round4(float32x4_t a) {
	uint32x4_t u = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
	uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
	return vreinterpretq_u16_u32(vbslq_u32(vceqq_f32(a, a), r, vorrq_u32(u, vdupq_n_u32(0x400000))));
}
INLINE uint16x8_t round8(float32x4_t a, float32x4_t b) { return vuzp2q_u16(round4(a), round4(b)); }
INLINE pairs pround(vec lo, vec hi) {
	return (pairs){round8(lo.a, lo.b), round8(lo.c, lo.d), round8(hi.a, hi.b), round8(hi.c, hi.d)};
}

#include "bf16_body.h"

const facet_bf16_bodies facet_bf16_neon = BF16_BODIES;
