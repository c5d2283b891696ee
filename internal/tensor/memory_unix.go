//go:build unix

package tensor

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// allocate returns n bytes of zeros outside of Go's heap, so that gigabytes of weights do
// not let the heap grow to as much again before it is collected. Large pages are
// asked for where the system has them: reading through them is some per cent faster.
func allocate(n int) (*memory, error) {
	if n == 0 {
		return &memory{}, nil
	}
	data, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	adviseLargePages(data)
	m := &memory{data}
	runtime.AddCleanup(m, func(data []byte) { unix.Munmap(data) }, data)
	return m, nil
}
