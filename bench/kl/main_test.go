package main

import (
	"math"
	"testing"
)

func TestCompare(t *testing.T) {
	log := func(p ...float64) (x []float32) {
		for _, v := range p {
			x = append(x, float32(math.Log(v)+3)) // a shift that softmax ignores
		}
		return x
	}
	want := append(log(0.5, 0.25, 0.25), log(0.1, 0.6, 0.3)...)
	got := append(log(0.5, 0.25, 0.25), log(0.1, 0.3, 0.6)...)
	r := compare(got, want, 3)
	kl := 0.6*math.Log(2) - 0.3*math.Log(2)
	if math.Abs(r.MeanKL-kl/2) > 1e-6 || math.Abs(r.LargestKL-kl) > 1e-6 {
		t.Errorf("KL mean %v, largest %v; want %v, %v", r.MeanKL, r.LargestKL, kl/2, kl)
	}
	if r.SameTop != 0.5 || math.Abs(r.LargestMargin-math.Log(2)) > 1e-6 {
		t.Errorf("same top %v, margin %v; want 0.5, %v", r.SameTop, r.LargestMargin, math.Log(2))
	}
	got[4] = float32(math.NaN())
	if r := compare(got, want, 3); !math.IsNaN(r.MeanKL) || !math.IsNaN(r.LargestKL) {
		t.Errorf("NaN in the logits gives %+v", r)
	}
}
