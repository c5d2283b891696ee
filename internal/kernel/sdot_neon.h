// Sums of products with SDOT: one instruction multiplies the bytes of four words of
// weights with one word of x and adds up each four products.

typedef sums16 acc;
typedef int8x16_t x_bytes;

INLINE acc acc_start(const int bits, int32_t start) {
	int32x4_t s = vdupq_n_s32(first(bits, start));
	return (acc){s, s, s, s};
}

// spread returns the sixteen columns of a row of x among which 4c to 4c + 3 are: SDOT
// picks them itself.
INLINE x_bytes spread(const int8_t *q, const int c) { return vld1q_s8(q + c / 4 * 16); }

INLINE int32x4_t dot4(int32x4_t s, int8x16_t w, int8x16_t x, const int lane) {
	switch (lane) { // which has to be written as a number
	case 0: return vdotq_laneq_s32(s, w, x, 0);
	case 1: return vdotq_laneq_s32(s, w, x, 1);
	case 2: return vdotq_laneq_s32(s, w, x, 2);
	default: return vdotq_laneq_s32(s, w, x, 3);
	}
}
INLINE acc acc_dot(const int bits, acc s, bytes64 w, x_bytes x, const int c, const int i) {
	const int lane = c & 3;
	return (acc){dot4(s.a, w.a, x, lane), dot4(s.b, w.b, x, lane), dot4(s.c, w.c, x, lane), dot4(s.d, w.d, x, lane)};
}
INLINE vec acc_end(const int bits, acc s, int32_t start, const int count) { return to_floats(s); }
