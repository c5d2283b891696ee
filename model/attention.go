package model

import (
	"math"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// attentionShape is the number of query heads H and KV heads K, and the head size E.
type attentionShape struct {
	heads, kvHeads, dim int
}

// attentionBlock is the number of keys that are weighed together. Blocks start at
// multiples of it, counted from position 0, and are combined in order; what a
// query's answer is made of therefore depends on its position alone, not on the
// pass it ran in nor on the thread that took a block.
const attentionBlock = 512

// tileRows is the number of query rows (tokens × heads of one KV head) that one
// piece of work holds: enough to reuse each key, few enough for 64 kB of scores.
const tileRows = 32

// keys is where a stretch of queries finds its keys and values.
type keys interface {
	// run returns the keys and values of KV head g from position lo on: as many as
	// lie in one piece before hi, stride values apart.
	run(g, lo, hi int) (k, v []float32, stride, n int)
}

// stretch is a row of queries of one sequence: rows [lo, hi) of the query matrix.
type stretch struct {
	lo, hi int
	keys   keys
	// visible returns the range of positions that row lo+i sees.
	visible func(i int) (from, to int)
}

// tile is one piece of work: rows [lo, hi) of a stretch, one KV head, the key
// positions [from, to) that its rows see between them.
type tile struct {
	*stretch
	lo, hi, head int
	from, to     int
}

// attend sets dst [T, H·E] to softmax(q·kᵀ)·v for every row of the stretches;
// Gemma 4 scales by 1. q is [T, H·E].
func attend(p *tensor.Pool, s *attentionScratch, dst, q tensor.Mat, shape attentionShape, stretches []stretch) {
	tiles := cutTiles(shape, stretches)
	group := shape.heads / shape.kvHeads
	if len(tiles) >= 2*p.Threads() {
		p.RunWorkers(len(tiles), 1, func(worker, lo, hi int) {
			w := s.worker(worker)
			for _, t := range tiles[lo:hi] {
				w.load(q, shape, t)
				w.sum.reset((t.hi-t.lo)*group, shape.dim)
				for b := t.from / attentionBlock; b*attentionBlock < t.to; b++ {
					w.block(&w.part, t, group, b)
					w.sum.add(&w.part)
				}
				w.sum.store(dst, shape, t)
			}
		})
		return
	}
	// Few tiles, as in a step over a long context: share out their blocks as well.
	type piece struct{ tile, block, part int }
	var pieces []piece
	for i, t := range tiles {
		for b := t.from / attentionBlock; b*attentionBlock < t.to; b++ {
			pieces = append(pieces, piece{i, b, len(pieces)})
		}
	}
	parts := s.parts(len(pieces))
	p.RunWorkers(len(pieces), 1, func(worker, lo, hi int) {
		w := s.worker(worker)
		for _, pc := range pieces[lo:hi] {
			w.load(q, shape, tiles[pc.tile])
			w.block(parts[pc.part], tiles[pc.tile], group, pc.block)
		}
	})
	sum := &s.worker(0).sum
	for i, t := range tiles {
		sum.reset((t.hi-t.lo)*group, shape.dim)
		for len(pieces) > 0 && pieces[0].tile == i {
			sum.add(parts[pieces[0].part])
			pieces = pieces[1:]
		}
		sum.store(dst, shape, t)
	}
}

func cutTiles(shape attentionShape, stretches []stretch) []tile {
	tokens := max(1, tileRows*shape.kvHeads/shape.heads)
	var tiles []tile
	for i := range stretches {
		st := &stretches[i]
		for lo := st.lo; lo < st.hi; lo += tokens {
			t := tile{stretch: st, lo: lo, hi: min(lo+tokens, st.hi)}
			t.from, t.to = st.visible(lo - st.lo)
			for r := lo + 1; r < t.hi; r++ {
				from, to := st.visible(r - st.lo)
				t.from, t.to = min(t.from, from), max(t.to, to)
			}
			for t.head = range shape.kvHeads {
				tiles = append(tiles, t)
			}
		}
	}
	return tiles
}

// attentionScratch is the memory of attend, kept between calls.
type attentionScratch struct {
	workers []*attentionWorker
	spare   []*partial
}

func newAttentionScratch(threads int) *attentionScratch {
	s := &attentionScratch{workers: make([]*attentionWorker, threads)}
	for i := range s.workers {
		s.workers[i] = new(attentionWorker)
	}
	return s
}

func (s *attentionScratch) worker(i int) *attentionWorker { return s.workers[i] }

func (s *attentionScratch) parts(n int) []*partial {
	for len(s.spare) < n {
		s.spare = append(s.spare, new(partial))
	}
	return s.spare[:n]
}

// partial is the attention of a tile's rows over some of the keys: per row the
// largest score, the sum of exp(score − max) and the weighted sum of values.
// A row that saw no key yet has max −Inf.
type partial struct {
	max, sum []float32
	out      tensor.Mat // [rows, E]
}

func (p *partial) reset(rows, dim int) {
	p.out.Reshape(rows, dim)
	if cap(p.max) < rows {
		p.max, p.sum = make([]float32, rows), make([]float32, rows)
	}
	p.max, p.sum = p.max[:rows], p.sum[:rows]
	for i := range p.max {
		p.max[i], p.sum[i] = float32(math.Inf(-1)), 0
	}
	clear(p.out.Data)
}

// add combines the next block's part into p.
func (p *partial) add(next *partial) {
	for r, m := range next.max {
		switch {
		case math.IsInf(float64(m), -1): // no key of the block is visible to this row
		case math.IsInf(float64(p.max[r]), -1):
			p.max[r], p.sum[r] = m, next.sum[r]
			copy(p.out.Row(r), next.out.Row(r))
		default:
			top := max(p.max[r], m)
			mine := float32(math.Exp(float64(p.max[r] - top)))
			theirs := float32(math.Exp(float64(m - top)))
			p.max[r], p.sum[r] = top, p.sum[r]*mine+next.sum[r]*theirs
			kernel.Scale(p.out.Row(r), mine)
			kernel.AddScaled(p.out.Row(r), next.out.Row(r), theirs)
		}
	}
}

// store writes the finished rows of a tile to their place in dst [T, H·E].
func (p *partial) store(dst tensor.Mat, shape attentionShape, t tile) {
	group := shape.heads / shape.kvHeads
	for r := range p.max {
		at := (t.head*group + r%group) * shape.dim
		row := dst.Row(t.lo + r/group)[at : at+shape.dim]
		copy(row, p.out.Row(r))
		kernel.Scale(row, 1/p.sum[r])
	}
}

// attentionWorker is the memory of one thread.
type attentionWorker struct {
	q         tensor.Mat // [rows, E], the tile's queries side by side
	scores    tensor.Mat // [rows, attentionBlock]
	part, sum partial
}

// load copies the tile's queries: row r is token r/group, head r%group of the KV head's group.
func (w *attentionWorker) load(q tensor.Mat, shape attentionShape, t tile) {
	group := shape.heads / shape.kvHeads
	w.q.Reshape((t.hi-t.lo)*group, shape.dim)
	for r := range w.q.Rows {
		at := (t.head*group + r%group) * shape.dim
		copy(w.q.Row(r), q.Row(t.lo + r/group)[at:at+shape.dim])
	}
}

// block sets dst to the attention of the loaded tile over key block b.
func (w *attentionWorker) block(dst *partial, t tile, group, b int) {
	start := b * attentionBlock
	from, to := max(t.from, start), min(t.to, start+attentionBlock)
	rows, dim := w.q.Rows, w.q.Cols
	w.scores.Reshape(rows, attentionBlock)
	dst.reset(rows, dim)
	for p := from; p < to; {
		k, _, stride, n := t.keys.run(t.head, p, to)
		kernel.MatMulF32(w.scores.Data[p-start:], attentionBlock, w.q.Data, dim, rows, k, stride, n, dim)
		p += n
	}
	for r := range rows {
		w.weigh(dst, t, group, start, from, to, r)
	}
	for p := from; p < to; {
		_, v, stride, n := t.keys.run(t.head, p, to)
		kernel.WeightedSum(dst.out.Data, dim, w.scores.Data[p-start:], attentionBlock, rows, v, stride, n, dim)
		p += n
	}
}

// weigh turns row r's scores of the block at start into weights exp(score − max);
// keys of [from, to) that the row does not see get 0.
func (w *attentionWorker) weigh(dst *partial, t tile, group, start, from, to, r int) {
	row := w.scores.Row(r)
	lo, hi := t.visible(t.lo - t.stretch.lo + r/group)
	lo, hi = max(lo, from), min(hi, to)
	if lo >= hi {
		clear(row[from-start : to-start])
		return
	}
	seen := row[lo-start : hi-start]
	dst.max[r] = kernel.Max(seen)
	dst.sum[r] = kernel.ExpSum(seen, seen, dst.max[r])
	clear(row[from-start : lo-start])
	clear(row[hi-start : to-start])
}

// attention is the projections and norms of one layer. k and v are nil where the
// layer uses another's keys; v alone is nil where raw keys are the values.
type attention struct {
	name         string
	shape        attentionShape
	q, k, v, o   linear
	qNorm, kNorm *vector
}

// project sets q [T, H·E] and, where the layer owns them, k and v [T, K·E] of the
// normed input x, with their norms but without rotation.
func (a *attention) project(s *scratch, x tensor.Mat, eps float32) (q, k, v tensor.Mat) {
	q = a.q.apply(s, &s.q, x)
	s.trace(a.name, ".q_proj", q)
	if a.k.weight != nil {
		k = a.k.apply(s, &s.k, x)
		s.trace(a.name, ".k_proj", k)
		if a.v.weight != nil {
			v = a.v.apply(s, &s.v, x)
			s.trace(a.name, ".v_proj", v)
		} else { // the raw keys, before norm and rotation
			s.v.Reshape(k.Rows, k.Cols)
			copy(s.v.Data, k.Data)
			v = s.v
		}
		normHeads(s, k, a.kNorm.v, a.shape.dim, eps)
		s.trace(a.name, ".k_norm", k)
		normHeads(s, v, nil, a.shape.dim, eps)
		s.trace(a.name, ".v_norm", v)
	}
	normHeads(s, q, a.qNorm.v, a.shape.dim, eps)
	s.trace(a.name, ".q_norm", q)
	return q, k, v
}

// normHeads applies RMSNorm over each head of dim values in every row of x.
func normHeads(s *scratch, x tensor.Mat, w []float32, dim int, eps float32) {
	heads := tensor.Mat{Rows: x.Rows * x.Cols / dim, Cols: dim, Data: x.Data}
	tensor.RMSNorm(s.pool, heads, heads, w, eps)
}
