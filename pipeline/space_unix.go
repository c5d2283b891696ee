//go:build unix

package pipeline

import "golang.org/x/sys/unix"

// freeSpace returns the bytes that a user may still write to the file system of a folder, if it tells.
func freeSpace(dir string) (free int64, known bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
