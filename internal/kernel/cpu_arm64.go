//go:build cgo && !purego && (linux || darwin)

package kernel

// #include "bf16.h"
// #include "int8.h"
// #include "kernel.h"
//
// #ifdef __linux__
// #include <sys/auxv.h>
// static int has_bf16(void) { return getauxval(AT_HWCAP2) >> 14 & 1; } // HWCAP2_BF16, which old headers lack
// #else
// #include <sys/sysctl.h>
// static int has_bf16(void) {
//   int yes = 0;
//   size_t size = sizeof yes;
//   return !sysctlbyname("hw.optional.arm.FEAT_BF16", &yes, &size, 0, 0) && yes;
// }
// #endif
import "C"

import "golang.org/x/sys/cpu"

// NEON belongs to every arm64.
var (
	hasDotProd = cpu.ARM64.HasASIMDDP
	hasI8MM    = hasDotProd && cpu.ARM64.HasI8MM
	hasBF16    = C.has_bf16() != 0 // x/sys/cpu does not tell
)

// sets lists the bodies that this CPU can run, best first.
func sets() []*bodies { return []*bodies{inC("neon", &C.facet_neon), &portable} }

// int8Sets lists the integer bodies that this CPU can run, best first.
func int8Sets() (list []*int8Bodies) {
	if hasI8MM {
		list = append(list, int8InC("i8mm", &C.facet_int8_i8mm))
	}
	if hasDotProd {
		list = append(list, int8InC("dotprod", &C.facet_int8_dotprod))
	}
	return append(list, int8InC("neon", &C.facet_int8_neon), &portableInt8)
}

// bf16Sets lists the bfloat16 bodies that this CPU can run, best first.
func bf16Sets() (list []*bf16Bodies) {
	if hasBF16 {
		list = append(list, bf16InC("bf16", &C.facet_bf16_bfdot))
	}
	return append(list, bf16InC("neon", &C.facet_bf16_neon), &portableBF16)
}
