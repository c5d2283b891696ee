package model

import (
	"facet/internal/kernel"
	"facet/internal/tensor"
)

// localAttention is attention to a frame and the few before it, with a term for the
// distance between query and key: score = cap·tanh((q·k + q·r_distance)/cap), where r is
// relative·sinusoids(distance) (as in arXiv:1901.02860, section 3.3, without its biases).
type localAttention struct {
	name          string
	heads, dim    int
	limit         float32 // of scores
	q, k, v, post linear
	relative      tensor.Weight // [Da, Da]
	perDimScale   *vector       // [E]

	queryScale []float32  // [E]
	distances  tensor.Mat // [n, Da]: distance n − 1 first, 0 last
}

type localScratch struct {
	q      tensor.Mat // [tile, E], the scaled queries of one head
	near   tensor.Mat // [tile, window]: q·r of each distance
	scores tensor.Mat // [tile, tile + window − 1]
}

// localTile is the number of queries that are weighed together: their keys overlap.
const localTile = 12

// project sets rows [lo, hi) of s.q, s.k and s.v from the normed input h [n, Da].
func (a *localAttention) project(b, s *scratch, h tensor.Mat, lo, hi int) {
	q, k, v := s.q.Slice(lo, hi), s.k.Slice(lo, hi), s.v.Slice(lo, hi)
	applyAll(b, h, []*tensor.Mat{&q, &k, &v}, []*linear{&a.q, &a.k, &a.v})
	b.trace(a.name, ".q_proj", q)
	b.trace(a.name, ".k_proj", k)
	b.trace(a.name, ".v_proj", v)
	kernel.Scale(k.Data, keyScale)
}

// attend returns the attention [n, Da] of rows [lo, hi), each of which sees window rows of
// its clip, itself included.
func (a *localAttention) attend(b, s *scratch, lo, hi, window int) tensor.Mat {
	b.trace(a.name, ".relative_k_proj", a.distances)
	b.mixed.Reshape(hi-lo, s.q.Cols)
	for from := lo; from < hi; {
		to := from + 1
		for to < min(hi, from+localTile) && s.audio.start[to] == s.audio.start[from] {
			to++
		}
		for head := range a.heads {
			a.tile(b, s, head, from, to, window, lo)
		}
		from = to
	}
	h := a.post.apply(b, &b.h, b.mixed) // [n, Da]
	b.trace(a.name, ".post", h)
	b.trace(a.name, "", h)
	return h
}

// tile computes one head of rows [from, to), all of one clip, into b.mixed, whose first
// row is row first.
func (a *localAttention) tile(b, s *scratch, head, from, to, window, first int) {
	n, dim, width, at := to-from, a.dim, s.q.Cols, head*a.dim
	t := &b.audio.local
	t.q.Reshape(n, dim)
	for r := range n {
		scaled := t.q.Row(r)
		for i, v := range s.q.Row(from + r)[at : at+dim] {
			scaled[i] = v * a.queryScale[i]
		}
	}
	begin := max(s.audio.start[from], from-window+1) // the first key that one of them sees
	keys := to - begin
	t.near.Reshape(n, window)
	r := a.distances.Slice(a.distances.Rows-window, a.distances.Rows)
	kernel.MatMulF32(t.near.Data, window, t.q.Data, dim, n, r.Data[at:], width, window, dim)
	t.scores.Reshape(n, keys)
	kernel.MatMulF32(t.scores.Data, keys, t.q.Data, dim, n, s.k.Data[begin*width+at:], width, keys, dim)
	for r := range n {
		row := t.scores.Row(r)
		hi := from + r + 1 - begin
		lo := max(0, hi-window)
		seen := row[lo:hi]
		kernel.Add(seen, t.near.Row(r)[window-len(seen):])
		kernel.SoftCap(seen, a.limit)
		sum := kernel.ExpSum(seen, seen, kernel.Max(seen))
		kernel.Scale(seen, 1/sum)
		clear(row[:lo])
		clear(row[hi:])
	}
	for r := range n {
		clear(b.mixed.Row(from - first + r)[at : at+dim])
	}
	kernel.WeightedSum(b.mixed.Data[(from-first)*width+at:], width, t.scores.Data, keys, n, s.v.Data[begin*width+at:], width, keys, dim)
}
