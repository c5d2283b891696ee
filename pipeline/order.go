package pipeline

import (
	"sync"

	"facet/pipeline/journal"
)

// order brings outcomes that come in any order into that of the inputs. It holds where each is in the journal and
// not what it is, so that one slow item costs a few bytes for each that has to wait. Safe for concurrent use.
type order struct {
	mu      sync.Mutex
	changed sync.Cond
	held    map[int]journal.Place
	next    int // index whose turn it is
	end     int // number of items once that is known, else -1
	closed  bool
}

func newOrder() *order {
	o := &order{held: map[int]journal.Place{}, end: -1}
	o.changed.L = &o.mu
	return o
}

// put takes the outcome of the item with an index.
func (o *order) put(index int, at journal.Place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[index] = at
	if index == o.next {
		o.changed.Signal()
	}
}

// finish says how many items there are, or how many are to be waited for.
func (o *order) finish(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end = n
	o.changed.Signal()
}

// close ends the wait: of the outcomes that are held, take gives out what is left, in their order.
func (o *order) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Signal()
}

// take waits for the next outcome, of the item with an index. It is false when all are taken.
func (o *order) take() (index int, at journal.Place, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		at, ok := o.held[o.next]
		switch {
		case ok:
			delete(o.held, o.next)
			o.next++
			return o.next - 1, at, true
		case o.closed && len(o.held) > 0: // an earlier one will not come any more
			o.next++
		case o.closed || o.next == o.end:
			return 0, at, false
		default:
			o.changed.Wait()
		}
	}
}

// whole reports whether all items were taken.
func (o *order) whole() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next == o.end
}

// idle reports whether take would wait.
func (o *order) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ready := o.held[o.next]
	return !ready
}
