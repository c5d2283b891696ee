//go:build unix

package kernel

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// atPageEnd returns a copy of s that ends where memory does: the page behind it may
// be neither read nor written. It is gone after the test.
func atPageEnd(t *testing.T, s []byte) []byte {
	page := os.Getpagesize()
	size := (len(s)+page-1)/page*page + page
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	if err := unix.Mprotect(m[size-page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	end := m[size-page-len(s) : size-page : size-page]
	copy(end, s)
	return end
}
