package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"facet/internal/weights"
)

// badHeaders are headers over one byte of data, and part of what is said of each.
// They are the fuzzer's seeds as well.
var badHeaders = []struct{ name, header, want string }{
	// The text
	{"empty", ``, `does not begin with '{'`},
	{"array", `[]`, `does not begin with '{'`},
	{"leading space", ` {}`, `does not begin with '{'`},
	{"byte order mark", "\ufeff{}", `does not begin with '{'`},
	{"not UTF-8", "{\"a\xff\":1}", `not UTF-8`},
	{"not UTF-8 in metadata", "{\"__metadata__\":{\"a\":\"\xc0\x80\"}}", `not UTF-8`},
	{"cut after brace", `{`, `byte 1: want '"', found the end`},
	{"cut in key", `{"a`, `byte 3: string without an end`},
	{"cut in escape", `{"a\`, `string without an end`},
	{"cut after key", `{"a"`, `byte 4: want ':', found the end`},
	{"cut in entry", `{"a":{"dtype":"U8"`, `tensor "a": byte 18: want ',' or '}', found the end`},
	{"cut before last brace", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`, `byte 52: want ',' or '}', found the end`},
	{"trailing text", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} x`, `byte 54: 'x' after the end`},
	{"trailing object", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}{}`, `byte 53: '{' after the end`},
	{"trailing newline", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}` + "\n", `'\n' after the end`},
	{"trailing NUL", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}` + "\x00", `'\x00' after the end`},
	{"NUL between", "{\x00}", `byte 1: want '"', found '\x00'`},
	{"trailing comma", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},}`, `byte 53: want '"', found '}'`},
	{"missing comma", `{"a":{"dtype":"U8" "shape":[1],"data_offsets":[0,1]}}`, `byte 19: want ',' or '}', found '"'`},
	{"comma in array", `{"a":{"dtype":"U8","shape":[1,],"data_offsets":[0,1]}}`, `shape: byte 30: want a whole number of 0 or more, found ']'`},
	{"comment", `{/**/}`, `byte 1: want '"', found '/'`},
	{"single quotes", `{'a':1}`, `byte 1: want '"', found '\''`},
	{"key without quotes", `{a:1}`, `byte 1: want '"', found 'a'`},
	{"nested deep", `{"a":` + strings.Repeat("[", 100_000), `tensor "a": byte 5: want '{', found '['`},
	{"nested deep in metadata", `{"__metadata__":` + strings.Repeat(`{"a":`, 100_000), `__metadata__: byte 21: want '"', found '{'`},
	{"newline in string", "{\"a\nb\":1}", `byte 3: control character 0x0a in a string`},
	{"wrong escape", `{"a\q":1}`, `byte 1: string with a wrong escape`},

	// Names
	{"empty name", `{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `empty name`},
	{"NUL in name", `{"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `tensor "a\x00b": NUL in the name`},
	{"half a surrogate pair", `{"a\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `name is not Unicode text`},
	{"long name", `{"` + strings.Repeat("n", 1025) + `":{}}`, `name of more than 1024 bytes`},
	{"name twice", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `byte 53: key "a" is there twice`},
	{"name twice, once escaped", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, `key "a" is there twice`},
	{"too many tensors", "{" + manyEntries(maxKeys+1) + "}", `more than 100000 keys`},

	// Metadata
	{"metadata a string", `{"__metadata__":"pt"}`, `__metadata__: byte 16: want '{', found '"'`},
	{"metadata null", `{"__metadata__":null}`, `__metadata__: byte 16: want '{', found 'n'`},
	{"metadata of numbers", `{"__metadata__":{"a":1}}`, `__metadata__: byte 21: want '"', found '1'`},
	{"metadata of objects", `{"__metadata__":{"a":{}}}`, `__metadata__: byte 21: want '"', found '{'`},
	{"metadata twice", `{"__metadata__":{},"__metadata__":{}}`, `key "__metadata__" is there twice`},
	{"metadata key twice", `{"__metadata__":{"a":"1","a":"2"}}`, `__metadata__: byte 25: key "a" is there twice`},
	{"metadata with a wrong escape", `{"__metadata__":{"a":"\x"}}`, `__metadata__: byte 21: string with a wrong escape`},
	{"metadata only", `{"__metadata__":{"format":"pt"}}`, `the tensors end at 0, the data at 1`},

	// Keys of an entry
	{"entry null", `{"a":null}`, `tensor "a": byte 5: want '{', found 'n'`},
	{"entry a number", `{"a":1}`, `tensor "a": byte 5: want '{', found '1'`},
	{"entry empty", `{"a":{}}`, `tensor "a": dtype, shape and data_offsets are needed`},
	{"no dtype", `{"a":{"shape":[1],"data_offsets":[0,1]}}`, `tensor "a": dtype, shape and data_offsets are needed`},
	{"no shape", `{"a":{"dtype":"U8","data_offsets":[0,1]}}`, `tensor "a": dtype, shape and data_offsets are needed`},
	{"no offsets", `{"a":{"dtype":"U8","shape":[1]}}`, `tensor "a": dtype, shape and data_offsets are needed`},
	{"unknown key", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":[1]}}`, `tensor "a": unknown key "stride"`},
	{"key of another case", `{"a":{"Dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `tensor "a": unknown key "Dtype"`},
	{"dtype twice", `{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, `tensor "a": byte 19: key "dtype" is there twice`},
	{"shape twice", `{"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}}`, `key "shape" is there twice`},
	{"offsets twice", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1]}}`, `key "data_offsets" is there twice`},

	// Data types
	{"dtype unknown", `{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}}`, `tensor "a": dtype "Q4" is not known`},
	{"dtype of another case", `{"a":{"dtype":"u8","shape":[1],"data_offsets":[0,1]}}`, `dtype "u8" is not known`},
	{"dtype empty", `{"a":{"dtype":"","shape":[1],"data_offsets":[0,1]}}`, `dtype "" is not known`},
	{"dtype a number", `{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}`, `tensor "a": dtype: byte 14: want '"', found '8'`},
	{"dtype null", `{"a":{"dtype":null,"shape":[1],"data_offsets":[0,1]}}`, `tensor "a": dtype: byte 14: want '"', found 'n'`},

	// Shapes
	{"shape a number", `{"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}`, `tensor "a": shape: byte 27: want '[', found '1'`},
	{"shape null", `{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}`, `shape: byte 27: want '[', found 'n'`},
	{"dimension negative", `{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, `shape: byte 28: want a whole number of 0 or more, found '-'`},
	{"dimension a fraction", `{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, `shape: byte 29: want a whole number of 0 or more, found '.'`},
	{"dimension with exponent", `{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, `shape: byte 29: want a whole number of 0 or more, found 'e'`},
	{"dimension a string", `{"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}}`, `shape: byte 28: want a whole number of 0 or more, found '"'`},
	{"dimension with leading zero", `{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}`, `shape: byte 28: number with a leading zero`},
	{"dimension of 2^64", `{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}`, `shape: byte 28: number does not fit 64 bits`},
	{"dimension of 2^63", `{"a":{"dtype":"U8","shape":[9223372036854775808, 0],"data_offsets":[0,0]}}`, `is too large`},
	{"dimension of 40 digits", `{"a":{"dtype":"U8","shape":[` + strings.Repeat("9", 40) + `],"data_offsets":[0,1]}}`, `number does not fit 64 bits`},
	{"nine dimensions", `{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, `shape: byte 44: more than 8 numbers`},
	{"product wraps to 1", `{"a":{"dtype":"U8","shape":[7,7905747460161236407],"data_offsets":[0,1]}}`, `shape [7 7905747460161236407] of U8 is too large`},
	{"product wraps to 0", `{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, `tensor "a": shape [4294967296 4294967296] of U8 is too large`},
	{"product times type wraps", `{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, `shape [2305843009213693952] of F64 is too large`},
	{"no whole byte", `{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, `shape [3] of F4 is not a whole number of bytes`},
	{"size too small", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}`, `tensor "a": U8 [2] takes 2 bytes, data_offsets [0 1] hold 1`},
	{"size too large", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,1]}}`, `tensor "a": U8 [0] takes 0 bytes, data_offsets [0 1] hold 1`},
	{"size of another type", `{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,1]}}`, `tensor "a": BF16 [1] takes 2 bytes, data_offsets [0 1] hold 1`},

	// Offsets
	{"one offset", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}`, `tensor "a": data_offsets: 1 numbers, want 2`},
	{"three offsets", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}`, `data_offsets: byte 51: more than 2 numbers`},
	{"end before begin", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, `tensor "a": data_offsets: end 0 before begin 1`},
	{"end outside", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, `tensor "a": data_offsets: end 2, but the file has 1 bytes`},
	{"end of 2^64-1", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}}`, `tensor "a": data_offsets: end 18446744073709551615, but`},
	{"offsets negative", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, `data_offsets: byte 47: want a whole number`},
	{"hole in front", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, `tensor "a": begins at 1, leaving a hole from 0`},
	{"rest behind", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, `the tensors end at 0, the data at 1`},
	{"no tensors", `{}`, `the tensors end at 0, the data at 1`},
	{"overlap", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, `tensor "b": begins at 0, inside tensor "a", which ends at 1`},
}

// manyEntries returns n entries without values.
func manyEntries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestBadHeader(t *testing.T) {
	for _, c := range badHeaders {
		t.Run(c.name, func(t *testing.T) {
			entries, err := parseHeader([]byte(c.header), 1)
			if err == nil {
				t.Fatalf("accepted: %v", entries)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if len(err.Error()) > 500 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			var format weights.FormatError
			var unsupported weights.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Errorf("%T is neither FormatError nor UnsupportedError", err)
			}
		})
	}
}

// The shape that wraps to four values in a C++ reader (4194305² · 211106198978564 ≡ 4 mod 2^64).
func TestShapeThatWrapsToTheRightSize(t *testing.T) {
	header := `{"a":{"dtype":"I32","shape":[4194305,4194305,211106198978564],"data_offsets":[0,16]}}`
	if _, err := parseHeader([]byte(header), 16); err == nil || !strings.Contains(err.Error(), "is too large") {
		t.Errorf("got %v", err)
	}
}

func TestHoleAndOverlapBetween(t *testing.T) {
	tensor := func(name string, begin, end int) string {
		return fmt.Sprintf(`%q:{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}`, name, end-begin, begin, end)
	}
	cases := []struct {
		name    string
		entries []string
		want    string // "" where the header is sound
	}{
		{"in order", []string{tensor("a", 0, 4), tensor("b", 4, 9)}, ""},
		{"not in order", []string{tensor("b", 4, 9), tensor("a", 0, 4)}, ""},
		{"without values at the borders", []string{tensor("x", 0, 0), tensor("a", 0, 4), tensor("y", 4, 4), tensor("b", 4, 9), tensor("z", 9, 9)}, ""},
		{"hole", []string{tensor("a", 0, 4), tensor("b", 5, 9)}, `tensor "b": begins at 5, leaving a hole from 4`},
		{"overlap", []string{tensor("a", 0, 5), tensor("b", 4, 9)}, `tensor "b": begins at 4, inside tensor "a", which ends at 5`},
		{"same bytes twice", []string{tensor("a", 0, 9), tensor("b", 0, 9)}, `tensor "b": begins at 0, inside tensor "a", which ends at 9`},
		{"one inside another", []string{tensor("a", 0, 9), tensor("b", 4, 6)}, `tensor "b": begins at 4, inside tensor "a", which ends at 9`},
		{"without values inside another", []string{tensor("a", 0, 9), tensor("b", 4, 4)}, `tensor "b": begins at 4, inside tensor "a", which ends at 9`},
	}
	for _, c := range cases {
		_, err := parseHeader([]byte("{"+strings.Join(c.entries, ",")+"}"), 9)
		if got := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", c.name, got, c.want)
		}
	}
}

// judge is the slow and obvious check: encoding/json reads the header, and every
// byte of the data is counted.
func judge(header string, dataSize int) bool {
	var h map[string]json.RawMessage
	if json.Unmarshal([]byte(header), &h) != nil {
		return false
	}
	owners := make([]int, dataSize)
	type span struct{ begin, end int }
	var spans []span
	for name, raw := range h {
		if name == metadataKey {
			continue
		}
		var e struct {
			DType   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets []int  `json:"data_offsets"`
		}
		if json.Unmarshal(raw, &e) != nil || len(e.Offsets) != 2 {
			return false
		}
		size := map[string]int{"U8": 1, "BF16": 2, "F32": 4}[e.DType]
		for _, d := range e.Shape {
			if d < 0 {
				return false
			}
			size *= d
		}
		if min(e.Offsets[0], e.Offsets[1], size) < 0 || e.Offsets[1] > dataSize || e.Offsets[1]-e.Offsets[0] != size {
			return false
		}
		for i := e.Offsets[0]; i < e.Offsets[1]; i++ {
			owners[i]++
		}
		spans = append(spans, span{e.Offsets[0], e.Offsets[1]})
	}
	for _, s := range spans { // without values, and inside another
		for _, o := range spans {
			if s.begin == s.end && o.begin < s.begin && s.begin < o.end {
				return false
			}
		}
	}
	return !slices.ContainsFunc(owners, func(n int) bool { return n != 1 })
}

// Random headers, most of them with one or two figures wrong, against the judge.
func TestHeaderAgainstJudge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sound := 0
	const rounds = 20_000
	for range rounds {
		var entries []string
		wrong := func(n int) int { // a figure, off by a little in one of 40 cases
			if r.IntN(40) == 0 {
				return n + r.IntN(5) - 2
			}
			return n
		}
		end := 0
		for i := range 1 + r.IntN(4) {
			shape := []int{r.IntN(4), r.IntN(4)}[:r.IntN(3)]
			dtype := []string{"U8", "BF16", "F32"}[r.IntN(3)]
			size := map[string]int{"U8": 1, "BF16": 2, "F32": 4}[dtype]
			for j := range shape {
				size *= shape[j]
				shape[j] = wrong(shape[j])
			}
			text, _ := json.Marshal(shape)
			entries = append(entries, fmt.Sprintf(`"t%d":{"data_offsets":[%d, %d],"dtype":%q,"shape":%s}`, i, wrong(end), wrong(end+size), dtype, text))
			end += size
		}
		r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		header, dataSize := "{"+strings.Join(entries, ",")+"}", max(0, wrong(end))
		_, err := parseHeader([]byte(header), int64(dataSize))
		if got, want := err == nil, judge(header, dataSize); got != want {
			t.Fatalf("%s over %d bytes: sound %v, want %v (%v)", header, dataSize, got, want, err)
		}
		if err == nil {
			sound++
		}
	}
	if sound < rounds/10 || sound > rounds*9/10 {
		t.Errorf("%d of %d headers were sound: the test has lost its point", sound, rounds)
	}
}

// allocated returns the bytes allocated since the start, without stopping the world.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzHeader: no panic, no more memory than a small multiple of the header, and what
// is accepted covers the data exactly.
func FuzzHeader(f *testing.F) {
	for _, c := range badHeaders {
		if len(c.header) < 10_000 {
			f.Add([]byte(c.header), uint16(1))
		}
	}
	for _, tensors := range [][]weights.Tensor{nil, sample()} {
		header, size, err := formatHeader(tensors)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(header, uint16(size))
	}
	f.Fuzz(func(t *testing.T, header []byte, dataSize uint16) {
		before := allocated()
		entries, err := parseHeader(header, int64(dataSize))
		// An entry of 60 bytes becomes two map entries, a slice element and its strings;
		// 1 MB is for what else the test process does.
		if n := allocated() - before; n > uint64(100*len(header)+1<<20) {
			t.Errorf("header of %d bytes took %d bytes of memory", len(header), n)
		}
		if err != nil {
			return
		}
		at := int64(0)
		for _, e := range entries {
			if e.begin != at || e.end < e.begin || e.name == "" {
				t.Fatalf("%q: [%d, %d) after %d", e.name, e.begin, e.end, at)
			}
			at = e.end
		}
		if at != int64(dataSize) {
			t.Fatalf("covers %d bytes of %d", at, dataSize)
		}
	})
}
