//go:build linux || darwin

package weights

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func mapBytes(f *os.File, size int) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("memory map of %d bytes: %w", size, err)
	}
	return b, nil
}

func unmapBytes(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

// releaseBytes is only advice: nothing is lost where the system does not take it.
func releaseBytes(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
