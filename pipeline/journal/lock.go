package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Locked is the error of LockDir for a directory that another process, or this one, has locked.
type Locked struct {
	Dir string
	Pid int // of the process that has it; 0 if it did not say
}

func (l Locked) Error() string {
	if l.Pid == 0 {
		return l.Dir + " is in use by another run"
	}
	return fmt.Sprintf("%s is in use by another run (process %d)", l.Dir, l.Pid)
}

// Lock is a directory that this process has for itself.
type Lock struct{ file *os.File }

// errTaken is what tryLock returns for a file that somebody has locked.
var errTaken = errors.New("locked")

// LockDir locks a directory for this process, or fails with Locked. The lock is one of the system on the file
// "lock" in it, so that it ends with the process, however that ends. The file stays: who removed it
// would remove it under somebody who waits for it.
func LockDir(dir string) (*Lock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, failed(path, "opening", err)
	}
	err = tryLock(f)
	switch {
	case err == errTaken:
		err = Locked{dir, readPid(f)}
	case err != nil:
		err = failed(path, "locking", err)
	default:
		if err = writePid(f); err == nil {
			return &Lock{f}, nil
		}
		err = failed(path, "writing", err)
	}
	return nil, errors.Join(err, f.Close())
}

// Close gives the directory free.
func (l *Lock) Close() error {
	path := l.file.Name()
	err := l.file.Truncate(0)
	if closeErr := l.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return failed(path, "unlocking", err)
	}
	return nil
}

func writePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPid returns 0 for what is no number: the owner may be about to write it.
func readPid(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // its end comes before 20 bytes
	pid, err := strconv.Atoi(strings.TrimSuffix(string(b[:n]), "\n"))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
