//go:build !unix

package kernel

import "testing"

// atPageEnd returns s: without mmap there is no page to put it at the end of.
func atPageEnd(t *testing.T, s []byte) []byte { return s }
