package check

import (
	"fmt"
	"math"

	"facet/internal/golden"
	"facet/model"
)

// Distance is how far logits are from the reference's, over positions of the same text.
type Distance struct {
	Positions int
	SumKL     float64 // of the Kullback-Leibler divergences KL(reference ‖ logits), in nats
	LargestKL float64
	SameTop   int // positions with the reference's likeliest token
	// LargestMargin is the most by which the reference prefers, in logits, its likeliest
	// token to the one chosen in its place; 0 where SameTop is Positions.
	LargestMargin float64
}

// MeanKL is the mean divergence of a position.
func (d Distance) MeanKL() float64 { return d.SumKL / float64(max(1, d.Positions)) }

// Add counts the positions of e as well.
func (d *Distance) Add(e Distance) {
	d.Positions += e.Positions
	d.SumKL += e.SumKL
	d.LargestKL = max(d.LargestKL, e.LargestKL)
	d.SameTop += e.SameTop
	d.LargestMargin = max(d.LargestMargin, e.LargestMargin)
}

// distance compares the logits of a prompt's last positions with the case's.
func distance(m *model.Model, p *model.Prompt, c *golden.Case) (*Distance, error) {
	want, positions, width, err := c.Logits()
	if err != nil {
		return nil, err
	}
	if positions > p.Len() {
		return nil, fmt.Errorf("logits: the reference has %d positions of a prompt of %d", positions, p.Len())
	}
	got, err := m.Logits(p, positions)
	if err != nil {
		return nil, err
	}
	if len(got) != len(want) {
		return nil, fmt.Errorf("logits: %d columns, the reference has %d", len(got)/positions, width)
	}
	return compare(got, want, width)
}

// compare compares logits [positions, width]. A logit that is no finite number is an error.
func compare(got, want []float32, width int) (*Distance, error) {
	d := new(Distance)
	for at := 0; at < len(want); at += width {
		g, w := got[at:at+width], want[at:at+width]
		for i, v := range g {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("logits: position %d, column %d: got %g", at/width, i, v)
			}
		}
		kl := divergence(w, g)
		one := Distance{Positions: 1, SumKL: kl, LargestKL: kl, SameTop: 1}
		if best, chosen := largest(w), largest(g); chosen != best {
			one.SameTop, one.LargestMargin = 0, float64(w[best])-float64(w[chosen])
		}
		d.Add(one)
	}
	return d, nil
}

// divergence returns Σ p·log(p/q), where p and q are the softmax of two rows of logits.
func divergence(p, q []float32) float64 {
	np, nq := logSumExp(p), logSumExp(q)
	sum := 0.0
	for i := range p {
		lp := float64(p[i]) - np
		sum += math.Exp(lp) * (lp - (float64(q[i]) - nq))
	}
	return max(0, sum) // equal rows may round to less
}

// logSumExp returns log Σ exp x.
func logSumExp(x []float32) float64 {
	top := float64(x[largest(x)])
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// largest returns the place of the largest value, the first of equal ones.
func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
