package check

import (
	"math"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/golden"
	"facet/model"
)

func log32(p ...float64) []float32 {
	x := make([]float32, len(p))
	for i := range p {
		x[i] = float32(math.Log(p[i]))
	}
	return x
}

// Two positions with distributions whose divergence is known.
func TestCompare(t *testing.T) {
	want := append(log32(0.5, 0.25, 0.25), log32(0.6, 0.3, 0.1)...)
	got := append(log32(0.25, 0.25, 0.5), log32(0.6, 0.3, 0.1)...)
	for i := range got[3:] {
		got[3+i] += 7 // a constant changes no distribution
	}
	d, err := compare(got, want, 3)
	if err != nil {
		t.Fatal(err)
	}
	kl := 0.5*math.Log(2) + 0.25*math.Log(0.5)
	const tolerance = 1e-6 // logits of float32
	if math.Abs(d.SumKL-kl) > tolerance || math.Abs(d.LargestKL-kl) > tolerance || math.Abs(d.MeanKL()-kl/2) > tolerance {
		t.Errorf("sum %g, largest %g, mean %g, want %g, %g and half of it", d.SumKL, d.LargestKL, d.MeanKL(), kl, kl)
	}
	if d.Positions != 2 || d.SameTop != 1 || math.Abs(d.LargestMargin-math.Log(2)) > tolerance {
		t.Errorf("got %+v, want 1 of 2 with the same top-1 and a margin of ln 2", *d)
	}
	d.Add(Distance{Positions: 3, SumKL: 5, LargestKL: 4, SameTop: 2, LargestMargin: 0.1})
	if d.Positions != 5 || d.SameTop != 3 || d.LargestKL != 4 || math.Abs(d.SumKL-kl-5) > tolerance || math.Abs(d.LargestMargin-math.Log(2)) > tolerance {
		t.Errorf("with three more: %+v", *d)
	}
}

func TestCompareRefusesNaN(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		got := []float32{0, 1, 2, float32(bad)}
		if d, err := compare(got, []float32{0, 1, 2, 3}, 2); err == nil || !strings.Contains(err.Error(), "position 1, column 1") {
			t.Errorf("%g: %+v, %v", bad, d, err)
		}
	}
}

// An exact engine has next to no distance from the reference, whether that kept all
// positions of a prompt or the last ones: the positions are those they are taken for.
func TestDistanceOfExact(t *testing.T) {
	dir := fixtures.Path("golden")
	for _, name := range []string{"text", "page"} {
		folder, full := caseOf(dir, "tiny-e", name)
		c, err := golden.OpenCase(folder, full)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m, err := model.Open(modelPath(dir, "tiny-e"), model.Options{Precision: model.Exact})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		p, err := prompt(m, dir, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := distance(m, p, c)
		if err != nil {
			t.Fatal(err)
		}
		// Logits of at most 30 that are off by 5e-4 of that move a distribution by their square.
		if bound := math.Pow(2*softCap*golden.Tolerance, 2); d.Positions == 0 || d.SameTop != d.Positions || !(d.LargestKL <= bound) {
			t.Errorf("%s: %+v, want the same top-1 everywhere and divergences below %g", name, *d, bound)
		}
	}
}

// Case measures in fast what it compares in exact.
func TestCaseInFast(t *testing.T) {
	r := Case(fixtures.Path("golden"), "gguf/small-e-Q4_0", "long", Options{Precision: model.Fast})
	if r.Err != nil || r.Skipped != "" || r.Distance == nil || r.Distance.Positions != 8 || r.Compared != 0 {
		t.Fatalf("%+v", r)
	}
	if d := r.Distance; !(d.SumKL > 0) || d.SameTop == 0 {
		t.Errorf("%+v: no rounding, or nothing in common", *d)
	}
	r = Case(fixtures.Path("golden"), "gguf/small-e-Q4_0", "long", Options{})
	if r.Err != nil || r.Distance != nil || r.Compared == 0 {
		t.Errorf("exact: %+v", r)
	}
}
