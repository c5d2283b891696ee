package faultfs

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// block is what a disk writes whole.
const block = 4096

// Cut is what is found after the power failed.
type Cut struct {
	After int    // how many of the history's changes and syncs had been done
	How   string // what became of those that no sync had waited for
	Disk  *Disk  // what is left, and a history of its own
}

// Cuts returns states that a power cut may leave: at every point of the history the one with all that was not synced
// gone, the one with all of it there, and random ones of seed: any of the blocks written since the last
// sync of a file, its last write torn at any byte, its size changed and its blocks not, and names as they
// were at any time since their directory was synced.
func (d *Disk) Cuts(seed uint64, random int) iter.Seq[Cut] {
	d.mu.Lock()
	base, history := d.base.clone(), slices.Clone(d.history)
	d.mu.Unlock()
	return func(yield func(Cut) bool) {
		dice := rand.New(rand.NewPCG(seed, 0))
		s := settling{tree: base, waiting: map[int][]op{}}
		for after := 0; ; after++ {
			for i := -2; i < random; i++ {
				t, how := s.cut(i, dice)
				if !yield(Cut{after, how, newDisk(t)}) {
					return
				}
			}
			if after == len(history) {
				return
			}
			s.next(history[after])
		}
	}
}

// settling is a disk during its history.
type settling struct {
	tree    tree         // what is on the disk
	waiting map[int][]op // changes of a file that are not, by node
	names   []op         // changes of names that are not
}

func (s *settling) next(o op) {
	switch o.kind {
	case write, truncate:
		s.waiting[o.node] = append(s.waiting[o.node], o)
	case sync_:
		for _, w := range s.waiting[o.node] {
			s.tree.apply(w)
		}
		delete(s.waiting, o.node)
	case lose:
		// A size is not a page: a truncate, before or after, still comes.
		s.waiting[o.node] = slices.DeleteFunc(s.waiting[o.node], func(w op) bool { return w.kind == write })
	case create, rename, remove:
		s.names = append(s.names, o)
	case syncDir:
		s.names = slices.DeleteFunc(s.names, func(w op) bool {
			in := filepath.Dir(w.name) == o.name || w.kind == rename && filepath.Dir(w.to) == o.name
			if in {
				s.tree.apply(w)
			}
			return in
		})
	}
}

// cut returns what is left, in way i: -2 nothing of what waits, -1 all, else as the dice fall.
func (s *settling) cut(i int, dice *rand.Rand) (t tree, how string) {
	t = s.tree.clone()
	switch i {
	case -2:
		s.fill(t)
		return t, "nothing unsynced is left"
	case -1:
		for _, w := range s.names {
			t.apply(w)
		}
		s.fill(t)
		for _, ops := range s.waiting {
			for _, w := range ops {
				t.apply(w)
			}
		}
		return t, "all unsynced is left"
	}
	names := dice.IntN(len(s.names) + 1)
	for _, w := range s.names[:names] {
		t.apply(w)
	}
	s.fill(t)
	how = fmt.Sprintf("%d of %d names", names, len(s.names))
	nodes := make([]int, 0, len(s.waiting))
	for node := range s.waiting {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes) // so that a seed always gives the same states
	for _, node := range nodes {
		how += ", " + s.tear(t, node, dice)
	}
	return t, how
}

// fill makes the files that have a name and no bytes yet.
func (s *settling) fill(t tree) {
	for _, node := range t.names {
		if node != directory && t.files[node] == nil {
			t.files[node] = []byte{}
		}
	}
}

// tear applies some of what waits for a file.
func (s *settling) tear(t tree, node int, dice *rand.Rand) (how string) {
	ops := s.waiting[node]
	if len(ops) == 0 {
		return "nothing waits"
	}
	switch dice.IntN(3) {
	case 0: // in order, the last of them torn
		n := dice.IntN(len(ops))
		for _, w := range ops[:n] {
			t.apply(w)
		}
		w := ops[n]
		if w.kind == write {
			w.data = w.data[:dice.IntN(len(w.data)+1)]
		}
		t.apply(w)
		return fmt.Sprintf("file %d: %d changes and %d bytes", node, n, len(w.data))
	case 1: // the size alone
		had := t.files[node]
		for _, w := range ops {
			t.apply(w)
		}
		grown := make([]byte, len(t.files[node]))
		copy(grown, had)
		t.files[node] = grown
		return fmt.Sprintf("file %d: its size of %d", node, len(grown))
	}
	had := t.files[node]
	for _, w := range ops {
		t.apply(w)
	}
	mixed := slices.Clone(t.files[node])
	old := make([]byte, len(mixed))
	copy(old, had)
	kept, all := 0, 0
	for at := 0; at < len(mixed); at += block {
		end := min(at+block, len(mixed))
		if all++; dice.IntN(2) == 0 {
			copy(mixed[at:end], old[at:end])
		} else {
			kept++
		}
	}
	t.files[node] = mixed
	return fmt.Sprintf("file %d: %d of %d blocks", node, kept, all)
}
