// Rounding rows to blocks of bytes, once for all instruction sets; int8_portable.go
// defines it. Each set brings largest, the bits of the largest magnitude of 32 values, and
// round16, which stores 16 values as bytes and returns their sum.

#define NOT_FINITE 0x7f800000 // and above: infinities and NaN without their sign
#define TOO_SMALL 0x0d800000  // 2⁻¹⁰⁰: below, 127/x might overflow

INLINE void quantize_row(x_block *dst, const float *x, int64_t n) {
	int64_t i = 0;
	for (; i + BLOCK <= n; i += BLOCK, dst++) {
		vec low = vload(x + i), high = vload(x + i + 16);
		union {
			uint32_t u;
			float f;
		} max = {.u = largest(low, high)};
		if (max.u < TOO_SMALL || max.u >= NOT_FINITE) {
			memset(dst, 0, sizeof *dst);
			if (max.u >= NOT_FINITE)
				dst->scale = dst->sum = __builtin_nanf("");
			continue;
		}
		vec by = vset(127 / max.f);
		int32_t first = round16(dst->q, vmul(low, by)), sum = first + round16(dst->q + 16, vmul(high, by));
		dst->scale = max.f / 127;
		dst->whole = -128 * sum;
		dst->first = -128 * first;
		dst->sum = dst->scale * (float)sum;
	}
	if (n / BLOCK % 2) // formats whose spans are two blocks
		memset(dst, 0, sizeof *dst);
}

TARGET static void quantize_rows(uint8_t *dst, const float *x, int64_t x_stride, int64_t rows, int64_t in) {
	int64_t bytes = (in / BLOCK + 1) / 2 * 2 * (int64_t)sizeof(x_block);
	for (int64_t r = 0; r < rows; r++)
		quantize_row((void *)(dst + r * bytes), x + r * x_stride, in);
}
