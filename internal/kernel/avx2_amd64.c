//go:build cgo && !purego

#include "vec_avx2.h"

#include "body.h"

const facet_bodies facet_avx2 = BODIES;
