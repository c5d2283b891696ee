// Sums of products with SMMLA: one instruction multiplies eight columns of two rows of x
// with those of two rows of weights, twice what SDOT does. int8_body.h includes this.

typedef struct {
	int8x16_t l, h;
} rows4;

INLINE uint8x16_t zip_low(uint8x16_t a, uint8x16_t b) {
	return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}
INLINE uint8x16_t zip_high(uint8x16_t a, uint8x16_t b) {
	return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

// weights8 returns columns 4c … 4c + 7 of four rows, two to a register; c is even.
INLINE rows4 weights8(const int bits, const uint8_t *q, const int c) {
	if (bits == 8) {
		uint8x16_t a = plane(q, c), b = plane(q, c + 1), middle = vdupq_n_u8(0x80);
		return (rows4){vreinterpretq_s8_u8(veorq_u8(zip_low(a, b), middle)), vreinterpretq_s8_u8(veorq_u8(zip_high(a, b), middle))};
	}
	uint8x16_t a = plane(q, c & 3), b = plane(q, (c & 3) + 1);
	uint8x16_t l = upper(zip_low(a, b), c), h = upper(zip_high(a, b), c);
	if (bits == 4)
		return (rows4){vreinterpretq_s8_u8(l), vreinterpretq_s8_u8(h)};
	a = lower(bits, q, c), b = lower(bits, q, c + 1);
	return (rows4){join(bits, l, zip_low(a, b)), join(bits, h, zip_high(a, b))};
}

// A pair of rows of x: sums with weights 0 and 1, 2 and 3, … of the first row, and then
// of the second, in each register.
typedef struct {
	int32x4_t a, b, c, d, e, f, g, h;
} pair;

INLINE sums16 row(pair p, const int second) {
#define ROW(a, b)                                                                                                      \
	vreinterpretq_s32_s64(second ? vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b))                  \
				     : vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)))
	return (sums16){ROW(p.a, p.b), ROW(p.c, p.d), ROW(p.e, p.f), ROW(p.g, p.h)};
}

// pair_sums is sums for T > 1 rows of x, two by two; the second of a last one alone is itself.
INLINE void pair_sums(const int Q, const int T, const int G, const int h, acc *a, const x_block *x, int64_t x_stride,
		      const uint8_t *quants, int64_t group_bytes) {
	pair s[(MAX_ROWS + 1) / 2];
	UNROLL
	for (int t = 0; t < T; t += 2) {
		const x_block *x0 = x_row(x, x_stride, t), *x1 = x_row(x, x_stride, t + 1 < T ? t + 1 : t);
		int32x4_t v = vcombine_s32(vdup_n_s32(first(BITS(Q), start(Q, h, x0))), vdup_n_s32(first(BITS(Q), start(Q, h, x1))));
		s[t / 2] = (pair){v, v, v, v, v, v, v, v};
	}
	const int halves = HALVES(Q);
	UNROLL
	for (int i = 0; i < 4 / halves; i++) {
		// Columns 4c to 4c + 7. Low and high halves of bytes in turns.
		const int c = halves == 2 ? 4 * h + 2 * i : (i & 1) * 4 + (i & 2);
		int8x16_t xv[(MAX_ROWS + 1) / 2];
		UNROLL
		for (int t = 0; t < T; t += 2) {
			const x_block *x0 = x_row(x, x_stride, t), *x1 = x_row(x, x_stride, t + 1 < T ? t + 1 : t);
			xv[t / 2] = vcombine_s8(vld1_s8(x0->q + 4 * c), vld1_s8(x1->q + 4 * c));
		}
		rows4 w0 = weights8(BITS(Q), quants, c), w1 = weights8(BITS(Q), quants + 16, c);
		rows4 w2 = weights8(BITS(Q), quants + 32, c), w3 = weights8(BITS(Q), quants + 48, c);
		UNROLL
		for (int t = 0; t < T; t += 2) {
			pair p = s[t / 2];
			int8x16_t v = xv[t / 2];
			s[t / 2] = (pair){vmmlaq_s32(p.a, v, w0.l), vmmlaq_s32(p.b, v, w0.h), vmmlaq_s32(p.c, v, w1.l),
					  vmmlaq_s32(p.d, v, w1.h), vmmlaq_s32(p.e, v, w2.l), vmmlaq_s32(p.f, v, w2.h),
					  vmmlaq_s32(p.g, v, w3.l), vmmlaq_s32(p.h, v, w3.h)};
		}
	}
	UNROLL
	for (int t = 0; t < T; t++)
		a[t] = row(s[t / 2], t % 2);
}
