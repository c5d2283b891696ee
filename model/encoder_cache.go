package model

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"

	"facet/vision"
)

// encoderCache keeps the soft tokens of pictures that were encoded lately, by content:
// a page that is asked again, or that lies at two paths, goes through the tower once.
// It belongs to one checkpoint and one precision. Safe for concurrent use.
type encoderCache struct {
	mu     sync.Mutex
	budget int64 // bytes of soft tokens
	bytes  int64
	recent *list.List // of *encoded, the last used first
	byKey  map[[32]byte]*list.Element
	hits   int
}

type encoded struct {
	key  [32]byte
	soft *SoftTokens
}

func newEncoderCache(budget int64) *encoderCache {
	return &encoderCache{budget: budget, recent: list.New(), byKey: map[[32]byte]*list.Element{}}
}

// patchesKey is the content of a picture as the tower sees it: the budget is in its size.
func patchesKey(p *vision.Patches) [32]byte {
	h := sha256.New()
	var b [1 << 12]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(p.Columns))
	binary.LittleEndian.PutUint64(b[8:], uint64(p.Rows))
	n := 16
	for _, v := range p.Values {
		binary.LittleEndian.PutUint32(b[n:], math.Float32bits(v))
		if n += 4; n == len(b) {
			h.Write(b[:])
			n = 0
		}
	}
	h.Write(b[:n])
	return [32]byte(h.Sum(nil))
}

// get returns the soft tokens of a picture, or nil.
func (c *encoderCache) get(key [32]byte) *SoftTokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	c.hits++
	c.recent.MoveToFront(e)
	return e.Value.(*encoded).soft
}

// put keeps soft tokens and drops those that were used longest ago, down to the budget.
func (c *encoderCache) put(key [32]byte, soft *SoftTokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key] != nil || soft.bytes() > c.budget {
		return
	}
	c.byKey[key] = c.recent.PushFront(&encoded{key, soft})
	c.bytes += soft.bytes()
	for c.bytes > c.budget {
		last := c.recent.Back()
		e := c.recent.Remove(last).(*encoded)
		delete(c.byKey, e.key)
		c.bytes -= e.soft.bytes()
	}
}

func (s *SoftTokens) bytes() int64 { return 4 * int64(len(s.Values)) }
