//go:build !windows

package journal

import (
	"errors"
	"os"
	"syscall"
)

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // some network file systems have no such call, and nothing to wait for
	}
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}
