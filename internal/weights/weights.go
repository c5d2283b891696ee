// Package weights holds what all weight files have in common: a named tensor whose
// values stay in the file, the map that gives access to them, and the check that
// keeps files which are no weights, or which can run code, from being read at all.
//
// The formats lie below it, one package each; all of them satisfy Source.
//
//  1. Sniff(path)               refuse by magic and by name     sniff.go
//  2. OpenMap(path)             open once, map read-only        map.go
//  3. the format reads its header, checks every figure in it,
//     and cuts the map into tensors (NewTensor)
//
// Values are bytes here, little-endian as in the file. Nothing in these packages
// uses unsafe; only kernels look at bytes as numbers.
package weights

import (
	"errors"
	"fmt"
	"io"
)

// FormatError says that a file is broken.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// UnsupportedError says that a file may be sound but is of a kind that is not read.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// Source is a set of tensors read from one or more files.
//
// Sources are safe for concurrent use, Close excepted: after it no Data of a
// tensor may be touched.
type Source interface {
	// Names returns the names of all tensors, sorted. The caller may keep it.
	Names() []string
	// Tensor returns the tensor of this name; ok is false if there is none.
	Tensor(name string) (t Tensor, ok bool)
	// Files returns the paths of the files that hold the tensors.
	Files() []string
	// Size returns the size of those files together, in bytes.
	Size() int64
	// Close unmaps and closes the files.
	Close() error
}

// Tensor is one named array of a weight file.
//
// Data and ReadAt give the same bytes by two ways: Data through the memory map,
// where a page that was read stays resident as long as the system likes, ReadAt by
// a read at a file offset, which leaves nothing behind. Tables of which a few rows
// a token are needed are read by ReadAt, everything else through Data.
type Tensor struct {
	Name  string
	DType string // as the file names it: BF16, F16, F32, …
	Shape []int  // row-major, last dimension contiguous; empty for a scalar; not to be changed
	Data  []byte // part of a read-only map: writing to it faults

	file io.ReaderAt
	off  int64 // of the first byte in file
}

// NewTensor returns the tensor that lies at bytes [off, off+size) of m.
// It panics if that is not inside m: the format checks its offsets first.
func NewTensor(name, dtype string, shape []int, m *Map, off, size int64) Tensor {
	if off < 0 || size < 0 || off > m.Size() || size > m.Size()-off {
		panic(fmt.Sprintf("weights: NewTensor: bytes [%d, %d+%d) of a map of %d", off, off, size, m.Size()))
	}
	return Tensor{Name: name, DType: dtype, Shape: shape, Data: m.Bytes()[off : off+size : off+size], file: m, off: off}
}

// Elements returns the product of the shape: 1 for a scalar, 0 where a dimension is 0.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// Bytes returns the number of bytes the values take.
func (t Tensor) Bytes() int64 { return int64(len(t.Data)) }

// ReadAt reads len(p) bytes that begin off bytes into the tensor, from the file and
// not through the map, as io.ReaderAt: n < len(p) comes with an error, io.EOF where
// the tensor ends. A tensor that was not made by NewTensor reads from Data.
func (t Tensor) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("weights: %s: read at negative offset %d", t.Name, off)
	}
	if off >= t.Bytes() {
		return 0, io.EOF
	}
	short := false
	if left := t.Bytes() - off; int64(len(p)) > left {
		p, short = p[:left], true
	}
	if t.file == nil {
		n = copy(p, t.Data[off:])
	} else if n, err = t.file.ReadAt(p, t.off+off); n == len(p) {
		err = nil // io.EOF is allowed at the end of the file, with all bytes read
	} else {
		if errors.Is(err, io.EOF) { // the file has been cut since it was opened
			err = io.ErrUnexpectedEOF
		}
		err = fmt.Errorf("weights: %s: %w", t.Name, err)
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}
