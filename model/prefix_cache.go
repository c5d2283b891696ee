package model

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// prefixCache keeps the keys and values of prompts up to declared points: several
// questions about one picture, or many inputs under one system text, run what they
// have in common once. A sliding layer's cache cannot go back to an earlier position,
// so it is kept as it stands when a prompt reaches the point.
//
// Pages are shared with the sequences that go on from them. It belongs to a Batch.
type prefixCache struct {
	lru[*prefix]
	hits int
}

// prefix is the state of a sequence after its first length positions.
type prefix struct {
	length int
	caches []*kvCache
}

func newPrefixCache(budget int64) *prefixCache {
	return &prefixCache{lru: newLRU(budget, (*prefix).release)}
}

// release gives back the pages that no sequence shares.
func (p *prefix) release() {
	for _, c := range p.caches {
		if c != nil {
			c.release()
		}
	}
}

// reusePoints are the positions after which a prompt may be kept, in order: the end of
// a system text, and the end of each picture, clip of sound and video with the token that
// closes it.
func (m *Model) reusePoints(p *Prompt) []int {
	var points []int
	if end := slices.Index(p.IDs, m.ids.turnEnd); m.ids.turnEnd >= 0 && end >= 0 && slices.Contains(p.IDs[end+1:], m.ids.turnEnd) {
		points = append(points, end+1) // another turn ends after it
	}
	for _, s := range p.media {
		if !s.inside {
			points = append(points, s.hi+1)
		}
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
		hashFloats(h, s.Values)
		s.sum = [32]byte(h.Sum(nil))
	})
	return s.sum
}

// resume sets a new sequence to the longest of its prompt's prefixes that is kept.
func (c *prefixCache) resume(s *sequence, points []int, keys [][32]byte) {
	for i := len(points) - 1; i >= 0; i-- {
		if p, ok := c.get(keys[i]); ok {
			s.length, s.caches = p.length, shareCaches(p.caches)
			c.hits++
			return
		}
	}
}

// keep stores the state of a sequence that stands at a point.
func (c *prefixCache) keep(s *sequence, key [32]byte) {
	if _, ok := c.get(key); !ok && c.fits(s.bytes()) {
		c.put(key, &prefix{s.length, shareCaches(s.caches)}, s.bytes())
	}
}

// shareCaches returns caches that hold the same positions in the same pages.
func shareCaches(caches []*kvCache) []*kvCache {
	out := make([]*kvCache, len(caches))
	for i, c := range caches {
		if c != nil {
			out[i] = c.share()
		}
	}
	return out
}
