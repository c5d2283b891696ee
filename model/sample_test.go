package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestSampleGreedy(t *testing.T) {
	logits := []float32{1, 3, 2, 3}
	id, logProb, err := newSampler(Sampling{}, "a").next(logits)
	if err != nil {
		t.Fatal(err)
	}
	want := 3 - math.Log(math.Exp(1)+2*math.Exp(3)+math.Exp(2))
	if id != 1 || math.Abs(float64(logProb)-want) > 1e-6 {
		t.Errorf("got token %d with %g, want 1 with %g", id, logProb, want)
	}
}

func TestSampleRefusesNaN(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		_, _, err := newSampler(Sampling{}, "a").next([]float32{0, 1, bad, 2})
		if err == nil || !strings.Contains(err.Error(), "token 2") {
			t.Errorf("a logit of %g: got %v", bad, err)
		}
	}
}

// The likeliest tokens, found without sorting the vocabulary, are those of a full sort.
func TestLikeliest(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 5, 64, 1000, 5000} {
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(random.IntN(50)) // many are equal
			if random.IntN(5) == 0 {
				logits[i] = float32(math.Inf(-1))
			}
		}
		all := make([]int32, n)
		for i := range all {
			all[i] = int32(i)
		}
		slices.SortStableFunc(all, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
		for _, k := range []int{0, 1, 2, 3, 64, 999, n, 2 * n} {
			got := newSampler(Sampling{TopK: k}, "").likeliest(logits)
			want := all
			if k > 0 {
				want = all[:min(k, n)]
			}
			ids := make([]int32, len(got))
			for i, c := range got {
				ids[i] = c.id
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%d of %d: got %v, want %v", k, n, ids, want)
			}
		}
	}
}

// Each cut leaves the tokens it should, and no others are ever drawn.
func TestSampleCuts(t *testing.T) {
	probs := []float64{0.4, 0.3, 0.2, 0.07, 0.03}
	logits := make([]float32, len(probs))
	for i, p := range probs {
		logits[i] = float32(math.Log(p))
	}
	for _, c := range []struct {
		name string
		s    Sampling
		want []int32
	}{
		{"all", Sampling{Temperature: 1}, []int32{0, 1, 2, 3, 4}},
		{"top-k", Sampling{Temperature: 1, TopK: 2}, []int32{0, 1}},
		{"top-p", Sampling{Temperature: 1, TopP: 0.85}, []int32{0, 1, 2}},
		{"top-p keeps the one that reaches it", Sampling{Temperature: 1, TopP: 0.69}, []int32{0, 1}},
		{"top-p keeps one", Sampling{Temperature: 1, TopP: 0.01}, []int32{0}},
		{"min-p", Sampling{Temperature: 1, MinP: 0.4}, []int32{0, 1, 2}},
		{"top-p of what top-k left", Sampling{Temperature: 1, TopK: 3, TopP: 0.75}, []int32{0, 1}},
		{"cold", Sampling{Temperature: 0.02}, []int32{0}},
	} {
		s := newSampler(c.s, "a")
		counts := map[int32]int{}
		const n = 4000
		for range n {
			id, _, err := s.next(logits)
			if err != nil {
				t.Fatal(err)
			}
			counts[id]++
		}
		var got []int32
		for id := range counts {
			got = append(got, id)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: drew %v, want %v", c.name, got, c.want)
			continue
		}
		var kept float64
		for _, id := range c.want {
			kept += math.Pow(probs[id], 1/float64(c.s.Temperature))
		}
		for _, id := range c.want { // within 5 standard deviations of a binomial
			p := math.Pow(probs[id], 1/float64(c.s.Temperature)) / kept
			if d := math.Abs(float64(counts[id]) - n*p); d > 5*math.Sqrt(n*p*(1-p))+1 {
				t.Errorf("%s: token %d drawn %d times of %d, expected %.0f", c.name, id, counts[id], n, n*p)
			}
		}
	}
}

// A request's stream depends on its seed and its id, and on nothing else.
func TestSampleStreams(t *testing.T) {
	logits := make([]float32, 1000)
	draw := func(seed uint64, id string) []int32 {
		s := newSampler(Sampling{Temperature: 1, Seed: seed}, id)
		var ids []int32
		for range 8 {
			token, _, _ := s.next(logits)
			ids = append(ids, token)
		}
		return ids
	}
	a := draw(1, "a")
	if !slices.Equal(a, draw(1, "a")) {
		t.Error("the same seed and id gave another stream")
	}
	if slices.Equal(a, draw(2, "a")) || slices.Equal(a, draw(1, "b")) {
		t.Error("another seed or id gave the same stream")
	}
}
