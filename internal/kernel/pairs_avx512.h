// Sixteen pairs of bfloat16 as AVX-512 sees them, and what else bf16_body.h needs.
// The including file adds pdot, a sum of products, and pround.

typedef __m512i pairs;

// Tiles: query rows, and vectors of 16 keys or columns beside each other; rows of x for
// panels; rows × outputs where weights lie in rows.
#define ATTEND_ROWS 12
#define ATTEND_VECS 2
#define PANEL_ROWS 12
#define PANEL_VECS 2
#define ROW_ROWS 6
#define ROW_OUTS 4

INLINE pairs pload(const void *p) { return _mm512_loadu_si512(p); }
INLINE pairs pload_n(const uint16_t *p, int64_t n) { // the first n of 32 values, zeros behind them
	return _mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffff : (1u << n) - 1, p);
}
INLINE void pstore(void *p, pairs a) { _mm512_storeu_si512(p, a); }
// pset is the pair at p in every lane.
INLINE pairs pset(const uint16_t *p) {
	int pair;
	__builtin_memcpy(&pair, p, 4);
	return _mm512_set1_epi32(pair);
}
// pzip makes pairs (a[i], b[i]) of 16 values each.
INLINE pairs pzip(const uint16_t *a, const uint16_t *b) {
	__m512i lo = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)a));
	__m512i hi = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)b));
	return _mm512_or_si512(lo, _mm512_slli_epi32(hi, 16));
}
// vexponent multiplies p by 2ⁿ, the n that adding 1.5·2²³ has left in the low bits of r;
// where t ≤ −126 the result is 0.
INLINE vec vexponent(vec p, vec r, vec t) {
	__m512i e = _mm512_slli_epi32(_mm512_castps_si512(r), 23);
	return _mm512_castsi512_ps(_mm512_maskz_add_epi32(_mm512_cmp_ps_mask(t, vset(-126), _CMP_NLE_UQ), _mm512_castps_si512(p), e));
}
// vkeep_range keeps elements [lo, hi) of 16 and makes the others −Inf.
INLINE vec vkeep_range(vec a, int lo, int hi) {
	__m512i i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__mmask16 keep = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32(lo)) & _mm512_cmplt_epi32_mask(i, _mm512_set1_epi32(hi));
	return _mm512_mask_mov_ps(vset(-__builtin_inff()), keep, a);
}
