package safetensors

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/weights"
)

// sample is a checkpoint with the odd cases that are allowed: a scalar, a tensor
// without values, several types, and data that is not aligned to its type.
func sample() []weights.Tensor {
	return []weights.Tensor{
		{Name: "b", DType: "U8", Shape: []int{3}, Data: []byte{1, 2, 3}},
		{Name: "a.weight", DType: "F32", Shape: []int{2, 1}, Data: []byte{4, 5, 6, 7, 8, 9, 10, 11}},
		{Name: "none", DType: "BF16", Shape: []int{0, 7}, Data: nil},
		{Name: "scalar <&>\n\"é", DType: "BF16", Shape: []int{}, Data: []byte{12, 13}},
		{Name: "nibbles", DType: "F4", Shape: []int{2, 3}, Data: []byte{14, 15, 16}},
	}
}

// checkSame reports a tensor of want that src does not hold as it is.
func checkSame(t *testing.T, src weights.Source, want []weights.Tensor) {
	t.Helper()
	if got := len(src.Names()); got != len(want) {
		t.Errorf("%d tensors, want %d: %v", got, len(want), src.Names())
	}
	for _, w := range want {
		g, ok := src.Tensor(w.Name)
		if !ok {
			t.Errorf("%q is missing", w.Name)
			continue
		}
		if g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("%q: got %s %v %v, want %s %v %v", w.Name, g.DType, g.Shape, g.Data, w.DType, w.Shape, w.Data)
		}
		read := make([]byte, len(w.Data))
		if _, err := g.ReadAt(read, 0); len(read) > 0 && err != nil || !bytes.Equal(read, w.Data) {
			t.Errorf("%q: ReadAt gives %v, %v, want %v", w.Name, read, err, w.Data)
		}
	}
}

func TestWriteOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	checkSame(t, src, sample())
	if !slices.IsSorted(src.Names()) {
		t.Errorf("Names are not sorted: %v", src.Names())
	}
	if info, err := os.Stat(path); err != nil || src.Size() != info.Size() {
		t.Errorf("Size %d, file %v, %v", src.Size(), info.Size(), err)
	}
	if f := src.Files(); len(f) != 1 || f[0] != path {
		t.Errorf("Files %v, want %v", f, path)
	}
}

// The released layout, as Hugging Face's writer makes it.
func TestOpenGolden(t *testing.T) {
	for name, want := range map[string]int{"nano": 524, "golden/checkpoints/tiny-e": 461} {
		src, err := Open(fixtures.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(src.Names()); n != want {
			t.Errorf("%s: %d tensors, want %d", name, n, want)
		}
		var sum int64
		for _, n := range src.Names() {
			x, _ := src.Tensor(n)
			sum += x.Bytes()
			if x.DType != "BF16" || x.Bytes() != 2*x.Elements() {
				t.Errorf("%s: %s: %s %v in %d bytes", name, n, x.DType, x.Shape, x.Bytes())
			}
		}
		if left := src.Size() - sum; left < 8 || left > 100_000 {
			t.Errorf("%s: the tensors leave %d bytes to the header", name, left)
		}
		if strings.HasSuffix(name, "tiny-e") { // keys of shared layers are filled with 7 (bfloat16 0x40e0)
			x, ok := src.Tensor("model.language_model.layers.4.self_attn.k_norm.weight")
			if !ok || x.Data[0] != 0xe0 || x.Data[1] != 0x40 {
				t.Errorf("%s: %v, %x", x.Name, ok, x.Data)
			}
		}
		src.Close()
	}
}
