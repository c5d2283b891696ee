package tensor

import "sync"

// buffers is memory that calls pass on to each other, so that a forward pass takes
// none from the heap. It is safe for concurrent use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

// take returns n bytes of undefined content, which give takes back.
func (b *buffers) take(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.free) - 1; i >= 0; i-- {
		if m := b.free[i]; cap(m) >= n {
			b.free = append(b.free[:i], b.free[i+1:]...)
			return m[:n]
		}
	}
	if len(b.free) > 0 { // grows one rather than having one more
		b.free = b.free[:len(b.free)-1]
	}
	return make([]byte, n)
}

func (b *buffers) give(m []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, m)
}
