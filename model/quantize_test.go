package model

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/quant"
	"facet/internal/weights"
	"facet/internal/weights/gguf"
	"facet/internal/weights/safetensors"

	"github.com/google/go-cmp/cmp"
)

// quantized writes a checkpoint of the fixtures in a type and returns both files.
func quantized(t *testing.T, src, kind string) (text, mmproj string) {
	t.Helper()
	text = filepath.Join(t.TempDir(), "x-"+kind+".gguf")
	mmproj, err := Quantize(context.Background(), fixtures.Path(src), text, QuantizeOptions{Type: kind, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	return text, mmproj
}

// In bfloat16 both files are those of llama.cpp's converter: every key that it writes but
// the names it derives, and our own, and every tensor but those that shared layers do not use.
func TestQuantizeAsConverter(t *testing.T) {
	for _, name := range converted {
		text, mmproj := quantized(t, "golden/checkpoints/"+name, "bf16")
		for got, want := range map[string]string{text: textFile(name), mmproj: fixtures.Path("golden/gguf/" + name + "-mmproj-bf16.gguf")} {
			compareFiles(t, got, want)
		}
	}
}

func compareFiles(t *testing.T, gotPath, wantPath string) {
	t.Helper()
	got, err := gguf.Open(gotPath)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	want, err := gguf.Open(wantPath)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	name := filepath.Base(wantPath)
	ours := got.Keys()
	for _, key := range want.Keys() {
		if key == "general.name" || key == "general.size_label" {
			continue
		}
		if g, w := got.Kind(key), want.Kind(key); g != w {
			t.Errorf("%s: key %s is of kind %q, want %q", name, key, g, w)
			continue
		}
		g, w := valueOf(t, got, key), valueOf(t, want, key)
		if key == "tokenizer.ggml.token_type" { // <|video|>: see tokenizer.Vocabulary
			g.([]uint64)[23] = w.([]uint64)[23]
		}
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%s: key %s differs: %.500s", name, key, diff)
		}
		ours = slices.DeleteFunc(ours, func(k string) bool { return k == key })
	}
	for _, key := range ours {
		if key != "general.name" && key != "clip.has_audio_encoder" && !strings.HasPrefix(key, "facet.") {
			t.Errorf("%s: key %s is not one of the converter's", name, key)
		}
	}
	for _, n := range want.Names() {
		w, _ := want.Tensor(n)
		g, ok := got.Tensor(n)
		switch {
		case !ok && strings.HasPrefix(name, "tiny-e-bf16") && isSharedKV(n): // layers 4 to 7
		case !ok:
			t.Errorf("%s: no tensor %s", name, n)
		case g.DType != w.DType || !slices.Equal(g.Shape, w.Shape):
			t.Errorf("%s: %s is %s %v, want %s %v", name, n, g.DType, g.Shape, w.DType, w.Shape)
		case strings.HasSuffix(n, "per_dim_scale.weight"): // through a logarithm
			if err := sameValues(g, w); err != nil && !closeValues(t, g.Data, w.Data) {
				t.Errorf("%s: %s: %v", name, n, err)
			}
		case !bytes.Equal(g.Data, w.Data):
			t.Errorf("%s: %s has other bytes", name, n)
		}
	}
	if extra := len(got.Names()) - len(want.Names()); extra > 0 {
		t.Errorf("%s: %d tensors too many", name, extra)
	}
}

func isSharedKV(name string) bool {
	_, layer := withoutLayer(name)
	return layer >= "4" && (strings.Contains(name, "attn_k") || strings.Contains(name, "attn_v"))
}

// closeValues reports whether float32 values differ by a few roundings at most.
func closeValues(t *testing.T, a, b []byte) bool {
	f32, _ := quant.Named("F32")
	x, y := make([]float32, len(a)/4), make([]float32, len(a)/4)
	f32.Dequantize(x, a)
	f32.Dequantize(y, b)
	for i := range x {
		if !(math.Abs(float64(x[i]-y[i])) <= 4e-7*math.Abs(float64(y[i]))) {
			return false
		}
	}
	return true
}

// Every type gives a model that answers nearly as the checkpoint does, the nearer the more
// bits it has; bfloat16 keeps the logits to the last bit.
func TestQuantizeAnswers(t *testing.T) {
	logits := func(path string) []float32 {
		m, err := Open(path, Options{Threads: 2, Precision: Exact})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if !m.HasChat() || m.vision == nil {
			t.Errorf("%s: chat %v, tower %v", path, m.HasChat(), m.vision != nil)
		}
		text := strings.Repeat("Read the text of this page, and say where it is: 1234567890. ", 4)
		p, err := m.RawPrompt("<bos>"+text, Media{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := m.Logits(p, p.Len())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(l)
	}
	want := logits(fixtures.Path("nano"))
	distance := map[string]float64{}
	for _, kind := range QuantizeTypes() {
		text, _ := quantized(t, "nano", kind)
		got := logits(text)
		var sum, all float64
		for i := range want {
			sum += math.Pow(float64(got[i]-want[i]), 2)
			all += math.Pow(float64(want[i]), 2)
		}
		distance[kind] = math.Sqrt(sum / all)
	}
	t.Logf("relative distance of the logits: %v", distance)
	if distance["bf16"] != 0 || !(0 < distance["q8_0"] && distance["q8_0"] < distance["q4_k"] && distance["q4_k"] < distance["q4_0"] && distance["q4_0"] < 0.5) {
		t.Errorf("relative distance of the logits: %v", distance)
	}
}

// What Quantize reads may be a GGUF file as well. Blocks that are in the type already are
// kept, the mix is that of llama.cpp's quantiser, and nothing changes the second time.
func TestQuantizeGGUF(t *testing.T) {
	first, towers := quantized(t, "golden/gguf/small-e-Q4_0.gguf", "q4_0")
	second := filepath.Join(t.TempDir(), filepath.Base(first))
	if _, err := Quantize(context.Background(), first, second, QuantizeOptions{Type: "q4_0"}); err != nil {
		t.Fatal(err)
	}
	if towers != "" {
		t.Errorf("towers from nowhere: %s", towers)
	}
	want, err := gguf.Open(fixtures.Path("golden/gguf/small-e-Q4_0.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	for _, path := range []string{first, second} {
		got, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		for _, name := range got.Names() {
			g, _ := got.Tensor(name)
			w, _ := want.Tensor(name)
			if g.DType != w.DType || !bytes.Equal(g.Data, w.Data) {
				t.Errorf("%s: %s is %s, want %s, or has other bytes", path, name, g.DType, w.DType)
			}
		}
		if missing := len(want.Names()) - len(got.Names()); missing != 3*3 { // keys and values of three layers that share
			t.Errorf("%s: %d tensors left out", path, missing)
		}
	}
}

// The mix of q4_k is that of llama.cpp's Q4_K_M, which is kept as the types of its tensors.
func TestQuantizeMix(t *testing.T) {
	data, err := os.ReadFile(fixtures.Path("golden/gguf/small-e-Q4_K_M.types.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	text, _ := quantized(t, "golden/gguf/small-e-Q4_0.gguf", "q4_k")
	got, err := gguf.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	for _, name := range got.Names() {
		if g, _ := got.Tensor(name); g.DType != want[name] {
			t.Errorf("%s: %s, want %s", name, g.DType, want[name])
		}
	}
	if n, _, _ := got.Uint("general.file_type"); n != 15 {
		t.Errorf("file type %d", n)
	}
}

func TestQuantizeRefuses(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, "x.gguf")
	stopped, stop := context.WithCancel(context.Background())
	stop()
	tiny := fixtures.Path("golden/checkpoints/tiny-e")
	for name, c := range map[string]struct {
		ctx       context.Context
		src, kind string
		dst, want string
	}{
		"another type": {context.Background(), tiny, "q3_k", dst, `type "q3_k": want one of q4_0, q8_0, q4_k, bf16`},
		"no model":     {context.Background(), dir, "q4_0", dst, "no config.json"},
		"no folder":    {context.Background(), tiny, "q4_0", filepath.Join(dir, "none", "x.gguf"), "no such file"},
		"interrupted":  {stopped, tiny, "q4_0", dst, "canceled"},
	} {
		_, err := Quantize(c.ctx, c.src, c.dst, QuantizeOptions{Type: c.kind})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("left %v", list)
	}
}

// A value that the format does not hold is named by its place, and no file is left.
func TestQuantizeNotANumber(t *testing.T) {
	src := copied(t, "golden/checkpoints/tiny-e", "model.safetensors")
	whole, err := safetensors.Open(fixtures.Path("golden/checkpoints/tiny-e"))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	const name = "model.language_model.layers.2.self_attn.o_proj.weight" // [48, 64] in bfloat16
	var tensors []weights.Tensor
	for _, n := range whole.Names() {
		x, _ := whole.Tensor(n)
		if n == name {
			x.Data = slices.Clone(x.Data)
			copy(x.Data[2*(64*7+5):], []byte{0xc0, 0x7f})
		}
		tensors = append(tensors, x)
	}
	if err := safetensors.Write(filepath.Join(src, "model.safetensors"), tensors); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, kind := range []string{"q4_0", "q8_0"} {
		_, err := Quantize(context.Background(), src, filepath.Join(dir, "x.gguf"), QuantizeOptions{Type: kind, Threads: 2})
		if want := `x.gguf: tensor "blk.2.attn_output.weight": row 7: value 5 is NaN, which ` + strings.ToUpper(kind) + " cannot hold"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", kind, err, want)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("left %v", list)
	}
}

// Progress goes up to all that there is.
func TestQuantizeProgress(t *testing.T) {
	var last, total int64
	_, err := Quantize(context.Background(), fixtures.Path("golden/checkpoints/tiny-e"), filepath.Join(t.TempDir(), "x.gguf"), QuantizeOptions{
		Type: "q8_0",
		Progress: func(done, all int64) {
			if done < last || done > all || total != 0 && all != total {
				t.Errorf("%d of %d after %d of %d", done, all, last, total)
			}
			last, total = done, all
		},
	})
	if err != nil || last != total || total < 500_000 {
		t.Errorf("%d of %d, %v", last, total, err)
	}
}
