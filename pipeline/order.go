package pipeline

import (
	"context"
	"maps"
	"slices"
)

// order emits results in the order of their indices and bounds how many items are
// under way between admit and emit.
type order struct {
	emit  func(Result) error
	slots chan struct{}
	next  int
	held  map[int]Result
}

func newOrder(window int, emit func(Result) error) order {
	return order{emit: emit, slots: make(chan struct{}, window), held: map[int]Result{}}
}

// admit waits until one more item may be under way; it is false if ctx ends first.
func (o *order) admit(ctx context.Context) bool {
	select {
	case o.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// put takes the result of an item and emits it and those that waited for it.
func (o *order) put(index int, r Result) error {
	o.held[index] = r
	for {
		r, ok := o.held[o.next]
		if !ok {
			return nil
		}
		delete(o.held, o.next)
		o.next++
		<-o.slots
		if err := o.emit(r); err != nil {
			return err
		}
	}
}

// flush emits what waits for items that will not come, in order.
func (o *order) flush() error {
	for _, index := range slices.Sorted(maps.Keys(o.held)) {
		r := o.held[index]
		delete(o.held, index)
		if err := o.emit(r); err != nil {
			return err
		}
	}
	return nil
}
