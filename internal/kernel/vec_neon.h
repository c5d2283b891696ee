// Sixteen float32 in four NEON registers. Each function does to a number what its
// namesake in vec_avx512.h does: a comparison with NaN is false and takes the second
// operand, for which FMAX and FMIN would not do.
#include "compiler.h"
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#ifndef TARGET // Advanced SIMD belongs to every arm64
#define TARGET
#endif
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef struct {
	float32x4_t a, b, c, d;
} vec;

// The tile of a matrix product: 24 registers of sums, 2 of weights and one of x, of 32.
#define TILE_ROWS 3
#define TILE_OUTS 2
#define TILE_OUTS_1 4 // for one row alone: sums enough to hide the latency of one
#define TILE_VECS 2
#define PEAK_VECS 4 // four pipes of four cycles

// f of each part of x, of x and y, or of x, y and z.
#define EACH(f) ((vec){f(x.a), f(x.b), f(x.c), f(x.d)})
#define EACH2(f) ((vec){f(x.a, y.a), f(x.b, y.b), f(x.c, y.c), f(x.d, y.d)})
#define EACH3(f) ((vec){f(x.a, y.a, z.a), f(x.b, y.b, z.b), f(x.c, y.c, z.c), f(x.d, y.d, z.d)})

INLINE vec vset(float a) {
	float32x4_t v = vdupq_n_f32(a);
	return (vec){v, v, v, v};
}
INLINE vec vload(const void *p) {
	const float *f = p;
	return (vec){vld1q_f32(f), vld1q_f32(f + 4), vld1q_f32(f + 8), vld1q_f32(f + 12)};
}
INLINE vec vadd(vec x, vec y) { return EACH2(vaddq_f32); }
INLINE vec vsub(vec x, vec y) { return EACH2(vsubq_f32); }
INLINE vec vmul(vec x, vec y) { return EACH2(vmulq_f32); }
INLINE vec vdiv(vec x, vec y) { return EACH2(vdivq_f32); }
INLINE float32x4_t fma4(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
INLINE float32x4_t fnma4(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmsq_f32(c, a, b); }
INLINE vec vfma(vec x, vec y, vec z) { return EACH3(fma4); }   // x·y + z
INLINE vec vfnma(vec x, vec y, vec z) { return EACH3(fnma4); } // z − x·y
INLINE float32x4_t max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE float32x4_t min4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE vec vmax(vec x, vec y) { return EACH2(max4); } // y if one is NaN
INLINE vec vmin(vec x, vec y) { return EACH2(min4); } // y if one is NaN
INLINE float32x4_t or4(float32x4_t a, float32x4_t b) {
	return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
INLINE vec vor(vec x, vec y) { return EACH2(or4); }
INLINE vec vabs(vec x) { return EACH(vabsq_f32); }
INLINE vec vround(vec x) { return EACH(vrndnq_f32); }
INLINE float32x4_t copysign4(float32x4_t a, float32x4_t sign) { return vbslq_f32(vdupq_n_u32(1u << 31), sign, a); }
INLINE vec vcopysign(vec x, vec y) { return EACH2(copysign4); }
// vless is yes where x < y, no elsewhere.
INLINE vec vless(vec x, vec y, vec yes, vec no) {
	return (vec){vbslq_f32(vcltq_f32(x.a, y.a), yes.a, no.a), vbslq_f32(vcltq_f32(x.b, y.b), yes.b, no.b),
		     vbslq_f32(vcltq_f32(x.c, y.c), yes.c, no.c), vbslq_f32(vcltq_f32(x.d, y.d), yes.d, no.d)};
}
// exp2i multiplies by 2ⁿ, n whole, in two halves, so that each is a normal number for
// |n| ≤ 252; only the second multiplication can round.
INLINE float32x4_t exp2i(float32x4_t a, float32x4_t b) {
	int32x4_t n = vcvtnq_s32_f32(b), half = vshrq_n_s32(n, 1), bias = vdupq_n_s32(127);
	int32x4_t rest = vsubq_s32(n, half);
	a = vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
	return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
INLINE vec vexp2i(vec x, vec y) { return EACH2(exp2i); }

// The first n of 16 elements; the others are 0, or left as they are in memory. NEON has
// no masks: a tail goes through memory, in functions of their own, or there would be
// copies of them in every loop.
TARGET static __attribute__((noinline)) vec load_tail(const float *p, int64_t n) {
	float lanes[16] = {0};
	memcpy(lanes, p, 4 * (n < 0 ? 0 : n));
	return vload(lanes);
}
INLINE void vstore(float *p, vec x) {
	vst1q_f32(p, x.a);
	vst1q_f32(p + 4, x.b);
	vst1q_f32(p + 8, x.c);
	vst1q_f32(p + 12, x.d);
}
TARGET static __attribute__((noinline)) void store_tail(float *p, int64_t n, vec x) {
	float lanes[16];
	vstore(lanes, x);
	memcpy(p, lanes, 4 * (n < 0 ? 0 : n));
}
INLINE vec vload_n(const float *p, int64_t n) { return n >= 16 ? vload(p) : load_tail(p, n); }
INLINE void vstore_n(float *p, int64_t n, vec x) {
	if (n >= 16)
		vstore(p, x);
	else
		store_tail(p, n, x);
}
INLINE float32x4_t keep4(float32x4_t a, int first, int64_t n) {
	const int32x4_t lane = {0, 1, 2, 3};
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vcltq_s32(lane, vdupq_n_s32((int)n - first))));
}
INLINE vec vkeep_n(vec x, int64_t n) {
	if (n >= 16)
		return x;
	return (vec){keep4(x.a, 0, n), keep4(x.b, 4, n), keep4(x.c, 8, n), keep4(x.d, 12, n)};
}

// Eight 16-bit values, at any address.
INLINE uint16x8_t load8(const void *p) { return vreinterpretq_u16_u8(vld1q_u8(p)); }

INLINE vec widen_bf16(uint16x8_t l, uint16x8_t h) {
	return (vec){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(l), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(l, 16)),
		     vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(h, 16))};
}
INLINE vec widen_f16(uint16x8_t l, uint16x8_t h) {
	float16x8_t a = vreinterpretq_f16_u16(l), b = vreinterpretq_f16_u16(h);
	return (vec){vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b)};
}
INLINE vec vload_bf16(const void *p) { return widen_bf16(load8(p), load8((const char *)p + 16)); }
INLINE vec vload_f16(const void *p) { return widen_f16(load8(p), load8((const char *)p + 16)); }
TARGET static __attribute__((noinline)) vec load_tail_bf16(const void *p, int64_t n) {
	char lanes[32] = {0};
	memcpy(lanes, p, 2 * n);
	return vload_bf16(lanes);
}
TARGET static __attribute__((noinline)) vec load_tail_f16(const void *p, int64_t n) {
	char lanes[32] = {0};
	memcpy(lanes, p, 2 * n);
	return vload_f16(lanes);
}
INLINE vec vload_bf16_n(const void *p, int64_t n) { return load_tail_bf16(p, n); }
INLINE vec vload_f16_n(const void *p, int64_t n) { return load_tail_f16(p, n); }

// vsum4 adds up each vector: in halves, element i to i + 8, i + 4, i + 2, i + 1.
INLINE float32x4_t halve(vec x) { return vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d)); }
INLINE float32x4_t halve2(float32x4_t x, float32x4_t y) { // x and y: 2 each
	float64x2_t a = vreinterpretq_f64_f32(x), b = vreinterpretq_f64_f32(y);
	return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)));
}
INLINE quad vsum4(vec a, vec b, vec c, vec d) {
	return (quad)vpaddq_f32(halve2(halve(a), halve(b)), halve2(halve(c), halve(d)));
}
INLINE float vsum(vec a) { return vsum4(a, a, a, a)[0]; }
INLINE float root(float a) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(a)), 0); }
INLINE float vmax_all(vec x) { return vmaxvq_f32(max4(max4(x.a, x.b), max4(x.c, x.d))); } // no NaN among them
