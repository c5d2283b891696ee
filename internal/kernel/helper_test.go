package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachSet runs f once for every set of bodies that this CPU has.
func eachSet[T interface{ Run(string, func(T)) bool }](t T, f func(T)) {
	before := chosen
	defer func() { chosen = before }()
	for _, s := range sets() {
		chosen = s
		t.Run(s.name, f)
	}
}

// with returns what f returns while s is the chosen set.
func with[R any](s *bodies, f func() R) R {
	before := chosen
	defer func() { chosen = before }()
	chosen = s
	return f()
}

// guardBits is a NaN that no kernel computes.
const guardBits = 0x7fc0dead

// margin is more than the widest vector, on each side of a guarded slice.
const margin = 40

// guarded returns a copy of s between NaNs, and a check that they are as they were.
// A kernel that reads past its slice shows NaN in its result; one that writes past
// it fails the check. The copy starts at offset values from a cache line, or near it.
func guarded(t testing.TB, s []float32, offset int) ([]float32, func()) {
	t.Helper()
	buf := make([]float32, margin+offset+len(s)+margin)
	for i := range buf {
		buf[i] = math.Float32frombits(guardBits)
	}
	lo, hi := margin+offset, margin+offset+len(s)
	copy(buf[lo:hi], s)
	return buf[lo:hi:hi], func() {
		t.Helper()
		for i, v := range buf {
			if (i < lo || i >= hi) && math.Float32bits(v) != guardBits {
				t.Fatalf("wrote %v at %d, outside [0, %d)", v, i-lo, hi-lo)
			}
		}
	}
}

func randoms(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// encode returns values in a format, rounding towards zero, and what they then are.
func encode(f format, s []float32) ([]byte, []float32) {
	b, was := make([]byte, len(s)*f.size()), make([]float32, len(s))
	for i, v := range s {
		switch f {
		case f32:
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		case bf16:
			binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(v)>>16))
		case f16:
			binary.LittleEndian.PutUint16(b[2*i:], toF16(v))
		}
	}
	portableWiden(was, f, b)
	return b, was
}

// toF16 cuts v to a normal binary16, or to zero below the smallest.
func toF16(v float32) uint16 {
	u := math.Float32bits(v)
	sign, exponent := uint16(u>>16&0x8000), int(u>>23&0xff)-127+15
	if exponent <= 0 {
		return sign
	}
	return sign | uint16(exponent)<<10 | uint16(u>>13&0x3ff)
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// ulps is how far got is from want, in units of the last place of want as a float32
// (of the smallest normal one for values below it).
func ulps(got float32, want float64) float64 {
	_, exponent := math.Frexp(want)
	unit := math.Ldexp(1, max(exponent-24, -126-23))
	return math.Abs(float64(got)-want) / unit
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return
}
