package source

import (
	"context"
	"iter"
	"math/rand/v2"
)

// Len is the number of items as far as it is known: an archive counts as one until its members
// are read. What Limit and Sample leave out does not count.
func (s *Sources) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.total()
	if s.options.Limit > 0 {
		n = min(n, s.options.Limit)
	}
	if s.options.Sample > 0 {
		n = min(n, s.options.Sample)
	}
	return n
}

// total is Len without Limit and Sample. The caller holds mu.
func (s *Sources) total() int {
	n := len(s.items)
	for _, t := range s.tallies {
		n += max(t.items, 1) - 1
	}
	return n
}

// Skipped counts the files in folders and archives, as far as they are read, that are not items:
// those that are nothing for the job by name and by content, hidden ones, and those that
// Include and Exclude leave out.
func (s *Sources) Skipped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.skipped
	for _, t := range s.tallies {
		n += t.skipped
	}
	return n
}

// tally counts what was met in an archive.
type tally struct {
	items, skipped int
	done           bool // to its end
}

// All gives the items in input order. An error belongs to the item with that Path, does not name
// it, and the listing goes on. When ctx ends, so does the listing, without a word.
//
// Members of archives are read as they are met, so the bytes of one are at hand until
// the next item is asked for, see Take. All may be called again, but not while another is
// running.
func (s *Sources) All(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if s.options.Sample > 0 && !s.count(ctx) {
			return
		}
		pick := s.picker()
		give := func(i Item, err error) bool {
			take, last := pick.next()
			return (!take || yield(i, err)) && !last
		}
		for i := range s.items {
			if ctx.Err() != nil {
				return
			}
			if l := &s.items[i]; !l.archive {
				if !give(s.item(l), nil) {
					return
				}
			} else if !s.members(ctx, int32(i), give) {
				return
			}
		}
	}
}

// picker chooses items by their number.
type picker struct {
	left   int // that may still be looked at, the total where there is a sample; < 0: any number
	wanted int // of those, for a sample; < 0: all
	random *rand.Rand
}

func (s *Sources) picker() *picker {
	p := &picker{left: -1, wanted: -1}
	if s.options.Limit > 0 {
		p.left = s.options.Limit
	}
	if s.options.Sample > 0 {
		s.mu.Lock()
		total := s.total()
		s.mu.Unlock()
		if p.left < 0 || p.left > total {
			p.left = total
		}
		p.wanted = min(s.options.Sample, p.left)
		p.random = rand.New(rand.NewPCG(s.options.Seed, 0))
	}
	return p
}

// next decides about the next item: whether it is taken, and whether it was the last that can be.
// Each set of items of the sample's size is equally likely (Knuth, TAOCP 2, 3.4.2, algorithm S).
func (p *picker) next() (take, last bool) {
	if p.left == 0 || p.wanted == 0 {
		return false, true
	}
	take = p.wanted < 0 || p.random.IntN(p.left) < p.wanted
	if p.left > 0 {
		p.left--
	}
	if take && p.wanted > 0 {
		p.wanted--
	}
	return take, p.left == 0 || p.wanted == 0
}
