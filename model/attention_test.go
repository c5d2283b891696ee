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

// attend equals the definition, in either precision, for grouped heads, windows,
// pictures that look ahead, contexts of several blocks, and any way of sharing the
// work out.
func TestAttend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 { // values that bfloat16 can hold
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(math.Float32bits(float32(random.NormFloat64())) &^ 0xffff)
		}
		return v
	}
	for _, c := range []attendCase{
		{heads: 1, kvHeads: 1, dim: 8, context: 1, queries: 1},
		{heads: 4, kvHeads: 2, dim: 16, context: 40, queries: 40},
		{heads: 8, kvHeads: 1, dim: 32, context: 1300, queries: 70},
		{heads: 8, kvHeads: 2, dim: 16, context: 2100, queries: 1},
		{heads: 4, kvHeads: 2, dim: 16, window: 64, context: 700, queries: 90},
		{heads: 4, kvHeads: 4, dim: 16, window: 16, context: 60, queries: 60, media: []mediaSpan{{lo: 10, hi: 40}}},
	} {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprint(c, fast), func(t *testing.T) { c.run(t, normal, fast) })
		}
	}
}

type attendCase struct {
	heads, kvHeads, dim, window, context, queries int
	media                                         []mediaSpan
}

func (c attendCase) run(t *testing.T, normal func(int) []float32, fast bool) {
	shape := attentionShape{c.heads, c.kvHeads, c.dim}
	config := &TextConfig{LayerTypes: []string{fullAttention}}
	if c.window > 0 {
		both := "vision"
		config = &TextConfig{LayerTypes: []string{slidingAttention}, SlidingWindow: c.window, UseBidirectionalAttention: &both}
	}
	seq := &sequence{config: config, prompt: &Prompt{IDs: make([]int32, c.context), media: c.media}}
	cache := &kvCache{shape: shape, window: c.window, pool: pagePool{}}
	start := c.context - c.queries
	ks := tensor.Mat{Rows: c.context, Cols: c.kvHeads * c.dim, Data: normal(c.context * c.kvHeads * c.dim)}
	vs := tensor.Mat{Rows: c.context, Cols: c.kvHeads * c.dim, Data: normal(c.context * c.kvHeads * c.dim)}
	cache.put(0, ks.Slice(0, start), vs.Slice(0, start), fast)
	cache.forget(start)
	cache.put(start, ks.Slice(start, c.context), vs.Slice(start, c.context), fast)
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
				attend(pool, newAttentionScratch(threads, fast), dst, q, shape, []stretch{st})
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
			head := func(rows tensor.Mat) func(int) []float32 {
				return func(p int) []float32 { return rows.Row(p)[g*c.dim : (g+1)*c.dim] }
			}
			want := slowAttention(q.Row(r)[h*c.dim:(h+1)*c.dim], head(ks), head(vs), from, to)
			// Scores are sums of dim products and reach about 20: their rounding moves a
			// weight by 20·dim·2⁻²⁴ of itself; values are of order 1.
			bound := 4 * 20 * float64(c.dim+8) * 0x1p-24
			if fast { // a weight is off by 2⁻⁹ as bfloat16 and by 2⁻¹³ before, the sum too; |v| < 5
				bound += 2 * 5 * (0x1p-9 + 0x1p-13)
			}
			for e, w := range want {
				got := float64(first[r*q.Cols+h*c.dim+e])
				if !(math.Abs(got-w) <= bound) {
					t.Fatalf("query %d, head %d, value %d: got %g, want %g", r, h, e, got, w)
				}
			}
		}
	}
}

// A sliding cache gives back what its window has left and keeps what it has not.
func TestCacheForgets(t *testing.T) {
	pool := pagePool{}
	c := &kvCache{shape: attentionShape{1, 1, 4}, window: 100, pool: pool}
	row := func(v int) tensor.Mat { return tensor.Mat{Rows: 1, Cols: 4, Data: []float32{float32(v), 0, 0, 0}} }
	for p := range 2000 {
		c.put(p, row(p), row(-p), false)
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

// A page that a sequence gives back holds nothing of it for the next one: what a slot
// held before it is written must not matter, even NaN.
func TestPackedPagesAreClean(t *testing.T) {
	shape := attentionShape{heads: 1, kvHeads: 1, dim: 4}
	pool := pagePool{}
	nan := float32(math.NaN())
	c := &kvCache{shape: shape, pool: pool}
	rows := tensor.New(pageKeys, 4)
	for i := range rows.Data {
		rows.Data[i] = nan
	}
	c.put(0, rows, rows, true)
	c.release()
	one := tensor.Mat{Rows: 1, Cols: 4, Data: []float32{1, 2, 3, 4}}
	c = &kvCache{shape: shape, pool: pool}
	c.put(0, one, one, true)
	dst := tensor.New(1, 4)
	p := tensor.NewPool(1)
	defer p.Close()
	attend(p, newAttentionScratch(1, true), dst, one, shape, []stretch{{lo: 0, hi: 1, keys: c, visible: func(int) (int, int) { return 0, 1 }}})
	if !slices.Equal(dst.Data, one.Data) {
		t.Errorf("one key of value %v: got %v", one.Data, dst.Data)
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
