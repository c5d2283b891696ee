package model

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"facet/internal/kernel"
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
	weights    []float32 // exp(logit − largest)
	candidates []candidate
}

type candidate struct {
	id   int32
	prob float64 // times a constant
}

// newSampler seeds random numbers of its own for a request, so that its tokens do not
// depend on what else runs.
func newSampler(s Sampling, stream string) *sampler {
	h := fnv.New64a()
	h.Write([]byte(stream))
	return &sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, h.Sum64()))}
}

// next returns the chosen token and the natural logarithm of its probability under
// the unchanged logits. A logit of −Inf has probability 0; next fails if one is NaN or +Inf.
func (s *sampler) next(logits []float32) (id int32, logProb float32, err error) {
	top := kernel.Max(logits)
	s.weights = slices.Grow(s.weights[:0], len(logits))[:len(logits)]
	sum := kernel.ExpSum(s.weights, logits, top)
	if !(sum >= 1) || math.IsInf(float64(top), 0) { // the largest alone gives 1
		return 0, 0, badLogit(logits)
	}
	if s.Temperature > 0 {
		id = s.draw(logits, top)
	} else {
		id = int32(slices.Index(logits, top)) // the first of equals
	}
	return id, float32(float64(logits[id]-top) - math.Log(float64(sum))), nil
}

// badLogit names the first logit that is no number.
func badLogit(logits []float32) error {
	for i, v := range logits {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 1) {
			return fmt.Errorf("model: the logit of token %d is %g: the computation left the range of numbers", i, v)
		}
	}
	return errors.New("model: no token has a finite logit")
}

// draw takes a token at random from what temperature, top-k, top-p and min-p leave.
func (s *sampler) draw(logits []float32, top float32) int32 {
	c := s.likeliest(logits)
	for i := range c {
		c[i].prob = math.Exp(float64(logits[c[i].id]-top) / float64(s.Temperature))
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

// likeliest returns the top-k tokens, or all, likeliest first and equal ones in order
// of their ids. For a small k the vocabulary is read once and never sorted.
func (s *sampler) likeliest(logits []float32) []candidate {
	c := s.candidates[:0]
	k := len(logits)
	if s.TopK > 0 {
		k = min(k, s.TopK)
	}
	least := float32(math.Inf(-1)) // of the k best so far, once that is known
	for i, v := range logits {
		if i >= 2*k && !(v > least) { // an equal one that comes later loses
			continue
		}
		c = append(c, candidate{int32(i), float64(v)})
		if len(c) == 2*k && k < len(logits) { // halve: each token is sorted a few times at most
			sortCandidates(c)
			c = c[:k]
			least = float32(c[k-1].prob)
		}
	}
	s.candidates = c
	sortCandidates(c)
	return c[:k]
}

func sortCandidates(c []candidate) {
	slices.SortFunc(c, func(a, b candidate) int {
		if d := cmp.Compare(b.prob, a.prob); d != 0 {
			return d
		}
		return cmp.Compare(a.id, b.id)
	})
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
