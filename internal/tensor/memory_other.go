//go:build !unix

package tensor

// allocate returns n bytes of zeros.
func allocate(n int) (*memory, error) { return &memory{make([]byte, n)}, nil }
