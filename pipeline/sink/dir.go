package sink

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Dir is a folder that outputs are written to. Whatever the names and the
// links below it say, nothing is written outside. Safe for concurrent use.
type Dir struct {
	root *os.Root
}

// OpenDir opens the folder at path and makes it, with those above, if it is
// not there.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{root}, nil
}

// Close releases the folder. Files created in it stay usable.
func (d *Dir) Close() error { return d.root.Close() }

// Write makes the file name from what write gives it: the file is there
// whole, or, after an error, as it was before. name has forward slashes and
// is relative to d; folders on the way are made.
func (d *Dir) Write(name string, write func(io.Writer) error) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := write(f); err != nil {
		return err
	}
	return f.Commit()
}

// Create starts the file name, as Write does. The caller ends it with Commit
// or Discard.
func (d *Dir) Create(name string) (*File, error) {
	name = path.Clean(name)
	if dir := path.Dir(name); dir != "." {
		if err := d.root.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	// The temporary name is unpredictable and must be new, so that neither
	// another run nor a planted link is written through.
	temp := path.Join(path.Dir(name), fmt.Sprintf(".facet-%s.tmp", strings.ToLower(rand.Text())))
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	// A root of its own lets the file outlive d.
	root, err := d.root.OpenRoot(".")
	if err != nil {
		f.Close()
		d.root.Remove(temp)
		return nil, err
	}
	return &File{f: f, root: root, temp: temp, name: name}, nil
}

// Create starts the file at path, which appears with Commit. A path that
// leads to something other than a file, such as a pipe or /dev/stdout, is
// written directly. A link is followed: what it points to is replaced.
func Create(path string) (*File, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s: is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &File{f: f}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return (&Dir{root}).Create(filepath.ToSlash(filepath.Base(path)))
}

// File is a file being written. It takes its name when it is whole: readers,
// and a run after a crash, never see half of one.
type File struct {
	f          *os.File
	root       *os.Root // nil: written in place
	temp, name string
	done       bool
}

// Write appends p.
func (f *File) Write(p []byte) (int, error) { return f.f.Write(p) }

// Commit ends the file: its bytes are synced, then it takes the place of the
// one that had its name. After an error the old one is still there.
func (f *File) Commit() error {
	if f.done {
		panic("sink: Commit of " + f.name + " after its end")
	}
	if f.root == nil {
		f.done = true
		return f.f.Close()
	}
	defer f.Discard() // clears up after an error
	if err := f.f.Sync(); err != nil {
		return err
	}
	if err := f.f.Close(); err != nil {
		return err
	}
	if err := f.root.Rename(f.temp, f.name); err != nil {
		return err
	}
	f.done = true
	err := syncDir(f.root, path.Dir(f.name))
	return errors.Join(err, f.root.Close())
}

// Discard drops the file unless it is committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.f.Close()
	if f.root != nil {
		f.root.Remove(f.temp)
		f.root.Close()
	}
}

// syncDir makes a rename in dir durable: POSIX leaves it to a sync of the
// folder. Windows has no such thing and needs none.
func syncDir(root *os.Root, dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
