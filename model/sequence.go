package model

import "math"

// sequence is one prompt with its reply and its KV caches, one for each layer that
// owns keys and values.
type sequence struct {
	config *TextConfig
	prompt *Prompt
	caches []*kvCache // nil where the layer owns none
	length int        // positions that have been run
}

func newSequence(c *TextConfig, p *Prompt, pool pagePool) *sequence {
	s := &sequence{config: c, prompt: p, caches: make([]*kvCache, c.NumHiddenLayers)}
	for i := range c.firstShared() {
		cache := &kvCache{shape: attentionShape{c.heads(i), c.kvHeads(i), c.headDim(i)}, pool: pool}
		if c.Sliding(i) {
			cache.window = c.SlidingWindow
		}
		s.caches[i] = cache
	}
	return s
}

// visible returns what layer i's query at position start+n sees: positions [from, to).
// It is a single range in every case: what a picture adds to a causal window touches
// it without a gap.
//
// Where pictures see themselves in both directions they do so in sliding layers, whose
// window bounds the past and not what is ahead in the picture. In a 12B they do in all layers,
// and no window cuts into a picture. These are the rules of transformers 5.23.
func (s *sequence) visible(i, start int) func(n int) (from, to int) {
	c := s.config
	window := math.MaxInt
	if c.Sliding(i) {
		window = c.SlidingWindow
	}
	both := c.bidirectionalImages() && (c.Sliding(i) || c.unified())
	return func(n int) (int, int) {
		at := start + n
		from, to := max(0, at-window+1), at+1
		if both && at < s.prompt.Len() {
			if lo, hi, ok := s.prompt.block(at); ok {
				to = hi
				if c.unified() {
					from = min(from, lo)
				}
			}
		}
		return from, to
	}
}

// advance counts n more positions as run and gives back what no later one can see.
func (s *sequence) advance(n int) {
	s.length += n
	for _, c := range s.caches {
		if c != nil {
			c.forget(s.length)
		}
	}
}

// release gives back the memory of all caches.
func (s *sequence) release() {
	for _, c := range s.caches {
		if c != nil {
			c.release()
		}
	}
}

// bytes is the memory the caches hold now.
func (s *sequence) bytes() int64 {
	var n int64
	for _, c := range s.caches {
		if c != nil {
			n += c.bytes()
		}
	}
	return n
}
