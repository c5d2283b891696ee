// Package safetensors reads and writes safetensors files, single or in shards.
//
//	file   = length (8 bytes, little-endian), header (JSON of that length), data
//	header = {"__metadata__": {string: string},
//	          NAME: {"dtype": D, "shape": [n, …], "data_offsets": [begin, end]}, …}
//
// Opening does this, and nothing else reads a value:
//
//  1. the path leads to one file, or to an index that names shards   index.go
//  2. weights.Sniff refuses what is another kind of file
//  3. the header is read, its length checked first                    file.go
//  4. and parsed, every figure checked against the file's size        header.go
//
// A file that passes has its data cut up by its tensors with no hole, no overlap
// and nothing left over, so that every byte belongs to one name. The format is
// described at https://github.com/huggingface/safetensors; where its reference reader is
// lenient (keys given twice, unknown keys in an entry) this one is not.
package safetensors

import (
	"fmt"
	"os"

	"facet/internal/weights"
)

// Open opens the checkpoint at path: a .safetensors file, or a folder that holds
// model.safetensors or else model.safetensors.index.json with the shards it names.
//
// Headers are read and checked whole; values stay in the files. Errors name the file
// and, where there is one, the tensor: weights.FormatError for a broken file,
// weights.UnsupportedError for pickles, GGUF, other kinds of file and data types that
// are not known, and what the system says for the rest.
func Open(path string) (weights.Source, error) {
	s, err := open(path)
	if err != nil {
		return nil, err // and not a nil *source in the interface
	}
	return s, nil
}

func open(path string) (*source, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return openFolder(path)
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := new(source)
	s.add(f)
	return s, nil
}

// source is an open checkpoint. It does not change after open.
type source struct{ weights.Set }

// add takes over the file and its tensors.
func (s *source) add(f *file) {
	tensors := make([]weights.Tensor, len(f.entries))
	for i, e := range f.entries {
		tensors[i] = weights.NewTensor(e.name, e.dtype, e.shape, f.m, f.dataAt+e.begin, e.end-e.begin)
	}
	s.Add(f.m, tensors...)
}

// broken returns the FormatError with this text.
func broken(format string, args ...any) error {
	return weights.FormatError(fmt.Sprintf(format, args...))
}

// quoted returns a name from a file for use in an error: escaped, and cut where it
// is longer than any name a person would read.
func quoted(name string) string {
	const limit = 120
	if len(name) > limit {
		return fmt.Sprintf("%q…", name[:limit])
	}
	return fmt.Sprintf("%q", name)
}
