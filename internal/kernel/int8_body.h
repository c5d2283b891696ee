// Integer products, once for all instruction sets: int8_*_amd64.c and int8_*_arm64.c
// include this after the header that says what a vec is and after their own primitives
// for sums of products of bytes: acc, acc_start, acc_dot, acc_end, weights, spread. A set
// that multiplies rows of x in pairs names the file with pair_sums as PAIR_SUMS.
//
// dst[r][o] = Σ over blocks of scale(w)·scale(x)·Σ q(w)·q(x). The inner sum is one of
// integers and exact, in whatever order. The outer one is a chain of fused
// multiply-adds in order of the columns, the same for a tile of any size, which is
// how one row gets the same bits as a hundred.
#include "int8.h"

// ---- Formats ------------------------------------------------------------------

// How the scales of a format lie, see int8.go.
enum { SCALE, SCALE_MIN, K_MIN, K_HALF };

#define BITS(q) ((q) == Q8_0 ? 8 : (q) == Q6_K ? 6 : (q) == Q5_0 || (q) == Q5_1 || (q) == Q5_K ? 5 : 4)
#define SCHEME(q)                                                                                                      \
	((q) == Q4_0 || (q) == Q5_0 || (q) == Q8_0 ? SCALE                                                             \
	 : (q) == Q4_1 || (q) == Q5_1		   ? SCALE_MIN                                                         \
	 : (q) == Q6_K				   ? K_HALF                                                            \
						   : K_MIN)
#define HALVES(q) (SCHEME(q) == K_HALF ? 2 : 1) // with a scale of their own, of a block
#define HAS_MIN(q) (SCHEME(q) == SCALE_MIN || SCHEME(q) == K_MIN)
#define SPAN_BLOCKS(q) (SCHEME(q) == SCALE ? 2 : SCHEME(q) == SCALE_MIN ? 1 : 8)
#define SPAN_HEAD(q) (SCHEME(q) >= K_MIN ? 320 : 64)
#define BLOCK_BYTES(q) (BITS(q) * GROUP * BLOCK / 8)
#define SPAN_BYTES(q) (SPAN_HEAD(q) + SPAN_BLOCKS(q) * BLOCK_BYTES(q))

// Quants are held at the top of their byte where that saves shifting: TOP bits up.
#define UP(q) (1.0f / (1 << (TOP ? 8 - BITS(q) : 0)))

INLINE vec vload_u8(const uint8_t *p);
INLINE vec vload_s8(const uint8_t *p);

// block_scale is the scale of 16 rows for block b of a span, or for half h of it.
INLINE vec block_scale(const int Q, const uint8_t *head, int b, const int h) {
	if (SCHEME(Q) == SCALE)
		return vload_f16(head + 32 * b);
	if (SCHEME(Q) == SCALE_MIN)
		return vmul(vload_f16(head), vset(UP(Q)));
	if (SCHEME(Q) == K_MIN)
		return vmul(vmul(vload_f16(head + 256), vset(UP(Q))), vload_u8(head + 16 * b));
	return vmul(vload_f16(head + 256), vload_s8(head + 32 * b + 16 * h));
}

// block_min is what is added to every quant of 16 rows, for formats that have it.
INLINE vec block_min(const int Q, const uint8_t *head, int b) {
	if (SCHEME(Q) == SCALE_MIN)
		return vload_f16(head + 32);
	return vmul(vmul(vload_f16(head + 288), vset(-1)), vload_u8(head + 128 + 16 * b));
}

// ---- A tile -------------------------------------------------------------------

// Where weights come from memory they are asked for ahead, in the order of their
// addresses: one group a few pages ahead of itself, several the groups that follow them.
#define AHEAD 4096

INLINE void fetch(const uint8_t *p, int64_t bytes) {
	UNROLL
	for (int64_t i = 0; i < bytes; i += 64)
		FETCH(p + i);
}

// start is what a sum of quants q(w)·q(x) begins with, or ends with: −128·Σ q(x) where the
// middle of a quant's range stands for 0; see acc_end.
INLINE int32_t start(const int Q, const int h, const x_block *x) {
	return HAS_MIN(Q) ? 0 : SCHEME(Q) != K_HALF ? x->whole : h == 0 ? x->first : x->whole - x->first;
}

INLINE const x_block *x_row(const x_block *x, int64_t stride, int t) {
	return (const void *)((const uint8_t *)x + t * stride);
}

// sums adds up the products of a block, or of half h of it, for T rows × G groups.
INLINE void sums(const int Q, const int T, const int G, const int h, acc *a, const x_block *x, int64_t x_stride,
		 const uint8_t *quants, int64_t group_bytes) {
	UNROLL
	for (int t = 0; t < T; t++) {
		UNROLL
		for (int g = 0; g < G; g++)
			a[t * G + g] = acc_start(BITS(Q), start(Q, h, x_row(x, x_stride, t)));
	}
	const int halves = HALVES(Q);
	UNROLL
	for (int i = 0; i < 8 / halves; i++) {
		// Columns 4c to 4c + 3. Low and high halves of bytes in turns.
		const int c = halves == 2 ? 4 * h + i : (i & 1) * 4 + (i >> 1);
		bytes64 wv[MAX_GROUPS];
		UNROLL
		for (int g = 0; g < G; g++)
			wv[g] = weights(BITS(Q), quants + g * group_bytes, c);
		UNROLL
		for (int t = 0; t < T; t++) {
			x_bytes xv = spread(x_row(x, x_stride, t)->q, c);
			UNROLL
			for (int g = 0; g < G; g++)
				a[t * G + g] = acc_dot(BITS(Q), a[t * G + g], wv[g], xv, c, i);
		}
	}
}

#ifdef PAIR_SUMS
#include PAIR_SUMS
#endif

// tile adds spans of columns to the sums f of T rows × G groups. cold says that weights come
// from memory.
INLINE void tile(const int Q, const int T, const int G, int cold, vec *f, const x_block *x, int64_t x_stride,
		 const uint8_t *w, int64_t group_bytes, int64_t spans) {
	const uint8_t *ahead = G == 1 ? w + AHEAD : w + G * group_bytes;
	for (int64_t s = 0; s < spans; s++, w += SPAN_BYTES(Q)) {
		const uint8_t *quants = w + SPAN_HEAD(Q);
		if (cold) {
			fetch(ahead, G * SPAN_HEAD(Q));
			ahead += G * SPAN_HEAD(Q);
		}
		for (int b = 0; b < SPAN_BLOCKS(Q); b++, quants += BLOCK_BYTES(Q), x++) {
			const int halves = HALVES(Q);
			if (cold) {
				fetch(ahead, G * BLOCK_BYTES(Q));
				ahead += G * BLOCK_BYTES(Q);
			}
			UNROLL
			for (int h = 0; h < halves; h++) {
				acc a[MAX_ROWS * MAX_GROUPS];
#ifdef PAIR_SUMS
				if (T > 1)
					pair_sums(Q, T, G, h, a, x, x_stride, quants, group_bytes);
				else
#endif
					sums(Q, T, G, h, a, x, x_stride, quants, group_bytes);
				vec d[MAX_GROUPS], m[MAX_GROUPS];
				UNROLL
				for (int g = 0; g < G; g++) {
					d[g] = block_scale(Q, w + g * group_bytes, b, h);
					if (HAS_MIN(Q))
						m[g] = block_min(Q, w + g * group_bytes, b);
				}
				UNROLL
				for (int t = 0; t < T; t++) {
					const x_block *xt = x_row(x, x_stride, t);
					UNROLL
					for (int g = 0; g < G; g++) {
						vec *sum = f + t * G + g;
						vec v = acc_end(BITS(Q), a[t * G + g], start(Q, h, xt), 8 / halves);
						*sum = vfma(v, vmul(d[g], vset(xt->scale)), *sum);
						if (HAS_MIN(Q))
							*sum = vfma(m[g], vset(xt->sum), *sum);
					}
				}
			}
		}
	}
}

// Outputs [lo, hi) of a product; dst[0] is output lo.
typedef struct {
	float *dst;
	int64_t dst_stride;
	const uint8_t *x;
	int64_t x_stride;
	const uint8_t *w;
	int64_t group_bytes, spans;
	int64_t lo, hi;
} int8_product;

// load reads the 16 values of group g that lie within [lo, hi).
INLINE vec load(const int8_product *p, const float *dst, int64_t g) {
	int64_t o = g * GROUP;
	if (o >= p->lo && o + GROUP <= p->hi)
		return vload(dst + o - p->lo);
	float lanes[GROUP] = {0};
	for (int64_t i = o < p->lo ? p->lo - o : 0; i < GROUP && o + i < p->hi; i++)
		lanes[i] = dst[o + i - p->lo];
	return vload(lanes);
}

// store writes the 16 values of group g that lie within [lo, hi).
INLINE void store(const int8_product *p, float *dst, int64_t g, vec v) {
	int64_t o = g * GROUP;
	if (o >= p->lo && o + GROUP <= p->hi) {
		vstore_n(dst + o - p->lo, GROUP, v);
		return;
	}
	float lanes[GROUP];
	vstore_n(lanes, GROUP, v);
	for (int64_t i = o < p->lo ? p->lo - o : 0; i < GROUP && o + i < p->hi; i++)
		dst[o + i - p->lo] = lanes[i];
}

// strip computes, of T rows from row r on and G groups, spans [s, s_end); dst holds the sums
// between calls.
INLINE void strip(const int Q, const int T, const int G, int cold, const int8_product *p, int64_t r, int64_t g, int64_t s, int64_t s_end) {
	vec f[MAX_ROWS * MAX_GROUPS];
	UNROLL
	for (int t = 0; t < T; t++) {
		UNROLL
		for (int i = 0; i < G; i++)
			f[t * G + i] = s > 0 ? load(p, p->dst + (r + t) * p->dst_stride, g + i) : vset(0);
	}
	// A group without a neighbour is computed twice: that is rare, and cheaper than more code.
	int64_t next = (g + G) * GROUP < p->hi + GROUP ? p->group_bytes : 0;
	const x_block *x = (const void *)(p->x + r * p->x_stride);
	tile(Q, T, G, cold, f, x + s * SPAN_BLOCKS(Q), p->x_stride, p->w + g * p->group_bytes + s * SPAN_BYTES(Q), next, s_end - s);
	if (!HAS_MIN(Q) && TOP && s_end == p->spans) {
		UNROLL
		for (int i = 0; i < T * G; i++)
			f[i] = vmul(f[i], vset(UP(Q)));
	}
	UNROLL
	for (int t = 0; t < T; t++) {
		UNROLL
		for (int i = 0; i < G; i++)
			store(p, p->dst + (r + t) * p->dst_stride, g + i, f[t * G + i]);
	}
}

// Of few rows the weights come from memory, from end to end. With many, columns are cut
// into parts, so that those of x stay in the second-level cache for all groups, and
// those of the weights in the first-level one for all rows.
#define FEW_ROWS 16
#define PART 1536

// product computes all outputs for all rows. The first strip of rows brings the weights of
// its groups into the caches, the others find them there. Every combination of constants
// is some of the compiler's time, so there are no more than pay.
#define PRODUCT(Q)                                                                                                     \
	TARGET static void product_##Q(const int8_product *p, int64_t rows) {                                          \
		int64_t first = p->lo / GROUP, end = (p->hi + GROUP - 1) / GROUP;                                      \
		if (rows == 1) {                                                                                       \
			for (int64_t g = first; g < end; g++)                                                          \
				strip(Q, 1, 1, 1, p, 0, g, 0, p->spans);                                               \
			return;                                                                                        \
		}                                                                                                      \
		const int64_t part = rows <= FEW_ROWS ? p->spans : PART / BLOCK / SPAN_BLOCKS(Q);                      \
		for (int64_t s = 0, s_end = -1; s_end < p->spans; s = s_end) { /* once if there are no columns */      \
			s_end = p->spans - s < part ? p->spans : s + part;                                             \
			for (int64_t g = first; g < end; g += MAX_GROUPS) {                                            \
				for (int64_t r = 0, strips = (rows + MAX_ROWS - 1) / MAX_ROWS; r < rows; strips--) {   \
					int64_t n = (rows - r + strips - 1) / strips; /* strips of about equal size */ \
					int cold = r == 0;                                                             \
					if (n == 2)                                                                    \
						strip(Q, 2, MAX_GROUPS, cold, p, r, g, s, s_end);                      \
					else if (n == 3)                                                               \
						strip(Q, 3, MAX_GROUPS, cold, p, r, g, s, s_end);                      \
					else if (MAX_ROWS >= 4 && n == 4)                                              \
						strip(Q, 4, MAX_GROUPS, cold, p, r, g, s, s_end);                      \
					else if (MAX_ROWS >= 5 && n == 5)                                              \
						strip(Q, 5, MAX_GROUPS, cold, p, r, g, s, s_end);                      \
					else if (MAX_ROWS >= 6)                                                        \
						strip(Q, 6, MAX_GROUPS, cold, p, r, g, s, s_end);                      \
					r += n;                                                                        \
				}                                                                                      \
			}                                                                                              \
		}                                                                                                      \
	}
PRODUCT(Q4_0)
PRODUCT(Q4_1)
PRODUCT(Q5_0)
PRODUCT(Q5_1)
PRODUCT(Q8_0)
PRODUCT(Q4_K)
PRODUCT(Q5_K)
PRODUCT(Q6_K)

TARGET static void mat_mul_int8(int quant, float *dst, int64_t dst_stride, const uint8_t *x, int64_t x_stride, int64_t rows,
				const uint8_t *w, int64_t lo, int64_t hi, int64_t in) {
	int8_product p = {dst, dst_stride, x, x_stride, w, 0, 0, lo, hi};
#define CASE(Q)                                                                                                        \
	case Q:                                                                                                        \
		p.spans = (in + SPAN_BLOCKS(Q) * BLOCK - 1) / (SPAN_BLOCKS(Q) * BLOCK);                                \
		p.group_bytes = p.spans * SPAN_BYTES(Q);                                                               \
		product_##Q(&p, rows);                                                                                 \
		break;
	switch (quant) {
		CASE(Q4_0)
		CASE(Q4_1)
		CASE(Q5_0)
		CASE(Q5_1)
		CASE(Q8_0)
		CASE(Q4_K)
		CASE(Q5_K)
		CASE(Q6_K)
	}
}
