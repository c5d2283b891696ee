// Sixteen pairs of bfloat16 in four NEON registers, and what else bf16_body.h needs.
// The including file adds pset, pdot, a sum of products, and pround.

typedef struct {
	uint16x8_t a, b, c, d;
} pairs;

// Tiles, as in pairs_avx512.h: 16 registers of sums, and 24 where weights lie in rows.
#define ATTEND_ROWS 4
#define ATTEND_VECS 1
#define PANEL_ROWS 4
#define PANEL_VECS 1
#define ROW_ROWS 3
#define ROW_OUTS 2

INLINE pairs pload(const void *p) {
	const uint8_t *b = p;
	return (pairs){load8(b), load8(b + 16), load8(b + 32), load8(b + 48)};
}
TARGET static __attribute__((noinline)) pairs pload_tail(const uint16_t *p, int64_t n) {
	uint16_t buf[32] = {0};
	memcpy(buf, p, 2 * n);
	return pload(buf);
}
INLINE pairs pload_n(const uint16_t *p, int64_t n) { // the first n of 32 values, zeros behind them
	return n >= 32 ? pload(p) : pload_tail(p, n);
}
INLINE void pstore(uint16_t *p, pairs x) {
	vst1q_u16(p, x.a);
	vst1q_u16(p + 8, x.b);
	vst1q_u16(p + 16, x.c);
	vst1q_u16(p + 24, x.d);
}
// pzip makes pairs (p[i], q[i]) of 16 values each.
INLINE pairs pzip(const uint16_t *p, const uint16_t *q) {
	uint16x8_t a = load8(p), b = load8(q), c = load8(p + 8), d = load8(q + 8);
	return (pairs){vzip1q_u16(a, b), vzip2q_u16(a, b), vzip1q_u16(c, d), vzip2q_u16(c, d)};
}
INLINE float32x4_t exponent(float32x4_t p, float32x4_t r, float32x4_t t) {
	uint32x4_t e = vaddq_u32(vreinterpretq_u32_f32(p), vshlq_n_u32(vreinterpretq_u32_f32(r), 23));
	return vreinterpretq_f32_u32(vbicq_u32(e, vcleq_f32(t, vdupq_n_f32(-126))));
}
// vexponent multiplies x by 2ⁿ, the n that adding 1.5·2²³ has left in the low bits of y;
// where z ≤ −126 the result is 0.
INLINE vec vexponent(vec x, vec y, vec z) { return EACH3(exponent); }
INLINE float32x4_t keep_range(float32x4_t a, int first, int lo, int hi) {
	const int32x4_t lanes = {0, 1, 2, 3};
	int32x4_t i = vaddq_s32(lanes, vdupq_n_s32(first));
	uint32x4_t keep = vandq_u32(vcgeq_s32(i, vdupq_n_s32(lo)), vcltq_s32(i, vdupq_n_s32(hi)));
	return vbslq_f32(keep, a, vdupq_n_f32(-__builtin_inff()));
}
// vkeep_range keeps elements [lo, hi) of 16 and makes the others −Inf.
INLINE vec vkeep_range(vec x, int lo, int hi) {
	return (vec){keep_range(x.a, 0, lo, hi), keep_range(x.b, 4, lo, hi), keep_range(x.c, 8, lo, hi), keep_range(x.d, 12, lo, hi)};
}
