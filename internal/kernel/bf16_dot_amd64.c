//go:build cgo && !purego

// bfloat16 products as AVX512_BF16 has them: VDPBF16PS.
#include "vec_avx512.h"
#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512bf16")))

#include "pairs_avx512.h"

INLINE vec pdot(vec acc, pairs a, pairs b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
INLINE pairs pround(vec lo, vec hi) { return (pairs)_mm512_cvtne2ps_pbh(hi, lo); }

#define PEAK_FLOPS 64 // of one pdot

#include "bf16_body.h"

const facet_bf16_bodies facet_bf16_dot = BF16_BODIES;
