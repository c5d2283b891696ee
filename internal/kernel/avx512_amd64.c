//go:build cgo && !purego

#include "vec_avx512.h"

#include "body.h"

const facet_bodies facet_avx512 = BODIES;
