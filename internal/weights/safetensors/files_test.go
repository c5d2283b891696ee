//go:build unix

package safetensors

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"facet/internal/strictjson"
	"facet/internal/weights"
)

// folder writes files into a new folder and returns its path.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantError opens path and compares the error.
func wantError(t *testing.T, path string, want ...string) {
	t.Helper()
	src, err := Open(path)
	if err == nil {
		src.Close()
		t.Errorf("%s: opened, want an error with %q", path, want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got  %v\nwant %s", err, w)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("error of more than a line: %q", err)
	}
}

// frame puts a length in front of a header.
func frame(length uint64, rest string) string {
	return string(binary.LittleEndian.AppendUint64(nil, length)) + rest
}

const oneByte = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`

func TestBadFile(t *testing.T) {
	n := uint64(len(oneByte))
	cases := []struct{ name, content, want string }{
		{"empty", "", "0 bytes are too few"},
		{"seven bytes", "1234567", "7 bytes are too few"},
		{"length only", frame(2, ""), "header length 2, but only 0 bytes follow: the file is cut short"},
		{"header of nothing", frame(0, ""), "header: does not begin with '{'"},
		{"header cut", frame(n, oneByte[:20]), "header length 53, but only 20 bytes follow"},
		{"header too long", frame(maxHeader+1, oneByte), "header length 100000001 is over the limit of 100000000 bytes"},
		{"length of 2^63", frame(1<<63, oneByte), "header length 9223372036854775808 is over the limit"},
		{"length of 2^64-1", frame(math.MaxUint64, oneByte), "header length 18446744073709551615 is over the limit"},
		{"data cut", frame(n, oneByte), `header: tensor "a": data_offsets: end 1, but the file has 0 bytes of data`},
		{"data too long", frame(n, oneByte+"xy"), "header: the tensors end at 1, the data at 2"},
		{"terminal codes in a name", frame(27, "{\"\\u001b[2J\\n\":{\"dtype\":1}}"), `tensor "\x1b[2J\n": dtype`},
		{"text", "this is not a checkpoint", "is over the limit of 100000000 bytes: not a safetensors file"},
		{"pickle under a good name", "\x80\x02}q\x00.........", "pickle"},
		{"zip under a good name", "PK\x03\x04..............", "archive"},
		{"GGUF under a good name", "GGUF\x03\x00\x00\x00........", "a GGUF file where safetensors"},
		{"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"},
	}
	for _, c := range cases {
		dir := folder(t, map[string]string{"model.safetensors": c.content})
		wantError(t, dir, filepath.Join(dir, "model.safetensors")+": ", c.want)
	}
}

// A file cut anywhere, or longer than it says, is found.
func TestEveryTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if src, err := Open(path); err == nil {
			src.Close()
			t.Fatalf("cut to %d of %d bytes: opened", n, len(whole))
		}
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	wantError(t, filepath.Join(dir, "none"), "no such file")
	wantError(t, os.DevNull, "not a regular file")

	pipe := filepath.Join(dir, "model.safetensors")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	wantError(t, pipe, pipe, "not a regular file") // and does not wait for a writer
	wantError(t, dir, pipe, "not a regular file")
}

func TestFolderWithoutSafetensors(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{}"})
	wantError(t, dir, dir, "holds neither model.safetensors nor model.safetensors.index.json")

	dir = folder(t, map[string]string{"config.json": "{}", "pytorch_model.bin": "x"})
	wantError(t, dir, "pytorch_model.bin", "pickle", "convert it to safetensors")

	dir = folder(t, map[string]string{"gemma-Q4_0.gguf": "GGUF"})
	wantError(t, dir, "gemma-Q4_0.gguf", "a GGUF file where safetensors")

	dir = t.TempDir() // a folder under the file's name
	if err := os.MkdirAll(filepath.Join(dir, "model.safetensors", "model.safetensors"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantError(t, dir, "holds neither")
}

// sharded writes sample's tensors in two shards and returns the folder and the map.
func sharded(t *testing.T) (dir string, index map[string]string) {
	t.Helper()
	dir, index = t.TempDir(), map[string]string{}
	for name, part := range map[string][]weights.Tensor{"m-1.safetensors": sample()[:2], "m-2.safetensors": sample()[2:]} {
		if err := Write(filepath.Join(dir, name), part); err != nil {
			t.Fatal(err)
		}
		for _, x := range part {
			index[x.Name] = name
		}
	}
	return dir, index
}

func writeIndex(t *testing.T, dir string, index map[string]string) {
	t.Helper()
	if err := WriteIndex(filepath.Join(dir, indexName), index, 19); err != nil {
		t.Fatal(err)
	}
}

func TestShards(t *testing.T) {
	dir, index := sharded(t)
	writeIndex(t, dir, index)
	src, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	checkSame(t, src, sample())
	if len(src.Files()) != 2 {
		t.Errorf("Files %v", src.Files())
	}
	var size int64
	for _, f := range src.Files() {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if src.Size() != size {
		t.Errorf("Size %d, want %d", src.Size(), size)
	}
}

// A hub cache holds links to files elsewhere.
func TestShardsThroughLinks(t *testing.T) {
	dir, index := sharded(t)
	links := t.TempDir()
	for _, shard := range []string{"m-1.safetensors", "m-2.safetensors"} {
		if err := os.Symlink(filepath.Join(dir, shard), filepath.Join(links, shard)); err != nil {
			t.Skip(err)
		}
	}
	writeIndex(t, links, index)
	src, err := Open(links)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	checkSame(t, src, sample())
}

func TestShardsThatDisagree(t *testing.T) {
	cases := []struct {
		name   string
		change func(dir string, index map[string]string) error
		want   string
	}{
		{"shard missing", func(dir string, _ map[string]string) error { return os.Remove(filepath.Join(dir, "m-2.safetensors")) },
			`index.json: shard "m-2.safetensors" is missing`},
		{"tensor not in its shard", func(_ string, index map[string]string) error { index["more"] = "m-1.safetensors"; return nil },
			`index.json: tensor "more" is not in its shard "m-1.safetensors"`},
		{"tensor in another shard", func(_ string, index map[string]string) error { index["b"] = "m-2.safetensors"; return nil },
			`m-1.safetensors: tensor "b" belongs in "m-2.safetensors"`},
		{"tensor not in the index", func(_ string, index map[string]string) error { delete(index, "b"); return nil },
			`m-1.safetensors: tensor "b" is not in model.safetensors.index.json`},
		{"tensor in two shards", func(dir string, _ map[string]string) error {
			return Write(filepath.Join(dir, "m-2.safetensors"), append(sample()[2:], sample()[0]))
		}, `m-2.safetensors: tensor "b" belongs in "m-1.safetensors"`},
		{"shard broken", func(dir string, _ map[string]string) error {
			return os.Truncate(filepath.Join(dir, "m-1.safetensors"), 30)
		}, `m-1.safetensors: header length`},
		{"shard a pickle", func(dir string, _ map[string]string) error {
			return os.WriteFile(filepath.Join(dir, "m-1.safetensors"), []byte("\x80\x04\x95......."), 0o644)
		}, `m-1.safetensors: this is a pickle`},
	}
	for _, c := range cases {
		dir, index := sharded(t)
		if err := c.change(dir, index); err != nil {
			t.Fatal(err)
		}
		writeIndex(t, dir, index)
		wantError(t, dir, c.want)
	}
}

type badIndex struct{ name, content, want string }

// badIndexes are indexes, and part of what is said of each; the fuzzer's seeds as well.
func badIndexes() []badIndex {
	deep := strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth)
	cases := []badIndex{
		{"empty", ``, `byte 0: want '{', found the end`},
		{"array", `[]`, `byte 0: want '{', found '['`},
		{"not UTF-8", "{\"\xff\":1}", `not UTF-8`},
		{"no map", `{"metadata":{}}`, `weight_map is missing or empty`},
		{"map empty", `{"weight_map":{}}`, `weight_map is missing or empty`},
		{"map null", `{"weight_map":null}`, `byte 14: want '{', found 'n'`},
		{"map twice", `{"weight_map":{"a":"x.safetensors"},"weight_map":{"a":"y.safetensors"}}`, `key "weight_map" is there twice`},
		{"tensor twice", `{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`, `key "a" is there twice`},
		{"shard a number", `{"weight_map":{"a":1}}`, `tensor "a": byte 19: want '"', found '1'`},
		{"trailing text", `{"weight_map":{"a":"x.safetensors"}} x`, `byte 37: 'x' after the end`},
		{"trailing NUL", `{"weight_map":{"a":"x.safetensors"}}` + "\x00", `'\x00' after the end`},
		{"metadata no JSON", `{"metadata":{"total_size":1x},"weight_map":{"a":"x.safetensors"}}`, `byte 27: want ',' or '}', found 'x'`},
		{"metadata missing", `{"metadata":}`, `byte 12: want a value, found '}'`},
		{"metadata too deep", `{"metadata":` + deep + `}`, `nested more than 64 deep`},
		{"metadata key twice", `{"metadata":{"a":{"b":1,"b":2}}}`, `key "b" is there twice`},
		{"shard nowhere", `{"weight_map":{"a":"x.safetensors"}}`, `shard "x.safetensors" is missing`},
		{"shard a pickle", `{"weight_map":{"a":"x.bin"}}`, `x.bin: this is a pickle`},
		{"name with NUL", `{"weight_map":{"a\u0000":"x.safetensors"}}`, `NUL in the name`},
	}
	for _, shard := range []string{
		``, `.`, `..`, `../x.safetensors`, `../../etc/passwd`, `/etc/passwd`, `/dev/zero`, `a/x.safetensors`, `a/../x.safetensors`, `./x.safetensors`, `x.safetensors/`,
		`..\\x.safetensors`, `C:\\x.safetensors`, `C:x.safetensors`, `\\\\host\\x`, `x.safetensors:stream`, `file:///etc/passwd`, `http://host/x`, `x\u0000.safetensors`, `\u001b[2J`, `a\nb`, `\ud800`,
	} {
		cases = append(cases, badIndex{"shard " + shard, `{"weight_map":{"a":"` + shard + `"}}`, "is not the name of a file beside the index"})
	}
	return cases
}

func TestBadIndex(t *testing.T) {
	for _, c := range badIndexes() {
		dir := folder(t, map[string]string{indexName: c.content})
		wantError(t, dir, c.want)
	}

	dir := folder(t, map[string]string{indexName: ""})
	if err := os.Truncate(filepath.Join(dir, indexName), maxIndex+1); err != nil {
		t.Fatal(err)
	}
	wantError(t, dir, "more than 41943040 bytes")
}

// FuzzIndex: no panic, and what is accepted names tensors and files beside the index.
func FuzzIndex(f *testing.F) {
	for _, c := range badIndexes() {
		f.Add([]byte(c.content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		shardOf, err := parseIndex(b)
		if err != nil {
			return
		}
		for name, shard := range shardOf {
			if checkName(name) != nil || filepath.Base(shard) != shard || shard == ".." {
				t.Errorf("%q in %q", name, shard)
			}
		}
	})
}

// What writers put beside the map is let through, whatever it says.
func TestIndexMetadata(t *testing.T) {
	for _, metadata := range []string{``, `"metadata":{},`, `"metadata":{"total_size":1.5e3,"x":[true,false,null,"\u00e9",{"y":-0.5}]}, "other":[ ],`} {
		dir := folder(t, map[string]string{
			"x.safetensors": frame(uint64(len(oneByte)), oneByte+"x"),
			indexName:       "{" + metadata + "\n\t\"weight_map\" : { \"a\" : \"x.safetensors\" } }\r\n",
		})
		src, err := Open(dir)
		if err != nil {
			t.Errorf("%s: %v", metadata, err)
			continue
		}
		src.Close()
	}
}

func TestWriteRefuses(t *testing.T) {
	one := func(change func(*weights.Tensor)) []weights.Tensor {
		list := sample()
		change(&list[1])
		return list
	}
	cases := []struct {
		name    string
		tensors []weights.Tensor
		want    string
	}{
		{"data too short", one(func(x *weights.Tensor) { x.Data = x.Data[:7] }), `tensor "a.weight": F32 [2 1] takes 8 bytes, 7 given`},
		{"type unknown", one(func(x *weights.Tensor) { x.DType = "Q4_0" }), `tensor "a.weight": dtype "Q4_0" is not known`},
		{"dimension negative", one(func(x *weights.Tensor) { x.Shape = []int{-2, -1} }), `tensor "a.weight": negative dimension in shape [-2 -1]`},
		{"too large", one(func(x *weights.Tensor) { x.Shape = []int{math.MaxInt, math.MaxInt, 8} }), `is too large`},
		{"name empty", one(func(x *weights.Tensor) { x.Name = "" }), `empty name`},
		{"name twice", one(func(x *weights.Tensor) { x.Name = "b" }), `key "b" is there twice`},
		{"name of the metadata", one(func(x *weights.Tensor) { x.Name = metadataKey }), `__metadata__ is not a tensor's name`},
		{"name not UTF-8", one(func(x *weights.Tensor) { x.Name = "a\xff" }), `name is not Unicode text`},
	}
	for _, c := range cases {
		dir := t.TempDir()
		err := Write(filepath.Join(dir, "x.safetensors"), c.tensors)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if list, _ := os.ReadDir(dir); len(list) > 0 {
			t.Errorf("%s: left %v", c.name, list)
		}
	}
}

// A write that fails late leaves nothing either.
func TestWriteCleansUp(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := os.Mkdir(path, 0o755); err != nil { // a folder cannot be replaced
		t.Fatal(err)
	}
	if err := Write(path, sample()); err == nil {
		t.Error("replaced a folder")
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left %v", list)
	}
}

// An open file keeps its content when another takes its name.
func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := Write(path, sample()[:1]); err != nil {
		t.Fatal(err)
	}
	checkSame(t, src, sample())
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	checkSame(t, again, sample()[:1])
}

func TestWriteSparse(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("more than this system can map")
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	big := weights.Tensor{Name: "big", DType: "BF16", Shape: []int{1 << 15, 1 << 19}} // 32 GiB
	if err := WriteSparse(path, []weights.Tensor{big}); errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EINVAL) {
		t.Skip("no file of this size here:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	got, ok := src.Tensor("big")
	if !ok || got.Bytes() != 1<<35 {
		t.Fatalf("%v, %d bytes", ok, got.Bytes())
	}
	last := []byte{1}
	if _, err := got.ReadAt(last, got.Bytes()-1); err != nil || last[0] != 0 {
		t.Errorf("last byte %d, %v", last[0], err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 { // bytes
		t.Errorf("takes %d bytes of the disk", used)
	}
}
