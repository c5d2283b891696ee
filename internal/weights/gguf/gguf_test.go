package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/weights"
	"facet/internal/weights/safetensors"
)

// open opens a file for the length of the test.
func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What llama.cpp's converter writes, against the checkpoint that it read.
func TestConvertedFile(t *testing.T) {
	f := open(t, fixtures.Path("golden/gguf/tiny-e-bf16.gguf"))
	if arch, ok, err := f.String("general.architecture"); arch != "gemma4" || !ok || err != nil {
		t.Errorf("architecture %q, %v, %v", arch, ok, err)
	}
	if n, ok, err := f.Uint("gemma4.attention.sliding_window"); n != 24 || !ok || err != nil {
		t.Errorf("sliding window %d, %v, %v", n, ok, err)
	}
	if ffn, _, err := f.Uints("gemma4.feed_forward_length"); err != nil || !slices.Equal(ffn, []uint64{80, 80, 80, 80, 160, 160, 160, 160}) {
		t.Errorf("feed_forward_length %v, %v", ffn, err)
	}
	if eps, _, err := f.Float("gemma4.attention.layer_norm_rms_epsilon"); err != nil || float32(eps) != 1e-6 {
		t.Errorf("epsilon %g, %v", eps, err)
	}
	if tokens, _, err := f.Strings("tokenizer.ggml.tokens"); err != nil || len(tokens) != 1024 || tokens[2] != "<bos>" {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	if f.Size() != 759456 || len(f.Names()) != 142 {
		t.Errorf("%d tensors in %d bytes", len(f.Names()), f.Size())
	}
	src, err := safetensors.Open(fixtures.Path("golden/checkpoints/tiny-e"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for theirs, name := range map[string]string{
		"token_embd.weight":     "model.language_model.embed_tokens.weight",
		"blk.7.ffn_down.weight": "model.language_model.layers.7.mlp.down_proj.weight",
	} {
		got, _ := f.Tensor(theirs)
		want, _ := src.Tensor(name)
		if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s: %s %v, want %s %v, or other values", theirs, got.DType, got.Shape, want.DType, want.Shape)
		}
		b := make([]byte, 100) // by the other way
		if _, err := got.ReadAt(b, 50); err != nil || !bytes.Equal(b, want.Data[50:150]) {
			t.Errorf("%s: ReadAt: %v, or other values", theirs, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	write := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, want string }{
		{"broken", write("x.gguf", "GGUF\x03"), `x.gguf: byte 4`},
		{"empty", write("x.gguf", ""), `x.gguf: byte 0`},
		{"a folder", t.TempDir(), `not a regular file`},
		{"a pickle", write("x.gguf", "\x80\x04\x95......."), `x.gguf: begins with "\x80\x04\x95."`},
	} {
		if _, err := Open(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	for _, name := range []string{"none.gguf", "none-00002-of-00003.gguf"} {
		if _, err := Open(filepath.Join(t.TempDir(), name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Values read by every method, of which the fitting ones give the value and the rest an
// error that names the key.
func TestMetadataKinds(t *testing.T) {
	h, err := parse([]byte(file([]string{
		key("u8", kindUint8, "\xff"), key("i64", kindInt64, u64(7)), key("-1", kindInt32, u32(math.MaxUint32)),
		key("f32", kindFloat32, u32(math.Float32bits(0.5))), key("f64", kindFloat64, u64(math.Float64bits(-2))),
		key("true", kindBool, "\x01"), key("bool of 2", kindBool, "\x02"),
		key("text", kindString, str("ä")), key("not UTF-8", kindString, str("\xff")),
		array("ints", kindInt8, 2, "\x01\x02"), array("negative", kindInt16, 2, "\x01\x00\xff\xff"),
		array("i8", kindInt8, 4, "1234"), array("floats", kindFloat32, 1, u32(math.Float32bits(3))),
		array("bools", kindBool, 2, "\x00\x01"), array("bools of 2", kindBool, 2, "\x00\x02"),
		array("texts", kindString, 2, str("")+str("b")), array("bad texts", kindString, 2, str("a")+str("\xc0")),
		array("none", kindString, 0, ""),
	}, nil, 0)), 0)
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]func(string) (any, bool, error){
		"Uint":    func(k string) (any, bool, error) { return boxed(h.Uint(k)) },
		"Float":   func(k string) (any, bool, error) { return boxed(h.Float(k)) },
		"Bool":    func(k string) (any, bool, error) { return boxed(h.Bool(k)) },
		"String":  func(k string) (any, bool, error) { return boxed(h.String(k)) },
		"Uints":   func(k string) (any, bool, error) { return boxed(h.Uints(k)) },
		"Floats":  func(k string) (any, bool, error) { return boxed(h.Floats(k)) },
		"Bools":   func(k string) (any, bool, error) { return boxed(h.Bools(k)) },
		"Strings": func(k string) (any, bool, error) { return boxed(h.Strings(k)) },
	}
	want := map[string]map[string]any{ // key → method → value; the others fail
		"u8": {"Uint": uint64(255)}, "i64": {"Uint": uint64(7)}, "-1": {},
		"f32": {"Float": 0.5}, "f64": {"Float": -2.0}, "true": {"Bool": true}, "bool of 2": {},
		"text": {"String": "ä"}, "not UTF-8": {},
		"ints": {"Uints": []uint64{1, 2}}, "negative": {}, "i8": {"Uints": []uint64{'1', '2', '3', '4'}},
		"floats": {"Floats": []float64{3}}, "bools": {"Bools": []bool{false, true}}, "bools of 2": {},
		"texts": {"Strings": []string{"", "b"}}, "bad texts": {}, "none": {"Strings": []string{}},
	}
	for key, values := range want {
		if !h.Has(key) {
			t.Errorf("no key %s", key)
		}
		for method, read := range methods {
			got, ok, err := read(key)
			w, fits := values[method]
			switch {
			case fits && (err != nil || !ok || !reflect.DeepEqual(got, w)):
				t.Errorf("%s of %s: got %v, %v, %v, want %v", method, key, got, ok, err, w)
			case key == "none" && slices.Contains([]string{"Uints", "Floats", "Bools"}, method): // an empty array is one of anything
			case !fits && (err == nil || ok || !strings.Contains(err.Error(), fmt.Sprintf("key %q", key))):
				t.Errorf("%s of %s: got %v, %v, %v, want an error that names the key", method, key, got, ok, err)
			}
		}
	}
	for method, read := range methods {
		if _, ok, err := read("absent"); ok || err != nil {
			t.Errorf("%s of an absent key: %v, %v", method, ok, err)
		}
	}
	if h.Len("texts") != 2 || h.Len("u8") != 1 || h.Len("absent") != 0 || h.Has("absent") || h.Kind("absent") != "" {
		t.Errorf("lengths %d, %d, %d; kind %q", h.Len("texts"), h.Len("u8"), h.Len("absent"), h.Kind("absent"))
	}
	if keys := h.Keys(); len(keys) != len(want) || keys[0] != "u8" {
		t.Errorf("keys %v", keys)
	}
}

func boxed[T any](v T, ok bool, err error) (any, bool, error) { return v, ok, err }

// sample is metadata and tensors of every kind that can be written.
func sample() ([]KV, []Tensor) {
	metadata := []KV{
		{"general.architecture", "gemma4"},
		{"u8", uint8(1)}, {"u16", uint16(2)}, {"u32", uint32(3)}, {"u64", uint64(4)},
		{"i8", int8(5)}, {"i16", int16(6)}, {"i32", int32(7)}, {"i64", int64(8)},
		{"f32", float32(0.5)}, {"f64", 0.25}, {"bool", true}, {"text", "▁ä"},
		{"u8s", []uint8{1, 2}}, {"u16s", []uint16{1, 2}}, {"u32s", []uint32{1, 2}}, {"u64s", []uint64{1, 2}},
		{"i8s", []int8{1, 2}}, {"i16s", []int16{1, 2}}, {"i32s", []int32{1, 2}}, {"i64s", []int64{1, 2}},
		{"f32s", []float32{1, 2}}, {"f64s", []float64{1, 2}}, {"bools", []bool{true, false}}, {"texts", []string{"", "b", "▁"}},
		{"none", []string{}},
	}
	return metadata, []Tensor{
		of("b", "F32", 24, 2, 3), of("a.weight", "Q4_0", 3*36, 3, 64), of("scalar", "F32", 4), of("c", "Q6_K", 210, 1, 1, 256), of("d", "BF16", 2, 1),
	}
}

// of is a tensor of size bytes that begin with its name.
func of(name, dtype string, size int, shape ...int) Tensor {
	data := slices.Repeat([]byte(name), size)[:size]
	return Tensor{name, dtype, shape, func(w io.Writer) error { _, err := w.Write(data); return err }}
}

func TestWrite(t *testing.T) {
	for _, alignment := range []int{0, 1, 8, 4096} {
		metadata, tensors := sample()
		if alignment > 0 {
			metadata = append(metadata, KV{alignmentKey, uint32(alignment)})
		}
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := Write(path, metadata, tensors); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		checkSample(t, f, len(metadata))
		if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 1 {
			t.Errorf("left %v", list)
		}
	}
}

func checkSample(t *testing.T, f *File, keys int) {
	t.Helper()
	if len(f.Keys()) != keys || f.Keys()[0] != "general.architecture" {
		t.Errorf("keys %v", f.Keys())
	}
	for i, k := range []string{"u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"} {
		if n, ok, err := f.Uint(k); n != uint64(i+1) || !ok || err != nil || f.Kind(k) != k {
			t.Errorf("%s: %d, %v, %v, of kind %s", k, n, ok, err, f.Kind(k))
		}
		if n, ok, err := f.Uints(k + "s"); !slices.Equal(n, []uint64{1, 2}) || !ok || err != nil {
			t.Errorf("%ss: %d, %v, %v", k, n, ok, err)
		}
	}
	f32, _, _ := f.Float("f32")
	f64, _, _ := f.Float("f64")
	f32s, _, _ := f.Floats("f32s")
	f64s, _, _ := f.Floats("f64s")
	if f32 != 0.5 || f64 != 0.25 || !slices.Equal(f32s, []float64{1, 2}) || !slices.Equal(f64s, []float64{1, 2}) {
		t.Errorf("floats %g, %g, %v, %v", f32, f64, f32s, f64s)
	}
	flag, _, _ := f.Bool("bool")
	flags, _, _ := f.Bools("bools")
	text, _, _ := f.String("text")
	texts, _, _ := f.Strings("texts")
	none, ok, err := f.Strings("none")
	if !flag || !slices.Equal(flags, []bool{true, false}) || text != "▁ä" || !slices.Equal(texts, []string{"", "b", "▁"}) || len(none) != 0 || !ok || err != nil {
		t.Errorf("%v, %v, %q, %q, %q, %v, %v", flag, flags, text, texts, none, ok, err)
	}
	_, tensors := sample()
	for _, want := range tensors {
		var data bytes.Buffer
		want.Write(&data)
		got, ok := f.Tensor(want.Name)
		if !ok || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, data.Bytes()) {
			t.Errorf("%s: %v, %s %v of %d bytes, want %s %v of %d", want.Name, ok, got.DType, got.Shape, len(got.Data), want.DType, want.Shape, data.Len())
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	with := func(x Tensor) []Tensor { _, list := sample(); return append(list, x) }
	failing := Tensor{"x", "F32", []int{1}, func(io.Writer) error { return io.ErrUnexpectedEOF }}
	for _, c := range []struct {
		name     string
		metadata []KV
		tensors  []Tensor
		want     string
	}{
		{"too few bytes", nil, with(of("x", "F32", 3, 1)), `tensor "x": F32 [1] takes 4 bytes, 3 were written`},
		{"too many bytes", nil, with(of("x", "F32", 5, 1)), `tensor "x": F32 [1] takes 4 bytes, 5 were written`},
		{"type unknown", nil, with(of("x", "Q7_7", 5, 1)), `tensor "x": type "Q7_7" is not known`},
		{"no whole block", nil, with(of("x", "Q4_0", 18, 31)), `tensor "x": rows of 31 values`},
		{"dimension negative", nil, with(of("x", "F32", 4, -1)), `tensor "x": a negative dimension in shape [-1]`},
		{"dimension 0", nil, with(of("x", "F32", 0, 0)), `a dimension of 0`},
		{"five dimensions", nil, with(of("x", "F32", 4, 1, 1, 1, 1, 1)), `5 dimensions`},
		{"too large", nil, with(of("x", "F32", 4, math.MaxInt, 2)), `too large`},
		{"tensor twice", nil, with(of("b", "F32", 4, 1)), `tensor "b" is there twice`},
		{"tensor without a name", nil, with(of("", "F32", 0, 1)), `without a name`},
		{"key twice", []KV{{"a", true}, {"a", true}}, nil, `key "a" is there twice`},
		{"key without a name", []KV{{"", true}, {"a", "text"}}, nil, `without a name`},
		{"alignment 3", []KV{{alignmentKey, uint32(3)}}, nil, `want a power of two`},
		{"alignment an i32", []KV{{alignmentKey, int32(32)}}, nil, `want a u32`},
		{"no values", nil, with(failing), `tensor "x": unexpected EOF`},
	} {
		dir := t.TempDir()
		err := Write(filepath.Join(dir, "x.gguf"), c.metadata, c.tensors)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.gguf") {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if list, _ := os.ReadDir(dir); len(list) > 0 {
			t.Errorf("%s: left %v", c.name, list)
		}
	}
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), `key "a": a value of type int`) {
			t.Errorf("a value of a wrong type: %v", r)
		}
	}()
	Write(filepath.Join(t.TempDir(), "x.gguf"), []KV{{"a", 1}}, nil)
}

// sharded writes a file in three shards, after change, and returns their paths.
func sharded(t *testing.T, change func(i int, metadata []KV, tensors []Tensor) ([]KV, []Tensor)) []string {
	t.Helper()
	dir := t.TempDir()
	all, tensors := sample()
	cuts := []int{0, 2, 3, len(tensors)}
	var paths []string
	for i := range 3 {
		metadata := []KV{{splitNo, uint16(i)}, {splitCount, uint16(3)}, {splitTensors, int32(len(tensors))}}
		if i == 0 {
			metadata = append(slices.Clone(all), metadata...)
		}
		part := tensors[cuts[i]:cuts[i+1]]
		if change != nil {
			metadata, part = change(i, metadata, part)
		}
		path := filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", i+1))
		if err := Write(path, metadata, part); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestShards(t *testing.T) {
	paths := sharded(t, nil)
	for _, path := range paths { // any of them opens all
		f := open(t, path)
		checkSample(t, f, 29)
		if !slices.Equal(f.Files(), paths) || f.Path() != path {
			t.Errorf("files %v, path %s", f.Files(), f.Path())
		}
	}
}

func TestBadShards(t *testing.T) {
	// set replaces a key in shard i, or removes it where v is nil.
	set := func(i int, key string, v any) func(int, []KV, []Tensor) ([]KV, []Tensor) {
		return func(n int, metadata []KV, tensors []Tensor) ([]KV, []Tensor) {
			if n == i {
				metadata = slices.DeleteFunc(slices.Clone(metadata), func(kv KV) bool { return kv.Key == key })
				if v != nil {
					metadata = append(metadata, KV{key, v})
				}
			}
			return metadata, tensors
		}
	}
	for _, c := range []struct {
		name   string
		change func(int, []KV, []Tensor) ([]KV, []Tensor)
		want   string
	}{
		{"number wrong", set(1, splitNo, uint16(2)), `m-00002-of-00003.gguf: key "split.no" is 2, but the file's name says 1`},
		{"count wrong", set(2, splitCount, uint16(4)), `m-00003-of-00003.gguf: key "split.count" is 4, but the file's name says 3`},
		{"count 0", set(2, splitCount, uint16(0)), `key "split.count" is 0`},
		{"number missing", set(0, splitNo, nil), `m-00001-of-00003.gguf: key "split.no" is missing`},
		{"count missing", set(1, splitCount, nil), `key "split.count" is missing`},
		{"number a string", set(1, splitNo, "1"), `key "split.no" is of kind string, want an integer`},
		{"tensors missing", set(0, splitTensors, int32(6)), `key "split.tensors.count" is 6, but the shards hold 5 tensors`},
		{"tensor in two", func(i int, m []KV, x []Tensor) ([]KV, []Tensor) {
			if i == 2 {
				x = append(slices.Clone(x), of("b", "F32", 4, 1))
			}
			return m, x
		}, `m-00003-of-00003.gguf: tensor "b" is in an earlier shard as well`},
	} {
		paths := sharded(t, c.change)
		_, err := Open(paths[1])
		var format weights.FormatError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &format) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}

	paths := sharded(t, nil)
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(paths[0]); err == nil || !strings.Contains(err.Error(), `shard "m-00002-of-00003.gguf" is missing`) {
		t.Errorf("a shard missing: %v", err)
	}
	if _, err := Open(paths[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the shard asked for missing: %v", err)
	}
	renamed := filepath.Join(filepath.Dir(paths[0]), "whole.gguf")
	if err := os.Rename(paths[0], renamed); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(renamed); err == nil || !strings.Contains(err.Error(), `key "split.count" is 3, but the file's name says 1`) {
		t.Errorf("a shard renamed: %v", err)
	}
	for _, name := range []string{"m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-00001-of-99999.gguf"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Write(path, nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "by its name") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A whole file may have what merging shards leaves in it.
func TestMergedShards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	metadata, tensors := sample()
	metadata = append(metadata, KV{splitCount, uint16(0)}, KV{splitTensors, int32(len(tensors))})
	if err := Write(path, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// released writes a file with a vocabulary as large as Gemma 4's.
func released(b *testing.B) string {
	tokens := make([]string, 262_144)
	types := make([]int32, len(tokens))
	scores := make([]float32, len(tokens))
	for i := range tokens {
		tokens[i] = fmt.Sprintf("▁token%d", i)
	}
	merges := make([]string, 514_906)
	for i := range merges {
		merges[i] = fmt.Sprintf("▁left%d right", i)
	}
	path := filepath.Join(b.TempDir(), "x.gguf")
	err := Write(path, []KV{{"tokens", tokens}, {"types", types}, {"scores", scores}, {"merges", merges}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return path
}

func BenchmarkOpen(b *testing.B) {
	path := released(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkVocabulary(b *testing.B) {
	f := open(b, released(b))
	b.ReportAllocs()
	for b.Loop() {
		tokens, _, err := f.Strings("tokens")
		if err != nil {
			b.Fatal(err)
		}
		merges, _, err := f.Strings("merges")
		if err != nil {
			b.Fatal(err)
		}
		types, _, err := f.Uints("types")
		if err != nil || len(tokens)+len(merges)+len(types) == 0 {
			b.Fatal(err)
		}
	}
}

// A number that is read and written in the file's byte order wherever this runs.
func TestByteOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := Write(path, []KV{{"a", uint32(0x01020304)}}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(b, []byte{4, 3, 2, 1}) || binary.LittleEndian.Uint32(b[4:]) != 3 {
		t.Errorf("% x, %v", b, err)
	}
}
