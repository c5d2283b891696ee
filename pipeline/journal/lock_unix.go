//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

func tryLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return errTaken
		default:
			return err
		}
	}
}
