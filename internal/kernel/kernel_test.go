package kernel

import (
	"fmt"
	"math"
	"testing"
)

// lengths has every tail of the widest vector, several times around.
const lengths = 70

// elementwise lists the kernels whose result at i depends on the arguments' elements
// at i alone, as a function of three numbers. bound is the largest error of a
// result, in units of the last place, given the exact value.
var elementwise = []struct {
	name  string
	run   func(dst, x, y []float32) // dst holds z before
	exact func(x, y, z float64) float64
	// bound is in ulps, beside what cancels: scale, the size of the terms added.
	bound float64
	scale func(x, y, z float64) float64
}{
	{name: "Add", run: func(dst, x, _ []float32) { Add(dst, x) },
		exact: func(x, _, z float64) float64 { return z + x }, bound: 0.5},
	{name: "AddScaled", run: func(dst, x, _ []float32) { AddScaled(dst, x, 0.7) },
		exact: func(x, _, z float64) float64 { return z + float64(float32(0.7))*x }, bound: 1,
		scale: func(x, _, z float64) float64 { return math.Abs(x) + math.Abs(z) }}, // two roundings without FMA
	{name: "Scale", run: func(dst, _, _ []float32) { Scale(dst, 0.7) },
		exact: func(_, _, z float64) float64 { return z * float64(float32(0.7)) }, bound: 0.5},
	{name: "Clamp", run: func(dst, _, _ []float32) { Clamp(dst, -0.5, 0.7) },
		exact: func(_, _, z float64) float64 { return min(max(z, -0.5), float64(float32(0.7))) }, bound: 0},
	{name: "GELUMul", run: func(dst, x, y []float32) { GELUMul(dst, x, y) },
		exact: func(x, y, _ float64) float64 { return gelu(x) * y }, bound: 8}, // the error of gelu for |x| < 3, see TestGELU
	{name: "SigmoidMul", run: func(dst, x, y []float32) { SigmoidMul(dst, x, y) },
		exact: func(x, y, _ float64) float64 { return sigmoid(x) * y }, bound: 4},
	{name: "SoftCap", run: func(dst, _, _ []float32) { SoftCap(dst, 1.5) },
		exact: func(_, _, z float64) float64 { return 1.5 * math.Tanh(z/1.5) }, bound: 4},
	{name: "ExpSum", run: func(dst, x, _ []float32) { ExpSum(dst, x, 0.25) },
		exact: func(x, _, _ float64) float64 { return math.Exp(x - 0.25) }, bound: 4}, // x − ¼ is rounded by up to 2⁻²³
	{name: "RMSNorm", run: func(dst, x, y []float32) { RMSNorm(dst, x, y, float32(math.Inf(1))) }, // 1/√∞ = 0
		exact: func(x, y, _ float64) float64 { return 0 * x * y }, bound: 0},
}

// Every tail, every alignment of 4 bytes in 32, guards on both sides, and an exact
// answer for each element.
func TestElementwise(t *testing.T) {
	r := source()
	for _, k := range elementwise {
		t.Run(k.name, func(t *testing.T) {
			eachSet(t, func(t *testing.T) {
				for n := range lengths {
					xs, ys, zs := randoms(r, n), randoms(r, n), randoms(r, n)
					x, checkX := guarded(t, xs, n%8)
					y, checkY := guarded(t, ys, n%5)
					z, checkZ := guarded(t, zs, n%3)
					k.run(z, x, y)
					checkX()
					checkY()
					checkZ()
					if !sameBits(x, xs) || !sameBits(y, ys) {
						t.Fatal("an operand was changed")
					}
					for i, got := range z {
						x, y, was := float64(xs[i]), float64(ys[i]), float64(zs[i])
						want := k.exact(x, y, was)
						size := want
						if k.scale != nil {
							size = k.scale(x, y, was)
						}
						if !(math.Abs(float64(got)-want) <= k.bound*ulpOf(size)) {
							t.Fatalf("n %d: element %d of (%v, %v, %v) is %v, want %v", n, i, xs[i], ys[i], zs[i], got, want)
						}
					}
				}
			})
		})
	}
}

// ulpOf is the unit of the last place of v as a float32.
func ulpOf(v float64) float64 {
	_, exponent := math.Frexp(v)
	return math.Ldexp(1, max(exponent-24, -149))
}

// An element's value does not depend on where it stands nor on what stands beside it.
func TestElementwiseSameBitsAnywhere(t *testing.T) {
	r := source()
	x, y, z := randoms(r, lengths), randoms(r, lengths), randoms(r, lengths)
	for _, k := range elementwise {
		t.Run(k.name, func(t *testing.T) {
			eachSet(t, func(t *testing.T) {
				whole := append([]float32(nil), z...)
				k.run(whole, x, y)
				for i := range z {
					one := []float32{z[i]}
					k.run(one, x[i:i+1], y[i:i+1])
					if !sameBits(one, whole[i:i+1]) {
						t.Fatalf("element %d is %v among %d, %v alone", i, whole[i], lengths, one[0])
					}
				}
			})
		})
	}
}

// The sets in C round alike.
func TestSetsInCGiveSameBits(t *testing.T) {
	inC := sets()[:len(sets())-1]
	if len(inC) < 2 {
		t.Skip("fewer than two sets in C on this CPU and build")
	}
	r := source()
	for _, k := range elementwise {
		for n := 1; n < lengths; n++ {
			x, y, z := randoms(r, n), randoms(r, n), randoms(r, n)
			for i := range x { // all sizes of numbers, not only those near 1
				x[i] *= float32(math.Exp(10 * r.NormFloat64()))
				z[i] *= float32(math.Exp(10 * r.NormFloat64()))
			}
			results := make([][]float32, len(inC))
			for i, s := range inC {
				results[i] = with(s, func() []float32 {
					d := append([]float32(nil), z...)
					k.run(d, x, y)
					return append(d, Max(x), ExpSum(make([]float32, n), x, Max(x)))
				})
				if !sameBits(results[i], results[0]) {
					t.Fatalf("%s of %d: %s gives %v, %s gives %v", k.name, n, inC[0].name, results[0], inC[i].name, results[i])
				}
			}
		}
	}
}

func TestInPlace(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for _, n := range []int{1, 15, 16, 17, 33, 64} {
			x, y := randoms(r, n), randoms(r, n)
			apart, within := make([]float32, n), append([]float32(nil), x...)
			check := func(name string) {
				t.Helper()
				if !sameBits(apart, within) {
					t.Errorf("%s of %d in place is %v, apart %v", name, n, within, apart)
				}
				copy(within, x)
			}
			GELUMul(apart, x, y)
			GELUMul(within, within, y)
			check("GELUMul")
			SigmoidMul(apart, x, y)
			SigmoidMul(within, within, y)
			check("SigmoidMul, gate")
			SigmoidMul(apart, y, x)
			SigmoidMul(within, y, within)
			check("SigmoidMul, up")
			RMSNorm(apart, x, y, 1e-6)
			RMSNorm(within, within, y, 1e-6)
			check("RMSNorm")
			ExpSum(apart, x, 1)
			ExpSum(within, within, 1)
			check("ExpSum")
		}
	})
}

// exp, gelu and tanh over their whole range, against float64.
func TestExp(t *testing.T) {
	eachSet(t, func(t *testing.T) {
		sweep(t, -104, 0, 1, func(x []float32) { ExpSum(x, x, 0) }, math.Exp)
		sweep(t, 0, 88.7, 1, func(x []float32) { ExpSum(x, x, 0) }, math.Exp)
	})
}

func TestSoftCapIsTanh(t *testing.T) {
	eachSet(t, func(t *testing.T) {
		sweep(t, -12, 12, 1.5, func(x []float32) { SoftCap(x, 1) }, math.Tanh)
		sweep(t, 0x1p-126, 1e-3, 1.5, func(x []float32) { SoftCap(x, 1) }, math.Tanh)
	})
}

func TestGELU(t *testing.T) {
	one := make([]float32, sweepLength)
	for i := range one {
		one[i] = 1
	}
	run := func(x []float32) { GELUMul(x, x, one[:len(x)]) }
	eachSet(t, func(t *testing.T) {
		// The exponent −2u is rounded twice; its error multiplies exp's: (3 + 2|u|) · 2⁻²³
		// relative, at most twice that in ulps. |u| is 3.6 at 3 and 11.1 at −5.
		sweep(t, -0.5, 20, 8, run, gelu)
		sweep(t, -3, -0.5, 2*(3+2*3.6), run, gelu)
		sweep(t, -5, -3, 2*(3+2*8.0), run, gelu)
		// Below, what is left of x is less than 2⁻²² of it.
		for _, x := range []float32{-5.5, -7, -10, -100, -1e30} {
			v := []float32{x}
			run(v)
			if !(v[0] <= 0 && v[0] > x*0x1p-22) {
				t.Errorf("gelu(%v) = %v", x, v[0])
			}
		}
	})
}

func TestSigmoid(t *testing.T) {
	one := make([]float32, sweepLength)
	for i := range one {
		one[i] = 1
	}
	eachSet(t, func(t *testing.T) {
		// The rounding of e^−x, of the sum and of the quotient.
		sweep(t, -87, 87, 3, func(x []float32) { SigmoidMul(x, x, one[:len(x)]) }, sigmoid)
		// SiLU where e^−x is past float32: nothing is left, and it is no NaN.
		v := []float32{-88, -100, -1e30, 100, 1e30}
		SigmoidMul(v, v, v)
		for i, want := range []float32{0, 0, 0, 100, 1e30} {
			if !(math.Abs(float64(v[i]-want)) <= 1e-36) {
				t.Errorf("silu of value %d is %v, want %v", i, v[i], want)
			}
		}
	})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

const sweepLength = 1 << 12

// sweep compares f with the exact function at many evenly spread places of [lo, hi].
func sweep(t *testing.T, lo, hi, bound float64, f func([]float32), exact func(float64) float64) {
	t.Helper()
	const parts = 64
	var worst float64
	at := float32(0)
	x, y := make([]float32, sweepLength), make([]float32, sweepLength)
	for p := range parts {
		for i := range x {
			x[i] = float32(lo + (hi-lo)*float64(p*sweepLength+i)/(parts*sweepLength-1))
		}
		copy(y, x)
		f(y)
		for i, got := range y {
			u := ulps(got, exact(float64(x[i])))
			if !(u <= worst) {
				worst, at = u, x[i]
			}
		}
	}
	t.Logf("[%g, %g]: largest error %.2f ulp at %v", lo, hi, worst, at)
	if !(worst <= bound) {
		t.Errorf("[%g, %g]: error %.2f ulp at %v, want at most %v", lo, hi, worst, at, bound)
	}
}

func TestSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachSet(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			f     func(x []float32)
			x     []float32
			wants []float32
		}{
			{"exp", func(x []float32) { ExpSum(x, x, 0) },
				[]float32{0, -inf, -200, 89, 200, inf, nan, -103}, []float32{1, 0, 0, inf, inf, inf, nan, 1e-45}},
			{"exp, masked row", func(x []float32) { ExpSum(x, x, 3) }, []float32{3, -inf}, []float32{1, 0}},
			{"tanh", func(x []float32) { SoftCap(x, 1) }, []float32{0, inf, -inf, nan, 100, -100}, []float32{0, 1, -1, nan, 1, -1}},
			{"clamp", func(x []float32) { Clamp(x, -2, 3) }, []float32{nan, inf, -inf, -2, 3}, []float32{nan, 3, -2, -2, 3}},
			{"clamp, no bounds", func(x []float32) { Clamp(x, -inf, inf) }, []float32{nan, inf, -inf, 1}, []float32{nan, inf, -inf, 1}},
			{"sigmoid", func(x []float32) { SigmoidMul(x, x, []float32{1, 1, 1, 1}) }, []float32{0, nan, inf, -inf}, []float32{0.5, nan, 1, 0}},
			{"gelu", func(x []float32) { GELUMul(x, x, []float32{1, 1, 1}) }, []float32{0, nan, inf}, []float32{0, nan, inf}},
		} {
			got := append([]float32(nil), c.x...)
			c.f(got)
			for i, want := range c.wants {
				if got[i] != want && !(math.IsNaN(float64(got[i])) && math.IsNaN(float64(want))) {
					t.Errorf("%s of %v is %v, want %v", c.name, c.x[i], got[i], want)
				}
			}
		}
		if got := ExpSum([]float32{0, 0}, []float32{1, nan}, 1); got == got {
			t.Errorf("ExpSum over NaN is %v", got)
		}
	})
}

func TestMax(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for n := 1; n < lengths; n++ {
			for at := range n {
				s := randoms(r, n)
				for i := range s {
					s[i] = -s[i]*s[i] - 2 // a zero from a tail would win
				}
				s[at] = -1
				if at > 0 {
					s[0] = float32(math.NaN())
				}
				x, _ := guarded(t, s, at%8)
				if got := Max(x); got != -1 {
					t.Fatalf("n %d: %v, want −1, which is at %d", n, got, at)
				}
			}
		}
		if got := Max(nil); !math.IsInf(float64(got), -1) {
			t.Errorf("Max of nothing is %v", got)
		}
	})
}

func TestExpSumAddsUp(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for _, n := range append(tails(), 512) {
			x, _ := guarded(t, randoms(r, n), n%8)
			dst, check := guarded(t, make([]float32, n), n%7)
			got := ExpSum(dst, x, Max(x))
			check()
			var want float64
			for _, v := range dst {
				want += float64(v)
			}
			// Terms are positive: each addition of the longest chain rounds by half an ulp of at most the sum.
			if bound := float64(n/cLanes+6) * 0x1p-24 * want; !(math.Abs(float64(got)-want) <= bound) {
				t.Errorf("n %d: sum %v, want %v ± %v", n, got, want, bound)
			}
		}
	})
}

// cLanes is the number of sums that the C bodies split one into.
const cLanes = 16

func tails() []int {
	var n []int
	for i := range lengths {
		n = append(n, i+1)
	}
	return n
}

func TestRMSNorm(t *testing.T) {
	const eps = 1e-6
	r := source()
	eachSet(t, func(t *testing.T) {
		for _, n := range append(tails(), 256, 1536) {
			for _, weighted := range []bool{false, true} {
				x, _ := guarded(t, randoms(r, n), n%8)
				var w []float32
				if weighted {
					w, _ = guarded(t, randoms(r, n), n%5)
				}
				dst, check := guarded(t, make([]float32, n), n%3)
				RMSNorm(dst, x, w, eps)
				check()
				var squares float64
				for _, v := range x {
					squares += float64(v) * float64(v)
				}
				by := 1 / math.Sqrt(squares/float64(n)+eps)
				for i, got := range dst {
					want := float64(x[i]) * by
					if weighted {
						want *= float64(w[i])
					}
					// Half the relative error of the sum, whose terms are positive, and six roundings.
					if bound := (float64(n/cLanes+6)/2 + 6) * 0x1p-24 * math.Abs(want); !(math.Abs(float64(got)-want) <= bound) {
						t.Fatalf("n %d, weight %v: element %d is %v, want %v ± %v", n, weighted, i, got, want, bound)
					}
				}
			}
		}
	})
}

func TestRope(t *testing.T) {
	r := source()
	eachSet(t, func(t *testing.T) {
		for half := range lengths {
			was := randoms(r, 2*half)
			cos, sin := make([]float32, half), make([]float32, half)
			for i := range cos {
				s, c := math.Sincos(r.Float64() * 100)
				cos[i], sin[i] = float32(c), float32(s)
			}
			head, check := guarded(t, was, half%8)
			c, _ := guarded(t, cos, half%3)
			s, _ := guarded(t, sin, half%5)
			Rope(head, c, s)
			check()
			for i := range half {
				a, b, c, s := float64(was[i]), float64(was[half+i]), float64(cos[i]), float64(sin[i])
				bound := 3 * 0x1p-24 * (math.Abs(a) + math.Abs(b)) // three roundings of terms no larger
				if got, want := float64(head[i]), a*c-b*s; !(math.Abs(got-want) <= bound) {
					t.Fatalf("half %d: element %d is %v, want %v", half, i, got, want)
				}
				if got, want := float64(head[half+i]), b*c+a*s; !(math.Abs(got-want) <= bound) {
					t.Fatalf("half %d: element %d is %v, want %v", half, half+i, got, want)
				}
			}
		}
	})
}

func TestWrongLengthsPanic(t *testing.T) {
	a, b := make([]float32, 4), make([]float32, 5)
	for name, f := range map[string]func(){
		"Add":             func() { Add(a, b) },
		"AddScaled":       func() { AddScaled(a, b, 1) },
		"GELUMul, gate":   func() { GELUMul(a, b, a) },
		"GELUMul, up":     func() { GELUMul(a, a, b) },
		"SigmoidMul":      func() { SigmoidMul(a, b, a) },
		"Rope, odd":       func() { Rope(b, b[:2], b[:2]) },
		"Rope, tables":    func() { Rope(a, a[:2], a[:1]) },
		"RMSNorm, x":      func() { RMSNorm(a, b, nil, 0) },
		"RMSNorm, w":      func() { RMSNorm(a, a, b, 0) },
		"ExpSum":          func() { ExpSum(a, b, 0) },
		"WidenBF16":       func() { WidenBF16(a, make([]byte, 7)) },
		"WidenF32LE":      func() { WidenF32LE(a, make([]byte, 15)) },
		"MatMulF32, dst":  func() { MatMulF32(a, 2, a, 2, 2, a, 2, 3, 1) },
		"MatMulF32, x":    func() { MatMulF32(b, 2, a, 2, 2, a, 2, 1, 3) },
		"MatMulF32, w":    func() { MatMulF32(b, 2, b, 2, 1, a, 2, 3, 2) },
		"MatMulBF16":      func() { MatMulBF16(b, 2, b, 2, 1, make([]byte, 7), 2, 2, 2) },
		"MatMulF32, rows": func() { MatMulF32(a, 2, a, 2, -1, a, 2, 1, 1) },
		"WeightedSum, v":  func() { WeightedSum(a, 2, a, 2, 2, a, 2, 3, 2) },
		"WeightedSum, w":  func() { WeightedSum(a, 2, a, 2, 2, b, 1, 3, 1) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	x, y, c, w := make([]float32, 64), make([]float32, 64), make([]float32, 32), make([]byte, 256)
	eachSet(t, func(t *testing.T) {
		allocs := testing.AllocsPerRun(10, func() {
			Add(x, y)
			GELUMul(x, y, y)
			SigmoidMul(x, y, y)
			Rope(x, c, c)
			RMSNorm(x, y, nil, 1)
			ExpSum(x, y, Max(y))
			MatMulF32(x, 8, y, 8, 4, y, 8, 8, 8)
			MatMulBF16(x, 8, y, 8, 4, w, 8, 8, 8)
			WeightedSum(x, 8, y, 8, 4, y, 8, 8, 8)
			WidenF16(x, w)
		})
		if chosen != &portable && allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	})
}

func TestPeak(t *testing.T) {
	eachSet(t, func(t *testing.T) {
		if one, ten := PeakFMA(1), PeakFMA(10); one <= 0 || ten != 10*one {
			t.Errorf("1 round is %d operations, 10 are %d", one, ten)
		}
		for n := range 600 {
			b := make([]byte, n)
			if got := PeakRead(b); got != 0 {
				t.Fatalf("checksum of %d zeros is %d", n, got)
			}
			for _, at := range []int{0, n / 2, n - 1} {
				if n == 0 {
					continue
				}
				b[at] = 1
				if PeakRead(b) == 0 {
					t.Fatalf("byte %d of %d was not read", at, n)
				}
				b[at] = 0
			}
		}
	})
}

func ExampleName() {
	fmt.Println(Name() != "")
	// Output: true
}
