package safetensors

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"facet/internal/weights"
)

// Limits on a header. They keep what a file can make us do in bounds, far above what
// any checkpoint has: the largest released Gemma 4 has 2,130 tensors of at most four
// dimensions, with names of up to 90 bytes.
const (
	maxKeys = 100_000 // of one object, and so tensors of a file
	maxName = 1024    // bytes
	maxDims = 8
)

// metadataKey is the one key of a header that names no tensor.
const metadataKey = "__metadata__"

// dtypeBits holds the width of one value of each data type of the format. All are
// accepted here; which of them can be computed with is for the model to say.
var dtypeBits = map[string]uint64{
	"BF16": 16, "F16": 16, "F32": 32, "F64": 64, "C64": 64,
	"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
	"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}

// entry is what a header says of one tensor. Its data are bytes [begin, end) of the
// file's data, which follow the header.
type entry struct {
	name, dtype string
	shape       []int
	begin, end  int64
}

// parseHeader returns the tensors of a header in the order of their data, of which
// the file has dataSize bytes.
//
// It returns a FormatError, which names the tensor or the byte of the header, unless
// the header is the JSON object of the package comment and no more, every entry's size
// follows from its type and shape, and the entries cover the data exactly once. An
// unknown data type is an UnsupportedError.
func parseHeader(header []byte, dataSize int64) ([]entry, error) {
	if !utf8.Valid(header) {
		return nil, broken("not UTF-8")
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, broken("does not begin with '{'")
	}
	s := &scanner{b: header}
	entries, err := s.entries(dataSize)
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimLeft(header[s.i:], " "); len(rest) > 0 { // padding is spaces only
		return nil, broken("byte %d: %q after the end of the object", len(header)-len(rest), rest[0])
	}
	return entries, checkCover(entries, dataSize)
}

// entries reads the outer object.
func (s *scanner) entries(dataSize int64) ([]entry, error) {
	var list []entry
	err := s.object(maxName, func(name string) error {
		if name == metadataKey {
			return s.metadata()
		}
		if err := checkName(name); err != nil {
			return err
		}
		e, err := s.entry(name, dataSize)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", quoted(name), err)
		}
		list = append(list, e)
		return nil
	})
	return list, err
}

// checkName reports a name that could not be told from another, or shown.
func checkName(name string) error {
	switch {
	case name == "":
		return broken("a tensor has an empty name")
	case name == metadataKey:
		return broken("%s is not a tensor's name", metadataKey)
	case len(name) > maxName:
		return broken("tensor %s: name of more than %d bytes", quoted(name), maxName)
	case strings.ContainsRune(name, 0):
		return broken("tensor %s: NUL in the name", quoted(name))
	case !utf8.ValidString(name), strings.ContainsRune(name, utf8.RuneError):
		return broken("tensor %s: name is not Unicode text", quoted(name)) // U+FFFD: half of a surrogate pair
	}
	return nil
}

// metadata reads and drops the free-form strings beside the tensors.
func (s *scanner) metadata() error {
	err := s.object(maxHeader, func(string) error {
		_, err := s.rawString()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", metadataKey, err)
	}
	return nil
}

// entry reads one tensor's object and checks it by itself.
func (s *scanner) entry(name string, dataSize int64) (entry, error) {
	e := entry{name: name}
	var shape, offsets []uint64
	seen := 0 // the three keys are known and differ, so three seen are all seen
	err := s.object(maxName, func(key string) (err error) {
		seen++
		switch key {
		case "dtype":
			e.dtype, err = s.text(maxName)
		case "shape":
			shape, err = s.numbers(maxDims)
		case "data_offsets":
			offsets, err = s.numbers(2)
		default:
			return broken("unknown key %s", quoted(key))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, err
	case seen != 3:
		return e, broken("dtype, shape and data_offsets are needed, one is missing")
	case len(offsets) != 2:
		return e, broken("data_offsets: %d numbers, want 2", len(offsets))
	case offsets[0] > offsets[1]:
		return e, broken("data_offsets: end %d before begin %d", offsets[1], offsets[0])
	case offsets[1] > uint64(dataSize):
		return e, broken("data_offsets: end %d, but the file has %d bytes of data", offsets[1], dataSize)
	}
	e.begin, e.end = int64(offsets[0]), int64(offsets[1])
	size, err := sizeOf(e.dtype, shape)
	if err != nil {
		return e, err
	}
	if size != offsets[1]-offsets[0] {
		return e, broken("%s %v takes %d bytes, data_offsets %v hold %d", e.dtype, shape, size, offsets, offsets[1]-offsets[0])
	}
	e.shape = make([]int, len(shape))
	for i, d := range shape {
		e.shape[i] = int(d)
	}
	return e, nil
}

// sizeOf returns the bytes that a tensor takes, or an error if that is not a whole
// number of bytes, or does not fit 64 bits on the way.
func sizeOf(dtype string, shape []uint64) (uint64, error) {
	width, ok := dtypeBits[dtype]
	if !ok {
		return 0, weights.UnsupportedError(fmt.Sprintf("dtype %s is not known", quoted(dtype)))
	}
	n := width
	for _, d := range shape {
		hi, lo := bits.Mul64(n, d)
		if hi != 0 || d > math.MaxInt {
			return 0, broken("shape %v of %s is too large", shape, dtype)
		}
		n = lo
	}
	if n%8 != 0 {
		return 0, broken("shape %v of %s is not a whole number of bytes", shape, dtype)
	}
	return n / 8, nil
}

// checkCover sorts the entries by place and reports the first hole or overlap.
// Tensors without values lie between others, never inside one.
func checkCover(entries []entry, dataSize int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	end := int64(0)
	for i, e := range entries {
		switch {
		case e.begin > end:
			return broken("tensor %s: begins at %d, leaving a hole from %d", quoted(e.name), e.begin, end)
		case e.begin < end:
			return broken("tensor %s: begins at %d, inside tensor %s, which ends at %d", quoted(e.name), e.begin, quoted(entries[i-1].name), end)
		}
		end = e.end
	}
	if end != dataSize {
		return broken("the tensors end at %d, the data at %d", end, dataSize)
	}
	return nil
}
