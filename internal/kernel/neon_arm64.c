//go:build cgo && !purego

#include "vec_neon.h"

#include "body.h"

const facet_bodies facet_neon = BODIES;
