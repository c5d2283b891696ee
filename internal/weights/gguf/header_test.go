package gguf

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"facet/internal/weights"
)

// The pieces of a file, so that each can be wrong by itself.

func u32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
func u64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
func str(s string) string { return u64(uint64(len(s))) + s }

func key(name string, k kind, value string) string { return str(name) + u32(uint32(k)) + value }

func array(name string, k kind, n uint64, values string) string {
	return key(name, kindArray, u32(uint32(k))+u64(n)+values)
}

// tensor is an info: sizes as the file has them, the contiguous one first.
func tensor(name string, typ uint32, offset uint64, sizes ...uint64) string {
	s := str(name) + u32(uint32(len(sizes)))
	for _, n := range sizes {
		s += u64(n)
	}
	return s + u32(typ) + u64(offset)
}

const f32, bf16, q4, q4K = 0, 30, 2, 12 // ggml's numbers

func begin(version uint32, tensors, keys uint64) string {
	return "GGUF" + u32(version) + u64(tensors) + u64(keys)
}

// file puts a file together, with data bytes of data.
func file(keys, tensors []string, data int) string {
	s := begin(3, uint64(len(tensors)), uint64(len(keys))) + strings.Join(keys, "") + strings.Join(tensors, "")
	return s + strings.Repeat("\x00", -len(s)&31) + strings.Repeat("\x01", data)
}

var (
	arch  = key("general.architecture", kindString, str("gemma4"))
	keys  = []string{arch}
	some  = []string{tensor("a", f32, 0, 2, 3)}
	align = func(n uint32) string { return key(alignmentKey, kindUint32, u32(n)) }
)

type badFile struct{ name, content, want string }

// badFiles are files and part of what is said of each; the fuzzer's seeds as well.
func badFiles() []badFile {
	kv := func(key string) string { return file([]string{key}, some, 24) }
	info := func(infos ...string) string { return file(keys, infos, 24) }
	long := strings.Repeat("x", maxName+1)
	return []badFile{
		// What comes first
		{"empty", "", `byte 0: 4 bytes wanted, 0 left`},
		{"three bytes", "GGU", `byte 0: 4 bytes wanted, 3 left`},
		{"safetensors", u64(2) + "{}", `begins with "\x02\x00\x00\x00", want "GGUF"`},
		{"lower case", "gguf" + u32(3) + u64(0) + u64(0), `begins with "gguf"`},
		{"GGML", "lmgg" + u32(3), `begins with "lmgg"`},
		{"magic only", "GGUF", `byte 4: 4 bytes wanted, 0 left`},
		{"version 0", begin(0, 0, 0), `version 0 is not read`},
		{"version 1", begin(1, 0, 0), `version 1 is not read`},
		{"version 4", begin(4, 0, 0), `version 4 is not read`},
		{"big-endian magic", "FUGG\x00\x00\x00\x03", `big-endian`},
		{"big-endian version", "GGUF\x00\x00\x00\x03" + u64(0) + u64(0), `big-endian`},
		{"no counts", "GGUF" + u32(3), `byte 8: 8 bytes wanted`},
		{"one count", "GGUF" + u32(3) + u64(1), `byte 16: 8 bytes wanted`},

		// Counts
		{"keys without bytes", begin(3, 0, 1), `1 keys in a file with 0 bytes left`},
		{"100 million keys", begin(3, 0, 100_000_000) + strings.Repeat("\x00", 20), `100000000 keys in a file with 20 bytes left`},
		{"2^64-1 keys", begin(3, 0, math.MaxUint64) + arch, `18446744073709551615 keys`},
		{"keys over the limit", begin(3, 0, maxKeys+1) + strings.Repeat("\x00", minKey*(maxKeys+1)), `10001 keys`},
		{"tensors without bytes", begin(3, 1, 0), `1 tensors in a file with 0 bytes left`},
		{"2^64-1 tensors", begin(3, math.MaxUint64, 0) + arch, `18446744073709551615 tensors`},
		{"tensors over the limit", begin(3, maxTensors+1, 0) + strings.Repeat("\x00", minInfo*(maxTensors+1)), `100001 tensors`},
		{"a key too few", begin(3, 0, 2) + arch, `name of a key: byte 70: 8 bytes wanted, 0 left`},
		{"a tensor too few", begin(3, 2, 0) + some[0], `tensor`},

		// Keys
		{"key without a name", kv(key("", kindUint8, "x")), `byte 24: a key without a name`},
		{"key name too long", kv(key(long, kindUint8, "x")), `name of a key: byte 24: string of 1025 bytes, more than 1024`},
		{"key name of 2^64-1", begin(3, 0, 1) + u64(math.MaxUint64) + arch, `string of 18446744073709551615 bytes`},
		{"key name behind the end", begin(3, 0, 1) + u64(1000) + arch, `byte 32: 1000 bytes wanted, 46 left`},
		{"key name not UTF-8", kv(key("a\xff", kindUint8, "x")), `key "a\xff": name is not Unicode text`},
		{"key name with NUL", kv(key("a\x00", kindUint8, "x")), `key "a\x00": name is not Unicode text`},
		{"key twice", file([]string{arch, arch}, some, 24), `key "general.architecture" is there twice`},
		{"key twice, other kinds", file([]string{arch, key("general.architecture", kindUint8, "x")}, some, 24), `is there twice`},
		{"kind 13", kv(key("a", 13, "12345678")), `key "a": byte 33: kind 13 is not known`},
		{"kind of 2^32-1", kv(key("a", math.MaxUint32, "")), `key "a": byte 33: kind 4294967295 is not known`},
		{"value cut", begin(3, 0, 1) + key("abc", kindUint64, "1234567"), `key "abc": byte 39: 8 bytes wanted, 7 left`},

		// Strings
		{"string behind the end", begin(3, 0, 1) + key("a", kindString, u64(50)+"short"), `key "a": byte 45: 50 bytes wanted, 5 left`},
		{"string of 2^64-1", kv(key("a", kindString, u64(math.MaxUint64))), `key "a": byte 37: string of 18446744073709551615 bytes, more than 16777216`},
		{"string of 2^63", kv(key("a", kindString, u64(1<<63))), `string of 9223372036854775808 bytes`},
		{"string over the limit", kv(key("a", kindString, u64(maxString+1)+strings.Repeat("x", maxString+1))), `string of 16777217 bytes`},

		// Arrays
		{"array of arrays", kv(array("a", kindArray, 1, u32(4)+u64(1)+u32(1))), `key "a": an array of arrays`},
		{"array of no arrays", kv(array("a", kindArray, 0, "")), `key "a": an array of arrays`},
		{"array of kind 99", kv(array("a", 99, 1, "")), `key "a": byte 37: kind 99 is not known`},
		{"array length 2^63", begin(3, 0, 1) + array("a", kindUint8, 1<<63, ""), `array of 9223372036854775808 values, more than 67108864`},
		{"array length 2^64-1", kv(array("a", kindUint8, math.MaxUint64, "")), `array of 18446744073709551615 values`},
		{"array over the limit", kv(array("a", kindUint8, maxArray+1, "")), `array of 67108865 values`},
		{"array behind the end", kv(array("a", kindUint32, 1<<20, "1234")), `key "a": byte 49: 4194304 bytes wanted`},
		{"array whose bytes wrap", kv(array("a", kindUint64, 1<<61, "")), `array of 2305843009213693952 values`},
		{"strings behind the end", kv(array("a", kindString, 1<<20, str("x"))), `key "a": array of 1048576 strings in`},
		{"a string of an array too long", kv(array("a", kindString, 2, str("x")+u64(math.MaxUint64))), `key "a": string 1: byte 58: string of 18446744073709551615 bytes`},
		{"a string of an array behind the end", begin(3, 0, 1) + array("a", kindString, 2, str("x")+u64(9)+"12345678"), `key "a": string 1: byte 66: 9 bytes wanted, 8 left`},
		{"array length cut", begin(3, 0, 1) + key("a", kindArray, u32(4)+"1234567"), `key "a": byte 41: 8 bytes wanted, 7 left`},

		// Alignment
		{"alignment a u64", file([]string{key(alignmentKey, kindUint64, u64(32))}, some, 24), `key "general.alignment" is of kind u64, want a u32`},
		{"alignment a string", file([]string{key(alignmentKey, kindString, str("32"))}, some, 24), `is of kind string, want a u32`},
		{"alignment an array", file([]string{array(alignmentKey, kindUint32, 1, u32(32))}, some, 24), `is of kind array of u32, want a u32`},
		{"alignment an empty array", file([]string{array(alignmentKey, kindUint32, 0, "")}, some, 24), `want a u32`},
		{"alignment 0", file([]string{align(0)}, some, 24), `is 0, want a power of two`},
		{"alignment 24", file([]string{align(24)}, some, 24), `is 24, want a power of two`},
		{"alignment 2^17", file([]string{align(1 << 17)}, some, 24), `is 131072, want a power of two of at most 65536`},
		{"alignment 2^32-1", file([]string{align(math.MaxUint32)}, some, 24), `is 4294967295, want a power of two`},
		{"alignment 2^31", file([]string{align(1 << 31)}, some, 24), `want a power of two`},

		// Tensors
		{"tensor without a name", info(tensor("", f32, 0, 2)), `a tensor without a name`},
		{"tensor name too long", info(tensor(long, f32, 0, 2)), `string of 1025 bytes`},
		{"tensor name not UTF-8", info(tensor("\xc0\x80", f32, 0, 2)), `tensor "\xc0\x80": name is not Unicode text`},
		{"tensor name with NUL", info(tensor("a\x00b", f32, 0, 2)), `name is not Unicode text`},
		{"tensor twice", info(tensor("a", f32, 0, 2), tensor("a", f32, 32, 2)), `tensor "a" is there twice`},
		{"five dimensions", info(tensor("a", f32, 0, 1, 1, 1, 1, 1)), `tensor "a": 5 dimensions, more than 4`},
		{"2^32-1 dimensions", begin(3, 1, 0) + str("a") + u32(math.MaxUint32) + u64(1) + u64(1), `4294967295 dimensions`},
		{"dimension 0", info(tensor("a", f32, 0, 0)), `tensor "a": a dimension of 0 in [0]`},
		{"dimension 0 behind others", info(tensor("a", f32, 0, 2, 3, 0)), `a dimension of 0 in [2 3 0]`},
		{"dimension 0 in front", info(tensor("a", f32, 0, 0, 1<<63, 4)), `a dimension of 0`},
		{"dimension 2^64-1", info(tensor("a", f32, 0, math.MaxUint64)), `are too large`},
		{"product wraps to 0", info(tensor("a", f32, 0, 1<<32, 1<<32)), `[4294967296 4294967296] values of type F32 are too large`},
		{"product wraps to 8", info(tensor("a", f32, 0, 4194305, 4194305, 211106198978564)), `are too large`},
		{"product times type wraps", info(tensor("a", f32, 0, 1<<62, 1)), `are too large`},
		{"blocks fit, values do not", info(tensor("a", q4, 0, 1<<62, 2)), `are too large`},
		{"bytes of 2^63", info(tensor("a", f32, 0, 1<<61)), `are too large`},
		{"type 4, removed", info(tensor("a", 4, 0, 32)), `tensor "a": type 4 is not known`},
		{"type 2^32-1", info(tensor("a", math.MaxUint32, 0, 32)), `type 4294967295 is not known`},
		{"no whole block", info(tensor("a", q4, 0, 33)), `rows of 33 values are no whole number of Q4_0 blocks of 32`},
		{"whole blocks only in all", info(tensor("a", q4, 0, 16, 2)), `rows of 16 values are no whole number of Q4_0 blocks of 32`},
		{"no whole super-block", info(tensor("a", q4K, 0, 128, 2)), `rows of 128 values are no whole number of Q4_K blocks of 256`},
		{"block without dimensions", info(tensor("a", q4, 0)), `rows of 1 values are no whole number of Q4_0 blocks`},
		{"info cut", begin(3, 1, 0) + tensor("abc", f32, 0, 2)[:30], `tensor "abc": byte`},

		// Places
		{"offset not aligned", info(tensor("a", f32, 8, 2)), `tensor "a": offset 8 is no multiple of the alignment of 32`},
		{"offset not aligned as the file says", file([]string{align(64)}, []string{tensor("a", f32, 0, 2), tensor("b", f32, 32, 2)}, 96), `offset 32 is no multiple of the alignment of 64`},
		{"offset 2^63", info(tensor("a", f32, 1<<63, 2)), `tensor "a": offset 9223372036854775808 is too large`},
		{"offset 2^64-32", info(tensor("a", f32, math.MaxUint64-31, 2)), `is too large`},
		{"offset plus size wraps", info(tensor("a", f32, 1<<63-32, 2)), `tensor "a": 8 bytes at 9223372036854775776, but the file has 24 bytes of data`},
		{"behind the end", info(tensor("a", f32, 32, 2)), `8 bytes at 32, but the file has 24 bytes of data`},
		{"over the end", info(tensor("a", f32, 0, 7)), `tensor "a": 28 bytes at 0, but the file has 24 bytes of data: it is cut short`},
		{"no data", file(keys, some, 0), `but the file has 0 bytes of data`},
		{"same bytes twice", file(keys, []string{tensor("a", f32, 0, 2), tensor("b", f32, 0, 2)}, 24), `tensor "b": begins at 0, inside tensor "a", which ends at 8`},
		{"overlap", file(keys, []string{tensor("b", f32, 32, 2), tensor("a", f32, 0, 9)}, 64), `tensor "b": begins at 32, inside tensor "a", which ends at 36`},
		{"one inside another", file(keys, []string{tensor("a", f32, 0, 24), tensor("b", f32, 32, 1)}, 96), `tensor "b": begins at 32, inside tensor "a"`},
	}
}

func TestBadFiles(t *testing.T) {
	for _, c := range badFiles() {
		_, err := parse([]byte(c.content), int64(len(c.content)))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, err, c.want)
		}
		if len(err.Error()) > 500 {
			t.Errorf("%s: error of %d bytes", c.name, len(err.Error()))
		}
		var format weights.FormatError
		var unsupported weights.UnsupportedError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) {
			t.Errorf("%s: %T is neither FormatError nor UnsupportedError", c.name, err)
		}
	}
}

// goodFiles are the kinds that must be let through.
func goodFiles() map[string]string {
	big := make([]string, 0, 100)
	for i := range 100 {
		big = append(big, key(strings.Repeat("k", i+1), kindBool, "\x01"))
	}
	return map[string]string{
		"nothing in it":         begin(3, 0, 0),
		"version 2":             begin(2, 0, 0),
		"one key":               file(keys, nil, 0),
		"bytes behind":          file(keys, nil, 100),
		"one tensor":            file(keys, some, 24),
		"last one padded":       file(keys, some, 32),
		"no keys":               file(nil, some, 24),
		"many keys":             file(big, some, 24),
		"every kind":            file(everyKind(), nil, 0),
		"empty arrays":          file([]string{array("a", kindString, 0, ""), array("b", kindFloat32, 0, "")}, nil, 0),
		"empty strings":         file([]string{array("a", kindString, 3, str("")+str("")+str("")), key("b", kindString, str(""))}, nil, 0),
		"string not UTF-8":      file([]string{key("a", kindString, str("\xff"))}, nil, 0), // refused when it is asked for
		"alignment 1":           file([]string{align(1)}, []string{tensor("a", f32, 0, 1), tensor("b", f32, 4, 1)}, 8+32),
		"alignment 64 Ki":       file([]string{align(1 << 16)}, nil, 0),
		"no dimensions":         file(keys, []string{tensor("a", f32, 0)}, 4),
		"four dimensions":       file(keys, []string{tensor("a", bf16, 0, 1, 2, 3, 4)}, 48),
		"blocks":                file(keys, []string{tensor("a", q4, 0, 64, 3), tensor("b", q4K, 224, 256)}, 224+144),
		"not in order, a hole":  file(keys, []string{tensor("a", f32, 64, 2), tensor("b", f32, 0, 2)}, 72),
		"longest name":          file(keys, []string{tensor(strings.Repeat("x", maxName), f32, 0, 2)}, 8),
		"name not ASCII":        file(keys, []string{tensor("▁ä", f32, 0, 2)}, 8),
		"type without a reader": file(keys, []string{tensor("a", 16, 0, 256)}, 66),
	}
}

// everyKind has a key of each kind, and an array of each.
func everyKind() (list []string) {
	for k := range kinds {
		k := kind(k)
		switch {
		case k == kindArray:
		case k == kindString:
			list = append(list, key("string", k, str("x")), array("array of string", k, 2, str("x")+str("y")))
		default:
			one := "\x01" + strings.Repeat("\x00", int(kinds[k].size)-1)
			list = append(list, key(k.String(), k, one), array("array of "+k.String(), k, 2, one+one))
		}
	}
	return list
}

func TestGoodFiles(t *testing.T) {
	for name, content := range goodFiles() {
		h, err := parse([]byte(content), int64(len(content)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, k := range h.Keys() {
			if name == "every kind" && h.Kind(k) != k {
				t.Errorf("key %s is of kind %s", k, h.Kind(k))
			}
		}
	}
}

// A file cut anywhere is refused, sound or not before; a file with a changed byte is
// refused or read, and nothing worse.
func TestCutAndChangedFiles(t *testing.T) {
	var all []string
	for _, c := range badFiles() {
		all = append(all, c.content)
	}
	for name, c := range goodFiles() {
		all = append(all, c)
		h, err := parse([]byte(c), int64(len(c)))
		if err != nil {
			t.Fatal(name, err)
		}
		end := h.dataAt // where the last byte is that something needs
		for _, e := range h.infos {
			end = max(end, h.dataAt+e.offset+e.size)
		}
		if len(h.infos) == 0 {
			continue // may end without padding
		}
		for n := range end {
			if _, err := parse([]byte(c[:n]), n); err == nil {
				t.Errorf("%s: accepted with %d of %d bytes", name, n, end)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range all {
		if len(c) > 4096 {
			continue
		}
		for range 200 {
			b := []byte(c)
			for range 1 + r.IntN(3) {
				if len(b) > 0 {
					b[r.IntN(len(b))] = byte(r.Uint32())
				}
			}
			check(t, b)
		}
	}
}

// allocated returns the bytes allocated since the start, without stopping the world.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// check parses b and holds what is accepted to what File relies on.
func check(t *testing.T, b []byte) {
	before := allocated()
	h, err := parse(b, int64(len(b)))
	// An info of 26 bytes becomes one of 112, two map entries and its strings; 1 MB is for
	// what else the test process does.
	if n := allocated() - before; n > uint64(30*len(b)+1<<20) {
		t.Errorf("file of %d bytes took %d bytes of memory", len(b), n)
	}
	if err != nil {
		return
	}
	places := slices.Clone(h.infos)
	slices.SortFunc(places, func(a, b info) int { return int(a.offset - b.offset) })
	end := int64(0)
	for _, e := range places {
		if e.offset < end || e.size <= 0 || h.dataAt+e.offset+e.size > int64(len(b)) {
			t.Fatalf("%q: %d bytes at %d after %d, in a file of %d", e.name, e.size, e.offset, end, len(b))
		}
		end = e.offset + e.size
	}
	for _, k := range h.Keys() { // none may panic, whatever the kind
		h.Uint(k)
		h.Float(k)
		h.Bool(k)
		h.String(k)
		h.Uints(k)
		h.Floats(k)
		h.Bools(k)
		h.Strings(k)
	}
}

// FuzzHeader: no panic, no more memory than a small multiple of the file, and tensors
// that lie inside the file, apart from each other.
func FuzzHeader(f *testing.F) {
	for _, c := range badFiles() {
		if len(c.content) < 10_000 {
			f.Add([]byte(c.content))
		}
	}
	for _, c := range goodFiles() {
		if len(c) < 10_000 {
			f.Add([]byte(c))
		}
	}
	f.Fuzz(check)
}
