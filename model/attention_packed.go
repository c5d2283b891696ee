package model

import (
	"facet/internal/kernel"
	"facet/internal/tensor"
)

// packedKeys are keys and values in bfloat16, in kernel's pages.
type packedKeys interface {
	// page returns the page of KV head g that holds position i·pageKeys.
	page(g, i int) []uint16
}

// packedAttention is attention in bfloat16, for fast.
type packedAttention struct {
	workers []*packedWorker
	spare   []*kernel.Attention
}

// packedWorker is the memory of one thread.
type packedWorker struct {
	tile kernel.AttentionTile
	sum  kernel.Attention
}

func newPackedAttention(threads int) *packedAttention {
	a := &packedAttention{workers: make([]*packedWorker, threads)}
	for i := range a.workers {
		a.workers[i] = new(packedWorker)
	}
	return a
}

// rows is a whole number of the kernel's tiles, for each head size, and enough for
// keys to come from the caches.
func (a *packedAttention) rows() int { return 96 }

func (a *packedAttention) whole(worker int, dst, q tensor.Mat, shape attentionShape, t *tile) {
	w := a.workers[worker]
	w.load(q, shape, t)
	w.sum.Reset((t.hi-t.lo)*shape.group(), shape.dim)
	for b, end := t.blocks(); b < end; b++ {
		w.block(&w.sum, t, shape.group(), b)
	}
	store(&w.sum, dst, shape, t)
}

func (a *packedAttention) parts(n int) {
	for len(a.spare) < n {
		a.spare = append(a.spare, new(kernel.Attention))
	}
}

func (a *packedAttention) part(worker, i int, q tensor.Mat, shape attentionShape, t *tile, b int) {
	w := a.workers[worker]
	w.load(q, shape, t)
	a.spare[i].Reset((t.hi-t.lo)*shape.group(), shape.dim)
	w.block(a.spare[i], t, shape.group(), b)
}

func (a *packedAttention) combine(dst tensor.Mat, shape attentionShape, t *tile, lo, hi int) {
	sum := &a.workers[0].sum
	sum.Reset((t.hi-t.lo)*shape.group(), shape.dim)
	for _, p := range a.spare[lo:hi] {
		sum.Merge(p)
	}
	store(sum, dst, shape, t)
}

// load rounds the tile's queries; the heads of a group lie side by side.
func (w *packedWorker) load(q tensor.Mat, shape attentionShape, t *tile) {
	at := t.lo*q.Cols + t.head*shape.group()*shape.dim
	w.tile.Load(q.Data[at:], q.Cols, t.hi-t.lo, shape.group(), shape.dim)
}

// block adds key block b to what the loaded tile has gathered in sum.
func (w *packedWorker) block(sum *kernel.Attention, t *tile, group, b int) {
	start := b * attentionBlock
	for r := range w.tile.From {
		from, to := t.visible(t.lo - t.stretch.lo + r/group)
		w.tile.From[r] = int32(min(max(from-start, 0), attentionBlock))
		w.tile.To[r] = int32(min(max(to-start, 0), attentionBlock))
	}
	from, to := max(t.from, start), min(t.to, start+attentionBlock)
	for i := range w.tile.Pages {
		w.tile.Pages[i] = nil
		if first := start + i*pageKeys; first < to && from < first+pageKeys {
			w.tile.Pages[i] = t.keys.(packedKeys).page(t.head, first/pageKeys)
		}
	}
	sum.Add(&w.tile)
}

// store writes the finished rows of a tile to their place in dst [T, H·E].
func store(sum *kernel.Attention, dst tensor.Mat, shape attentionShape, t *tile) {
	at := t.lo*dst.Cols + t.head*shape.group()*shape.dim
	sum.Finish(dst.Data[at:], dst.Cols, shape.group())
}
