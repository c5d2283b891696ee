package weights

import (
	"errors"
	"maps"
	"slices"
)

// Set is a Source of tensors in memory-mapped files, which a format fills while it
// opens them. The zero value is empty.
type Set struct {
	files   []*Map
	tensors map[string]Tensor
}

// Add takes over the file m and its tensors, and closes m with the set. A tensor that
// has the name of an earlier one replaces it: the format checks its names first.
func (s *Set) Add(m *Map, tensors ...Tensor) {
	s.files = append(s.files, m)
	if s.tensors == nil {
		s.tensors = make(map[string]Tensor, len(tensors))
	}
	for _, t := range tensors {
		s.tensors[t.Name] = t
	}
}

// Names returns the names of all tensors, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

// Tensor returns the tensor of this name; ok is false if there is none.
func (s *Set) Tensor(name string) (t Tensor, ok bool) {
	t, ok = s.tensors[name]
	return t, ok
}

// Files returns the paths of the files, in the order in which they were added.
func (s *Set) Files() []string {
	paths := make([]string, len(s.files))
	for i, m := range s.files {
		paths[i] = m.Path()
	}
	return paths
}

// Size returns the size of the files together, in bytes.
func (s *Set) Size() int64 {
	var n int64
	for _, m := range s.files {
		n += m.Size()
	}
	return n
}

// Close unmaps and closes the files.
func (s *Set) Close() error {
	var errs []error
	for _, m := range s.files {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
