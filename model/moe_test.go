package model

import (
	"bytes"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/internal/quant"
	"facet/internal/tensor"
	"facet/internal/weights/gguf"
)

// splitExperts writes a text file anew in which the gate and up projections of the
// experts are two tensors. change, if not nil, may change them before they are written.
func splitExperts(t *testing.T, from, to string, change func([]gguf.Tensor) []gguf.Tensor) {
	t.Helper()
	f, err := gguf.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var keys []gguf.KV
	for _, key := range f.Keys() {
		keys = append(keys, gguf.KV{Key: key, Value: valueOf(t, f, key)})
	}
	var tensors []gguf.Tensor
	add := func(name, dtype string, shape []int, data []byte) {
		tensors = append(tensors, gguf.Tensor{Name: name, DType: dtype, Shape: shape, Write: func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		}})
	}
	split := 0
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		if !strings.Contains(name, "ffn_gate_up_exps") {
			add(name, x.DType, x.Shape, x.Data)
			continue
		}
		split++
		experts, width := x.Shape[0], x.Shape[1]/2
		half := len(x.Data) / experts / 2
		var both [2][]byte
		for i := range 2 * experts {
			both[i%2] = append(both[i%2], x.Data[i*half:(i+1)*half]...)
		}
		for i, part := range []string{"ffn_gate_exps", "ffn_up_exps"} {
			add(strings.Replace(name, "ffn_gate_up_exps", part, 1), x.DType, []int{experts, width, x.Shape[2]}, both[i])
		}
	}
	if split == 0 {
		t.Fatalf("%s has no experts", from)
	}
	if change != nil {
		tensors = change(tensors)
	}
	if err := gguf.Write(to, keys, tensors); err != nil {
		t.Fatal(err)
	}
}

// A file whose gate and up projections are apart answers as the one it was made from,
// to the last bit, and so does what it is quantised to.
func TestExpertsApart(t *testing.T) {
	dir := t.TempDir()
	apart, again := filepath.Join(dir, "apart.gguf"), filepath.Join(dir, "again.gguf")
	splitExperts(t, textFile("tiny-moe"), apart, nil)
	if _, err := Quantize(t.Context(), apart, again, QuantizeOptions{Type: "bf16"}); err != nil {
		t.Fatal(err)
	}
	for _, precision := range []Precision{Exact, Fast} {
		var want []float32
		for _, path := range []string{textFile("tiny-moe"), apart, again} {
			m, err := Open(path, Options{Threads: 2, Precision: precision})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if fused := m.decoder.layers[0].experts.gateUp != nil; fused != (path == textFile("tiny-moe")) {
				t.Errorf("%s: fused is %v", path, fused)
			}
			p, err := m.RawPrompt("<bos>The committee will meet again<turn|>", Media{})
			if err != nil {
				t.Fatal(err)
			}
			logits, err := m.Logits(p, p.Len())
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = logits
			} else if !slices.Equal(logits, want) {
				t.Errorf("%s in %v: logits differ", path, precision)
			}
		}
	}
}

// What is wrong with such a file is named.
func TestExpertsApartErrors(t *testing.T) {
	// edit changes the tensor of this name, or leaves it out where change says false.
	edit := func(name string, change func(*gguf.Tensor) bool) func([]gguf.Tensor) []gguf.Tensor {
		return func(list []gguf.Tensor) []gguf.Tensor {
			i := slices.IndexFunc(list, func(x gguf.Tensor) bool { return x.Name == name })
			if !change(&list[i]) {
				list = slices.Delete(list, i, i+1)
			}
			return list
		}
	}
	for _, c := range []struct {
		name   string
		change func([]gguf.Tensor) []gguf.Tensor
		want   string
	}{
		{"no up", edit("blk.1.ffn_up_exps.weight", func(*gguf.Tensor) bool { return false }), "layers.1.experts.up_proj is missing"},
		{"no gate", edit("blk.1.ffn_gate_exps.weight", func(*gguf.Tensor) bool { return false }), "layers.1.experts.gate_proj is missing"},
		{"another shape", edit("blk.1.ffn_up_exps.weight", func(x *gguf.Tensor) bool {
			x.Shape = []int{x.Shape[0], x.Shape[2], x.Shape[1]}
			return true
		}), "layers.1.experts.up_proj has shape [8 44 28], want [8 28 44]"},
		{"of an expert fewer", edit("blk.1.ffn_gate_exps.weight", func(x *gguf.Tensor) bool {
			x.Shape = []int{x.Shape[0] - 1, x.Shape[1], x.Shape[2]}
			x.Write = zeros(2 * x.Shape[0] * x.Shape[1] * x.Shape[2])
			return true
		}), "layers.1.experts.gate_proj has shape [7 28 44], want [8 28 44]"},
		{"both ways", func(list []gguf.Tensor) []gguf.Tensor {
			return append(list, gguf.Tensor{Name: "blk.1.ffn_gate_up_exps.weight", DType: "BF16", Shape: []int{8, 56, 44}, Write: zeros(2 * 8 * 56 * 44)})
		}, "layers.1.experts.gate_proj is not one of this model's"},
	} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		splitExperts(t, textFile("tiny-moe"), path, c.change)
		m, err := Open(path, Options{Threads: 1})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func zeros(n int) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(make([]byte, n))); return err }
}

// Repacked for integer products, the two are cut into experts as the one is, also where
// an expert's rows are no whole number of a kernel's groups.
func TestExpertsApartPacked(t *testing.T) {
	const count, width, hidden, rows = 3, 20, 64, 5
	pool := tensor.NewPool(2)
	defer pool.Close()
	format, _ := quant.Named("Q8_0")
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, count*2*width*format.Size(hidden))
	values := make([]float32, hidden)
	size := format.Size(hidden)
	var both [2][]byte
	for o := range count * 2 * width {
		for i := range values {
			values[i] = float32(random.NormFloat64())
		}
		row := data[o*size : (o+1)*size]
		if err := format.Quantize(row, values); err != nil {
			t.Fatal(err)
		}
		part := o / width % 2
		both[part] = append(both[part], row...)
	}
	pack := func(data []byte, out int) tensor.Weight {
		w, err := tensor.Pack(pool, "Q8_0", data, out, hidden, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	fused := &experts{width: width, gateUp: pack(data, count*2*width)}
	apart := &experts{width: width, gate: pack(both[0], count*width), up: pack(both[1], count*width)}
	s := newScratch(pool)
	for e := range count {
		s.moe.in.Reshape(rows, hidden)
		for i := range s.moe.in.Data {
			s.moe.in.Data[i] = float32(random.NormFloat64())
		}
		fused.activate(s, e)
		want := slices.Clone(s.moe.act.Data)
		clear(s.moe.act.Data)
		apart.activate(s, e)
		if !slices.Equal(s.moe.act.Data, want) {
			t.Errorf("expert %d: values differ", e)
		}
	}
}
