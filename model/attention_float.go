package model

import (
	"math"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// floatKeys are keys and values in float32.
type floatKeys interface {
	// run returns the keys and values of KV head g from position lo on: as many as
	// lie in one piece before hi, stride values apart.
	run(g, lo, hi int) (k, v []float32, stride, n int)
}

// floatAttention is attention in float32, for exact.
type floatAttention struct {
	workers []*floatWorker
	spare   []*partial
}

// floatWorker is the memory of one thread.
type floatWorker struct {
	q         tensor.Mat // [rows, E], the tile's queries side by side
	scores    tensor.Mat // [rows, attentionBlock]
	part, sum partial
}

func newFloatAttention(threads int) *floatAttention {
	a := &floatAttention{workers: make([]*floatWorker, threads)}
	for i := range a.workers {
		a.workers[i] = new(floatWorker)
	}
	return a
}

// rows is enough to reuse each key, and few enough for 64 kB of scores.
func (a *floatAttention) rows() int { return 32 }

func (a *floatAttention) whole(worker int, dst, q tensor.Mat, shape attentionShape, t *tile) {
	w := a.workers[worker]
	w.load(q, shape, t)
	w.sum.reset(w.q.Rows, shape.dim)
	for b, end := t.blocks(); b < end; b++ {
		w.block(&w.part, t, shape.group(), b)
		w.sum.add(&w.part)
	}
	w.sum.store(dst, shape, t)
}

func (a *floatAttention) parts(n int) {
	for len(a.spare) < n {
		a.spare = append(a.spare, new(partial))
	}
}

func (a *floatAttention) part(worker, i int, q tensor.Mat, shape attentionShape, t *tile, b int) {
	w := a.workers[worker]
	w.load(q, shape, t)
	w.block(a.spare[i], t, shape.group(), b)
}

func (a *floatAttention) combine(dst tensor.Mat, shape attentionShape, t *tile, lo, hi int) {
	sum := &a.workers[0].sum
	sum.reset((t.hi-t.lo)*shape.group(), shape.dim)
	for _, p := range a.spare[lo:hi] {
		sum.add(p)
	}
	sum.store(dst, shape, t)
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
func (p *partial) store(dst tensor.Mat, shape attentionShape, t *tile) {
	group := shape.group()
	for r := range p.max {
		at := (t.head*group + r%group) * shape.dim
		row := dst.Row(t.lo + r/group)[at : at+shape.dim]
		copy(row, p.out.Row(r))
		kernel.Scale(row, 1/p.sum[r])
	}
}

// load copies the tile's queries.
func (w *floatWorker) load(q tensor.Mat, shape attentionShape, t *tile) {
	group := shape.group()
	w.q.Reshape((t.hi-t.lo)*group, shape.dim)
	for r := range w.q.Rows {
		at := (t.head*group + r%group) * shape.dim
		copy(w.q.Row(r), q.Row(t.lo + r/group)[at:at+shape.dim])
	}
}

// block sets dst to the attention of the loaded tile over key block b.
func (w *floatWorker) block(dst *partial, t *tile, group, b int) {
	start := b * attentionBlock
	from, to := max(t.from, start), min(t.to, start+attentionBlock)
	rows, dim, source := w.q.Rows, w.q.Cols, t.keys.(floatKeys)
	w.scores.Reshape(rows, attentionBlock)
	dst.reset(rows, dim)
	for p := from; p < to; {
		k, _, stride, n := source.run(t.head, p, to)
		kernel.MatMulF32(w.scores.Data[p-start:], attentionBlock, w.q.Data, dim, rows, k, stride, n, dim)
		p += n
	}
	for r := range rows {
		w.weigh(dst, t, group, start, from, to, r)
	}
	for p := from; p < to; {
		_, v, stride, n := source.run(t.head, p, to)
		kernel.WeightedSum(dst.out.Data, dim, w.scores.Data[p-start:], attentionBlock, rows, v, stride, n, dim)
		p += n
	}
}

// weigh turns row r's scores of the block at start into weights exp(score − max);
// keys of [from, to) that the row does not see get 0.
func (w *floatWorker) weigh(dst *partial, t *tile, group, start, from, to, r int) {
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
