package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/internal/quant"
	"facet/internal/weights/gguf"
)

// tiny are shapes of both families with rows that every type can hold, or not.
var tiny = map[string]shape{
	"e": {
		name: "E", layers: 10, period: 5, hidden: 256, heads: 4, kvHeads: 1, globalKVHeads: 1, headDim: 64, globalHeadDim: 128,
		intermediate: 512, doubleWide: true, kvShared: 5, perLayer: 256, window: 16, context: 1024, vocabulary: 2048,
		tower: tower{layers: 2, hidden: 96, heads: 3, intermediate: 192, clipped: true, positions: 64},
		ear:   ear{layers: 2, hidden: 64, heads: 2, channels: [2]int{32, 4}, kernel: 5, out: 96},
	},
	"moe": {
		name: "MoE", layers: 6, period: 6, hidden: 256, heads: 4, kvHeads: 2, globalKVHeads: 1, headDim: 64, globalHeadDim: 128,
		intermediate: 96, kEqV: true, window: 16, context: 1024, experts: 4, expertsPerToken: 2, expFF: 32, vocabulary: 2048,
		tower: tower{layers: 2, hidden: 96, heads: 3, intermediate: 192, standardize: true, positions: 64},
	},
	"unified": {
		name: "12B", layers: 6, period: 6, hidden: 256, heads: 4, kvHeads: 2, globalKVHeads: 1, headDim: 64, globalHeadDim: 128,
		intermediate: 512, kEqV: true, window: 16, context: 1024, vocabulary: 2048, unified: true,
	},
}

func writeTiny(t *testing.T, s shape, m mix, seed uint64) *gguf.File {
	t.Helper()
	m.layers = s.layers
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := write(path, s.metadata(m), s.decoder(m), seed); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Every tensor has the mean and deviation that its list entry asks for.
func TestDistribution(t *testing.T) {
	for name, s := range tiny {
		for _, m := range []mix{{name: "q4_0"}, {name: "q8_0"}, {name: "q4_k_m"}, {name: "q4_k_m", plain: true}} {
			m.layers = s.layers
			f := writeTiny(t, s, m, 1)
			for _, want := range s.decoder(m) {
				tensor, ok := f.Tensor(want.name)
				if !ok || tensor.DType != want.dtype {
					t.Fatalf("%s %v: %s is %q, want %s", name, m, want.name, tensor.DType, want.dtype)
				}
				if want.values == nil && len(want.shape) > 1 {
					checkDistribution(t, want, tensor.Data)
				}
			}
		}
	}
}

func checkDistribution(t *testing.T, want matrix, data []byte) {
	t.Helper()
	f, _ := quant.Named(want.dtype)
	x := make([]float32, want.elements())
	f.Dequantize(x, data)
	var sum, squares float64
	for _, v := range x {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	n := float64(len(x))
	mean, std := sum/n, math.Sqrt(squares/n)
	// Four standard errors of the mean and of the deviation, and what a step of 4-bit
	// values (a seventh of the largest of 32, about 0.3 deviations) adds: 0.3²/12/2.
	// Q4_0 favours the sign of the largest value of a block, by less than a tenth of a step.
	if !(math.Abs(mean-want.mean) <= want.std*(4/math.Sqrt(n)+0.03)) || !(math.Abs(std/want.std-1) <= 4/math.Sqrt(2*n)+0.01) {
		t.Errorf("%s %s: mean %g, deviation %g; want %g, %g", want.name, want.dtype, mean, std, want.mean, want.std)
	}
}

func TestReleasedMix(t *testing.T) {
	f := writeTiny(t, tiny["e"], mix{name: "q4_0"}, 1)
	for name, want := range map[string]string{
		"token_embd.weight": "Q6_K", "per_layer_token_embd.weight": "Q6_K", "per_layer_model_proj.weight": "BF16",
		"blk.0.attn_q.weight": "Q4_0", "blk.9.ffn_down.weight": "Q4_0", "blk.9.layer_output_scale.weight": "F32",
	} {
		if tensor, _ := f.Tensor(name); tensor.DType != want {
			t.Errorf("%s is %q, want %s", name, tensor.DType, want)
		}
	}
	if _, ok := writeTiny(t, tiny["moe"], mix{name: "q4_0"}, 1).Tensor("blk.5.attn_v.weight"); ok {
		t.Error("the full layer has a matrix for values")
	}
	// Rows of 96 and 32 hold no super-blocks of 256.
	f = writeTiny(t, tiny["moe"], mix{name: "q4_k_m"}, 1)
	for name, want := range map[string]string{"blk.0.ffn_down.weight": "Q5_0", "blk.5.ffn_down_exps.weight": "Q8_0", "blk.0.ffn_gate.weight": "Q4_K"} {
		if tensor, _ := f.Tensor(name); tensor.DType != want {
			t.Errorf("%s is %q, want %s", name, tensor.DType, want)
		}
	}
}

// The tensors take as many bytes as those of the published files, whose names end in
// -it-qat-q4_0.gguf: their whole sizes less metadata, which is nearly the same in all.
func TestReleasedSize(t *testing.T) {
	// 262,144 tokens of 4.41 MB with their lengths, 514,906 merges of 9.25 MB, a score
	// and a type of 4 bytes for each token; then the chat template and the tensors' names.
	const metadata, rest = 15_762_379, 100_000
	for name, published := range map[string]int{"E2B": 3_349_516_256, "E4B": 5_154_941_280, "26B-A4B": 14_439_363_584} {
		s := released[name]
		total := metadata
		for _, m := range s.decoder(mix{name: "q4_0", layers: s.layers}) {
			f, _ := quant.Named(m.dtype)
			total += f.Size(m.elements())
		}
		if total > published || total < published-rest {
			t.Errorf("%s takes %d bytes with its vocabulary, the published file %d", name, total, published)
		}
	}
}

func TestSeed(t *testing.T) {
	data := func(seed uint64) []byte {
		b, err := os.ReadFile(writeTiny(t, tiny["e"], mix{name: "q4_0"}, seed).Path())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := data(1)
	if !bytes.Equal(first, data(1)) {
		t.Error("the same seed gives another file")
	}
	if bytes.Equal(first, data(2)) {
		t.Error("another seed gives the same file")
	}
}

func TestCut(t *testing.T) {
	for name, s := range released {
		for n := s.period; n <= s.layers; n++ {
			c := s.cut(n)
			first := n - c.kvShared // of the layers that share
			if c.sliding(n-1) || c.kvShared > 0 && (first < s.period || first%s.period != 0) {
				t.Fatalf("%s with %d layers: last is sliding %v, sharing begins at %d", name, n, c.sliding(n-1), first)
			}
		}
		if c := s.cut(s.layers); c != s {
			t.Errorf("%s: cut to all layers is %+v", name, c)
		}
	}
}

func TestTower(t *testing.T) {
	for name, s := range tiny {
		path := filepath.Join(t.TempDir(), "mmproj.gguf")
		metadata, tensors := s.mmproj()
		if err := write(path, metadata, tensors, 1); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		for _, want := range tensors {
			if tensor, ok := f.Tensor(want.name); !ok {
				t.Errorf("%s: %s is missing", name, want.name)
			} else if want.values == nil && len(want.shape) > 1 {
				checkDistribution(t, want, tensor.Data)
			}
		}
		if _, hears := f.Tensor("a.blk.1.conv_pw2.output_max"); hears != (s.ear.layers > 0) {
			t.Errorf("%s: an audio tower %v, want %v", name, hears, s.ear.layers > 0)
		}
		if _, clipped := f.Tensor("v.blk.1.ffn_down.output_max"); clipped != s.tower.clipped {
			t.Errorf("%s: clip bounds %v, want %v", name, clipped, s.tower.clipped)
		}
	}
}

// Control tokens have their ids, every token is there once, and merges lead from tokens to tokens.
func TestVocabulary(t *testing.T) {
	const n = 262144
	var tokens, merges []string
	for _, kv := range vocabulary(n) {
		switch kv.Key {
		case "tokenizer.ggml.tokens":
			tokens = kv.Value.([]string)
		case "tokenizer.ggml.merges":
			merges = kv.Value.([]string)
		}
	}
	ids := map[string]int{}
	for i, token := range tokens {
		if j, twice := ids[token]; twice || token == "" {
			t.Fatalf("token %d is %q, as is token %d", i, token, j)
		}
		ids[token] = i
	}
	for token, want := range map[string]int{"<bos>": 2, "<turn|>": 106, "<|image|>": 258880, "<0x0A>": 248, "\n": 107} {
		if ids[token] != want {
			t.Errorf("%q has id %d, want %d", token, ids[token], want)
		}
	}
	if len(ids) != n || len(merges) < 300 {
		t.Errorf("%d tokens, %d merges", len(ids), len(merges))
	}
	for _, m := range merges {
		left, right, _ := strings.Cut(m, " ")
		for _, piece := range []string{left, right, left + right} {
			if _, ok := ids[piece]; !ok {
				t.Errorf("merge %q: no token %q", m, piece)
			}
		}
	}
}
