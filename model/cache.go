package model

// pageKeys is the number of positions in one page of the KV cache. Pages start at
// multiples of it, so a block of attentionBlock keys is a whole number of pages.
const pageKeys = 128

// kvPage holds keys and values of pageKeys consecutive positions: [K, pageKeys, E] each.
type kvPage struct {
	k, v []float32
}

// pagePool keeps the pages that finished sequences and sliding windows gave back, by size.
type pagePool map[int][]kvPage

func (p pagePool) take(size int) kvPage {
	if free := p[size]; len(free) > 0 {
		p[size] = free[:len(free)-1]
		return free[len(free)-1]
	}
	return kvPage{k: make([]float32, size), v: make([]float32, size)}
}

func (p pagePool) give(page kvPage) { p[len(page.k)] = append(p[len(page.k)], page) }

// kvCache holds one layer's keys and values of one sequence, after norms and
// rotation. A sliding layer's cache gives back every page that its window has
// left; a full layer's grows.
type kvCache struct {
	shape  attentionShape
	window int // keys a query sees, itself included; 0 for all
	pool   pagePool
	first  int // index of pages[0]: it holds positions from first·pageKeys on
	pages  []kvPage
}

// put stores the keys and values [K·E] of a position. Positions come in order.
func (c *kvCache) put(position int, k, v []float32) {
	i := position/pageKeys - c.first
	if i == len(c.pages) {
		c.pages = append(c.pages, c.pool.take(c.shape.kvHeads*pageKeys*c.shape.dim))
	}
	page, slot, dim := c.pages[i], position%pageKeys, c.shape.dim
	for g := range c.shape.kvHeads {
		at := (g*pageKeys + slot) * dim
		copy(page.k[at:at+dim], k[g*dim:])
		copy(page.v[at:at+dim], v[g*dim:])
	}
}

// run returns the keys and values of head g from position lo on: as many as lie
// in one piece before hi, dim values each, stride values apart.
func (c *kvCache) run(g, lo, hi int) (k, v []float32, stride, n int) {
	page, slot, dim := c.pages[lo/pageKeys-c.first], lo%pageKeys, c.shape.dim
	n = min(hi-lo, pageKeys-slot)
	from, to := (g*pageKeys+slot)*dim, (g*pageKeys+slot+n)*dim
	return page.k[from:to], page.v[from:to], dim, n
}

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

// release gives back all pages.
func (c *kvCache) release() {
	for _, p := range c.pages {
		c.pool.give(p)
	}
	c.pages = nil
}

// bytes is the memory the cache holds now.
func (c *kvCache) bytes() int64 {
	return int64(len(c.pages)) * 2 * 4 * int64(c.shape.kvHeads*pageKeys*c.shape.dim)
}
