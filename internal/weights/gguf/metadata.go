package gguf

import (
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

// Metadata is a file's keys with their typed values. It is safe for concurrent use.
//
// The methods that read a value return ok = false where the key is absent, and a
// FormatError that names the key where its value is of another kind. Kinds of integers
// are interchangeable as long as the value fits, and so are the two kinds of floats:
// writers do not agree on them.
type Metadata struct {
	keys   []string // in the file's order
	values map[string]value
}

// value is one value, or the values of an array, as bytes of the file.
type value struct {
	kind   kind // of an array's values
	array  bool
	length uint64 // 1 unless it is an array
	raw    []byte
}

func (v value) String() string {
	if v.array {
		return "array of " + v.kind.String()
	}
	return v.kind.String()
}

// Keys returns the names of all keys in the file's order. The caller may keep it.
func (m *Metadata) Keys() []string { return slices.Clone(m.keys) }

// Has reports whether there is a value for key.
func (m *Metadata) Has(key string) bool {
	_, ok := m.values[key]
	return ok
}

// Kind names the kind of key's value, as in "u32" or "array of string"; "" if there is none.
func (m *Metadata) Kind(key string) string {
	if v, ok := m.values[key]; ok {
		return v.String()
	}
	return ""
}

// Len returns the number of values of an array, so that its caller can refuse a length
// before reading it; 0 for an absent key, 1 for a value that is no array.
func (m *Metadata) Len(key string) int { return int(m.values[key].length) }

// Uint returns an integer of 0 or more.
func (m *Metadata) Uint(key string) (v uint64, ok bool, err error) {
	return scalar(m, key, wantUint, value.uint)
}

// Float returns a float.
func (m *Metadata) Float(key string) (v float64, ok bool, err error) {
	return scalar(m, key, wantFloat, value.float)
}

// Bool returns a truth value.
func (m *Metadata) Bool(key string) (v, ok bool, err error) {
	return scalar(m, key, wantBool, value.bool)
}

// String returns a string, which must be UTF-8.
func (m *Metadata) String(key string) (v string, ok bool, err error) {
	return scalar(m, key, wantString, value.string)
}

// Uints returns an array of integers of 0 or more.
func (m *Metadata) Uints(key string) (v []uint64, ok bool, err error) {
	return list(m, key, wantUint, value.uint)
}

// Floats returns an array of floats.
func (m *Metadata) Floats(key string) (v []float64, ok bool, err error) {
	return list(m, key, wantFloat, value.float)
}

// Bools returns an array of truth values.
func (m *Metadata) Bools(key string) (v []bool, ok bool, err error) {
	return list(m, key, wantBool, value.bool)
}

// Strings returns an array of strings, which must be UTF-8. Their bytes are copied
// once, all together: a vocabulary has a million.
func (m *Metadata) Strings(key string) (list []string, ok bool, err error) {
	v, ok := m.values[key]
	switch {
	case !ok:
		return nil, false, nil
	case !v.array || v.kind != kindString:
		return nil, false, wrongKind(key, v, "an array, each "+wantString)
	}
	text := string(v.raw)
	list = make([]string, v.length)
	at := 0
	for i := range list {
		begin := at + 8
		at = begin + int(binary.LittleEndian.Uint64(v.raw[at:])) // checked by reader.values
		list[i] = text[begin:at]
		if !utf8.ValidString(list[i]) {
			return nil, false, broken("key %s: string %d is not UTF-8", quoted(key), i)
		}
	}
	return list, true, nil
}

const (
	wantUint   = "an integer of 0 or more"
	wantFloat  = "a float"
	wantBool   = "a bool of 0 or 1"
	wantString = "a string of UTF-8"
)

// scalar returns what get makes of key's value.
func scalar[T any](m *Metadata, key, want string, get func(v value, i int) (T, bool)) (out T, ok bool, err error) {
	v, ok := m.values[key]
	if !ok {
		return out, false, nil
	}
	if !v.array {
		if out, ok := get(v, 0); ok {
			return out, true, nil
		}
	}
	return out, false, wrongKind(key, v, want)
}

// list returns what get makes of each value of key's array.
func list[T any](m *Metadata, key, want string, get func(v value, i int) (T, bool)) (out []T, ok bool, err error) {
	v, ok := m.values[key]
	switch {
	case !ok:
		return nil, false, nil
	case !v.array:
		return nil, false, wrongKind(key, v, "an array, each "+want)
	}
	out = make([]T, v.length)
	for i := range out {
		if out[i], ok = get(v, i); !ok {
			return nil, false, wrongKind(key, v, "an array, each "+want)
		}
	}
	return out, true, nil
}

func wrongKind(key string, v value, want string) error {
	return broken("key %s is of kind %s, want %s", quoted(key), v, want)
}

// uint returns value i if it is an integer of 0 or more.
func (v value) uint(i int) (uint64, bool) {
	le := binary.LittleEndian
	switch v.kind {
	case kindUint8:
		return uint64(v.raw[i]), true
	case kindUint16:
		return uint64(le.Uint16(v.raw[2*i:])), true
	case kindUint32:
		return uint64(le.Uint32(v.raw[4*i:])), true
	case kindUint64:
		return le.Uint64(v.raw[8*i:]), true
	case kindInt8:
		return natural(int64(int8(v.raw[i])))
	case kindInt16:
		return natural(int64(int16(le.Uint16(v.raw[2*i:]))))
	case kindInt32:
		return natural(int64(int32(le.Uint32(v.raw[4*i:]))))
	case kindInt64:
		return natural(int64(le.Uint64(v.raw[8*i:])))
	}
	return 0, false
}

func natural(n int64) (uint64, bool) { return uint64(n), n >= 0 }

// float returns value i if it is a float.
func (v value) float(i int) (float64, bool) {
	switch v.kind {
	case kindFloat32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.raw[4*i:]))), true
	case kindFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.raw[8*i:])), true
	}
	return 0, false
}

// bool returns value i if it is a bool that is 0 or 1.
func (v value) bool(i int) (b, ok bool) {
	if v.kind != kindBool || v.raw[i] > 1 {
		return false, false
	}
	return v.raw[i] == 1, true
}

// string returns the value if it is one string of UTF-8.
func (v value) string(int) (string, bool) {
	if v.kind != kindString {
		return "", false
	}
	s := string(v.raw[8:])
	return s, utf8.ValidString(s)
}
