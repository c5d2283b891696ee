package model

import (
	"fmt"
	"math"

	"facet/internal/kernel"
	"facet/internal/tensor"
	"facet/internal/weights"
	"facet/vision"
)

// visionTower turns the patches of one image into soft tokens in the decoder's space.
type visionTower struct {
	config            *VisionConfig
	patchProj         tensor.Weight // [Dv, 3·16·16]
	positions         tensor.Weight // [2·N, Dv]: N rows for x, then N rows for y
	layers            []*visionLayer
	stdBias, stdScale *vector       // nil in the small tower
	projection        tensor.Weight // [D, Dv]
	rope              rope          // of half a head: one half turns by x, the other by y
	stored            []weights.Tensor
	packed            bool // the weights are panels
}

type visionLayer struct {
	name      string
	attention attention
	mlp       mlp

	inputNorm, postAttentionNorm, preMLPNorm, postMLPNorm *vector
}

// encode returns the soft tokens [S, D] of one image. The result is a copy that the caller keeps.
func (t *visionTower) encode(s *scratch, p *vision.Patches) (tensor.Mat, error) {
	c := t.config
	if err := checkPatches(p, c.spec(), c.PositionEmbeddingSize); err != nil {
		return tensor.Mat{}, err
	}
	if s.fast {
		t.pack(s.pool)
	}
	x := t.embed(s, p)
	t.rotations(s, p)
	all := []stretch{{lo: 0, hi: x.Rows, visible: func(int) (int, int) { return 0, x.Rows }}}
	for _, l := range t.layers {
		l.forward(s, x, all, c.RMSNormEps)
	}
	h := t.pool(s, x, p)
	s.trace("model.vision_tower", "", h)
	h = norm(s, &s.norm, h, nil, c.RMSNormEps) // the embedder's norm, without weight
	soft := tensor.New(h.Rows, t.projection.Out())
	t.projection.MatMul(s.pool, soft, h)
	s.trace("model.embed_vision", "", soft)
	return soft, nil
}

// pack makes panels of all weights, before the first picture of a fast model: it takes a
// copy of their size, which text alone does not need.
func (t *visionTower) pack(p *tensor.Pool) {
	if t.packed {
		return
	}
	t.packed = true
	t.patchProj = tensor.PackBF16(p, t.patchProj)
	t.projection = tensor.PackBF16(p, t.projection)
	for _, l := range t.layers {
		a, m := &l.attention, &l.mlp
		for _, n := range []*linear{&a.q, &a.k, &a.v, &a.o, &m.gate, &m.up, &m.down} {
			n.pack(p)
		}
		release(t.stored, l.name+".")
	}
	release(t.stored, "")
}

// checkPatches finds what cannot be encoded; each axis has so many positions.
func checkPatches(p *vision.Patches, spec vision.Spec, positions int) error {
	k, patch := spec.PoolingKernelSize, 3*spec.PatchSize*spec.PatchSize
	switch {
	case p.Columns < 1 || p.Rows < 1 || p.Columns%k != 0 || p.Rows%k != 0:
		return fmt.Errorf("model: an image of %d × %d patches does not divide into cells of %d × %d", p.Columns, p.Rows, k, k)
	case p.Columns > positions || p.Rows > positions:
		return fmt.Errorf("model: an image of %d × %d patches is past this checkpoint's %d positions", p.Columns, p.Rows, positions)
	case len(p.Values) != p.Columns*p.Rows*patch:
		return fmt.Errorf("model: %d patch values for %d × %d patches of %d", len(p.Values), p.Columns, p.Rows, patch)
	}
	return nil
}

// embed sets s.x [P, Dv] to the projected patches plus the embeddings of their column and row.
func (t *visionTower) embed(s *scratch, p *vision.Patches) tensor.Mat {
	n := p.Columns * p.Rows
	s.pixels.Reshape(n, t.patchProj.In())
	s.pool.Run(n, embedChunk, func(lo, hi int) {
		to := s.pixels.Slice(lo, hi).Data
		for i, v := range p.Values[lo*s.pixels.Cols : hi*s.pixels.Cols] {
			to[i] = 2 * (v - 0.5)
		}
	})
	s.x.Reshape(n, t.config.HiddenSize)
	t.patchProj.MatMul(s.pool, s.x, s.pixels)
	s.pool.Run(n, embedChunk, func(lo, hi int) {
		col, row := make([]float32, t.config.HiddenSize), make([]float32, t.config.HiddenSize)
		for i := lo; i < hi; i++ {
			t.positions.Row(col, i%p.Columns)
			t.positions.Row(row, t.config.PositionEmbeddingSize+i/p.Columns)
			kernel.Add(col, row) // the reference sums the two first
			kernel.Add(s.x.Row(i), col)
		}
	})
	s.trace("model.vision_tower.patch_embedder", "", s.x)
	return s.x
}

// embedChunk is the number of patches that a thread embeds at a time.
const embedChunk = 64

// rotations fills the rotary tables [P, E/4] for columns and rows.
func (t *visionTower) rotations(s *scratch, p *vision.Patches) {
	for axis := range 2 {
		s.cos[axis].Reshape(p.Columns*p.Rows, len(t.rope.inverse))
		s.sin[axis].Reshape(p.Columns*p.Rows, len(t.rope.inverse))
	}
	for i := range p.Columns * p.Rows {
		column, row := i%p.Columns, i/p.Columns
		if row == 0 {
			t.rope.at(s.cos[0].Row(i), s.sin[0].Row(i), column)
		} else { // as the patch above
			copy(s.cos[0].Row(i), s.cos[0].Row(column))
			copy(s.sin[0].Row(i), s.sin[0].Row(column))
		}
		if column == 0 {
			t.rope.at(s.cos[1].Row(i), s.sin[1].Row(i), row)
		} else { // as the patch before
			copy(s.cos[1].Row(i), s.cos[1].Row(i-1))
			copy(s.sin[1].Row(i), s.sin[1].Row(i-1))
		}
	}
}

// forward runs one encoder layer over x [P, Dv], in place. What goes row by row, all
// but attention, is done a block of rows at a time by one thread from end to end: what is
// between the products then stays in its caches, takes little memory, and no thread
// waits for another. A trace wants whole activations, and gets one block.
func (l *visionLayer) forward(s *scratch, x tensor.Mat, all []stretch, eps float32) {
	shape := l.attention.shape
	s.q.Reshape(x.Rows, shape.heads*shape.dim)
	s.k.Reshape(x.Rows, shape.kvHeads*shape.dim)
	s.v.Reshape(x.Rows, shape.kvHeads*shape.dim)
	s.eachBlock(x.Rows, func(b *scratch, lo, hi int) { l.project(b, x.Slice(lo, hi), eps) })
	if s.fast {
		s.packed.pack(s.pool, shape, s.k, s.v)
		all[0].keys = &s.packed
	} else {
		all[0].keys = rowKeys{s.k, s.v, shape.dim}
	}
	s.attend(s.q, shape, all)
	s.eachBlock(x.Rows, func(b *scratch, lo, hi int) { l.mix(b, x.Slice(lo, hi), eps) })
}

// eachBlock calls f for blocks [lo, hi) of rows on all threads, each time with a scratch
// of that thread's own in which q, k, v, mixed and the rotary tables are rows [lo, hi) of
// s's.
func (s *scratch) eachBlock(rows int, f func(b *scratch, lo, hi int)) {
	if s.tracer != nil {
		f(s, 0, rows)
		return
	}
	s.makeBlocks()
	s.mixed.Reshape(s.q.Rows, s.q.Cols)
	s.pool.RunWorkers(rows, towerBlock(rows, s.pool.Threads()), func(worker, lo, hi int) {
		b := s.blocks[worker]
		b.q, b.k, b.v, b.mixed = s.q.Slice(lo, hi), s.k.Slice(lo, hi), s.v.Slice(lo, hi), s.mixed.Slice(lo, hi)
		for axis := range 2 {
			b.cos[axis], b.sin[axis] = s.cos[axis].Slice(lo, hi), s.sin[axis].Slice(lo, hi)
		}
		f(b, lo, hi)
	})
}

// makeBlocks makes a scratch for each thread.
func (s *scratch) makeBlocks() {
	for len(s.blocks) < s.pool.Threads() {
		b := newScratch(tensor.NewPool(1))
		b.fast = s.fast
		s.blocks = append(s.blocks, b)
	}
}

// towerBlock is the number of patches in a block.
func towerBlock(patches, threads int) int {
	n := patches / (threadBlocks * threads) / 12 * 12 // in twelves, as kernels take them
	return min(max(n, 24), towerRows)
}

const (
	// threadBlocks is the least number of blocks that a thread takes, where there are patches
	// enough, so that the last ones keep nobody waiting for long.
	threadBlocks = 24
	// towerRows is the most patches in a block: enough to use each weight many times, few
	// enough for 3072 columns of gate and up to stay in a cache of 2 MB.
	towerRows = 96
)

// project sets s.q, s.k and s.v to the rotated queries, the rotated keys and the values
// of rows x [n, Dv].
func (l *visionLayer) project(s *scratch, x tensor.Mat, eps float32) {
	a := &l.attention
	h := norm(s, &s.norm, x, l.inputNorm.v, eps) // [n, Dv]
	s.trace(l.name, ".input_layernorm", h)
	q, k, _ := a.project(s, h, eps)
	rotateAxes(s, q, a.shape.dim)
	rotateAxes(s, k, a.shape.dim)
}

// mix adds to rows x [n, Dv] of the residual stream what attention has mixed for them,
// s.mixed [n, H·E], and then the MLP.
func (l *visionLayer) mix(s *scratch, x tensor.Mat, eps float32) {
	a := &l.attention
	h := a.o.apply(s, &s.h, s.mixed) // [n, Dv]
	s.trace(a.name, ".o_proj", h)
	s.trace(a.name, "", h)
	h = norm(s, &s.norm, h, l.postAttentionNorm.v, eps)
	s.trace(l.name, ".post_attention_layernorm", h)
	add(s, x, h)

	h = norm(s, &s.norm, x, l.preMLPNorm.v, eps)
	s.trace(l.name, ".pre_feedforward_layernorm", h)
	h = l.mlp.forward(s, &s.h, h) // [n, Dv]
	h = norm(s, &s.norm, h, l.postMLPNorm.v, eps)
	s.trace(l.name, ".post_feedforward_layernorm", h)
	add(s, x, h)
	s.trace(l.name, "", x)
}

// rotateAxes turns the first half of every head by the patch's column and the second by its row.
func rotateAxes(s *scratch, x tensor.Mat, dim int) {
	half := dim / 2
	s.pool.Run(x.Rows, rowChunk, func(a, b int) {
		for r := a; r < b; r++ {
			row := x.Row(r) // heads side by side, dim apart
			kernel.RopeHeads(row, len(row)/dim, dim, s.cos[0].Row(r), s.sin[0].Row(r))
			kernel.RopeHeads(row[half:], len(row)/dim, dim, s.cos[1].Row(r), s.sin[1].Row(r))
		}
	})
}

// pool averages the patches of each k×k cell, scales by √Dv and standardises where
// the checkpoint says so: [S, Dv], cells in row-major order.
func (t *visionTower) pool(s *scratch, x tensor.Mat, p *vision.Patches) tensor.Mat {
	c := t.config
	k := c.PoolingKernelSize
	cells := p.Columns / k
	s.pooled.Reshape(x.Rows/(k*k), x.Cols)
	clear(s.pooled.Data)
	for i := range x.Rows {
		cell := i%p.Columns/k + cells*(i/p.Columns/k)
		kernel.Add(s.pooled.Row(cell), x.Row(i))
	}
	root := float32(math.Sqrt(float64(c.HiddenSize)))
	kernel.Scale(s.pooled.Data, 1/float32(k*k))
	kernel.Scale(s.pooled.Data, root)
	s.trace("model.vision_tower.pooler", "", s.pooled)
	if c.Standardize {
		for r := range s.pooled.Rows {
			row := s.pooled.Row(r)
			for i := range row {
				row[i] = (row[i] - t.stdBias.v[i]) * t.stdScale.v[i]
			}
		}
	}
	return s.pooled
}

// rowKeys are keys and values [P, K·E] that lie in rows, heads side by side.
type rowKeys struct {
	k, v tensor.Mat
	dim  int
}

func (r rowKeys) run(g, lo, hi int) (k, v []float32, stride, n int) {
	from, to := lo*r.k.Cols+g*r.dim, (hi-1)*r.k.Cols+(g+1)*r.dim
	return r.k.Data[from:to], r.v.Data[from:to], r.k.Cols, hi - lo
}

// rowPages are keys and values of rows, packed: [K, pages].
type rowPages struct {
	values      []uint16
	pages, size int // pages of a head, and values of a page
}

// pack fills r with keys and values [P, K·E], heads side by side.
func (r *rowPages) pack(p *tensor.Pool, shape attentionShape, k, v tensor.Mat) {
	r.pages, r.size = (k.Rows+pageKeys-1)/pageKeys, kernel.PageLen(shape.dim)
	n := shape.kvHeads * r.pages * r.size
	if cap(r.values) < n {
		r.values = make([]uint16, n)
	}
	r.values = r.values[:n]
	p.Run(shape.kvHeads*r.pages, 4, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, row := i/r.pages, i%r.pages*pageKeys
			page := r.page(g, i%r.pages)
			rows := min(pageKeys, k.Rows-row)
			if rows < pageKeys {
				clear(page) // keys past the last have weight 0, and must not be NaN
			}
			at := row*k.Cols + g*shape.dim
			kernel.PutKeys(page, 0, k.Data[at:], k.Cols, v.Data[at:], v.Cols, rows, shape.dim)
		}
	})
}

func (r *rowPages) page(g, i int) []uint16 {
	at := (g*r.pages + i) * r.size
	return r.values[at : at+r.size]
}
