package tensor

import "golang.org/x/sys/unix"

// adviseLargePages is only advice: a system without large pages goes on with small ones.
func adviseLargePages(data []byte) { _ = unix.Madvise(data, unix.MADV_HUGEPAGE) }
