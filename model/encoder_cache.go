package model

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"facet/vision"
)

// encoderCache keeps the soft tokens of pictures that were encoded lately, by content:
// a page that is asked again, or that lies at two paths, goes through the tower once.
// It belongs to one checkpoint and one precision. Safe for concurrent use.
type encoderCache struct {
	mu sync.Mutex
	lru[*SoftTokens]
	hits int
}

func newEncoderCache(budget int64) *encoderCache {
	return &encoderCache{lru: newLRU[*SoftTokens](budget, nil)}
}

// patchesKey is the content of a picture as the tower sees it: the budget is in its size.
func patchesKey(p *vision.Patches) [32]byte {
	h := sha256.New()
	var size [16]byte
	binary.LittleEndian.PutUint64(size[0:], uint64(p.Columns))
	binary.LittleEndian.PutUint64(size[8:], uint64(p.Rows))
	h.Write(size[:])
	hashFloats(h, p.Values)
	return [32]byte(h.Sum(nil))
}

// get returns the soft tokens of a picture, or nil.
func (c *encoderCache) get(key [32]byte) *SoftTokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	soft, ok := c.lru.get(key)
	if ok {
		c.hits++
	}
	return soft
}

// put keeps soft tokens, unless another call has kept them meanwhile.
func (c *encoderCache) put(key [32]byte, soft *SoftTokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.lru.get(key); !ok && c.fits(soft.bytes()) {
		c.lru.put(key, soft, soft.bytes())
	}
}

func (s *SoftTokens) bytes() int64 { return 4 * int64(len(s.Values)) }
