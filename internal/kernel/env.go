package kernel

import (
	"fmt"
	"os"
	"runtime"
	"slices"
)

// Environment is the variable that holds kernels to an instruction set: "portable"; on
// amd64 "avx2", "avx512" or "vnni" (AVX-512 with VNNI and BF16); on arm64 "neon", "dotprod"
// or "i8mm" (NEON with I8MM and BF16). It is read once, at start.
const Environment = "FACET_KERNEL"

// levels are the values of Environment, each one with all before it.
var levels = levelsOf(runtime.GOARCH)

func levelsOf(arch string) []string {
	switch arch {
	case "amd64":
		return []string{"portable", "avx2", "avx512", "vnni"}
	case "arm64":
		return []string{"portable", "neon", "dotprod", "i8mm"}
	}
	return []string{"portable"}
}

// level returns the place in levels of a set of bodies, by its name.
func level(set string) int {
	switch set {
	case "avx512bf16":
		set = "vnni"
	case "bf16":
		set = "i8mm"
	}
	return slices.Index(levels, set)
}

// best returns the first of sets that Environment allows. All sets end with the
// portable one.
func best[T any](sets []*T, name func(*T) string) *T {
	most := os.Getenv(Environment)
	for _, s := range sets {
		if !slices.Contains(levels, most) || level(name(s)) <= level(most) {
			return s
		}
	}
	return sets[len(sets)-1]
}

// CheckEnvironment returns an error if Environment names no instruction set, or one that
// this CPU or this build lacks; kernels then run on the best there is. A program
// calls it before it takes their speed or their rounding for granted.
func CheckEnvironment() error {
	want := os.Getenv(Environment)
	switch {
	case want == "":
		return nil
	case !slices.Contains(levels, want):
		return fmt.Errorf("%s=%s: want one of %q", Environment, want, levels)
	case want != Name():
		return fmt.Errorf("%s=%s: this CPU or build has %s only", Environment, want, Name())
	}
	return nil
}
