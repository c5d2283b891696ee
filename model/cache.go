package model

import (
	"slices"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// pageKeys is the number of positions in one page of the KV cache. Pages start at
// multiples of it, so a block of attentionBlock keys is a whole number of pages.
const pageKeys = kernel.PageKeys

// kvPage holds keys and values of pageKeys consecutive positions for all KV heads:
// either in float32, [K, pageKeys, E] each, or packed in bfloat16, K of kernel's pages.
//
// A page may belong to several caches: a sequence that begins as an earlier one did
// shares its pages. A shared page is copied before it is written to.
type kvPage struct {
	k, v   []float32
	packed []uint16
	users  int // caches that hold it
}

func (p *kvPage) bytes() int64 { return 4*int64(len(p.k)+len(p.v)) + 2*int64(len(p.packed)) }

// pagePool keeps the pages that finished sequences and sliding windows gave back.
type pagePool map[pageKind][]*kvPage

// pageKind is what pages must have in common to stand in for each other.
type pageKind struct {
	values int // of keys in float32, or of everything packed
	packed bool
}

func (p *kvPage) kind() pageKind {
	return pageKind{len(p.k) + len(p.packed), p.packed != nil}
}

func (p pagePool) take(kind pageKind) *kvPage {
	if free := p[kind]; len(free) > 0 {
		page := free[len(free)-1]
		p[kind] = free[:len(free)-1]
		// Slots that are not written yet are multiplied by weights of 0, which must give 0.
		clear(page.packed)
		page.users = 1
		return page
	}
	if kind.packed {
		return &kvPage{packed: make([]uint16, kind.values), users: 1}
	}
	return &kvPage{k: make([]float32, kind.values), v: make([]float32, kind.values), users: 1}
}

// give takes a page back from one of its caches.
func (p pagePool) give(page *kvPage) {
	if page.users--; page.users == 0 {
		p[page.kind()] = append(p[page.kind()], page)
	}
}

// own returns a page with the same values that belongs to nobody else.
func (p pagePool) own(page *kvPage) *kvPage {
	if page.users == 1 {
		return page
	}
	mine := p.take(page.kind())
	copy(mine.k, page.k)
	copy(mine.v, page.v)
	copy(mine.packed, page.packed)
	p.give(page)
	return mine
}

// kvCache holds one layer's keys and values of one sequence, after norms and
// rotation. A sliding layer's cache gives back every page that its window has
// left; a full layer's grows.
type kvCache struct {
	shape  attentionShape
	window int // keys a query sees, itself included; 0 for all
	pool   pagePool
	first  int // index of pages[0]: it holds positions from first·pageKeys on
	pages  []*kvPage
}

// put stores the keys and values [n, K·E] of the positions from position on, packed
// in bfloat16 or in float32. Positions come in order.
func (c *kvCache) put(position int, k, v tensor.Mat, packed bool) {
	for r := 0; r < k.Rows; {
		i, slot := (position+r)/pageKeys-c.first, (position+r)%pageKeys
		n := min(k.Rows-r, pageKeys-slot)
		if i == len(c.pages) {
			c.pages = append(c.pages, c.pool.take(pageKind{c.shape.pageValues(packed), packed}))
		}
		c.pages[i] = c.pool.own(c.pages[i])
		c.pages[i].put(c.shape, slot, k.Slice(r, r+n), v.Slice(r, r+n))
		r += n
	}
}

// pageValues is the size of a page by its kind.
func (s attentionShape) pageValues(packed bool) int {
	if packed {
		return s.kvHeads * kernel.PageLen(s.dim)
	}
	return s.kvHeads * pageKeys * s.dim
}

// pageBytes is the memory of a page by its kind.
func (s attentionShape) pageBytes(packed bool) int64 {
	if packed {
		return 2 * int64(s.pageValues(true))
	}
	return 2 * 4 * int64(s.pageValues(false))
}

// put stores keys and values [n, K·E] in slots [slot, slot+n).
func (p *kvPage) put(shape attentionShape, slot int, k, v tensor.Mat) {
	dim := shape.dim
	for g := range shape.kvHeads {
		if p.packed != nil {
			kernel.PutKeys(p.head(shape, g), slot, k.Data[g*dim:], k.Cols, v.Data[g*dim:], v.Cols, k.Rows, dim)
			continue
		}
		for r := range k.Rows {
			at := (g*pageKeys + slot + r) * dim
			copy(p.k[at:at+dim], k.Row(r)[g*dim:])
			copy(p.v[at:at+dim], v.Row(r)[g*dim:])
		}
	}
}

// head is KV head g's part of a packed page.
func (p *kvPage) head(shape attentionShape, g int) []uint16 {
	n := kernel.PageLen(shape.dim)
	return p.packed[g*n : (g+1)*n]
}

func (c *kvCache) run(g, lo, hi int) (k, v []float32, stride, n int) {
	page, slot, dim := c.pages[lo/pageKeys-c.first], lo%pageKeys, c.shape.dim
	n = min(hi-lo, pageKeys-slot)
	from, to := (g*pageKeys+slot)*dim, (g*pageKeys+slot+n)*dim
	return page.k[from:to], page.v[from:to], dim, n
}

func (c *kvCache) page(g, i int) []uint16 { return c.pages[i-c.first].head(c.shape, g) }

// forget gives back the pages that no query at next or later can see.
func (c *kvCache) forget(next int) {
	if c.window == 0 {
		return
	}
	for len(c.pages) > 0 && (c.first+1)*pageKeys <= next-c.window+1 {
		c.pool.give(c.pages[0])
		c.pages = c.pages[1:]
		c.first++
	}
}

// share returns a cache that holds the same positions in the same pages.
func (c *kvCache) share() *kvCache {
	twin := *c
	twin.pages = slices.Clone(c.pages)
	for _, p := range twin.pages {
		p.users++
	}
	return &twin
}

// release gives back all pages.
func (c *kvCache) release() {
	for _, p := range c.pages {
		c.pool.give(p)
	}
	c.pages = nil
}

// bytes is the memory the cache holds now.
func (c *kvCache) bytes() int64 {
	var n int64
	for i := range c.pages {
		n += c.pages[i].bytes()
	}
	return n
}
