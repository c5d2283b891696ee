package model

import "facet/internal/tensor"

// attentionShape is the number of query heads H and KV heads K, and the head size E.
type attentionShape struct {
	heads, kvHeads, dim int
}

// group is the number of query heads that share a KV head.
func (s attentionShape) group() int { return s.heads / s.kvHeads }

// attentionBlock is the number of keys that are weighed together. Blocks start at
// multiples of it, counted from position 0, and are combined in order; what a
// query's answer is made of therefore depends on its position alone, not on the
// pass it ran in nor on the thread that took a block.
const attentionBlock = 512

// maxPartValues bounds the memory of blocks that are computed on their own: 256 MB.
const maxPartValues = 64 << 20

// keys is where a stretch of queries finds its keys and values: floatKeys in exact,
// packedKeys in fast.
type keys any

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

// blocks returns the key blocks [first, end) that the tile's rows see.
func (t *tile) blocks() (first, end int) {
	return t.from / attentionBlock, (t.to + attentionBlock - 1) / attentionBlock
}

// arithmetic is how attention computes: in float32 or in bfloat16. A tile's rows are
// its tokens' heads of one KV head: row r is token r/group, head r%group. Several
// threads call it at once, each with its own worker number.
type arithmetic interface {
	// rows is the most query rows that a tile should have.
	rows() int
	// whole sets the tile's place in dst to its attention over all its blocks.
	whole(worker int, dst, q tensor.Mat, shape attentionShape, t *tile)
	// parts makes room for n parts.
	parts(n int)
	// part computes the tile's attention over block b alone, as part i.
	part(worker, i int, q tensor.Mat, shape attentionShape, t *tile, b int)
	// combine sets the tile's place in dst to parts [lo, hi) combined in order: what
	// whole would have written, to the last bit.
	combine(dst tensor.Mat, shape attentionShape, t *tile, lo, hi int)
}

// attentionScratch is the memory of attend, kept between calls.
type attentionScratch struct {
	arithmetic
	tiles  []tile
	pieces []piece
}

// piece is one block of a tile.
type piece struct{ tile, block int }

func newAttentionScratch(threads int, fast bool) *attentionScratch {
	if fast {
		return &attentionScratch{arithmetic: newPackedAttention(threads)}
	}
	return &attentionScratch{arithmetic: newFloatAttention(threads)}
}

// attend sets s.mixed [T, H·E] to the attention of q [T, H·E].
func (s *scratch) attend(q tensor.Mat, shape attentionShape, stretches []stretch) {
	if s.attention == nil {
		s.attention = newAttentionScratch(s.pool.Threads(), s.fast)
	}
	s.mixed.Reshape(q.Rows, q.Cols)
	attend(s.pool, s.attention, s.mixed, q, shape, stretches)
}

// attend sets dst [T, H·E] to softmax(q·kᵀ)·v for every row of the stretches;
// Gemma 4 scales by 1. q is [T, H·E].
func attend(p *tensor.Pool, s *attentionScratch, dst, q tensor.Mat, shape attentionShape, stretches []stretch) {
	longest, blocks := s.cut(shape, stretches)
	even := p.Threads() == 1 || longest*2*p.Threads() <= blocks
	if even || blocks*s.rows()*shape.dim > maxPartValues {
		p.RunWorkers(len(s.tiles), 1, func(worker, lo, hi int) {
			for i := lo; i < hi; i++ {
				s.whole(worker, dst, q, shape, &s.tiles[i])
			}
		})
		return
	}
	// A few long tiles, as in a step over a long context: share out their blocks as well.
	s.pieces = s.pieces[:0]
	for i := range s.tiles {
		for b, end := s.tiles[i].blocks(); b < end; b++ {
			s.pieces = append(s.pieces, piece{i, b})
		}
	}
	s.parts(len(s.pieces))
	p.RunWorkers(len(s.pieces), 1, func(worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			s.part(worker, i, q, shape, &s.tiles[s.pieces[i].tile], s.pieces[i].block)
		}
	})
	at := 0
	for i := range s.tiles {
		first, end := s.tiles[i].blocks()
		s.combine(dst, shape, &s.tiles[i], at, at+end-first)
		at += end - first
	}
}

// cut makes the tiles, one KV head after the other, so that threads share its keys,
// and returns how many blocks the longest has and all together.
func (s *attentionScratch) cut(shape attentionShape, stretches []stretch) (longest, blocks int) {
	tokens := max(1, s.rows()/shape.group())
	s.tiles = s.tiles[:0]
	for i := range stretches {
		st := &stretches[i]
		start := len(s.tiles)
		for lo := st.lo; lo < st.hi; lo += tokens {
			t := tile{stretch: st, lo: lo, hi: min(lo+tokens, st.hi)}
			t.from, t.to = st.visible(lo - st.lo)
			for r := lo + 1; r < t.hi; r++ {
				from, to := st.visible(r - st.lo)
				t.from, t.to = min(t.from, from), max(t.to, to)
			}
			s.tiles = append(s.tiles, t)
			first, end := t.blocks()
			longest, blocks = max(longest, end-first), blocks+(end-first)*shape.kvHeads
		}
		for head, n := 1, len(s.tiles)-start; head < shape.kvHeads; head++ {
			for j := range n {
				t := s.tiles[start+j]
				t.head = head
				s.tiles = append(s.tiles, t)
			}
		}
	}
	return longest, blocks
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
	dsts, layers := []*tensor.Mat{&s.q}, []*linear{&a.q}
	if a.k.weight != nil {
		dsts, layers = append(dsts, &s.k), append(layers, &a.k)
	}
	if a.v.weight != nil {
		dsts, layers = append(dsts, &s.v), append(layers, &a.v)
	}
	applyAll(s, x, dsts, layers)
	q = s.q
	s.trace(a.name, ".q_proj", q)
	if a.k.weight != nil {
		k = s.k
		s.trace(a.name, ".k_proj", k)
		if a.v.weight == nil { // the raw keys, before norm and rotation
			s.v.Reshape(k.Rows, k.Cols)
			copy(s.v.Data, k.Data)
		} else {
			s.trace(a.name, ".v_proj", s.v)
		}
		v = s.v
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
