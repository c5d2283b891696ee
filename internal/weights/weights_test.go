package weights

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The kinds of file that can run code or hold one that does, by their first bytes.
var pickles = map[string]string{
	"pickle protocol 2":         "\x80\x02}q\x00X\x01\x00\x00\x00aq\x01",
	"pickle protocol 3":         "\x80\x03}q\x00X\x01\x00\x00\x00aq\x01",
	"pickle protocol 4":         "\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}",
	"pickle protocol 5":         "\x80\x05\x95\x10\x00\x00\x00\x00\x00\x00\x00}",
	"pickle protocol 0":         "(dp0\nVa\np1\nI1\ns.",
	"pickle protocol 0, a call": "cos\nsystem\n(S'true'\ntR.",
	"pickle, builtins":          "c__builtin__\neval\n(S'1'\ntR.",
	"pickle, torch":             "ctorch._utils\n_rebuild_tensor_v2\n",
	"PyTorch zip":               "PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl",
	"empty zip":                 "PK\x05\x06" + strings.Repeat("\x00", 18),
	"PyTorch tar":               "sys_info" + strings.Repeat("\x00", 249) + "ustar\x0000" + strings.Repeat("\x00", 248),
	"gzip":                      "\x1f\x8b\x08\x00\x00\x00\x00\x00",
	"bzip2":                     "BZh91AY&SY",
	"xz":                        "\xfd7zXZ\x00\x00\x04",
	"zstandard":                 "\x28\xb5\x2f\xfd\x04\x00\x01\x00",
	"7z":                        "7z\xbc\xaf\x27\x1c\x00\x04",
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPicklesAreRefused(t *testing.T) {
	for kind, content := range pickles {
		for _, name := range []string{"model.safetensors", "pytorch_model.bin", "x.pt", "x.ckpt", "x"} {
			path := writeFile(t, name, content)
			err := Sniff(path)
			var unsupported UnsupportedError
			if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "can run code") {
				t.Errorf("%s as %s: got %v", kind, name, err)
			}
		}
	}
}

func TestSniff(t *testing.T) {
	header := "\x02\x00\x00\x00\x00\x00\x00\x00{}"
	cases := []struct{ name, content, want string }{
		{"model.safetensors", header, ""},
		{"no ending", header, ""},
		{"empty.safetensors", "", ""}, // for the format to judge
		{"like a pickle.safetensors", "\x80\x02\x00\x00\x00\x00\x00\x00{" + strings.Repeat(" ", 639), ""},
		{"pickle by name.bin", header, "can run code"},
		{"PICKLE.PTH", header, "can run code"},
		{"pickle.PKL", "\x00", "can run code"},
		{"x.gguf", header, "a GGUF file where safetensors"},
		{"x.safetensors", "GGUF\x03\x00\x00\x00", "a GGUF file where safetensors"},
		{"big-endian.safetensors", "FUGG\x00\x00\x00\x03", "a GGUF file where safetensors"},
		{"pointer.safetensors", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
		{"x.h5.safetensors", "\x89HDF\r\n\x1a\n", "HDF5 and NumPy"},
		{"x.npy", "\x93NUMPY\x01\x00", "HDF5 and NumPy"},
	}
	for _, c := range cases {
		err := Sniff(writeFile(t, c.name, c.content))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if err := Sniff(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v", err)
	}
	if err := Sniff(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

func TestMap(t *testing.T) {
	path := writeFile(t, "x", "0123456789")
	m, err := OpenMap(path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Path() != path || m.Size() != 10 || string(m.Bytes()) != "0123456789" {
		t.Errorf("%s, %d bytes, %q", m.Path(), m.Size(), m.Bytes())
	}
	two := make([]byte, 2)
	if n, err := m.ReadAt(two, 8); n != 2 || err != nil && err != io.EOF || string(two) != "89" {
		t.Errorf("ReadAt: %d, %v, %q", n, err, two)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}

	empty, err := OpenMap(writeFile(t, "empty", ""))
	if err != nil {
		t.Fatal(err)
	}
	if empty.Size() != 0 {
		t.Errorf("empty file of %d bytes", empty.Size())
	}
	if err := empty.Close(); err != nil {
		t.Error(err)
	}

	if _, err := OpenMap(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v", err)
	}
	if _, err := OpenMap(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

// A tensor's ReadAt ends where the tensor does, not where the file does.
func TestTensorReadAt(t *testing.T) {
	m, err := OpenMap(writeFile(t, "x", "0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	mapped := NewTensor("mapped", "U8", []int{2, 3}, m, 2, 6)
	last := NewTensor("last", "U8", []int{2, 3}, m, 4, 6)
	plain := Tensor{Name: "plain", DType: "U8", Shape: []int{2, 3}, Data: []byte("234567")}
	for _, x := range []Tensor{mapped, last, plain} {
		if x.Elements() != 6 || x.Bytes() != 6 || cap(x.Data) != 6 {
			t.Errorf("%s: %d elements, %d bytes, room for %d", x.Name, x.Elements(), x.Bytes(), cap(x.Data))
		}
		for off := range int64(8) {
			for n := range 8 {
				got := make([]byte, n)
				read, err := x.ReadAt(got, off)
				want := make([]byte, n)
				wantRead, wantErr := bytes.NewReader(x.Data).ReadAt(want, off) // the contract of io.ReaderAt
				if read != wantRead || err != wantErr || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes at %d: %d, %v, %q, want %d, %v, %q", x.Name, n, off, read, err, got, wantRead, wantErr, want)
				}
			}
		}
		if _, err := x.ReadAt(make([]byte, 1), -1); err == nil {
			t.Errorf("%s: read at -1", x.Name)
		}
	}
	if n := (Tensor{}).Elements(); n != 1 {
		t.Errorf("a scalar has %d elements", n)
	}
}

func TestNewTensorOutside(t *testing.T) {
	m, err := OpenMap(writeFile(t, "x", "0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, at := range [][2]int64{{-1, 1}, {0, 11}, {11, 0}, {10, 1}, {5, -1}, {5, 1<<63 - 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("bytes [%d, +%d) of 10 were taken", at[0], at[1])
				}
			}()
			NewTensor("x", "U8", nil, m, at[0], at[1])
		}()
	}
}

// A file cut short while it is open is an error of ReadAt, which does not touch the map.
func TestReadAtAfterTruncation(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut here")
	}
	path := writeFile(t, "x", strings.Repeat("x", 100_000))
	m, err := OpenMap(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	x := NewTensor("x", "U8", []int{100_000}, m, 0, 100_000)
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := x.ReadAt(make([]byte, 10), 50_000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read of a lost part: %v", err)
	}
}
