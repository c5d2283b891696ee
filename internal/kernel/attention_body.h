// Attention over packed keys: part of bf16_body.h.
//
// A tile of ATTEND_ROWS query rows takes a block of keys in two passes. The first makes
// the scores of one group of 32 keys after the other, 12 × 32 sums in registers for
// AVX-512, and keeps their maximum. The second turns scores into weights and adds up the
// values: 32 columns at a time, all keys of the block. Weights of a group are made
// while the values of the group before are added, in the first 32 columns' turn:
// their instructions fill the gaps that products leave, and cost a third of what they
// take alone.
//
// Keys and values are asked for a group, or a page, ahead: for the few rows of a step
// they come from memory, and what hardware fetches on its own is half as fast.
//
// What a row gets depends on the row alone. A key that it does not see has score −Inf
// and weight 0, and adding 0 · v changes no sum, so that a tile may take any groups
// that cover what its rows see.

#define GROUP 32
#define PAGE_GROUPS (PAGE_KEYS / GROUP)
#define ALIGNED __attribute__((aligned(64))) // a vector that crosses two lines costs double
#define LOG2E 1.44269504f

// ---- Keys and values in pages ---------------------------------------------------

INLINE int64_t columns(int64_t dim) { return (dim + LANES - 1) / LANES * LANES; }

// value_strip is where in a page the values of columns [d, d + 32) lie, d a multiple of
// 32: [PAGE_KEYS/2][width][2], of width 32, or 16 for the last.
INLINE int64_t value_strip(int64_t dim, int64_t d) { return PAGE_KEYS * (dim + d); }
INLINE int64_t strip_width(int64_t dim, int64_t d) { return columns(dim) - d < 32 ? 16 : 32; }

TARGET static void put_keys(uint16_t *page, int64_t slot, const float *k, int64_t k_stride, const float *v, int64_t v_stride, int64_t n,
			    int64_t dim) {
	uint16_t row[2][1024];
	vec lo = vset(-__builtin_inff()), hi = vset(__builtin_inff());
	for (int64_t j = 0; j < n; j++) {
		int64_t s = slot + j;
		round_row(row[0], k + j * k_stride, dim, lo, hi);
		uint16_t *to = page + s / GROUP * GROUP * dim + s % GROUP * 2;
		for (int64_t i = 0; i < dim; i += 2)
			__builtin_memcpy(to + i * GROUP, row[0] + i, 4);
	}
	for (int64_t j = 0; j < n;) {
		int64_t s = slot + j, two = s % 2 == 0 && j + 1 < n;
		round_row(row[0], v + j * v_stride, dim, lo, hi);
		if (two)
			round_row(row[1], v + (j + 1) * v_stride, dim, lo, hi);
		for (int64_t d = 0; d < dim; d += LANES) {
			int64_t width = strip_width(dim, d / 32 * 32);
			uint16_t *to = page + value_strip(dim, d / 32 * 32) + s / 2 * 2 * width + 2 * (d % 32);
			if (two)
				pstore(to, pzip(row[0] + d, row[1] + d));
			else
				for (int64_t i = 0; i < LANES; i++)
					to[2 * i + s % 2] = row[0][d + i];
		}
		j += 1 + two;
	}
}

// ---- Scores ---------------------------------------------------------------------

typedef struct {
	const uint16_t *q; // [rows, dim]
	int64_t dim;
	const uint16_t *pages[BLOCK_KEYS / PAGE_KEYS];
	const int32_t *from, *to;
	int first, end;			      // groups that cover what the rows see
	int all_from, all_to;		      // keys that all rows see
	float shift[ATTEND_ROWS];	      // the largest score of each row, base 2
	ALIGNED float scores[BLOCK_KEYS * ATTEND_ROWS]; // [group][row][32]
	ALIGNED uint16_t weights[ATTEND_ROWS * BLOCK_KEYS];
	ALIGNED float sum[ATTEND_ROWS * LANES];
} tile_state;

// key_group is where the keys of group g lie.
INLINE const uint16_t *key_group(const tile_state *t, int g) {
	return t->pages[g / PAGE_GROUPS] + g % PAGE_GROUPS * GROUP * t->dim;
}

// score_groups makes the scores of a tile's rows, natural units, and their maxima.
INLINE void score_groups(const int R, tile_state *t, float *max) {
	vec top[ATTEND_ROWS];
	UNROLL
	for (int r = 0; r < R; r++)
		top[r] = vset(-__builtin_inff());
	for (int g = t->first; g < t->end; g++) {
		const uint16_t *k = key_group(t, g);
		const int whole = t->all_from <= g * GROUP && (g + 1) * GROUP <= t->all_to;
		for (int h = 0; h < GROUP / LANES; h += ATTEND_VECS) {
			vec s[ATTEND_ROWS * ATTEND_VECS];
			UNROLL
			for (int i = 0; i < R * ATTEND_VECS; i++)
				s[i] = vset(0);
			const uint16_t *kp = k + 2 * LANES * h;
			const char *ahead = (const char *)(g + 1 < t->end ? key_group(t, g + 1) : t->pages[t->first / PAGE_GROUPS] + value_strip(t->dim, 0));
			for (int64_t i = 0; i < t->dim; i += 2, kp += 2 * GROUP) {
				pairs kv[ATTEND_VECS];
				UNROLL
				for (int v = 0; v < ATTEND_VECS; v++) {
					kv[v] = pload(kp + 2 * LANES * v);
					FETCH(ahead + 64 * (h + v) + 2 * i * GROUP);
				}
				UNROLL
				for (int r = 0; r < R; r++) {
					pairs b = pset(t->q + r * t->dim + i);
					UNROLL
					for (int v = 0; v < ATTEND_VECS; v++)
						s[r * ATTEND_VECS + v] = pdot(s[r * ATTEND_VECS + v], kv[v], b);
				}
			}
			float *out = t->scores + g * R * GROUP + h * LANES;
			if (!whole) {
				UNROLL
				for (int i = 0; i < R * ATTEND_VECS; i++) {
					int at = g * GROUP + (h + i % ATTEND_VECS) * LANES;
					s[i] = vkeep_range(s[i], t->from[i / ATTEND_VECS] - at, t->to[i / ATTEND_VECS] - at);
				}
			}
			UNROLL
			for (int i = 0; i < R * ATTEND_VECS; i++) {
				int r = i / ATTEND_VECS, v = i % ATTEND_VECS;
				vstore_n(out + r * GROUP + v * LANES, LANES, s[i]);
				top[r] = vmax(s[i], top[r]);
			}
		}
	}
	for (int r = 0; r < R; r++)
		max[r] = vmax_all(top[r]);
}

// ---- Weights --------------------------------------------------------------------

// weigh turns row r's 32 scores of group g into weights 2^(score·log₂e − shift) in
// bfloat16 and adds them, as rounded, to the row's sum: so a row with one dominant key
// stays exact. 2^f on [−½, ½] is a polynomial of degree 3 with relative error 7.5e-5,
// a thirtieth of what rounding to bfloat16 costs.
INLINE void weigh(const int R, tile_state *t, int r, int g) {
	const vec magic = vset(12582912); // 1.5·2²³: adding it rounds to a whole number
	vec e[GROUP / LANES];
	UNROLL
	for (int h = 0; h < GROUP / LANES; h++) {
		vec x = vfma(vload(t->scores + (g * R + r) * GROUP + h * LANES), vset(LOG2E), vset(t->shift[r]));
		vec n = vadd(x, magic), f = vsub(x, vsub(n, magic));
		vec p = vfma(vset(0.0551716691f), f, vset(0.242611122f));
		p = vfma(p, f, vset(0.693260985f));
		e[h] = vexponent(vfma(p, f, vset(0.999928074f)), n, x);
	}
	uint16_t *w = t->weights + r * BLOCK_KEYS + g * GROUP;
	const uint16_t ones[2] = {0x3f80, 0x3f80};
	pairs p = pround(e[0], e[1]);
	pstore(w, p);
	vstore_n(t->sum + r * LANES, LANES, pdot(vload(t->sum + r * LANES), p, pset(ones)));
}

// ---- Values ---------------------------------------------------------------------

// add_values makes out = out·keep + (Σ weight·v)·take for a tile's rows and V vectors of
// columns; v is where in a page they begin, width the strip's. The first call of a
// tile, weave, makes the weights as it goes.
INLINE void add_values(const int R, const int V, const int weave, tile_state *t, float *out, int64_t out_stride, int64_t v,
		       int64_t width, const float *keep, const float *take) {
	vec c[ATTEND_ROWS * ATTEND_VECS];
	UNROLL
	for (int i = 0; i < R * V; i++)
		c[i] = vset(0);
	if (weave)
		for (int r = 0; r < R; r++)
			weigh(R, t, r, t->first);
	for (int g = t->first; g < t->end; g++) {
		const int64_t at = v + g % PAGE_GROUPS * GROUP * width;
		const uint16_t *vp = t->pages[g / PAGE_GROUPS] + at;
		// The same group of the next page, or of the next columns.
		const char *ahead = (const char *)(g + PAGE_GROUPS < t->end ? t->pages[g / PAGE_GROUPS + 1] + at
						   : t->pages[t->first / PAGE_GROUPS] + at + PAGE_KEYS * LANES * V);
		const uint16_t *w = t->weights + g * GROUP;
		const int next = weave && g + 1 < t->end;
		for (int quarter = 0; quarter < 4; quarter++) {
			UNROLL
			for (int j = 0; j < GROUP / 8; j++, vp += 2 * width, w += 2) {
				if (next && j < R / 4)
					weigh(R, t, quarter * (R / 4) + j, g + 1);
				pairs vv[ATTEND_VECS];
				UNROLL
				for (int i = 0; i < V; i++) {
					vv[i] = pload(vp + 2 * LANES * i);
					FETCH(ahead + 64 * i);
				}
				ahead += 4 * width;
				UNROLL
				for (int r = 0; r < R; r++) {
					pairs b = pset(w + r * BLOCK_KEYS);
					UNROLL
					for (int i = 0; i < V; i++)
						c[r * V + i] = pdot(c[r * V + i], vv[i], b);
				}
			}
		}
	}
	UNROLL
	for (int r = 0; r < R; r++) {
		UNROLL
		for (int i = 0; i < V; i++) {
			float *o = out + r * out_stride + i * LANES;
			vstore_n(o, LANES, vfma(c[r * V + i], vset(take[r]), vmul(vload(o), vset(keep[r]))));
		}
	}
}

// vexp2 is 2^t for t ≤ 0, 1 for 0 and 0 for t ≤ −126, to 2 ulp: the series of e^(t·ln 2)
// around the nearest whole number.
INLINE vec vexp2(vec t) {
	const vec magic = vset(12582912);
	vec n = vadd(t, magic), f = vsub(t, vsub(n, magic));
	vec p = vset(1.54035304e-4f); // (ln 2)ᵏ/k!, k from 6 down
	p = vfma(p, f, vset(1.33335581e-3f));
	p = vfma(p, f, vset(9.61812911e-3f));
	p = vfma(p, f, vset(5.55041087e-2f));
	p = vfma(p, f, vset(2.40226507e-1f));
	p = vfma(p, f, vset(6.93147181e-1f));
	return vexponent(vfma(p, f, vset(1)), n, t);
}

// combine sets max, one vector of rows, to the larger of it and next, and keep and take
// to the factors by which sums that belong to either are to be multiplied. −Inf stands
// for no key at all.
INLINE void combine(float *max, const float *next, float *keep, float *take) {
	vec a = vload(max), b = vload(next), top = vmax(a, b);
	// Where both are equal, −Inf too, the factor is 1, not 2^NaN.
	vstore_n(keep, LANES, vless(a, top, vexp2(vsub(a, top)), vset(1)));
	vstore_n(take, LANES, vless(b, top, vexp2(vsub(b, top)), vset(1)));
	vstore_n(max, LANES, top);
}

INLINE void attend_tile(const int R, tile_state *t, float *max, float *sum, float *out) {
	float top[LANES], new_max[LANES], keep[LANES], take[LANES];
	UNROLL
	for (int i = 0; i < LANES; i++)
		top[i] = new_max[i] = -__builtin_inff();
	score_groups(R, t, top);
	for (int r = 0; r < R; r++) {
		top[r] *= LOG2E;
		t->shift[r] = top[r] == -__builtin_inff() ? 0 : -top[r];
		new_max[r] = max[r];
		vstore_n(t->sum + r * LANES, LANES, vset(0));
	}
	combine(new_max, top, keep, take);
	int64_t cols = columns(t->dim);
	for (int64_t d = 0; d < cols; d += 32) {
		int64_t width = strip_width(t->dim, d);
		for (int64_t e = d; e < d + width; e += ATTEND_VECS * LANES) {
			int64_t v = value_strip(t->dim, d) + 2 * (e - d);
			if (e == 0 && width >= ATTEND_VECS * LANES)
				add_values(R, ATTEND_VECS, 1, t, out + e, cols, v, width, keep, take);
			else if (width >= ATTEND_VECS * LANES)
				add_values(R, ATTEND_VECS, 0, t, out + e, cols, v, width, keep, take);
			else
				add_values(R, 1, e == 0, t, out + e, cols, v, width, keep, take);
		}
	}
	for (int r = 0; r < R; r++) {
		sum[r] = __builtin_fmaf(vsum(vload(t->sum + r * LANES)), take[r], sum[r] * keep[r]);
		max[r] = new_max[r];
	}
}

TARGET static void attend(float *max, float *sum, float *out, const uint16_t *q, int64_t rows, int64_t dim, const int32_t *from,
			  const int32_t *to, const uint16_t *page0, const uint16_t *page1, const uint16_t *page2,
			  const uint16_t *page3) {
	tile_state t;
	t.dim = dim;
	t.pages[0] = page0, t.pages[1] = page1, t.pages[2] = page2, t.pages[3] = page3;
	for (int64_t r = 0; r < rows;) {
		int n = rows - r > ATTEND_ROWS ? ATTEND_ROWS : (int)(rows - r + 3) / 4 * 4;
		t.q = q + r * dim, t.from = from + r, t.to = to + r;
		int first = BLOCK_KEYS, end = 0;
		t.all_from = 0, t.all_to = BLOCK_KEYS;
		for (int i = 0; i < n; i++) {
			t.all_from = t.from[i] > t.all_from ? t.from[i] : t.all_from;
			t.all_to = t.to[i] < t.all_to ? t.to[i] : t.all_to;
			if (t.from[i] < t.to[i]) {
				first = t.from[i] < first ? t.from[i] : first;
				end = t.to[i] > end ? t.to[i] : end;
			}
		}
		t.first = first / GROUP, t.end = (end + GROUP - 1) / GROUP;
		if (first < end) {
			float *o = out + r * columns(dim);
			if (n == 4)
				attend_tile(4, &t, max + r, sum + r, o);
#if ATTEND_ROWS == 12
			else if (n == 8)
				attend_tile(8, &t, max + r, sum + r, o);
			else
				attend_tile(12, &t, max + r, sum + r, o);
#endif
		}
		r += n;
	}
}

TARGET static void merge(float *max, float *sum, float *out, const float *max2, const float *sum2, const float *out2, int64_t rows,
			 int64_t cols) {
	for (int64_t r0 = 0; r0 < rows; r0 += LANES) {
		int64_t n = rows - r0 < LANES ? rows - r0 : LANES;
		float a[LANES], b[LANES], keep[LANES], take[LANES];
		vstore_n(a, LANES, vload_n(max + r0, n));
		vstore_n(b, LANES, vload_n(max2 + r0, n));
		combine(a, b, keep, take);
		vstore_n(max + r0, n, vload(a));
		for (int64_t i = 0; i < n; i++) {
			int64_t r = r0 + i;
			sum[r] = __builtin_fmaf(sum2[r], take[i], sum[r] * keep[i]);
			float *o = out + r * cols;
			const float *p = out2 + r * cols;
			for (int64_t d = 0; d < cols; d += LANES)
				vstore_n(o + d, LANES, vfma(vload(p + d), vset(take[i]), vmul(vload(o + d), vset(keep[i]))));
		}
	}
}

TARGET static void finish(float *dst, int64_t dst_stride, int64_t group, const float *sum, const float *out, int64_t rows, int64_t dim) {
	for (int64_t r = 0; r < rows; r++) {
		float *d = dst + r / group * dst_stride + r % group * dim;
		const float *o = out + r * columns(dim);
		vec by = vset(1 / sum[r]);
		for (int64_t i = 0; i < dim; i += LANES)
			vstore_n(d + i, dim - i, vmul(vload(o + i), by));
	}
}
