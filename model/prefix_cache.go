package model

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// prefixCache keeps the keys and values of prompts up to declared points: several
// questions about one picture, or many inputs under one system text, run what they
// have in common once. A sliding layer's cache cannot go back to an earlier position,
// so it is kept as it stands when a prompt reaches the point.
//
// Pages are shared with the sequences that go on from them. It belongs to a Batch.
type prefixCache struct {
	budget int64 // bytes of keys and values
	bytes  int64
	recent *list.List // of *prefix, the last used first
	byKey  map[[32]byte]*list.Element
	hits   int
}

// prefix is the state of a sequence after its first length positions.
type prefix struct {
	key    [32]byte
	length int
	caches []*kvCache
	bytes  int64
}

func newPrefixCache(budget int64) *prefixCache {
	return &prefixCache{budget: budget, recent: list.New(), byKey: map[[32]byte]*list.Element{}}
}

// reusePoints are the positions after which a prompt may be kept, in order: the end of
// a system text, and the end of each picture with the token that closes it.
func (m *Model) reusePoints(p *Prompt) []int {
	var points []int
	if end := slices.Index(p.IDs, m.ids.turnEnd); m.ids.turnEnd >= 0 && end >= 0 && slices.Contains(p.IDs[end+1:], m.ids.turnEnd) {
		points = append(points, end+1) // another turn ends after it
	}
	for _, s := range p.media {
		points = append(points, s.hi+1)
	}
	slices.Sort(points)
	return slices.Compact(slices.DeleteFunc(points, func(at int) bool { return at >= p.Len() }))
}

// prefixKeys returns the key of the prompt up to each of the points: its ids, and what
// its pictures hold.
func prefixKeys(p *Prompt, points []int) [][32]byte {
	keys := make([][32]byte, 0, len(points))
	h := sha256.New()
	var word [4]byte
	media := p.media
	for i, id := range p.IDs {
		for len(keys) < len(points) && points[len(keys)] == i {
			keys = append(keys, [32]byte(h.Sum(nil)))
		}
		if len(media) > 0 && media[0].lo == i {
			key := media[0].soft.key()
			h.Write(key[:])
			media = media[1:]
		}
		binary.LittleEndian.PutUint32(word[:], uint32(id))
		h.Write(word[:])
	}
	return keys
}

// key identifies what soft tokens hold.
func (s *SoftTokens) key() [32]byte {
	s.hash.Do(func() {
		h := sha256.New()
		var b [1 << 12]byte
		n := 0
		for _, v := range s.Values {
			binary.LittleEndian.PutUint32(b[n:], math.Float32bits(v))
			if n += 4; n == len(b) {
				h.Write(b[:])
				n = 0
			}
		}
		h.Write(b[:n])
		s.sum = [32]byte(h.Sum(nil))
	})
	return s.sum
}

// resume sets a new sequence to the longest of its prompt's prefixes that is kept.
func (c *prefixCache) resume(s *sequence, points []int, keys [][32]byte) {
	for i := len(points) - 1; i >= 0; i-- {
		e := c.byKey[keys[i]]
		if e == nil {
			continue
		}
		p := e.Value.(*prefix)
		s.length = p.length
		for n, k := range p.caches {
			if k != nil {
				s.caches[n] = k.share()
			}
		}
		c.hits++
		c.recent.MoveToFront(e)
		return
	}
}

// keep stores the state of a sequence that stands at a point, and drops what was used
// longest ago, down to the budget.
func (c *prefixCache) keep(s *sequence, key [32]byte) {
	if e := c.byKey[key]; e != nil {
		c.recent.MoveToFront(e)
		return
	}
	p := &prefix{key: key, length: s.length, caches: make([]*kvCache, len(s.caches)), bytes: s.bytes()}
	if p.bytes > c.budget {
		return
	}
	for n, k := range s.caches {
		if k != nil {
			p.caches[n] = k.share()
		}
	}
	c.byKey[key] = c.recent.PushFront(p)
	c.bytes += p.bytes
	for c.bytes > c.budget {
		c.drop(c.recent.Back())
	}
}

func (c *prefixCache) drop(e *list.Element) {
	p := c.recent.Remove(e).(*prefix)
	delete(c.byKey, p.key)
	c.bytes -= p.bytes
	for _, k := range p.caches {
		if k != nil {
			k.release()
		}
	}
}

// clear gives back the memory of everything kept.
func (c *prefixCache) clear() {
	for c.recent.Len() > 0 {
		c.drop(c.recent.Back())
	}
}
