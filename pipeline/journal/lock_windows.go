package journal

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks a byte far behind what the file holds: nobody can read what is locked, and the pid is to be read.
func tryLock(f *os.File) error {
	far := &windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, far)
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return errTaken
	}
	return err
}
