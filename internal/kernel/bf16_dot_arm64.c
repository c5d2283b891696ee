//go:build cgo && !purego

// bfloat16 products as FEAT_BF16 has them: BFDOT, which rounds the sum of two products
// and then that of both with the lane, each to odd instead of to nearest, and takes
// subnormal numbers for 0.
#define TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#include "vec_neon.h"

#include "pairs_neon.h"

// pset is the pair at p in every lane.
INLINE pairs pset(const uint16_t *p) {
	uint32_t pair;
	memcpy(&pair, p, 4);
	uint16x8_t v = vreinterpretq_u16_u32(vdupq_n_u32(pair));
	__asm__("" : "+w"(v)); // GCC 12 writes a bfloat16 1 that it knows as a binary16 1
	return (pairs){v, v, v, v};
}
INLINE float32x4_t dot4(float32x4_t acc, uint16x8_t a, uint16x8_t b) {
	return vbfdotq_f32(acc, vreinterpretq_bf16_u16(a), vreinterpretq_bf16_u16(b));
}
INLINE vec pdot(vec acc, pairs a, pairs b) {
	return (vec){dot4(acc.a, a.a, b.a), dot4(acc.b, a.b, b.b), dot4(acc.c, a.c, b.c), dot4(acc.d, a.d, b.d)};
}
INLINE uint16x8_t round8(float32x4_t a, float32x4_t b) {
	return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(a), b));
}
INLINE pairs pround(vec lo, vec hi) {
	return (pairs){round8(lo.a, lo.b), round8(lo.c, lo.d), round8(hi.a, hi.b), round8(hi.c, hi.d)};
}

#include "bf16_body.h"

const facet_bf16_bodies facet_bf16_bfdot = BF16_BODIES;
