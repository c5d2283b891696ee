// The kernels, once for all instruction sets: avx512_amd64.c, avx2_amd64.c and neon_arm64.c
// include this after the header that says what a vec of sixteen float32 is. Compiled as ISO C, in which
// the compiler does not fuse a multiplication and an addition on its own.
//
// Order of sums. A sum over a slice is sixteen sums, one a lane: lane i takes the
// elements i, i + 16, i + 32, … in order. A tail is filled up with zeros. The sixteen are
// then added in halves: i to i + 8, then i + 4, i + 2, i + 1. A function of one element
// takes the same steps in every lane and for a tail, so that its value does not
// depend on where the element stands.
#include "kernel.h"

#define LANES 16

// ---- Element by element -------------------------------------------------------

TARGET static void add(float *dst, const float *x, int64_t n) {
	for (int64_t i = 0; i < n; i += LANES)
		vstore_n(dst + i, n - i, vadd(vload_n(dst + i, n - i), vload_n(x + i, n - i)));
}

TARGET static void add_scaled(float *dst, const float *x, int64_t n, float a) {
	for (int64_t i = 0; i < n; i += LANES)
		vstore_n(dst + i, n - i, vfma(vset(a), vload_n(x + i, n - i), vload_n(dst + i, n - i)));
}

TARGET static void scale(float *x, int64_t n, float a) {
	for (int64_t i = 0; i < n; i += LANES)
		vstore_n(x + i, n - i, vmul(vload_n(x + i, n - i), vset(a)));
}

TARGET static void clamp(float *x, int64_t n, float lo, float hi) {
	for (int64_t i = 0; i < n; i += LANES)
		vstore_n(x + i, n - i, vmin(vset(hi), vmax(vset(lo), vload_n(x + i, n - i)))); // NaN passes through
}

TARGET static void rope(float *heads, int64_t count, int64_t stride, const float *cos, const float *sin, int64_t half) {
	for (float *head = heads; count > 0; count--, head += stride) {
		for (int64_t i = 0; i < half; i += LANES) {
			vec a = vload_n(head + i, half - i), b = vload_n(head + half + i, half - i);
			vec c = vload_n(cos + i, half - i), s = vload_n(sin + i, half - i);
			vstore_n(head + i, half - i, vfnma(b, s, vmul(a, c)));
			vstore_n(head + half + i, half - i, vfma(a, s, vmul(b, c)));
		}
	}
}

// vexp is e^x to 1 ulp: x = n·ln 2 + r with |r| ≤ ½ ln 2, and e^r = 1 + (r + r²·q(r)).
// q is the polynomial of degree 4 with the smallest largest relative error in e^r,
// 3.1e-9 (2⁻²⁸·³), found by Remez exchange. ln 2 is taken off in two parts, the first
// short enough for n·part to be exact. NaN stays NaN, and past the ends of float32 the
// result is 0 or +Inf.
INLINE vec vexp(vec x) {
	x = vmin(vset(89), vmax(vset(-105), x));
	vec n = vround(vmul(x, vset(1.44269504f))); // log₂ e
	vec r = vfnma(n, vset(-2.12194440e-4f), vfnma(n, vset(0.693359375f), x));
	vec q = vset(1.38145988e-3f);
	q = vfma(q, r, vset(8.36871658e-3f));
	q = vfma(q, r, vset(4.16683890e-2f));
	q = vfma(q, r, vset(1.66665211e-1f));
	q = vfma(q, r, vset(4.99999940e-1f));
	return vexp2i(vadd(vset(1), vfma(vmul(r, r), q, r)), n);
}

// gelu_mul uses ½(1 + tanh u) = 1 / (1 + e^(−2u)), with u = √(2/π)·(g + 0.044715·g³).
// Relative error below (3 + 2|u|) · 2⁻²³: u is rounded before it becomes an exponent.
TARGET static void gelu_mul(float *dst, const float *gate, const float *up, int64_t n) {
	for (int64_t i = 0; i < n; i += LANES) {
		vec g = vload_n(gate + i, n - i), u = vload_n(up + i, n - i);
		vec e = vmul(g, vfma(vmul(g, g), vset(-0.0713548163f), vset(-1.59576912f))); // −2u
		vstore_n(dst + i, n - i, vmul(vdiv(g, vadd(vset(1), vexp(e))), u));
	}
}

// sigmoid_mul: relative error of the sigmoid below 2.5 · 2⁻²³.
TARGET static void sigmoid_mul(float *dst, const float *gate, const float *up, int64_t n) {
	for (int64_t i = 0; i < n; i += LANES) {
		vec g = vload_n(gate + i, n - i), u = vload_n(up + i, n - i);
		vstore_n(dst + i, n - i, vdiv(u, vadd(vset(1), vexp(vmul(g, vset(-1))))));
	}
}

// vtanh is tanh to 1.5 ulp: y + y·y²·p(y²) for |y| < 0.625, p of degree 4 with relative error
// 4.4e-9 (Remez exchange), and 1 − 2/(e^(2|y|) + 1) beyond, where nothing cancels.
INLINE vec vtanh(vec y) {
	vec z = vmul(y, y), a = vabs(y);
	vec p = vset(-5.70499152e-3f);
	p = vfma(p, z, vset(2.06390917e-2f));
	p = vfma(p, z, vset(-5.37397154e-2f));
	p = vfma(p, z, vset(1.33314416e-1f));
	p = vfma(p, z, vset(-3.33332807e-1f));
	vec inner = vfma(vmul(y, z), p, y);
	vec outer = vsub(vset(1), vdiv(vset(2), vadd(vexp(vadd(a, a)), vset(1))));
	return vless(a, vset(0.625f), inner, vcopysign(outer, y));
}

TARGET static void soft_cap(float *x, int64_t n, float limit) {
	for (int64_t i = 0; i < n; i += LANES)
		vstore_n(x + i, n - i, vmul(vset(limit), vtanh(vdiv(vload_n(x + i, n - i), vset(limit)))));
}

TARGET static void widen(int format, float *dst, const uint8_t *src, int64_t n) {
	const uint16_t *h = (const void *)src; // only loaded through functions that ask for no alignment
	for (int64_t i = 0; i < n; i += LANES) {
		int64_t m = n - i;
		vec v;
		if (format == F32)
			v = vload_n((const void *)(src + 4 * i), m);
		else if (format == BF16)
			v = m >= LANES ? vload_bf16(h + i) : vload_bf16_n(h + i, m);
		else
			v = m >= LANES ? vload_f16(h + i) : vload_f16_n(h + i, m);
		vstore_n(dst + i, m, v);
	}
}

// ---- Over a slice -------------------------------------------------------------

INLINE void rms_norm_row(float *dst, const float *x, const float *w, int64_t n, float eps) {
	vec s = vset(0);
	for (int64_t i = 0; i < n; i += LANES) {
		vec v = vload_n(x + i, n - i);
		s = vfma(v, v, s);
	}
	vec by = vset(1 / root(vsum(s) / (float)n + eps));
	for (int64_t i = 0; i < n; i += LANES) {
		vec v = vmul(vload_n(x + i, n - i), by);
		vstore_n(dst + i, n - i, w ? vmul(v, vload_n(w + i, n - i)) : v);
	}
}

TARGET static void rms_norm(float *dst, const float *x, int64_t rows, const float *w, int64_t n, float eps) {
	for (int64_t r = 0; r < rows; r++)
		rms_norm_row(dst + r * n, x + r * n, w, n, eps);
}

TARGET static float max(const float *x, int64_t n) {
	vec m = vset(-__builtin_inff());
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		m = vmax(vload(x + i), m);
	float top = vmax_all(m);
	for (; i < n; i++)
		top = x[i] > top ? x[i] : top;
	return top;
}

TARGET static float exp_sum(float *dst, const float *x, int64_t n, float max) {
	vec s = vset(0);
	for (int64_t i = 0; i < n; i += LANES) {
		vec e = vexp(vsub(vload_n(x + i, n - i), vset(max)));
		vstore_n(dst + i, n - i, e);
		s = vadd(s, vkeep_n(e, n - i));
	}
	return vsum(s);
}

// ---- Matrix product -----------------------------------------------------------
//
// dst[r][o] = Σ x[r][k]·w[o][k], as a sum over a slice, for blocks of SUM_BLOCK k's; the
// blocks' sums are added in order. A tile of several rows × several outputs is in
// registers at a time: every weight that is widened serves all its rows, every x all
// its outputs. What a tile computes for a row and an output does not depend on its
// size, which is how one row gets the same bits as a hundred.
//
// Nothing is packed: rows of x and w are read where they lie, both along k. Packing
// weights to have outputs in the lanes would save the adding up of lanes at the end
// of a block (some 5 % for 768 products), but costs more than it saves for few rows.

INLINE const uint8_t *weight_at(const int format, const uint8_t *w, int64_t i) {
	return w + (format == F32 ? 4 : 2) * i;
}

INLINE vec vload_weight(const int format, const uint8_t *w) {
	return format == F32 ? vload(w) : format == BF16 ? vload_bf16(w) : vload_f16(w);
}

INLINE vec vload_weight_n(const int format, const uint8_t *w, int64_t n) {
	return format == F32 ? vload_n((const void *)w, n) : format == BF16 ? vload_bf16_n(w, n) : vload_f16_n(w, n);
}

// store_sums writes, or adds to dst, the sums of O vectors.
INLINE void store_sums(const int O, const vec *s, float *dst, int add) {
	if (O >= 4) {
		UNROLL
		for (int o = 0; o < O; o += 4) {
			quad v = vsum4(s[o], s[o + 1], s[o + 2], s[o + 3]), old;
			if (add) {
				memcpy(&old, dst + o, sizeof old);
				v = old + v;
			}
			memcpy(dst + o, &v, sizeof v);
		}
		return;
	}
	quad v = vsum4(s[0], s[O - 1], s[0], s[O - 1]);
	dst[0] = add ? dst[0] + v[0] : v[0];
	if (O == 2)
		dst[1] = add ? dst[1] + v[1] : v[1];
}

// tile computes, or adds to, R rows × O outputs of dst from n products each. Where weights
// come from memory, ahead is where the next tile's lie, and they are fetched on the way:
// each row of w is too short a run for the hardware to do so in time. The lines are
// asked for in the order of their addresses, which memory likes best: one row then reads
// at 92 % of the speed of plain reading, against 75 % when each row of w runs ahead of itself.
INLINE void tile(const int format, const int R, const int O, const uint8_t *ahead, float *dst, int64_t dst_stride,
		 const float *x, int64_t x_stride, const uint8_t *w, int64_t w_stride, int64_t n, int add) {
	vec s[TILE_ROWS * TILE_OUTS + TILE_OUTS_1];
	UNROLL
	for (int i = 0; i < R * O; i++)
		s[i] = vset(0);
	int64_t k = 0;
	for (; k + LANES <= n; k += LANES) {
		vec wv[TILE_OUTS_1];
		UNROLL
		for (int o = 0; o < O; o++)
			wv[o] = vload_weight(format, weight_at(format, w, o * w_stride + k));
		if (ahead) {
			const int lines = format == F32 ? O : (O + 1) / 2; // of 64 bytes, in O vectors of weights
			UNROLL
			for (int i = 0; i < lines; i++)
				FETCH(weight_at(format, ahead, O * k) + 64 * i);
		}
		UNROLL
		for (int r = 0; r < R; r++) {
			vec xv = vload(x + r * x_stride + k);
			UNROLL
			for (int o = 0; o < O; o++)
				s[r * O + o] = vfma(xv, wv[o], s[r * O + o]);
		}
	}
	if (k < n) {
		UNROLL
		for (int o = 0; o < O; o++) {
			vec wv = vload_weight_n(format, weight_at(format, w, o * w_stride + k), n - k);
			UNROLL
			for (int r = 0; r < R; r++)
				s[r * O + o] = vfma(vload_n(x + r * x_stride + k, n - k), wv, s[r * O + o]);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++)
		store_sums(O, s + r * O, dst + r * dst_stride, add);
}

// Operands of a product, or of part of one; see kernel.h.
typedef struct {
	float *dst;
	int64_t dst_stride;
	const float *x;
	int64_t x_stride;
	const uint8_t *w;
	int64_t w_stride;
	int64_t outs;
} product;

// strip computes, for R rows, all outputs of p from products [k, k_end), k a multiple of
// SUM_BLOCK. cold says that the weights are not in a cache yet; the others are better
// left where they are.
INLINE void strip(const int R, const int format, const int cold, product p, int64_t k, int64_t k_end) {
	int64_t o = 0;
#define TILES(O)                                                                                                       \
	for (; o + O <= p.outs; o += O)                                                                                \
		for (int64_t at = k; at == k || at < k_end; at += SUM_BLOCK)                                           \
			tile(format, R, O, cold ? weight_at(format, p.w, (o + O) * p.w_stride + O * at) : 0, p.dst + o, \
			     p.dst_stride, p.x + at, p.x_stride, weight_at(format, p.w, o * p.w_stride + at), p.w_stride, \
			     k_end - at < SUM_BLOCK ? k_end - at : SUM_BLOCK, at > 0);
	if (R == 1)
		TILES(TILE_OUTS_1)
	TILES(TILE_OUTS)
	TILES(1)
#undef TILES
}

// FOR_ROWS makes f's number of rows, 1 to TILE_ROWS, a constant: f(R, …) for rows = R.
#if TILE_ROWS == 6
#define FOR_ROWS(rows, f, ...)                                                                                         \
	switch (rows) {                                                                                                \
	case 1: f(1, __VA_ARGS__); break;                                                                              \
	case 2: f(2, __VA_ARGS__); break;                                                                              \
	case 3: f(3, __VA_ARGS__); break;                                                                              \
	case 4: f(4, __VA_ARGS__); break;                                                                              \
	case 5: f(5, __VA_ARGS__); break;                                                                              \
	case 6: f(6, __VA_ARGS__); break;                                                                              \
	}
#elif TILE_ROWS == 3
#define FOR_ROWS(rows, f, ...)                                                                                         \
	switch (rows) {                                                                                                \
	case 1: f(1, __VA_ARGS__); break;                                                                              \
	case 2: f(2, __VA_ARGS__); break;                                                                              \
	case 3: f(3, __VA_ARGS__); break;                                                                              \
	}
#endif

#define STRIPS(name, format)                                                                                           \
	TARGET static void name(int64_t rows, int cold, product p, int64_t k, int64_t k_end) {                        \
		if (cold)                                                                                              \
			FOR_ROWS(rows, strip, format, 1, p, k, k_end)                                                  \
		else                                                                                                   \
			FOR_ROWS(rows, strip, format, 0, p, k, k_end)                                                  \
	}
STRIPS(strip_f32, F32)
STRIPS(strip_bf16, BF16)
STRIPS(strip_f16, F16)

// The weights of a block of outputs come from memory once, for the first strip of rows,
// and then stay in the second-level cache while the other strips pass. Few rows take
// them whole; with many, k is cut into blocks too, so that a strip of x stays in the
// first-level cache while the weights pass.
#define FEW_ROWS 48
#define BLOCK_BYTES (256 << 10) // of weights, for few rows
#define BLOCK_OUTS 128		// for many rows

TARGET static void mat_mul(int format, float *dst, int64_t dst_stride, const float *x, int64_t x_stride, int64_t rows,
			   const uint8_t *w, int64_t w_stride, int64_t outs, int64_t in) {
	void (*strip)(int64_t, int, product, int64_t, int64_t) =
		format == F32 ? strip_f32 : format == BF16 ? strip_bf16 : strip_f16;
	int64_t block_k = SUM_BLOCK, block_outs = BLOCK_OUTS;
	if (rows < FEW_ROWS || in < SUM_BLOCK) {
		block_k = in > 0 ? in : 1;
		block_outs = 16 + BLOCK_BYTES / (1 + 4 * in) / TILE_OUTS_1 * TILE_OUTS_1;
	}
	product p = {dst, dst_stride, x, x_stride, w, w_stride, outs};
	for (int64_t k = 0; k == 0 || k < in; k += block_k) {
		int64_t k_end = in - k < block_k ? in : k + block_k;
		for (int64_t o = 0; o < outs; o += block_outs) {
			p.outs = outs - o < block_outs ? outs - o : block_outs;
			p.w = weight_at(format, w, o * w_stride);
			for (int64_t r = 0, strips = (rows + TILE_ROWS - 1) / TILE_ROWS; r < rows; strips--) {
				int64_t n = (rows - r + strips - 1) / strips; // strips of about equal size
				p.dst = dst + r * dst_stride + o;
				p.x = x + r * x_stride;
				strip(n, r == 0 && block_k >= in, p, k, k_end);
				r += n;
			}
		}
	}
}

// ---- Weighted sum -------------------------------------------------------------
//
// dst[r][d] += Σ w[r][j]·v[j][d]: lanes along d, and each element's terms added to it one
// after the other. So nothing depends on tiles here either, and v can pass in blocks of
// SUM_ROWS rows, which stay in the first-level cache for all rows of w.
#define SUM_ROWS 128

// sum_tile adds n terms to R rows × V vectors of dst; m is the number of elements in the last vector.
INLINE void sum_tile(const int R, const int V, float *dst, int64_t dst_stride, const float *w, int64_t w_stride, const float *v,
		     int64_t v_stride, int64_t n, int64_t m) {
	vec s[TILE_ROWS * TILE_VECS];
	UNROLL
	for (int r = 0; r < R; r++) {
		UNROLL
		for (int i = 0; i < V; i++)
			s[r * V + i] = vload_n(dst + r * dst_stride + i * LANES, i + 1 < V ? LANES : m);
	}
	for (int64_t j = 0; j < n; j++) {
		vec vv[TILE_VECS];
		UNROLL
		for (int i = 0; i < V; i++)
			vv[i] = vload_n(v + j * v_stride + i * LANES, i + 1 < V ? LANES : m);
		UNROLL
		for (int r = 0; r < R; r++) {
			vec a = vset(w[r * w_stride + j]);
			UNROLL
			for (int i = 0; i < V; i++)
				s[r * V + i] = vfma(a, vv[i], s[r * V + i]);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++) {
		UNROLL
		for (int i = 0; i < V; i++)
			vstore_n(dst + r * dst_stride + i * LANES, i + 1 < V ? LANES : m, s[r * V + i]);
	}
}

INLINE void sum_strip(const int R, float *dst, int64_t dst_stride, const float *w, int64_t w_stride, const float *v, int64_t v_stride,
		      int64_t n, int64_t dim) {
	int64_t d = 0;
	for (; d + TILE_VECS * LANES <= dim; d += TILE_VECS * LANES)
		sum_tile(R, TILE_VECS, dst + d, dst_stride, w, w_stride, v + d, v_stride, n, LANES);
	for (; d < dim; d += LANES)
		sum_tile(R, 1, dst + d, dst_stride, w, w_stride, v + d, v_stride, n, dim - d < LANES ? dim - d : LANES);
}

TARGET static void weighted_sum(float *dst, int64_t dst_stride, const float *w, int64_t w_stride, int64_t rows, const float *v,
				int64_t v_stride, int64_t n, int64_t dim) {
	for (int64_t j = 0; j < n; j += SUM_ROWS) {
		int64_t m = n - j < SUM_ROWS ? n - j : SUM_ROWS;
		for (int64_t r = 0, strips = (rows + TILE_ROWS - 1) / TILE_ROWS; r < rows; strips--) {
			int64_t h = (rows - r + strips - 1) / strips;
			float *d = dst + r * dst_stride;
			const float *a = w + r * w_stride + j, *b = v + j * v_stride;
			FOR_ROWS(h, sum_strip, d, dst_stride, a, w_stride, b, v_stride, m, dim)
			r += h;
		}
	}
}

// ---- Limits -------------------------------------------------------------------

TARGET static int64_t peak_fma(int64_t n) {
	vec s[PEAK_VECS], half = vset(0.5f);
	float start[PEAK_VECS * LANES]; // all different, or the compiler computes equal ones once
	for (int i = 0; i < PEAK_VECS * LANES; i++)
		start[i] = (float)i;
	UNROLL
	for (int i = 0; i < PEAK_VECS; i++)
		s[i] = vload(start + i * LANES);
	for (int64_t k = 0; k < n; k++) {
		UNROLL
		for (int i = 0; i < PEAK_VECS; i++)
			s[i] = vfma(half, half, s[i]); // until a quarter is too little to count
	}
	UNROLL
	for (int i = 1; i < PEAK_VECS; i++)
		s[0] = vadd(s[0], s[i]);
	return vsum(s[0]) == 0 ? 0 : n * PEAK_VECS * LANES * 2; // looks at the sums, so that they are computed
}

TARGET static uint64_t peak_read(const uint8_t *b, int64_t n) {
	vec s0 = vset(0), s1 = s0, s2 = s0, s3 = s0;
	int64_t i = 0;
	for (; i + 256 <= n; i += 256) {
		UNROLL
		for (int line = 0; line < 4; line++)
			FETCH(b + i + 64 * line + 4096);
		s0 = vor(s0, vload(b + i));
		s1 = vor(s1, vload(b + i + 64));
		s2 = vor(s2, vload(b + i + 128));
		s3 = vor(s3, vload(b + i + 192));
	}
	float lanes[LANES];
	vstore_n(lanes, LANES, vor(vor(s0, s1), vor(s2, s3)));
	uint64_t sum = 0;
	for (int l = 0; l < LANES; l++) {
		union {
			float f;
			uint32_t u;
		} bits = {lanes[l]};
		sum |= bits.u;
	}
	for (; i < n; i++)
		sum |= b[i];
	return sum;
}

#define BODIES                                                                                                         \
	{add,     add_scaled, scale,        clamp, gelu_mul, sigmoid_mul, soft_cap, rope, rms_norm,                    \
	 max,     exp_sum,    mat_mul, weighted_sum, widen, peak_fma, peak_read}
