package pipeline

import (
	"errors"
	"fmt"
	"sync"

	"facet/pipeline/job"
)

// twins are the items that the model is being asked about, by what they are: files with equal bytes are asked about
// once. What earlier items were answered is in the ledger.
type twins struct {
	mu      sync.Mutex
	leaders map[twinKey]*work
}

// isTwin reports whether an item with the same bytes is being asked the same, or was: the answer is then this item's
// as well, and there is nothing more to prepare.
func (r *run) isTwin(w *work, sum [32]byte, send sender) (bool, error) {
	if r.Separate {
		return false, nil
	}
	k := twinOf(w.job.Name, sum, w.item.Page, w.options)
	r.twins.mu.Lock()
	leader := r.twins.leaders[k]
	if leader != nil && leader.result == nil {
		leader.followers = append(leader.followers, w)
		r.twins.mu.Unlock()
		return true, nil
	}
	at, recorded := r.out.ledger.twin(k)
	if leader == nil && !recorded {
		w.twin = k
		r.twins.leaders[k] = w
	}
	r.twins.mu.Unlock()
	switch {
	case leader != nil:
		send(&part{last: true, copied: leader.result})
	case recorded:
		rec, err := r.out.ledger.record(at)
		if err != nil {
			return false, fmt.Errorf("the record of an equal file: %w", err)
		}
		send(&part{last: true, copied: &Result{Record: rec}})
	default:
		return false, nil
	}
	return true, nil
}

// settled notes the result of a leader and returns those that wait for it.
func (t *twins) settled(w *work, result *Result) []*work {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.result = result
	followers := w.followers
	w.followers = nil
	return followers
}

// forget is called when the ledger has the result of a leader.
func (t *twins) forget(k twinKey, w *work) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaders[k] == w {
		delete(t.leaders, k)
	}
}

// copyTo makes the result of an item that of one with equal bytes.
func (r *Result) copyTo(w *work) (*job.Record, error) {
	if r.Err != nil {
		if errors.Is(r.Err, errChanging) { // which is about that file
			return nil, fmt.Errorf("equal to %s, for which: %w", r.Item.Path, r.Err)
		}
		return nil, r.Err
	}
	rec := *r.Record
	rec.Source.Path, rec.CustomID = w.item.Path, w.item.CustomID
	return &rec, nil
}
