package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what a journal needs of a file system. The tests' own (internal/faultfs) lose what was
// not synced, and fail.
type FS interface {
	// OpenFile is os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string, perm fs.FileMode) error
	Stat(name string) (fs.FileInfo, error)
	// SyncDir returns when the entries of a directory are on the disk: what was created in it,
	// renamed or removed.
	SyncDir(name string) error
}

// File is an open file of an FS. ReadAt is safe beside every other method.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync returns when all that was written is on the disk.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error              { return os.Rename(from, to) }
func (osFS) Remove(name string) error                  { return os.Remove(name) }
func (osFS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (osFS) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (osFS) SyncDir(name string) error                 { return syncDir(name) }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// MakeDir makes a directory and those above it that are missing, and returns when they are
// on the disk. A directory that is there is no error.
func MakeDir(dir string, o Options) error {
	o = o.withDefaults()
	dir = filepath.Clean(dir)
	above := filepath.Dir(dir)
	if info, err := o.FS.Stat(dir); err == nil && info.IsDir() {
		// Who made it may have been killed before it was on the disk. What may not be read was not made by us.
		if err := o.syncDir(above); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	}
	if above != dir {
		if err := MakeDir(above, o); err != nil {
			return err
		}
	}
	if err := o.FS.Mkdir(dir, 0o777); err != nil {
		if info, statErr := o.FS.Stat(dir); statErr == nil && info.IsDir() {
			return nil // somebody was faster
		}
		return failed(dir, "making the directory", err)
	}
	return o.syncDir(above)
}
