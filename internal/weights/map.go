package weights

import (
	"fmt"
	"math"
	"os"
)

// Map is a file that is open for reading and mapped into memory as a whole.
//
// Where the system has no memory map that is known here, the file is read into
// memory instead; everything else stays the same. A file that another program cuts
// short while it is mapped ends this program when a lost page is touched (SIGBUS):
// that cannot be turned into an error, so replace weight files by renaming.
type Map struct {
	path string
	file *os.File
	data []byte
}

// OpenMap opens the regular file at path and maps all of it.
// It fails on directories, devices and pipes, without reading from them.
func OpenMap(path string) (*Map, error) {
	// Before opening: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, FormatError("not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := mapFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.path = path
	return m, nil
}

// mapFile maps an open file, whose kind and size are asked of the open file itself:
// the path may lead elsewhere by now.
func mapFile(f *os.File) (*Map, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, FormatError("not a regular file")
	}
	size := info.Size()
	if size > math.MaxInt {
		return nil, UnsupportedError(fmt.Sprintf("%d bytes are more than this system can address", size))
	}
	m := &Map{file: f}
	if size == 0 { // no system maps nothing
		return m, nil
	}
	if m.data, err = mapBytes(f, int(size)); err != nil {
		return nil, err
	}
	return m, nil
}

// Path returns the path the file was opened by.
func (m *Map) Path() string { return m.path }

// Size returns the size of the file in bytes.
func (m *Map) Size() int64 { return int64(len(m.data)) }

// Bytes returns the whole file. It is read-only: writing to it faults.
func (m *Map) Bytes() []byte { return m.data }

// ReadAt reads from the file and not through the map; see io.ReaderAt.
func (m *Map) ReadAt(p []byte, off int64) (int, error) { return m.file.ReadAt(p, off) }

// Close unmaps and closes the file. Slices of Bytes must not be touched after it.
func (m *Map) Close() error {
	err := unmapBytes(m.data)
	m.data = nil
	if e := m.file.Close(); err == nil {
		err = e
	}
	return err
}
