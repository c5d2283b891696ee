package safetensors

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"facet/internal/strictjson"
	"facet/internal/weights"
)

// Limits on a header. They keep what a file can make us do in bounds, far above what
// any checkpoint has: the largest released Gemma 4 has 2,130 tensors of at most four
// dimensions, with names of up to 90 bytes.
const (
	maxKeys = strictjson.MaxKeys // of one object, and so tensors of a file
	maxName = 1024               // bytes
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
	if len(header) == 0 || header[0] != '{' {
		return nil, broken("does not begin with '{'")
	}
	r := strictjson.NewReader(header)
	entries := readEntries(r, dataSize)
	if err := r.Err(); err != nil {
		return nil, formatError(err)
	}
	if rest := bytes.TrimLeft(header[r.Offset():], " "); len(rest) > 0 { // padding is spaces only
		return nil, broken("byte %d: %q after the end of the object", len(header)-len(rest), rest[0])
	}
	return entries, checkCover(entries, dataSize)
}

// formatError returns what a reader says of the text as a FormatError, and other errors
// as they are.
func formatError(err error) error {
	var wrong *strictjson.Error
	if errors.As(err, &wrong) {
		return weights.FormatError(err.Error())
	}
	return err
}

// readEntries reads the outer object.
func readEntries(r *strictjson.Reader, dataSize int64) []entry {
	var list []entry
	r.Object(func(name string) {
		if name == metadataKey {
			skipMetadata(r)
			r.In(metadataKey)
			return
		}
		if err := checkName(name); err != nil {
			r.Stop(err)
			return
		}
		list = append(list, readEntry(r, name, dataSize))
		if r.Err() != nil {
			r.In("tensor " + quoted(name))
		}
	})
	return list
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

// skipMetadata reads and drops the free-form strings beside the tensors.
func skipMetadata(r *strictjson.Reader) {
	r.Object(func(string) { r.Bytes(strictjson.NoLimit) })
}

// readEntry reads one tensor's object and checks it by itself.
func readEntry(r *strictjson.Reader, name string, dataSize int64) entry {
	e := entry{name: name}
	var shape, offsets []uint64
	seen := 0 // the three keys are known and differ, so three seen are all seen
	r.Object(func(key string) {
		seen++
		switch key {
		case "dtype":
			e.dtype = r.Text(maxName)
		case "shape":
			shape = readNumbers(r, maxDims)
		case "data_offsets":
			offsets = readNumbers(r, 2)
		default:
			r.Stop(broken("unknown key %s", quoted(key)))
			return
		}
		r.In(key)
	})
	if r.Err() == nil && seen != 3 {
		r.Stop(broken("dtype, shape and data_offsets are needed, one is missing"))
	}
	if r.Err() == nil {
		r.Stop(e.place(shape, offsets, dataSize))
	}
	return e
}

// readNumbers reads an array of at most limit whole numbers of 0 or more.
func readNumbers(r *strictjson.Reader, limit int) []uint64 {
	var v []uint64
	r.Array(func() {
		if len(v) == limit {
			r.Fail("more than %d numbers", limit)
		}
		v = append(v, r.Uint64())
	})
	return v
}

// place sets the shape and the place of e once they agree with each other, with its
// type and with the file's size.
func (e *entry) place(shape, offsets []uint64, dataSize int64) error {
	switch {
	case len(offsets) != 2:
		return broken("data_offsets: %d numbers, want 2", len(offsets))
	case offsets[0] > offsets[1]:
		return broken("data_offsets: end %d before begin %d", offsets[1], offsets[0])
	case offsets[1] > uint64(dataSize):
		return broken("data_offsets: end %d, but the file has %d bytes of data", offsets[1], dataSize)
	}
	e.begin, e.end = int64(offsets[0]), int64(offsets[1])
	size, err := sizeOf(e.dtype, shape)
	if err != nil {
		return err
	}
	if size != offsets[1]-offsets[0] {
		return broken("%s %v takes %d bytes, data_offsets %v hold %d", e.dtype, shape, size, offsets, offsets[1]-offsets[0])
	}
	e.shape = make([]int, len(shape))
	for i, d := range shape {
		e.shape[i] = int(d)
	}
	return nil
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
