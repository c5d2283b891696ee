// The bfloat16 kernels, once for all instruction sets: the including file says what a
// vec of sixteen float32 is and what pairs, sixteen pairs of bfloat16, can do.
//
// Order of sums. pdot adds the two products of each lane's pair to that lane, in one
// step of the instruction set. Everything else is written down beside its function;
// nothing depends on how many rows or outputs a tile holds.
#include "bf16.h"

#define LANES 16

// ---- Rounding -----------------------------------------------------------------

// round_row sets n values of dst, filled up with zeros to a multiple of 32.
INLINE void round_row(uint16_t *dst, const float *x, int64_t n, vec lo, vec hi) {
	for (int64_t i = 0; i < n; i += 2 * LANES) {
		int64_t m = n - i;
		vec a = vkeep_n(vmin(hi, vmax(lo, vload_n(x + i, m))), m), b = vset(0); // NaN passes through
		if (m > LANES)
			b = vkeep_n(vmin(hi, vmax(lo, vload_n(x + i + LANES, m - LANES))), m - LANES);
		pstore(dst + i, pround(a, b));
	}
}

TARGET static void round_rows(uint16_t *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows, int64_t n, float lo,
			      float hi) {
	for (int64_t r = 0; r < rows; r++)
		round_row(dst + r * dst_stride, x + r * x_stride, n, vset(lo), vset(hi));
}

// FOR_ROWS makes f's number of rows, 1 to 12, a constant: f(R, …) for rows = R.
#define FOR_ROWS(rows, f, ...)                                                                                         \
	switch (rows) {                                                                                                \
	case 1: f(1, __VA_ARGS__); break;                                                                              \
	case 2: f(2, __VA_ARGS__); break;                                                                              \
	case 3: f(3, __VA_ARGS__); break;                                                                              \
	case 4: f(4, __VA_ARGS__); break;                                                                              \
		FOR_MORE(f, __VA_ARGS__)                                                                               \
	}
#if PANEL_ROWS > 4
#define FOR_MORE(f, ...)                                                                                               \
	case 5: f(5, __VA_ARGS__); break;                                                                              \
	case 6: f(6, __VA_ARGS__); break;                                                                              \
	case 7: f(7, __VA_ARGS__); break;                                                                              \
	case 8: f(8, __VA_ARGS__); break;                                                                              \
	case 9: f(9, __VA_ARGS__); break;                                                                              \
	case 10: f(10, __VA_ARGS__); break;                                                                            \
	case 11: f(11, __VA_ARGS__); break;                                                                            \
	case 12: f(12, __VA_ARGS__); break;
#else
#define FOR_MORE(f, ...)
#endif

// ---- Product with panels ------------------------------------------------------
//
// dst[r][o] = Σ x[r][k]·w[o][k]: outputs in the lanes, pairs of k added one after the
// other, for blocks of PANEL_BLOCK k's; the blocks' sums are added in order. Panels are
// read from end to end; of x a tile takes one pair of each row at a time, from rows that
// lie where the caller put them. A panel's block is 48 kB and serves all rows before the
// next one comes: 97 % of the multiply rate, against 86 % for weights in rows, where
// lanes have to be added up.

//
// The next block of weights is asked for while this one is in use, a part by each strip
// of rows: ahead is where the part begins, ahead_step the bytes for each pair of k. A
// single strip reads on without a gap, which needs no help.
INLINE void panel_tile(const int R, float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, const uint16_t *w, int64_t k_pairs,
		       const char *ahead, int64_t ahead_step, int64_t outs, int add, int last, float lo, float hi) {
	for (int64_t v = 0; v < PANEL_OUTS / LANES && v * LANES < outs; v += PANEL_VECS) {
		vec c[PANEL_ROWS * PANEL_VECS];
		UNROLL
		for (int i = 0; i < R * PANEL_VECS; i++)
			c[i] = vset(0);
		const uint16_t *wk = w + 2 * LANES * v;
		for (int64_t k = 0; k < k_pairs; k++, wk += 2 * PANEL_OUTS) {
			pairs wv[PANEL_VECS];
			UNROLL
			for (int i = 0; i < PANEL_VECS; i++)
				wv[i] = pload(wk + 2 * LANES * i);
			FETCH_FAR(ahead);
			if (ahead_step > 64)
				FETCH_FAR(ahead + 64);
			ahead += ahead_step;
			UNROLL
			for (int r = 0; r < R; r++) {
				pairs b = pset(x + r * x_stride + 2 * k);
				UNROLL
				for (int i = 0; i < PANEL_VECS; i++)
					c[r * PANEL_VECS + i] = pdot(c[r * PANEL_VECS + i], wv[i], b);
			}
		}
		UNROLL
		for (int r = 0; r < R; r++) {
			UNROLL
			for (int i = 0; i < PANEL_VECS; i++) {
				int64_t n = outs - (v + i) * LANES;
				if (n <= 0)
					break;
				float *d = dst + r * dst_stride + (v + i) * LANES;
				vec a = c[r * PANEL_VECS + i];
				if (add)
					a = vadd(vload_n(d, n), a);
				if (last)
					a = vmin(vset(hi), vmax(vset(lo), a));
				vstore_n(d, n, a);
			}
		}
	}
}

TARGET static void mat_mul_panels(float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows, const uint16_t *w,
				  int64_t outs, int64_t in, float lo, float hi) {
	int64_t panel = (in + 1) / 2 * 2 * PANEL_OUTS;
	// Few rows: a panel whole, as it lies in memory. Many: block by block, for the caches.
	int64_t block = rows <= PANEL_ROWS && in > 0 ? in : PANEL_BLOCK;
	for (int64_t k0 = 0; k0 == 0 || k0 < in; k0 += block) {
		int64_t k_end = in - k0 < block ? in : k0 + block;
		for (int64_t o = 0; o < outs; o += PANEL_OUTS) {
			int64_t strips = (rows + PANEL_ROWS - 1) / PANEL_ROWS, step = strips > 1 ? (4 * PANEL_OUTS + strips - 1) / strips : 0;
			const char *ahead = (const char *)(w + (o / PANEL_OUTS + 1) * panel + k0 * PANEL_OUTS);
			for (int64_t r = 0; r < rows; strips--) {
				int64_t n = (rows - r + strips - 1) / strips; // strips of about equal size
				for (int64_t k = k0; k == k0 || k < k_end; k += PANEL_BLOCK) {
					int64_t pairs = ((k_end - k < PANEL_BLOCK ? k_end - k : PANEL_BLOCK) + 1) / 2;
					FOR_ROWS(n, panel_tile, dst + r * dst_stride + o, dst_stride, x + r * x_stride + k, x_stride,
						 w + o / PANEL_OUTS * panel + k * PANEL_OUTS, pairs, ahead, step, outs - o, k > 0,
						 k + PANEL_BLOCK >= in, lo, hi)
					ahead += pairs * step;
				}
				r += n;
			}
		}
	}
}

// ---- Product with rows --------------------------------------------------------
//
// The same for weights that lie in rows, as in a file: lanes along k. A lane takes the
// pairs 2i, 2i + 32, 2i + 64, … of a block of ROW_BLOCK k's; its sixteen are added in
// halves, and the blocks in order. As mat_mul in body.h, which has more to say.

INLINE void row_tile(const int R, const int O, const uint8_t *ahead, int64_t ahead_step, float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride,
		     const uint8_t *w, int64_t w_stride, int64_t n, int add) {
	vec s[ROW_ROWS * ROW_OUTS];
	UNROLL
	for (int i = 0; i < R * O; i++)
		s[i] = vset(0);
	int64_t k = 0;
	for (; k + 2 * LANES <= n; k += 2 * LANES) {
		pairs wv[ROW_OUTS];
		UNROLL
		for (int o = 0; o < O; o++)
			wv[o] = pload(w + 2 * (o * w_stride + k));
		if (ahead) { // the next tile's
			UNROLL
			for (int o = 0; o < O; o++)
				FETCH(ahead + o * ahead_step);
			ahead += ahead_step == 64 ? 64 * O : 64;
		}
		UNROLL
		for (int r = 0; r < R; r++) {
			pairs xv = pload(x + r * x_stride + k);
			UNROLL
			for (int o = 0; o < O; o++)
				s[r * O + o] = pdot(s[r * O + o], xv, wv[o]);
		}
	}
	if (k < n) {
		UNROLL
		for (int o = 0; o < O; o++) {
			pairs wv = pload_n((const uint16_t *)(const void *)(w + 2 * (o * w_stride + k)), n - k);
			UNROLL
			for (int r = 0; r < R; r++)
				s[r * O + o] = pdot(s[r * O + o], pload(x + r * x_stride + k), wv);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++) {
		UNROLL
		for (int o = 0; o < O; o += 4) {
			quad v = vsum4(s[r * O + o], s[r * O + (o + 1) % O], s[r * O + (o + 2) % O], s[r * O + (o + 3) % O]);
			float *d = dst + r * dst_stride + o;
			for (int i = 0; i < (O < 4 ? O : 4); i++)
				d[i] = add ? d[i] + v[i] : v[i];
		}
	}
}

typedef struct {
	float *dst;
	int64_t dst_stride;
	const uint16_t *x;
	int64_t x_stride;
	const uint8_t *w;
	int64_t w_stride;
	int64_t outs, in;
} row_product;

// row_strip computes, for R rows, all outputs of p from products [k, k_end). cold says that
// the weights are not in a cache yet. Where k is whole they are asked for in the order
// of their addresses, which memory likes best.
INLINE void row_strip(const int R, const int cold, row_product p, int64_t k, int64_t k_end) {
	const int whole = k == 0 && k_end == p.in;
	int64_t o = 0;
#define TILES(O)                                                                                                       \
	for (; o + O <= p.outs; o += O)                                                                                \
		for (int64_t at = k; at == k || at < k_end; at += ROW_BLOCK)                                           \
			row_tile(R, O, !cold ? 0 : p.w + 2 * ((o + O) * p.w_stride + (whole ? O : 1) * at),                    \
				 whole ? 64 : 2 * p.w_stride, p.dst + o, p.dst_stride, p.x + at, p.x_stride,            \
				 p.w + 2 * (o * p.w_stride + at), p.w_stride,                                           \
				 k_end - at < ROW_BLOCK ? k_end - at : ROW_BLOCK, at > 0);
	TILES(ROW_OUTS)
	TILES(1)
#undef TILES
}

#define ROW_STRIPS(R)                                                                                                  \
	case R:                                                                                                        \
		if (cold)                                                                                              \
			row_strip(R, 1, p, k, k_end);                                                                  \
		else                                                                                                   \
			row_strip(R, 0, p, k, k_end);                                                                  \
		break;

TARGET static void row_strips(int64_t rows, int cold, row_product p, int64_t k, int64_t k_end) {
	switch (rows) {
		ROW_STRIPS(1)
		ROW_STRIPS(2)
		ROW_STRIPS(3)
#if ROW_ROWS > 3
		ROW_STRIPS(4)
		ROW_STRIPS(5)
		ROW_STRIPS(6)
#endif
	}
}

#define FEW_ROWS 24
#define FEW_BYTES (256 << 10) // of weights that stay in the second-level cache for a few strips
#define MANY_OUTS 64	      // as many for many rows, with k cut into blocks

TARGET static void mat_mul_rows(float *dst, int64_t dst_stride, const uint16_t *x, int64_t x_stride, int64_t rows, const uint8_t *w,
				int64_t w_stride, int64_t outs, int64_t in) {
	int64_t block_k = ROW_BLOCK, block_outs = MANY_OUTS;
	if (in > 0 && (rows < FEW_ROWS || in < ROW_BLOCK)) {
		block_k = in;
		block_outs = MANY_OUTS + FEW_BYTES / (2 * in + 1) / ROW_OUTS * ROW_OUTS;
	}
	row_product p = {dst, dst_stride, x, x_stride, w, w_stride, outs, in};
	for (int64_t k = 0; k == 0 || k < in; k += block_k) {
		int64_t k_end = in - k < block_k ? in : k + block_k;
		for (int64_t o = 0; o < outs; o += block_outs) {
			p.outs = outs - o < block_outs ? outs - o : block_outs;
			p.w = w + 2 * o * w_stride;
			for (int64_t r = 0, strips = (rows + ROW_ROWS - 1) / ROW_ROWS; r < rows; strips--) {
				int64_t n = (rows - r + strips - 1) / strips;
				p.dst = dst + r * dst_stride + o;
				p.x = x + r * x_stride;
				row_strips(n, r == 0, p, k, k_end);
				r += n;
			}
		}
	}
}

#include "attention_body.h"

// ---- Limit --------------------------------------------------------------------

TARGET static int64_t peak(int64_t n) {
	vec s[PEAK_VECS];
	const uint16_t ones[32] = {0x3f80, 0x3f80};
	pairs one = pset(ones);
	UNROLL
	for (int i = 0; i < PEAK_VECS; i++)
		s[i] = vset((float)i); // all different, or the compiler computes equal ones once
	for (int64_t k = 0; k < n; k++) {
		UNROLL
		for (int i = 0; i < PEAK_VECS; i++)
			s[i] = pdot(s[i], one, one);
	}
	UNROLL
	for (int i = 1; i < PEAK_VECS; i++)
		s[0] = vadd(s[0], s[i]);
	return vsum(s[0]) == 0 ? 0 : n * PEAK_VECS * LANES * 4; // looks at the sums, so that they are computed
}

#define BF16_BODIES {round_rows, mat_mul_rows, mat_mul_panels, put_keys, attend, merge, finish, peak}
