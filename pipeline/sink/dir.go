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
	ours func(name string) bool // nil: any file may be replaced
	late bool                   // files are not synced one by one
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
	return &Dir{root: root}, nil
}

// Close releases the folder. Files created in it stay usable.
func (d *Dir) Close() error { return d.root.Close() }

// Guard makes d replace only files that ours knows as its own, by the name that they were made with; before
// anything is written, and ours must be safe for concurrent use. A file that stands in the place of another is a
// ForeignError then, and stays as it is.
func (d *Dir) Guard(ours func(name string) bool) { d.ours = ours }

// ForeignError names a file in an output folder that is not ours to replace.
type ForeignError string

func (e ForeignError) Error() string {
	return PrintableLine(string(e)) + ": a file that was not made by this run stands there"
}

// Occupied reports whether something has the place of a file, or of a folder on the way to one, that has to stay:
// for a folder all that is none, for a file a folder and, with Guard, what is not ours. It is what Names wants to know.
func (d *Dir) Occupied(name string, folder bool) bool {
	there, err := d.root.Lstat(name)
	if err != nil {
		return false // or the reason is told by what is written
	}
	if folder {
		if there.Mode()&fs.ModeSymlink != 0 { // one that leads outside is no folder of ours
			if there, err = d.root.Stat(name); err != nil {
				return true
			}
		}
		return !there.IsDir()
	}
	return there.IsDir() || d.foreign(name)
}

// foreign reports whether a file has this name that is not ours.
func (d *Dir) foreign(name string) bool {
	if d.ours == nil || d.ours(name) {
		return false
	}
	_, err := d.root.Lstat(name)
	return err == nil
}

// Late leaves the syncing of files to Sync where that can be done for all at once: a crash of the machine before it
// may leave any of them empty or missing. Before anything is written.
func (d *Dir) Late() { d.late = syncsAtOnce }

// Has reports whether there is a file with this name.
func (d *Dir) Has(name string) bool {
	info, err := d.root.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// RemoveTemporary removes the unfinished files that a killed process has left in d and the folders below. Nobody may be
// writing there.
func (d *Dir) RemoveTemporary() error {
	return fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !temporary(e.Name()) {
			return err
		}
		return d.root.Remove(filepath.FromSlash(name))
	})
}

// temporary reports whether a file has a name that Create gives to unfinished ones.
func temporary(name string) bool {
	middle, ok := strings.CutPrefix(name, tempPrefix)
	middle, tmp := strings.CutSuffix(middle, tempSuffix)
	return ok && tmp && len(middle) == len(rand.Text())
}

const tempPrefix, tempSuffix = ".facet-", ".tmp"

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
	if d.foreign(name) {
		return nil, ForeignError(name)
	}
	if dir := path.Dir(name); dir != "." {
		if err := d.root.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	// The temporary name is unpredictable and must be new, so that neither
	// another run nor a planted link is written through.
	temp := path.Join(path.Dir(name), tempPrefix+strings.ToLower(rand.Text())+tempSuffix)
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
	return &File{f: f, dir: &Dir{root, d.ours, d.late}, temp: temp, name: name}, nil
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
	return (&Dir{root: root}).Create(filepath.ToSlash(filepath.Base(path)))
}

// File is a file being written. It takes its name when it is whole: readers,
// and a run after a crash, never see half of one.
type File struct {
	f          *os.File
	dir        *Dir // nil: written in place
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
	if f.dir == nil {
		f.done = true
		return f.f.Close()
	}
	defer f.Discard() // clears up after an error
	if !f.dir.late {
		if err := f.f.Sync(); err != nil {
			return err
		}
	}
	if err := f.f.Close(); err != nil {
		return err
	}
	if f.dir.foreign(f.name) { // it came while this one was written
		return ForeignError(f.name)
	}
	if err := f.dir.root.Rename(f.temp, f.name); err != nil {
		return err
	}
	f.done = true
	if f.dir.late {
		return f.dir.Close()
	}
	err := syncDir(f.dir.root, path.Dir(f.name))
	return errors.Join(err, f.dir.Close())
}

// Discard drops the file unless it is committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.f.Close()
	if f.dir != nil {
		f.dir.root.Remove(f.temp)
		f.dir.Close()
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
