package model

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen from the logits.
//
// The steps follow transformers' order: temperature, then top-k, then top-p, then
// min-p, each on what the one before it left.
type Sampling struct {
	Temperature float32 // 0: always the likeliest token (greedy)
	TopK        int     // keep the k likeliest; 0: all
	TopP        float32 // keep the fewest whose probabilities reach this sum; 0 or 1: all
	MinP        float32 // keep those at least this times as likely as the likeliest; 0: all
	Seed        uint64  // with the request's Stream, the start of its random numbers
}

// validate names the first value that is out of range.
func (s Sampling) validate() error {
	switch {
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return fmt.Errorf("temperature %g is not in 0 to 100", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("top-k %d is negative", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top-p %g is not in 0 to 1", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("min-p %g is not in 0 to 1", s.MinP)
	}
	return nil
}

// Sampling returns what generation_config.json advises; greedy where it says nothing.
func (c *Config) Sampling() Sampling {
	g := c.Generation
	if !g.DoSample {
		return Sampling{}
	}
	s := Sampling{Temperature: 1, TopK: g.TopK, MinP: g.MinP}
	if g.Temperature != nil {
		s.Temperature = *g.Temperature
	}
	if g.TopP != nil {
		s.TopP = *g.TopP
	}
	return s
}

// sampler chooses the tokens of one request.
type sampler struct {
	Sampling
	random     *rand.Rand
	candidates []candidate
}

type candidate struct {
	id   int32
	prob float64
}

// newSampler seeds random numbers of its own for a request, so that its tokens do not
// depend on what else runs.
func newSampler(s Sampling, stream string) *sampler {
	h := fnv.New64a()
	h.Write([]byte(stream))
	return &sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, h.Sum64()))}
}

// next returns the chosen token and the natural logarithm of its probability under
// the unchanged logits. It fails if a logit is NaN or infinite.
func (s *sampler) next(logits []float32) (id int32, logProb float32, err error) {
	best := 0
	for i, v := range logits {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return 0, 0, fmt.Errorf("model: the logit of token %d is %g: the computation left the range of numbers", i, v)
		}
		if v > logits[best] {
			best = i
		}
	}
	id = int32(best)
	if s.Temperature > 0 {
		id = s.draw(logits, float64(logits[best]))
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[best]))
	}
	return id, float32(float64(logits[id]-logits[best]) - math.Log(sum)), nil
}

// draw takes a token at random from what temperature, top-k, top-p and min-p leave.
func (s *sampler) draw(logits []float32, top float64) int32 {
	c := s.candidates[:0]
	for i, v := range logits {
		c = append(c, candidate{int32(i), math.Exp((float64(v) - top) / float64(s.Temperature))})
	}
	s.candidates = c
	// Likeliest first; equal ones in order of their ids, so that the order is one.
	slices.SortFunc(c, func(a, b candidate) int {
		if d := cmp.Compare(b.prob, a.prob); d != 0 {
			return d
		}
		return cmp.Compare(a.id, b.id)
	})
	if s.TopK > 0 && s.TopK < len(c) {
		c = c[:s.TopK]
	}
	if s.TopP > 0 && s.TopP < 1 {
		c = c[:nucleus(c, float64(s.TopP))]
	}
	if s.MinP > 0 {
		least := c[0].prob * float64(s.MinP)
		n := 1
		for n < len(c) && c[n].prob >= least {
			n++
		}
		c = c[:n]
	}
	at := s.random.Float64() * total(c)
	for _, k := range c {
		if at -= k.prob; at < 0 {
			return k.id
		}
	}
	return c[len(c)-1].id // the sum was rounded
}

// nucleus is the smallest number of leading candidates whose share of the whole reaches p.
func nucleus(c []candidate, p float64) int {
	whole, sum := total(c), 0.0
	for n, k := range c {
		if sum += k.prob; sum >= p*whole {
			return n + 1
		}
	}
	return len(c)
}

func total(c []candidate) float64 {
	var sum float64
	for _, k := range c {
		sum += k.prob
	}
	return sum
}
