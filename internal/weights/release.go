package weights

import "os"

// Mapped reports whether the tensor's Data is part of a file's map. Memory of its own, as of
// values that were put in another order, stays taken after Release.
func (t Tensor) Mapped() bool { _, ok := t.file.(*Map); return ok }

// Release says that bytes [lo, hi) of the tensor's Data will not be read again soon, so
// that the system may take their pages back at once. They can be read all the same.
func (t Tensor) Release(lo, hi int) {
	m, ok := t.file.(*Map)
	if !ok {
		return
	}
	page := int64(os.Getpagesize())
	from, to := t.off+int64(lo), t.off+int64(hi)
	// Whole pages only: the one at either end may belong to a neighbour that is being read.
	if from, to = (from+page-1)/page*page, to/page*page; from < to {
		releaseBytes(m.data[from:to])
	}
}
