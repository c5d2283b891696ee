//go:build unix

package source

import (
	"io/fs"
	"syscall"
)

// folderID tells folders apart, whatever path leads to them.
type folderID struct{ device, inode uint64 }

// idOf is false where the system does not say.
func idOf(_ string, info fs.FileInfo) (folderID, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return folderID{}, false
	}
	return folderID{uint64(s.Dev), s.Ino}, true
}

// openFlags keep the opening of a pipe from waiting for its writer.
const openFlags = syscall.O_NONBLOCK
