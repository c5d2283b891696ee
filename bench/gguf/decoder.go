package main

import (
	"fmt"
	"math"
)

// matrix is a tensor to be written: its values are normally distributed.
type matrix struct {
	name, dtype string
	shape       []int // row-major
	mean, std   float64
	values      []float32 // instead of random ones
}

func (m matrix) elements() int {
	n := 1
	for _, d := range m.shape {
		n *= d
	}
	return n
}

// mix says which type a tensor gets, as llama.cpp's quantiser decides it
// (src/llama-quant.cpp of v0.5.0).
type mix struct {
	name   string // q4_0, q8_0 or q4_k_m
	plain  bool   // one type for all
	layers int
}

// fileType returns the number that general.file_type has for the mix (enum llama_ftype).
func (m mix) fileType() uint32 { return map[string]uint32{"q4_0": 2, "q8_0": 7, "q4_k_m": 15}[m.name] }

// base returns the type of most matrices.
func (m mix) base() string {
	return map[string]string{"q4_0": "Q4_0", "q8_0": "Q8_0", "q4_k_m": "Q4_K"}[m.name]
}

// table returns the type of the embedding tables: that of an output matrix, which the
// first of them also is.
func (m mix) table() string {
	if m.plain || m.name == "q8_0" {
		return m.base()
	}
	return "Q6_K"
}

// projection returns the type of the matrix that makes per-layer inputs of
// embeddings, which is never quantised.
func (m mix) projection() string {
	if m.plain {
		return m.base()
	}
	return "BF16"
}

// linear returns the type of a matrix with rows of in values. sensitive marks the
// second matrix of an MLP and the one for values, which Q4_K_M gives more bits in the
// first and last eighth of the layers and in every third between.
func (m mix) linear(layer, in int, sensitive bool) string {
	t := m.base()
	eighth := m.layers / 8
	if sensitive && !m.plain && m.name == "q4_k_m" && (layer < eighth || layer >= 7*m.layers/8 || (layer-eighth)%3 == 2) {
		t = "Q6_K"
	}
	if in%256 != 0 { // no whole number of super-blocks
		switch t {
		case "Q4_K":
			return "Q5_0"
		case "Q6_K":
			return "Q8_0"
		}
	}
	return t
}

// decoder returns every tensor of the language model in an order like the converter's.
//
// Matrices have a standard deviation of 1/√in and norms weigh about 1, so that all
// activations stay near one and no layer drowns the rest. Norms of queries and keys
// weigh less: with the attention's scale of 1, scores then have a deviation of 2,
// attention as sharp as that of trained weights.
func (s shape) decoder(m mix) []matrix {
	list := []matrix{
		s.ropeFreqs(),
		{name: "token_embd.weight", dtype: m.table(), shape: []int{s.vocabulary, s.hidden}, std: inverseRoot(s.hidden)},
		norm("output_norm.weight", s.hidden, 1),
	}
	if s.perLayer > 0 {
		width := s.layers * s.perLayer
		list = append(list,
			matrix{name: "per_layer_token_embd.weight", dtype: m.table(), shape: []int{s.vocabulary, width}, std: inverseRoot(s.perLayer)},
			// Without the root: the model divides by it.
			matrix{name: "per_layer_model_proj.weight", dtype: m.projection(), shape: []int{width, s.hidden}, std: 1},
			norm("per_layer_proj_norm.weight", s.perLayer, 1))
	}
	for i := range s.layers {
		list = append(list, s.layer(m, i)...)
	}
	return list
}

// ropeFreqs are divisors of the full layers' rotary frequencies: a quarter of them
// rotate, the others are divided away.
func (s shape) ropeFreqs() matrix {
	values := make([]float32, s.globalHeadDim/2)
	for i := range values {
		values[i] = 1
		if i >= len(values)/4 {
			values[i] = 1e30
		}
	}
	return matrix{name: "rope_freqs.weight", dtype: "F32", shape: []int{len(values)}, values: values}
}

func (s shape) layer(m mix, i int) []matrix {
	p := fmt.Sprintf("blk.%d.", i)
	linear := func(name string, out, in int) matrix {
		sensitive := name == "attn_v" || name == "ffn_down"
		return matrix{name: p + name + ".weight", dtype: m.linear(i, in, sensitive), shape: []int{out, in}, std: inverseRoot(in)}
	}
	layerNorm := func(name string, n int, mean float64) matrix { return norm(p+name+".weight", n, mean) }
	dim, kv := s.head(i)
	ff := s.feedForward(i)
	sharp := math.Sqrt(2 / math.Sqrt(float64(dim)))

	list := []matrix{
		layerNorm("attn_norm", s.hidden, 1),
		linear("attn_q", s.heads*dim, s.hidden),
		layerNorm("attn_q_norm", dim, sharp),
	}
	if i < s.layers-s.kvShared { // the others use keys and values of one of these
		list = append(list, linear("attn_k", kv*dim, s.hidden), layerNorm("attn_k_norm", dim, sharp))
		if s.sliding(i) || !s.kEqV {
			list = append(list, linear("attn_v", kv*dim, s.hidden))
		}
	}
	list = append(list,
		linear("attn_output", s.hidden, s.heads*dim),
		layerNorm("post_attention_norm", s.hidden, 1),
		layerNorm("ffn_norm", s.hidden, 1),
		linear("ffn_gate", ff, s.hidden),
		linear("ffn_up", ff, s.hidden),
		linear("ffn_down", s.hidden, ff),
		layerNorm("post_ffw_norm", s.hidden, 1),
		layerNorm("layer_output_scale", 1, 1))
	if s.experts > 0 {
		list = append(list, s.moe(m, i, p)...)
	}
	if s.perLayer > 0 {
		list = append(list,
			linear("inp_gate", s.perLayer, s.hidden),
			linear("proj", s.hidden, s.perLayer),
			layerNorm("post_norm", s.hidden, 1))
	}
	return list
}

func (s shape) moe(m mix, i int, p string) []matrix {
	return []matrix{
		{name: p + "ffn_gate_inp.weight", dtype: "F32", shape: []int{s.experts, s.hidden}, std: inverseRoot(s.hidden)},
		// The model divides by the root: scores of experts then differ as they would in a trained router.
		norm(p+"ffn_gate_inp.scale", s.hidden, math.Sqrt(float64(s.hidden))),
		{name: p + "ffn_gate_up_exps.weight", dtype: m.linear(i, s.hidden, false), shape: []int{s.experts, 2 * s.expFF, s.hidden}, std: inverseRoot(s.hidden)},
		{name: p + "ffn_down_exps.weight", dtype: m.linear(i, s.expFF, true), shape: []int{s.experts, s.hidden, s.expFF}, std: inverseRoot(s.expFF)},
		norm(p+"ffn_down_exps.scale", s.experts, 1),
		norm(p+"pre_ffw_norm_2.weight", s.hidden, 1),
		norm(p+"post_ffw_norm_1.weight", s.hidden, 1),
		norm(p+"post_ffw_norm_2.weight", s.hidden, 1),
	}
}

// norm returns a vector of n weights that scatter by a twentieth around mean.
func norm(name string, n int, mean float64) matrix {
	return matrix{name: name, dtype: "F32", shape: []int{n}, mean: mean, std: mean / 20}
}

func inverseRoot(n int) float64 { return 1 / math.Sqrt(float64(n)) }
