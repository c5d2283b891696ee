package model

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/weights"
	"facet/internal/weights/gguf"

	"github.com/google/go-cmp/cmp"
)

// converted are the checkpoints of which there is a GGUF file, made by llama.cpp's converter.
var converted = []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"}

func textFile(name string) string { return fixtures.Path("golden/gguf/" + name + "-bf16.gguf") }

// A converted checkpoint has the configuration and the tensors of the one it was made
// from: every name, shape and value, those of the audio tower included.
func TestGGUFAsSafetensors(t *testing.T) {
	for _, name := range converted {
		want, err := openCheckpoint(fixtures.Path("golden/checkpoints/"+name), "")
		if err != nil {
			t.Fatal(err)
		}
		defer want.source.Close()
		got, err := openCheckpoint(textFile(name), "") // finds its mmproj among others
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer got.source.Close()
		checkConfig(t, name, got.config, want.config)

		if g, w := got.source.Names(), want.source.Names(); !slices.Equal(g, w) {
			t.Errorf("%s: names differ: %s", name, cmp.Diff(w, g))
			continue
		}
		for _, n := range want.source.Names() {
			g, _ := got.source.Tensor(n)
			w, _ := want.source.Tensor(n)
			if !slices.Equal(g.Shape, w.Shape) || g.Name != n {
				t.Errorf("%s: %s has shape %v, want %v", name, n, g.Shape, w.Shape)
				continue
			}
			if err := sameValues(g, w); err != nil {
				t.Errorf("%s: %s: %v", name, n, err)
			}
		}
	}
}

// checkConfig compares what the engine computes with. Two things no key says: what a
// file without per-layer tables gives as their size, and the ids of ends that are found
// by their strings.
func checkConfig(t *testing.T, name string, got, want *Config) {
	t.Helper()
	w := *want
	w.EOSTokenID, w.Generation.EOSTokenID = nil, nil
	w.Processor = ProcessorConfig{}
	if w.TextConfig.HiddenSizePerLayerInput == 0 {
		w.TextConfig.VocabSizePerLayerInput = 0
	}
	w.TextConfig.TieWordEmbeddings = nil
	full := w.TextConfig.RopeParameters[fullAttention]
	if diff := cmp.Diff(&w, got); diff != "" || *full.PartialRotaryFactor != 0.25 {
		t.Errorf("%s: configurations differ (-safetensors +gguf):\n%s", name, diff)
	}
}

// sameValues reports the first value of two tensors that differs. Only the factors that
// went through softplus and back may do so, by what float32 keeps of them.
func sameValues(got, want weights.Tensor) error {
	g, err := floats(got)
	if err != nil {
		return err
	}
	w, err := floats(want)
	if err != nil {
		return err
	}
	var tolerance float64
	if strings.HasSuffix(got.Name, "per_dim_scale") {
		tolerance = 1e-6
	}
	for i := range w {
		if !(math.Abs(float64(g[i])-float64(w[i])) <= tolerance) {
			return fmt.Errorf("value %d is %g, want %g", i, g[i], w[i])
		}
	}
	return nil
}

// Opened, the converted checkpoint answers as the other: the same ids of a prompt, the
// same logits to the last bit, since the values are the same.
func TestGGUFLogits(t *testing.T) {
	for _, name := range converted {
		var logits [2][]float32
		for i, path := range []string{fixtures.Path("golden/checkpoints/" + name), textFile(name)} {
			m, err := Open(path, Options{Threads: 2, Precision: Exact})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.HasChat() || m.Path() != path || m.vision == nil {
				t.Errorf("%s: chat %v, path %s, tower %v", path, m.HasChat(), m.Path(), m.vision != nil)
			}
			p, err := m.RawPrompt("<bos>The committee will meet again<turn|>", Media{})
			if err != nil {
				t.Fatal(err)
			}
			if logits[i], err = m.Logits(p, p.Len()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(logits[0], logits[1]) {
			t.Errorf("%s: logits differ", name)
		}
	}
}

// Names that a converter writes are all known, and lead there and back.
func TestRenames(t *testing.T) {
	for i, r := range slices.Concat(renames, unifiedRenames) {
		name := strings.Replace(r.gguf, "*", "17", 1)
		known := byGGUFName
		if i >= len(renames) {
			known = byGGUFNameUnified
		}
		there, ok := known.find(name)
		back, okBack := byHFName.find(there.hf)
		if !ok || !okBack || back.gguf != name || strings.Contains(there.hf, "*") {
			t.Errorf("%s: %v %s, back %v %s", name, ok, there.hf, okBack, back.gguf)
		}
	}
	for _, name := range []string{"blk.01.attn_q.weight", "blk.-1.attn_q.weight", "blk.x.attn_q.weight", "blk.1.attn_q.bias", "blk.attn_q.weight", "attn_q.weight", "rope_freqs.weight", "blk.1.2.attn_q.weight"} {
		if r, ok := byGGUFName.find(name); ok {
			t.Errorf("%s is taken for %s", name, r.hf)
		}
	}
	if all := len(renames) + len(unifiedRenames); len(byGGUFName) != len(renames) || len(byHFName) != all {
		t.Errorf("%d names and %d in all, of which %d and %d differ", len(renames), all, len(byGGUFName), len(byHFName))
	}
}

// edit writes tiny-e's text or mmproj file anew, after a change of its keys and tensors.
type edit struct {
	keys    map[string]any // nil removes a key
	without string         // a tensor left out
	rename  [2]string      // a tensor by another name
	reshape map[string][]int
}

func (e edit) write(t *testing.T, from, to string) {
	t.Helper()
	f, err := gguf.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var metadata []gguf.KV
	for _, key := range f.Keys() {
		if v, ok := e.keys[key]; !ok {
			metadata = append(metadata, gguf.KV{Key: key, Value: valueOf(t, f, key)})
		} else if v != nil {
			metadata = append(metadata, gguf.KV{Key: key, Value: v})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.keys)) {
		if !f.Has(key) {
			metadata = append(metadata, gguf.KV{Key: key, Value: e.keys[key]})
		}
	}
	var tensors []gguf.Tensor
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		if name == e.without {
			continue
		}
		if name == e.rename[0] {
			name = e.rename[1]
		}
		shape := x.Shape
		if s, ok := e.reshape[name]; ok {
			shape = s
		}
		tensors = append(tensors, gguf.Tensor{Name: name, DType: x.DType, Shape: shape, Write: func(w io.Writer) error {
			_, err := w.Write(x.Data)
			return err
		}})
	}
	if err := gguf.Write(to, metadata, tensors); err != nil {
		t.Fatal(err)
	}
}

// valueOf reads a key as the Go value that writes it again.
func valueOf(t *testing.T, f *gguf.File, key string) any {
	t.Helper()
	read := func(v any, _ bool, err error) any {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	switch f.Kind(key) {
	case "string":
		return read(boxed(f.String(key)))
	case "bool":
		return read(boxed(f.Bool(key)))
	case "f32":
		return float32(read(boxed(f.Float(key))).(float64))
	case "array of string":
		return read(boxed(f.Strings(key)))
	case "array of bool":
		return read(boxed(f.Bools(key)))
	case "array of f32":
		return read(boxed(f.Floats(key)))
	case "array of i32":
		return read(boxed(f.Uints(key)))
	}
	return uint32(read(boxed(f.Uint(key))).(uint64))
}

func boxed[T any](v T, ok bool, err error) (any, bool, error) { return v, ok, err }

// What is wrong with a text file or its towers is said, with the file's name.
func TestGGUFErrors(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		name string
		text edit
		tow  edit
		want string
	}{
		{"as it is", edit{}, edit{}, ""},
		{"another architecture", edit{keys: m{"general.architecture": "llama"}}, edit{}, `text.gguf: general.architecture "llama" is not Gemma 4`},
		{"no architecture", edit{keys: m{"general.architecture": nil}}, edit{}, `text.gguf: key "general.architecture" is missing`},
		{"a drafter", edit{keys: m{"general.architecture": "gemma4-assistant"}}, edit{}, `"gemma4-assistant" is not Gemma 4`},
		{"towers as the model", edit{keys: m{"general.architecture": "clip"}}, edit{}, `name the other file`},
		{"no layers", edit{keys: m{"gemma4.block_count": uint32(0)}}, edit{}, `key "gemma4.block_count" is 0, must be 1 to 1024`},
		{"2^32-1 layers", edit{keys: m{"gemma4.block_count": uint32(math.MaxUint32)}}, edit{}, `must be 1 to 1024`},
		{"layers a string", edit{keys: m{"gemma4.block_count": "8"}}, edit{}, `key "gemma4.block_count" is of kind string, want an integer`},
		{"a layer too many", edit{keys: m{"gemma4.block_count": uint32(9)}}, edit{}, `has 8 values for 9 layers`},
		{"pattern of integers", edit{keys: m{"gemma4.attention.sliding_window_pattern": []uint8{1, 1, 1, 0, 1, 1, 1, 0}}}, edit{}, `is of kind array of u8, want an array, each a bool`},
		{"widths too few", edit{keys: m{"gemma4.feed_forward_length": []int32{80}}}, edit{}, `key "gemma4.feed_forward_length" has 1 values for 8 layers`},
		{"width negative", edit{keys: m{"gemma4.feed_forward_length": []int32{-80, 80, 80, 80, 160, 160, 160, 160}}}, edit{}, `want an array, each an integer of 0 or more`},
		{"no heads", edit{keys: m{"gemma4.attention.head_count": uint32(0)}}, edit{}, `num_attention_heads is 0`},
		{"no key heads", edit{keys: m{"gemma4.attention.head_count_kv": uint32(0)}}, edit{}, `num_key_value_heads is 0`},
		{"values of another size", edit{keys: m{"gemma4.attention.value_length": uint32(16)}}, edit{}, `key "gemma4.attention.value_length" is 16, want 32`},
		{"all layers shared", edit{keys: m{"gemma4.attention.shared_kv_layers": uint32(8)}}, edit{}, `num_kv_shared_layers is 8`},
		{"more than all shared", edit{keys: m{"gemma4.attention.shared_kv_layers": uint32(1 << 30)}}, edit{}, `num_kv_shared_layers is 1073741824`},
		{"no epsilon", edit{keys: m{"gemma4.attention.layer_norm_rms_epsilon": nil}}, edit{}, `layer_norm_rms_epsilon" is missing`},
		{"epsilon NaN", edit{keys: m{"gemma4.attention.layer_norm_rms_epsilon": float32(math.NaN())}}, edit{}, `rms_norm_eps is NaN`},
		{"base of 0", edit{keys: m{"gemma4.rope.freq_base": float32(0)}}, edit{}, `rope_theta is 0`},
		{"padding outside", edit{keys: m{"tokenizer.ggml.padding_token_id": uint32(1024)}}, edit{}, `pad_token_id is 1024`},
		{"end outside", edit{keys: m{"tokenizer.ggml.eos_token_id": uint32(1024)}}, edit{}, `eos_token_id 1024 is outside`},
		{"no table", edit{without: "token_embd.weight"}, edit{}, `tensor token_embd.weight is missing or no matrix`},
		{"no tensor of a layer", edit{without: "blk.5.ffn_up.weight"}, edit{}, `tensor model.language_model.layers.5.mlp.up_proj.weight is missing`},
		{"no values", edit{without: "blk.0.attn_v.weight"}, edit{}, `layers.0.self_attn.v_proj.weight is missing`},
		{"a tensor too many", edit{rename: [2]string{"rope_freqs.weight", "blk.0.attn_q.bias"}}, edit{}, `tensor blk.0.attn_q.bias is not one of this model's`},
		{"a tensor of another shape", edit{reshape: map[string][]int{"blk.0.ffn_up.weight": {48, 80}}}, edit{}, `mlp.up_proj.weight has shape [48 80], want [80 48]`},
		{"vocabulary of another kind", edit{keys: m{"tokenizer.ggml.model": "llama"}}, edit{}, `tokenizer.ggml.model is "llama", want "gemma4"`},
		{"no tokens", edit{keys: m{"tokenizer.ggml.tokens": nil}}, edit{}, `key "tokenizer.ggml.tokens" is missing`},
		{"tokens not the tokenizer's", edit{keys: m{"tokenizer.ggml.merges": []string{"x"}}}, edit{}, `merge 0, "x", is not two tokens`},
		{"tokens too many", edit{keys: m{"tokenizer.ggml.tokens": manyTokens(1025), "tokenizer.ggml.merges": []string{}, "tokenizer.ggml.token_type": nil}}, edit{}, `the tokenizer has 1025 tokens for a vocab_size of 1024`},
		{"a frequency halved", edit{without: "rope_freqs.weight", rename: [2]string{"blk.0.attn_k_norm.weight", "rope_freqs.weight"}}, edit{}, `tensor rope_freqs.weight: divisor`},
		{"experts of a dense model", edit{rename: [2]string{"rope_freqs.weight", "blk.0.ffn_up_exps.weight"}}, edit{}, `layers.0.experts.up_proj is not one of this model's`},

		{"a model for towers", edit{}, edit{keys: m{"general.architecture": "gemma4"}}, `towers.gguf: general.architecture is "gemma4": not an mmproj file`},
		{"towers of another model", edit{}, edit{keys: m{"clip.vision.projection_dim": uint32(64)}}, `towers.gguf: projects to 64 values, but the model's embeddings have 48`},
		{"towers of another kind", edit{}, edit{keys: m{"clip.vision.projector_type": "gemma3"}}, `clip.vision.projector_type "gemma3" is not Gemma 4's`},
		{"towers of a 12B", edit{}, edit{keys: m{"clip.audio.projector_type": "gemma4ua"}}, `projector_type is gemma4ua, want gemma4a: it belongs to another size of model`},
		{"no type", edit{}, edit{keys: m{"clip.vision.projector_type": nil}}, `key "clip.vision.projector_type" is missing`},
		{"other means", edit{}, edit{keys: m{"clip.vision.image_mean": []float32{0.5, 0.5, 0.5}}}, `key "clip.vision.image_mean" has 0.5, want 0`},
		{"2^32-1 layers of vision", edit{}, edit{keys: m{"clip.vision.block_count": uint32(math.MaxUint32)}}, `num_hidden_layers is 2147483647`},
		{"2^32-1 layers of audio", edit{}, edit{keys: m{"clip.audio.block_count": uint32(math.MaxUint32)}}, `num_hidden_layers is 2147483647`},
		{"no heads of vision", edit{}, edit{keys: m{"clip.vision.attention.head_count": uint32(0)}}, `num_attention_heads is 0`},
		{"no heads of audio", edit{}, edit{keys: m{"clip.audio.attention.head_count": uint32(0)}}, `num_attention_heads is 0`},
		{"other mel bins", edit{}, edit{keys: m{"clip.audio.num_mel_bins": uint32(80)}}, `"clip.audio.num_mel_bins" is 80, want 128`},
		{"no positions", edit{}, edit{without: "v.position_embd.weight"}, `tensor v.position_embd.weight is missing`},
		{"no kernel", edit{}, edit{without: "a.blk.0.conv_dw.weight"}, `tensor a.blk.0.conv_dw.weight is missing`},
		{"no convolution", edit{}, edit{without: "a.conv1d.1.weight"}, `tensor a.conv1d.1.weight is missing`},
		{"patches flat", edit{}, edit{reshape: map[string][]int{"v.patch_embd.weight": {48, 768}}}, `tensor v.patch_embd.weight: shape [48 768], want [n, colours`},
		{"a bound of two dimensions", edit{}, edit{reshape: map[string][]int{"v.blk.0.attn_q.input_min": {1, 1}}}, `tensor v.blk.0.attn_q.input_min: shape [1 1], want [1]`},
		{"names the other's", edit{rename: [2]string{"rope_freqs.weight", "v.std_bias"}}, edit{rename: [2]string{"v.blk.0.ln1.weight", "v.std_bias"}}, `towers.gguf: tensor v.std_bias: there already as model.vision_tower.std_bias`},
	} {
		dir := t.TempDir()
		text, towers := filepath.Join(dir, "text.gguf"), filepath.Join(dir, "towers.gguf")
		c.text.write(t, textFile("tiny-e"), text)
		c.tow.write(t, fixtures.Path("golden/gguf/tiny-e-mmproj-bf16.gguf"), towers)
		m, err := Open(text, Options{Threads: 1, MMProj: towers})
		if err == nil {
			m.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), dir) {
			t.Errorf("%s: %v names no file", c.name, err)
		}
	}
}

// manyTokens are the byte tokens and others, n in all.
func manyTokens(n int) (tokens []string) {
	for i := range n {
		if tokens = append(tokens, fmt.Sprintf("<0x%02X>", i)); i > 255 {
			tokens[i] = fmt.Sprint("token ", i)
		}
	}
	return tokens
}

// A file without a vocabulary can be measured and nothing else.
func TestGGUFWithoutVocabulary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	edit{keys: map[string]any{"tokenizer.ggml.model": "no_vocab", "tokenizer.ggml.tokens": nil, "tokenizer.ggml.merges": nil}}.write(t, textFile("tiny-e"), path)
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Tokenizer() != nil {
		t.Error("a tokenizer from nowhere")
	}
	if _, err := m.Logits(&Prompt{IDs: []int32{2, 5}, Types: make([]TokenType, 2)}, 1); err != nil {
		t.Error(err)
	}
	_, chat := m.ChatPrompt(nil, Media{})
	_, raw := m.RawPrompt("", Media{})
	_, completion := m.CompletionPrompt("", Media{})
	for _, err := range []error{chat, raw, completion} {
		if !errors.Is(err, errNoVocabulary) {
			t.Errorf("got %v", err)
		}
	}
}

// Which mmproj file is taken of those beside a model.
func TestFindMMProj(t *testing.T) {
	dir := t.TempDir()
	put := func(name, from string) {
		data, err := os.ReadFile(fixtures.Path("golden/gguf/" + from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("model-Q4_0.gguf", "tiny-e-bf16.gguf")
	find := func() string {
		t.Helper()
		c, err := openCheckpoint(filepath.Join(dir, "model-Q4_0.gguf"), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.source.Close()
		if files := c.source.Files(); len(files) == 2 {
			return filepath.Base(files[1])
		}
		return ""
	}
	// Each one added is better than those before, or is none.
	for _, step := range []struct{ name, from, want string }{
		{"mmproj-other.gguf", "tiny-dense-mmproj-bf16.gguf", ""}, // projects to another size
		{"mmproj-broken.gguf", "tiny-e-mmproj-bf16.gguf.", ""},
		{"towers.gguf", "tiny-e-mmproj-bf16.gguf", ""}, // not by its name
		{"mmproj-F16.gguf", "tiny-e-mmproj-bf16.gguf", "mmproj-F16.gguf"},
		{"mmproj-F32.gguf", "tiny-e-mmproj-bf16.gguf", "mmproj-F16.gguf"},
		{"MMPROJ-bf16.GGUF", "tiny-e-mmproj-bf16.gguf", "MMPROJ-bf16.GGUF"},
		{"model-mmproj.gguf", "tiny-e-mmproj-bf16.gguf", "model-mmproj.gguf"},
		{"model-big-mmproj.gguf", "tiny-dense-mmproj-bf16.gguf", "model-mmproj.gguf"},
	} {
		if strings.HasSuffix(step.from, ".") {
			if err := os.WriteFile(filepath.Join(dir, step.name), []byte("GGUF"), 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			put(step.name, step.from)
		}
		if got := find(); got != step.want {
			t.Errorf("with %s: got %q, want %q", step.name, got, step.want)
		}
	}
	// Alone beside its towers, the model is found by the folder.
	if err := os.Remove(filepath.Join(dir, "towers.gguf")); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := m.SHA256()
	if len(sum) != 64 || err != nil {
		t.Errorf("%s, %v", sum, err)
	}
	m.Close()
	put("second.gguf", "tiny-e-bf16.gguf")
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "2 GGUF files in this folder: name one of model-Q4_0.gguf, second.gguf") {
		t.Errorf("two models: %v", err)
	}
	if _, err := Open(fixtures.Path("golden/checkpoints/tiny-e"), Options{MMProj: "x"}); err == nil || !strings.Contains(err.Error(), "goes with a GGUF file") {
		t.Errorf("an mmproj file for a folder: %v", err)
	}
}

// Changes of order and value are undone by those of the other way.
func TestChanges(t *testing.T) {
	data := make([]byte, 2*3*4*4*2)
	for i := range data {
		data[i] = byte(i)
	}
	x := weights.Tensor{Name: "x", DType: "BF16", Shape: []int{2, 3, 4, 4}, Data: data}
	there, err := patchOrder.toHF(x)
	if err != nil {
		t.Fatal(err)
	}
	// Picture 1, colour 2, row 3, column 1: value (1·3 + 2)·16 + 3·4 + 1 of a plane after
	// the other, and 1·48 + (3·4 + 1)·3 + 2 with colours together.
	from, to := ((1*3+2)*16+3*4+1)*2, (1*48+(3*4+1)*3+2)*2
	if !bytes.Equal(there.Data[to:to+2], data[from:from+2]) || !slices.Equal(there.Shape, []int{2, 48}) {
		t.Errorf("shape %v, or another order", there.Shape)
	}
	back, err := patchOrder.toGGUF(there)
	if err != nil || !bytes.Equal(back.Data, data) || !slices.Equal(back.Shape, x.Shape) {
		t.Errorf("back: shape %v, %v, or other values", back.Shape, err)
	}
	if _, err := patchOrder.toHF(weights.Tensor{DType: "Q4_0", Shape: x.Shape}); err == nil {
		t.Error("blocks put in another order")
	}
}
