//go:build cgo && !purego

package kernel

// #include "bf16.h"
// #include "int8.h"
// #include "kernel.h"
import "C"

import "golang.org/x/sys/cpu"

// Every CPU with AVX2 and FMA converts binary16 (F16C), which has no flag of its own here.
var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ
)

// sets lists the bodies that this CPU can run, best first.
func sets() (list []*bodies) {
	if hasAVX512 {
		list = append(list, inC("avx512", &C.facet_avx512))
	}
	if hasAVX2 {
		list = append(list, inC("avx2", &C.facet_avx2))
	}
	return append(list, &portable)
}

// int8Sets lists the integer bodies that this CPU can run, best first.
func int8Sets() (list []*int8Bodies) {
	if hasAVX512 && cpu.X86.HasAVX512VNNI {
		list = append(list, int8InC("vnni", &C.facet_int8_vnni))
	}
	if hasAVX2 {
		list = append(list, int8InC("avx2", &C.facet_int8_avx2))
	}
	return append(list, &portableInt8)
}

// bf16Sets lists the bfloat16 bodies that this CPU can run, best first.
func bf16Sets() (list []*bf16Bodies) {
	if hasAVX512 && cpu.X86.HasAVX512BF16 {
		list = append(list, bf16InC("avx512bf16", &C.facet_bf16_dot))
	}
	if hasAVX512 {
		list = append(list, bf16InC("avx512", &C.facet_bf16_avx512))
	}
	if hasAVX2 {
		list = append(list, bf16InC("avx2", &C.facet_bf16_avx2))
	}
	return append(list, &portableBF16)
}
