package gguf

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on a header. They keep what a file can make us do in bounds, far above what
// any checkpoint has: the files of the largest Gemma 4 have some 50 keys and 1,100
// tensors, and a vocabulary of 262,144 tokens and 514,906 merges.
const (
	maxKeys    = 10_000
	maxTensors = 100_000
	maxName    = 1024     // bytes of a key's or a tensor's name
	maxString  = 16 << 20 // bytes of a string
	maxArray   = 64 << 20 // values of an array
	maxDims    = 4        // as ggml has it

	defaultAlignment = 32
	maxAlignment     = 64 << 10
)

// The least bytes that a key and an info take: what bounds their numbers by the
// file's size before anything is allocated for them.
const (
	minKey  = 8 + 1 + 4 + 1
	minInfo = 8 + 1 + 4 + 4 + 8
)

const alignmentKey = "general.alignment"

// header is what a file says before its data.
type header struct {
	Metadata
	infos  []info // in the file's order
	dataAt int64  // offset of the data in the file
}

// info is what a header says of one tensor, and what follows from it.
type info struct {
	name   string
	sizes  []uint64 // ggml's ne: the contiguous dimension first
	typ    dtype
	offset int64 // in the data
	size   int64 // bytes
}

// parse reads the header at the beginning of b, which belongs to a file of fileSize
// bytes. The metadata returned aliases b.
//
// It returns a FormatError, which names the key, tensor or byte, unless every count,
// length and kind is in range and the tensors lie inside the file, apart from each
// other. Other versions, the other byte order, unknown types and arrays of arrays are an
// UnsupportedError.
func parse(b []byte, fileSize int64) (*header, error) {
	r := &reader{b: b}
	tensors, keys, err := r.counts()
	if err != nil {
		return nil, err
	}
	h := &header{Metadata: Metadata{values: make(map[string]value, keys)}}
	for range keys {
		if err := r.key(&h.Metadata); err != nil {
			return nil, err
		}
	}
	h.infos = make([]info, tensors)
	seen := make(map[string]bool, tensors)
	for i := range h.infos {
		if h.infos[i], err = r.info(); err != nil {
			return nil, err
		}
		name := h.infos[i].name
		if seen[name] {
			return nil, broken("tensor %s is there twice", quoted(name))
		}
		seen[name] = true
	}
	alignment, err := h.alignment()
	if err != nil {
		return nil, err
	}
	h.dataAt = int64((uint64(r.at) + alignment - 1) &^ (alignment - 1))
	return h, checkPlaces(h.infos, int64(alignment), fileSize-h.dataAt)
}

// alignment returns the multiple of bytes at which the data and its tensors begin.
func (m *Metadata) alignment() (uint64, error) {
	v, ok := m.values[alignmentKey]
	if !ok {
		return defaultAlignment, nil
	}
	if v.array || v.kind != kindUint32 {
		return 0, wrongKind(alignmentKey, v, "a u32")
	}
	n := uint64(binary.LittleEndian.Uint32(v.raw))
	if n == 0 || n > maxAlignment || n&(n-1) != 0 {
		return 0, broken("key %q is %d, want a power of two of at most %d", alignmentKey, n, maxAlignment)
	}
	return n, nil
}

// reader walks over a header. Its methods return an error where less is left than they want.
type reader struct {
	b  []byte
	at int
}

func (r *reader) left() uint64 { return uint64(len(r.b) - r.at) }

// take returns the next n bytes, which alias the header.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > r.left() {
		return nil, broken("byte %d: %d bytes wanted, %d left: the file is cut short or no GGUF file", r.at, n, r.left())
	}
	b := r.b[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	return b, nil
}

func (r *reader) u32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *reader) u64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// str returns the bytes of a string of at most limit bytes, which alias the header.
func (r *reader) str(limit uint64) ([]byte, error) {
	at := r.at
	n, err := r.u64()
	switch {
	case err != nil:
		return nil, err
	case n > limit:
		return nil, broken("byte %d: string of %d bytes, more than %d", at, n, limit)
	}
	return r.take(n)
}

// counts reads what precedes the keys.
func (r *reader) counts() (tensors, keys uint64, err error) {
	magic, err := r.take(4)
	switch {
	case err != nil:
		return 0, 0, err
	case string(magic) == "FUGG":
		return 0, 0, unsupported("big-endian GGUF files are not read")
	case string(magic) != "GGUF":
		return 0, 0, broken("begins with %q, want \"GGUF\"", magic)
	}
	version, err := r.u32()
	switch {
	case err != nil:
		return 0, 0, err
	case version != 0 && version&0xffff == 0: // 3 read from the wrong end
		return 0, 0, unsupported("big-endian GGUF files are not read")
	case version != 2 && version != 3: // 3 differs by allowing the other byte order
		return 0, 0, unsupported("GGUF version %d is not read, only 2 and 3", version)
	}
	if tensors, err = r.u64(); err != nil {
		return 0, 0, err
	}
	if keys, err = r.u64(); err != nil {
		return 0, 0, err
	}
	switch {
	case keys > maxKeys || keys > r.left()/minKey:
		return 0, 0, broken("%d keys in a file with %d bytes left for them; the limit is %d", keys, r.left(), maxKeys)
	case tensors > maxTensors || tensors > r.left()/minInfo:
		return 0, 0, broken("%d tensors in a file with %d bytes left for them; the limit is %d", tensors, r.left(), maxTensors)
	}
	return tensors, keys, nil
}

// name reads the name of what, and checks that it can be shown and told from others.
func (r *reader) name(what string) (string, error) {
	at := r.at
	b, err := r.str(maxName)
	if err != nil {
		return "", fmt.Errorf("name of a %s: %w", what, err)
	}
	name := string(b)
	if err := checkName(what, name); err != nil {
		return "", fmt.Errorf("byte %d: %w", at, err)
	}
	return name, nil
}

func checkName(what, name string) error {
	switch {
	case name == "":
		return broken("a %s without a name", what)
	case len(name) > maxName:
		return broken("%s %s: name of more than %d bytes", what, quoted(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return broken("%s %s: name is not Unicode text", what, quoted(name))
	}
	return nil
}

// key reads one key with its value into m.
func (r *reader) key(m *Metadata) error {
	name, err := r.name("key")
	if err != nil {
		return err
	}
	if _, twice := m.values[name]; twice {
		return broken("key %s is there twice", quoted(name))
	}
	v, err := r.value()
	if err != nil {
		return fmt.Errorf("key %s: %w", quoted(name), err)
	}
	m.keys = append(m.keys, name)
	m.values[name] = v
	return nil
}

// kind reads a kind.
func (r *reader) kind() (kind, error) {
	at := r.at
	n, err := r.u32()
	if err != nil {
		return 0, err
	}
	if k := kind(n); k.known() {
		return k, nil
	}
	return 0, broken("byte %d: kind %d is not known", at, n)
}

// value reads a kind and a value of that kind.
func (r *reader) value() (v value, err error) {
	if v.kind, err = r.kind(); err != nil {
		return v, err
	}
	v.length = 1
	switch v.kind {
	case kindArray:
		return r.array()
	case kindString:
		start := r.at
		_, err = r.str(maxString)
		v.raw = r.b[start:r.at:r.at]
	default:
		v.raw, err = r.take(kinds[v.kind].size)
	}
	return v, err
}

// array reads a kind, a length and as many values of that kind.
func (r *reader) array() (v value, err error) {
	v.array = true
	if v.kind, err = r.kind(); err != nil {
		return v, err
	}
	if v.length, err = r.u64(); err != nil {
		return v, err
	}
	n := v.length
	switch {
	case v.kind == kindArray:
		return v, unsupported("an array of arrays")
	case n > maxArray:
		return v, broken("array of %d values, more than %d", n, maxArray)
	case v.kind != kindString:
		v.raw, err = r.take(n * kinds[v.kind].size)
		return v, err
	case n > r.left()/8:
		return v, broken("array of %d strings in %d bytes", n, r.left())
	}
	start := r.at
	for i := range n {
		if _, err := r.str(maxString); err != nil {
			return v, fmt.Errorf("string %d: %w", i, err)
		}
	}
	v.raw = r.b[start:r.at:r.at]
	return v, nil
}

// info reads what the header says of one tensor and computes its size.
func (r *reader) info() (e info, err error) {
	if e.name, err = r.name("tensor"); err != nil {
		return e, err
	}
	if err = r.infoRest(&e); err != nil {
		return e, fmt.Errorf("tensor %s: %w", quoted(e.name), err)
	}
	return e, nil
}

func (r *reader) infoRest(e *info) error {
	dims, err := r.u32()
	switch {
	case err != nil:
		return err
	case dims > maxDims:
		return broken("%d dimensions, more than %d", dims, maxDims)
	}
	e.sizes = make([]uint64, dims)
	for i := range e.sizes {
		if e.sizes[i], err = r.u64(); err != nil {
			return err
		}
	}
	number, err := r.u32()
	if err != nil {
		return err
	}
	offset, err := r.u64()
	if err != nil {
		return err
	}
	if e.typ, err = dtypeOf(number); err != nil {
		return err
	}
	return e.place(offset)
}
