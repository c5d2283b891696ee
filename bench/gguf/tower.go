package main

import (
	"fmt"
	"math"

	"facet/internal/weights/gguf"
)

// patchSize is the edge of a patch in pixels.
const patchSize = 16

// clip is the bound of the clipped linear layers: wider than any activation of random
// weights, and finite, so that the work is done and nothing is lost.
const clip = 256

// metadata returns the keys of the mmproj file for the decoder s.
func (t tower) metadata(s shape) []gguf.KV {
	const p = "clip.vision."
	kvs := []gguf.KV{
		{Key: "general.architecture", Value: "clip"},
		{Key: "general.type", Value: "mmproj"},
		{Key: "general.name", Value: "Random " + s.name},
		{Key: "general.file_type", Value: uint32(32)}, // mostly BF16
		{Key: "clip.has_vision_encoder", Value: true},
		{Key: p + "projector_type", Value: "gemma4v"},
		{Key: p + "projection_dim", Value: uint32(s.hidden)},
		{Key: p + "image_size", Value: uint32(224)}, // must be there, is not used
		{Key: p + "patch_size", Value: uint32(patchSize)},
		{Key: p + "embedding_length", Value: uint32(t.hidden)},
		{Key: p + "feed_forward_length", Value: uint32(t.intermediate)},
		{Key: p + "block_count", Value: uint32(t.layers)},
		{Key: p + "attention.head_count", Value: uint32(t.heads)},
		{Key: p + "attention.layer_norm_epsilon", Value: float32(1e-6)},
		{Key: p + "image_mean", Value: []float32{0, 0, 0}},
		{Key: p + "image_std", Value: []float32{1, 1, 1}},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
	return append(kvs, s.ear.metadata(s)...)
}

// tensors returns every tensor of the mmproj file for the decoder s.
func (t tower) tensors(s shape) []matrix {
	list := []matrix{
		{name: "mm.input_projection.weight", dtype: "BF16", shape: []int{s.hidden, t.hidden}, std: inverseRoot(t.hidden)},
		{name: "v.patch_embd.weight", dtype: "F32", shape: []int{t.hidden, 3, patchSize, patchSize}, std: inverseRoot(3 * patchSize * patchSize)},
		{name: "v.position_embd.weight", dtype: "F32", shape: []int{2, t.positions, t.hidden}, std: 0.5},
	}
	if t.standardize {
		list = append(list,
			matrix{name: "v.std_bias", dtype: "F32", shape: []int{t.hidden}, std: 0.1},
			norm("v.std_scale", t.hidden, 1))
	}
	for i := range t.layers {
		list = append(list, t.layer(i)...)
	}
	return append(list, s.ear.tensors(s)...)
}

func (t tower) layer(i int) []matrix {
	p := fmt.Sprintf("v.blk.%d.", i)
	dim := t.hidden / t.heads
	sharp := math.Sqrt(2 / math.Sqrt(float64(dim))) // as in the decoder
	list := []matrix{
		norm(p+"ln1.weight", t.hidden, 1),
		norm(p+"attn_q_norm.weight", dim, sharp),
		norm(p+"attn_k_norm.weight", dim, sharp),
		norm(p+"attn_post_norm.weight", t.hidden, 1),
		norm(p+"ln2.weight", t.hidden, 1),
		norm(p+"ffn_post_norm.weight", t.hidden, 1),
	}
	for _, l := range []struct {
		name    string
		out, in int
	}{
		{"attn_q", t.hidden, t.hidden}, {"attn_k", t.hidden, t.hidden}, {"attn_v", t.hidden, t.hidden}, {"attn_out", t.hidden, t.hidden},
		{"ffn_gate", t.intermediate, t.hidden}, {"ffn_up", t.intermediate, t.hidden}, {"ffn_down", t.hidden, t.intermediate},
	} {
		layer := clipped(p+l.name, l.out, l.in)
		if !t.clipped {
			layer = layer[:1]
		}
		list = append(list, layer...)
	}
	return list
}

// clipped returns a linear layer of a tower: its matrix, then its bounds.
func clipped(name string, out, in int) []matrix {
	list := []matrix{{name: name + ".weight", dtype: "BF16", shape: []int{out, in}, std: inverseRoot(in)}}
	for _, bound := range []struct {
		name  string
		value float32
	}{{"input_min", -clip}, {"input_max", clip}, {"output_min", -clip}, {"output_max", clip}} {
		list = append(list, matrix{name: name + "." + bound.name, dtype: "F32", shape: []int{1}, values: []float32{bound.value}})
	}
	return list
}
