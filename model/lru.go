package model

import (
	"container/list"
	"encoding/binary"
	"hash"
	"math"
)

// lru keeps values by the hash of what they were computed from, up to a budget of
// bytes; beyond it those go first that were used longest ago.
type lru[V any] struct {
	budget, bytes int64
	recent        *list.List // of *lruEntry[V], the last used first
	byKey         map[[32]byte]*list.Element
	dropped       func(V) // if not nil, told of each value that goes
}

type lruEntry[V any] struct {
	key   [32]byte
	value V
	bytes int64
}

func newLRU[V any](budget int64, dropped func(V)) lru[V] {
	return lru[V]{budget: budget, recent: list.New(), byKey: map[[32]byte]*list.Element{}, dropped: dropped}
}

// get returns the value of a key, which counts as used by it.
func (c *lru[V]) get(key [32]byte) (value V, ok bool) {
	e := c.byKey[key]
	if e == nil {
		return value, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*lruEntry[V]).value, true
}

// put keeps the value of a key that is not kept yet. One that does not fit the budget
// must not be put: see fits.
func (c *lru[V]) put(key [32]byte, value V, bytes int64) {
	c.byKey[key] = c.recent.PushFront(&lruEntry[V]{key, value, bytes})
	c.bytes += bytes
	for c.bytes > c.budget {
		c.drop()
	}
}

// fits reports whether a value of so many bytes can be kept at all.
func (c *lru[V]) fits(bytes int64) bool { return bytes <= c.budget }

// drop lets go of the value that was used longest ago.
func (c *lru[V]) drop() {
	e := c.recent.Remove(c.recent.Back()).(*lruEntry[V])
	delete(c.byKey, e.key)
	c.bytes -= e.bytes
	if c.dropped != nil {
		c.dropped(e.value)
	}
}

// clear lets go of everything.
func (c *lru[V]) clear() {
	for c.recent.Len() > 0 {
		c.drop()
	}
}

// hashFloats adds the bits of values to h.
func hashFloats(h hash.Hash, values []float32) {
	var b [1 << 12]byte
	n := 0
	for _, v := range values {
		binary.LittleEndian.PutUint32(b[n:], math.Float32bits(v))
		if n += 4; n == len(b) {
			h.Write(b[:])
			n = 0
		}
	}
	h.Write(b[:n])
}
