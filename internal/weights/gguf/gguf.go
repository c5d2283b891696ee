// Package gguf reads and writes GGUF files, single or in shards: the format of ggml
// and llama.cpp, which holds tensors in quantised blocks and, beside them, typed
// metadata with the model's sizes and its vocabulary.
//
//	file   = "GGUF", version (u32), number of tensors (u64), number of keys (u64),
//	         keys, infos, padding to the alignment, data
//	key    = name (string), kind (u32), value of this kind
//	info   = name (string), dimensions (u32), size of each (u64), type (u32), offset in the data (u64)
//	string = length (u64), bytes
//	array  = kind (u32), length (u64), values of this kind
//
// All numbers are little-endian. Opening does this, and nothing else reads a value:
//
//  1. the path leads to one file, or to one of the shards that its name counts   shard.go
//  2. keys and infos are parsed in place, every length and count checked
//     against the bytes that are left                                            header.go
//  3. every tensor's place follows from its type and sizes, and is checked
//     against the others and the file's size                                     layout.go
//
// Metadata is read by key and kind afterwards (metadata.go). The package knows no
// model: names are as the file has them. The format is described in ggml's
// docs/gguf.md; where ggml's reader is lenient (tensors that overlap, lengths that
// reach behind the end) this one is not.
package gguf

import (
	"fmt"

	"facet/internal/weights"
)

// File is an open GGUF file with its shards, a weights.Source. Shapes are row-major,
// [out, in] for a matrix: the file's sizes in reverse. Data types have ggml's names,
// "Q4_0" or "BF16"; which of them can be computed with is for the caller to say.
//
// Metadata is that of the first shard and aliases the map: it must not be used after
// Close.
type File struct {
	weights.Set
	Metadata
	path string
}

// Open opens the file at path and, if it is one of several shards, the others beside
// it. Headers are read and checked whole; values stay in the files.
//
// Errors name the file and the key or tensor: weights.FormatError for a broken file,
// weights.UnsupportedError for versions, byte orders and types that are not read, and
// what the system says for the rest.
func Open(path string) (*File, error) {
	paths, err := shardPaths(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	if err := f.addShards(paths); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Path returns the path the file was opened by.
func (f *File) Path() string { return f.path }

// openShard maps one file and parses its header. Errors name the path.
func openShard(path string) (*weights.Map, *header, error) {
	m, err := weights.OpenMap(path)
	if err != nil {
		return nil, nil, err
	}
	h, err := parse(m.Bytes(), m.Size())
	if err != nil {
		m.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, h, nil
}

// add takes over a shard and its tensors.
func (f *File) add(m *weights.Map, h *header) {
	tensors := make([]weights.Tensor, len(h.infos))
	for i, e := range h.infos {
		tensors[i] = weights.NewTensor(e.name, e.typ.name, e.shape(), m, h.dataAt+e.offset, e.size)
	}
	f.Add(m, tensors...)
}

// broken returns the FormatError with this text.
func broken(format string, args ...any) error {
	return weights.FormatError(fmt.Sprintf(format, args...))
}

// unsupported returns the UnsupportedError with this text.
func unsupported(format string, args ...any) error {
	return weights.UnsupportedError(fmt.Sprintf(format, args...))
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

// IsMagic reports whether a file that begins with these bytes is a GGUF file, of either
// byte order.
func IsMagic(b [4]byte) bool { return string(b[:]) == "GGUF" || string(b[:]) == "FUGG" }
