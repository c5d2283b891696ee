// What the integer products of the NEON sets have in common. A group's 16 words of four
// columns are four registers; quants stand at the lower end of their byte, signed, and
// 8-bit ones without their 128. See int8_body.h.
#include "vec_neon.h"

#define TOP 0

// Sixteen sums of a row of x.
typedef struct {
	int32x4_t a, b, c, d;
} sums16;

// first is what the sum for a row of x begins with, given −128·Σ q(x) where the middle
// of the quants' range stands for 0. That is 2^(bits−1) here, and 0 for 8 bits.
INLINE int32_t first(const int bits, int32_t start) { return bits == 8 ? 0 : start >> (8 - bits); }

INLINE vec to_floats(sums16 x) { return EACH(vcvtq_f32_s32); }

// Columns 4c … 4c + 3 of four rows, of those that q begins with in a block: the upper four bits, …
INLINE uint8x16_t upper(uint8x16_t v, const int c) { return c < 4 ? vandq_u8(v, vdupq_n_u8(15)) : vshrq_n_u8(v, 4); }
INLINE uint8x16_t plane(const uint8_t *q, const int i) { return vld1q_u8(q + 64 * i); }
// … and, at the lower end of a byte with others above, the bits below.
INLINE uint8x16_t lower(const int bits, const uint8_t *q, const int c) {
	return bits == 5 ? plane(q, 4) >> c : plane(q, 4 + c / 4) >> 2 * (c & 3);
}
// join puts the upper four bits above the lower ones.
INLINE int8x16_t join(const int bits, uint8x16_t up, uint8x16_t low) {
	return vreinterpretq_s8_u8(bits == 4 ? up : bits == 5 ? vsliq_n_u8(low, up, 1) : vsliq_n_u8(low, up, 2));
}
INLINE int8x16_t weights4(const int bits, const uint8_t *q, const int c) {
	if (bits == 8)
		return vreinterpretq_s8_u8(veorq_u8(plane(q, c), vdupq_n_u8(0x80)));
	uint8x16_t up = upper(plane(q, c & 3), c);
	return join(bits, up, bits == 4 ? up : lower(bits, q, c));
}

typedef struct {
	int8x16_t a, b, c, d;
} bytes64;

// weights returns columns 4c to 4c + 3 of 16 rows of a block.
INLINE bytes64 weights(const int bits, const uint8_t *q, const int c) {
	return (bytes64){weights4(bits, q, c), weights4(bits, q + 16, c), weights4(bits, q + 32, c), weights4(bits, q + 48, c)};
}

INLINE vec from_u16(uint16x8_t l, uint16x8_t h) {
	return (vec){vcvtq_f32_u32(vmovl_u16(vget_low_u16(l))), vcvtq_f32_u32(vmovl_high_u16(l)),
		     vcvtq_f32_u32(vmovl_u16(vget_low_u16(h))), vcvtq_f32_u32(vmovl_high_u16(h))};
}
INLINE vec from_s16(int16x8_t l, int16x8_t h) {
	return (vec){vcvtq_f32_s32(vmovl_s16(vget_low_s16(l))), vcvtq_f32_s32(vmovl_high_s16(l)),
		     vcvtq_f32_s32(vmovl_s16(vget_low_s16(h))), vcvtq_f32_s32(vmovl_high_s16(h))};
}
INLINE vec vload_u8(const uint8_t *p) {
	uint8x16_t v = vld1q_u8(p);
	return from_u16(vmovl_u8(vget_low_u8(v)), vmovl_high_u8(v));
}
INLINE vec vload_s8(const uint8_t *p) {
	int8x16_t v = vreinterpretq_s8_u8(vld1q_u8(p));
	return from_s16(vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v));
}

// For int8_rows.h.
INLINE uint32x4_t magnitude(float32x4_t a) { return vreinterpretq_u32_f32(vabsq_f32(a)); }
INLINE uint32x4_t larger(vec x) {
	return vmaxq_u32(vmaxq_u32(magnitude(x.a), magnitude(x.b)), vmaxq_u32(magnitude(x.c), magnitude(x.d)));
}
INLINE uint32_t largest(vec x, vec y) { return vmaxvq_u32(vmaxq_u32(larger(x), larger(y))); }

INLINE int32_t round16(int8_t *q, vec x) {
	int32x4_t a = vcvtnq_s32_f32(x.a), b = vcvtnq_s32_f32(x.b), c = vcvtnq_s32_f32(x.c), d = vcvtnq_s32_f32(x.d); // ties to even
	int16x8_t l = vcombine_s16(vmovn_s32(a), vmovn_s32(b)), h = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
	vst1q_s8(q, vcombine_s8(vmovn_s16(l), vmovn_s16(h)));
	return vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)));
}
