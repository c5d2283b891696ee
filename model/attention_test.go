package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"facet/internal/tensor"
)

// slowAttention is the definition: one query, one head, all keys it sees, in float64.
func slowAttention(q []float32, keys, values func(position int) []float32, from, to int) []float64 {
	top := math.Inf(-1)
	scores := make([]float64, to-from)
	for p := from; p < to; p++ {
		for e, k := range keys(p) {
			scores[p-from] += float64(q[e]) * float64(k)
		}
		top = max(top, scores[p-from])
	}
	out, sum := make([]float64, len(q)), 0.0
	for p := from; p < to; p++ {
		w := math.Exp(scores[p-from] - top)
		sum += w
		for e, v := range values(p) {
			out[e] += w * float64(v)
		}
	}
	for e := range out {
		out[e] /= sum
	}
	return out
}

// attend equals the definition for grouped heads, windows, pictures that look ahead,
// contexts of several blocks, and any way of sharing the work out.
func TestAttend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		return v
	}
	for _, c := range []struct {
		heads, kvHeads, dim, window, context, queries int
		media                                         []mediaSpan
	}{
		{heads: 1, kvHeads: 1, dim: 8, context: 1, queries: 1},
		{heads: 4, kvHeads: 2, dim: 16, context: 40, queries: 40},
		{heads: 8, kvHeads: 1, dim: 32, context: 1300, queries: 70},
		{heads: 8, kvHeads: 2, dim: 16, context: 2100, queries: 1},
		{heads: 4, kvHeads: 2, dim: 16, window: 64, context: 700, queries: 90},
		{heads: 4, kvHeads: 4, dim: 16, window: 16, context: 60, queries: 60, media: []mediaSpan{{lo: 10, hi: 40}}},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			shape := attentionShape{c.heads, c.kvHeads, c.dim}
			config := &TextConfig{LayerTypes: []string{fullAttention}}
			if c.window > 0 {
				both := "vision"
				config = &TextConfig{LayerTypes: []string{slidingAttention}, SlidingWindow: c.window, UseBidirectionalAttention: &both}
			}
			seq := &sequence{config: config, prompt: &Prompt{IDs: make([]int32, c.context), media: c.media}}
			cache := &kvCache{shape: shape, window: c.window, pool: pagePool{}}
			start := c.context - c.queries
			var ks, vs [][]float32
			for p := range c.context {
				ks, vs = append(ks, normal(c.kvHeads*c.dim)), append(vs, normal(c.kvHeads*c.dim))
				cache.put(p, ks[p], vs[p])
				if p == start-1 {
					cache.forget(start)
				}
			}
			q := tensor.Mat{Rows: c.queries, Cols: c.heads * c.dim, Data: normal(c.queries * c.heads * c.dim)}
			visible := seq.visible(0, start)
			var first []float32
			for _, threads := range []int{1, 3} {
				pool := tensor.NewPool(threads)
				defer pool.Close()
				for _, piece := range []int{c.queries, 7, 1} {
					dst := tensor.New(q.Rows, q.Cols)
					for lo := 0; lo < q.Rows; lo += piece {
						st := stretch{lo: lo, hi: min(lo+piece, q.Rows), keys: cache, visible: seq.visible(0, start+lo)}
						attend(pool, newAttentionScratch(threads), dst, q, shape, []stretch{st})
					}
					if first == nil {
						first = dst.Data
					}
					if !slices.Equal(dst.Data, first) {
						t.Fatalf("%d threads, %d queries at a time: other bits", threads, piece)
					}
				}
			}
			for r := range q.Rows {
				from, to := visible(r)
				for h := range c.heads {
					g := h / (c.heads / c.kvHeads)
					head := func(rows [][]float32) func(int) []float32 {
						return func(p int) []float32 { return rows[p][g*c.dim : (g+1)*c.dim] }
					}
					want := slowAttention(q.Row(r)[h*c.dim:(h+1)*c.dim], head(ks), head(vs), from, to)
					for e, w := range want {
						got := float64(first[r*q.Cols+h*c.dim+e])
						// Scores are sums of dim products and reach about 20: their rounding
						// moves a weight by 20·dim·2⁻²⁴ of itself; values are of order 1.
						if bound := 4 * 20 * float64(c.dim+8) * 0x1p-24; !(math.Abs(got-w) <= bound) {
							t.Fatalf("query %d, head %d, value %d: got %g, want %g", r, h, e, got, w)
						}
					}
				}
			}
		})
	}
}

// A sliding cache gives back what its window has left and keeps what it has not.
func TestCacheForgets(t *testing.T) {
	pool := pagePool{}
	c := &kvCache{shape: attentionShape{1, 1, 4}, window: 100, pool: pool}
	for p := range 2000 {
		c.put(p, []float32{float32(p), 0, 0, 0}, []float32{float32(-p), 0, 0, 0})
		c.forget(p + 1)
		if most := int64((100+2*pageKeys)/pageKeys) * 2 * 4 * 4 * pageKeys; c.bytes() > most {
			t.Fatalf("position %d: %d bytes held, at most %d expected", p, c.bytes(), most)
		}
		for at := max(0, p+1-99); at <= p; { // what the next query sees besides itself
			k, v, stride, n := c.run(0, at, p+1)
			for i := range n {
				if k[i*stride] != float32(at+i) || v[i*stride] != float32(-(at+i)) {
					t.Fatalf("position %d: key %g and value %g at %d", p, k[i*stride], v[i*stride], at+i)
				}
			}
			at += n
		}
	}
	c.release()
	if c.bytes() != 0 {
		t.Error("a released cache holds memory")
	}
}

// The window of a picture's tokens: the past is bounded, later tokens of the picture are seen.
func TestVisible(t *testing.T) {
	both := "vision"
	c := &TextConfig{LayerTypes: []string{slidingAttention, fullAttention}, SlidingWindow: 8}
	p := &Prompt{IDs: make([]int32, 40), media: []mediaSpan{{lo: 10, hi: 22}}}
	for _, v := range []struct {
		name            string
		bidirectional   bool
		layer, at       int
		wantLo, wantEnd int
	}{
		{"causal window", false, 0, 15, 8, 16},
		{"causal full", false, 1, 15, 0, 16},
		{"start", false, 0, 3, 0, 4},
		{"picture, first token", true, 0, 10, 3, 22},
		{"picture, last token", true, 0, 21, 14, 22},
		{"after the picture", true, 0, 22, 15, 23},
		{"full layers stay causal", true, 1, 15, 0, 16},
		{"in the reply", true, 0, 45, 38, 46},
	} {
		c.UseBidirectionalAttention = nil
		if v.bidirectional {
			c.UseBidirectionalAttention = &both
		}
		s := &sequence{config: c, prompt: p}
		if lo, end := s.visible(v.layer, v.at-2)(2); lo != v.wantLo || end != v.wantEnd {
			t.Errorf("%s: position %d sees [%d, %d), want [%d, %d)", v.name, v.at, lo, end, v.wantLo, v.wantEnd)
		}
	}
}

// Rotary frequencies as published: sliding layers, and full layers where a quarter of the pairs turns.
func TestRope(t *testing.T) {
	quarter := 0.25
	sliding := newRope(RopeParameters{RopeType: "default", RopeTheta: 1e4}, 256)
	full := newRope(RopeParameters{RopeType: "proportional", RopeTheta: 1e6, PartialRotaryFactor: &quarter}, 512)
	small := newRope(RopeParameters{RopeType: "axial", RopeTheta: 100}, 32)
	large := newRope(RopeParameters{RopeType: "axial", RopeTheta: 100}, 36)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"sliding 1", float64(sliding.inverse[1]), 0.930572}, {"sliding 64", float64(sliding.inverse[64]), 0.01},
		{"full 1", float64(full.inverse[1]), 0.9474635}, {"full 63", float64(full.inverse[63]), 0.03337625}, {"full 64", float64(full.inverse[64]), 0},
		{"small 5", float64(small.inverse[5]), 0.2371374}, {"small 15", float64(small.inverse[15]), 0.01333521},
		{"large 1", float64(large.inverse[1]), 0.7742637}, {"large 17", float64(large.inverse[17]), 0.01291550},
	} {
		if math.Abs(c.got-c.want) > 1e-6*c.want { // published to seven digits
			t.Errorf("%s: got %.8g, want %.8g", c.name, c.got, c.want)
		}
	}
	cos, sin := make([]float32, 256), make([]float32, 256)
	full.at(cos, sin, 1000)
	if cos[64] != 1 || sin[64] != 0 || sin[3] == 0 {
		t.Error("the pairs from 64 on must stay, those before must turn")
	}
}
