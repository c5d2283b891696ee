package main

import (
	"fmt"

	"facet/internal/weights/gguf"
)

// ear holds the sizes of an audio tower; E2B and E4B have the same.
type ear struct {
	layers, hidden, heads int
	channels              [2]int // of the convolutions before the layers
	kernel                int    // of the convolution in a layer
	out                   int    // width before the projection into the decoder
}

var smallEar = ear{layers: 12, hidden: 1024, heads: 8, channels: [2]int{128, 32}, kernel: 5, out: 1536}

// melBins is the height of the spectrogram.
const melBins = 128

// metadata returns the keys that an mmproj file for the decoder s has besides those of
// its vision tower; none without an audio tower.
func (e ear) metadata(s shape) []gguf.KV {
	if e.layers == 0 {
		return nil
	}
	const p = "clip.audio."
	return []gguf.KV{
		{Key: "clip.has_audio_encoder", Value: true},
		{Key: p + "projector_type", Value: "gemma4a"},
		{Key: p + "projection_dim", Value: uint32(s.hidden)},
		{Key: p + "num_mel_bins", Value: uint32(melBins)},
		{Key: p + "embedding_length", Value: uint32(e.hidden)},
		{Key: p + "feed_forward_length", Value: uint32(4 * e.hidden)},
		{Key: p + "block_count", Value: uint32(e.layers)},
		{Key: p + "attention.head_count", Value: uint32(e.heads)},
		{Key: p + "attention.layer_norm_epsilon", Value: float32(1e-6)},
	}
}

// tensors returns every tensor of the audio tower for the decoder s.
func (e ear) tensors(s shape) []matrix {
	if e.layers == 0 {
		return nil
	}
	one, two := e.channels[0], e.channels[1]
	list := []matrix{
		{name: "a.conv1d.0.weight", dtype: "F32", shape: []int{one, 1, 3, 3}, std: inverseRoot(9)},
		norm("a.conv1d.0.norm.weight", one, 1),
		{name: "a.conv1d.1.weight", dtype: "F32", shape: []int{two, one, 3, 3}, std: inverseRoot(9 * one)},
		norm("a.conv1d.1.norm.weight", two, 1),
		{name: "a.input_projection.weight", dtype: "F32", shape: []int{e.hidden, melBins / 4 * two}, std: inverseRoot(melBins / 4 * two)},
		{name: "a.pre_encode.out.weight", dtype: "BF16", shape: []int{e.out, e.hidden}, std: inverseRoot(e.hidden)},
		{name: "a.pre_encode.out.bias", dtype: "F32", shape: []int{e.out}, std: 0.1},
		{name: "mm.a.input_projection.weight", dtype: "BF16", shape: []int{s.hidden, e.out}, std: inverseRoot(e.out)},
	}
	for i := range e.layers {
		list = append(list, e.layer(i)...)
	}
	return list
}

func (e ear) layer(i int) []matrix {
	p := fmt.Sprintf("a.blk.%d.", i)
	var list []matrix
	for _, name := range []string{
		"ffn_norm", "ffn_post_norm", "ffn_norm_1", "ffn_post_norm_1", "attn_pre_norm", "attn_post_norm", "conv_norm", "norm_conv", "ln2",
	} {
		list = append(list, norm(p+name+".weight", e.hidden, 1))
	}
	scale := norm(p+"per_dim_scale.weight", e.hidden/e.heads, 1) // as stored: after softplus
	list = append(list, scale,
		matrix{name: p + "conv_dw.weight", dtype: "F32", shape: []int{e.hidden, e.kernel}, std: inverseRoot(e.kernel)},
		matrix{name: p + "attn_k_rel.weight", dtype: "BF16", shape: []int{e.hidden, e.hidden}, std: inverseRoot(e.hidden)})
	for _, l := range []struct {
		name    string
		out, in int
	}{
		{"ffn_up", 4 * e.hidden, e.hidden}, {"ffn_down", e.hidden, 4 * e.hidden}, {"ffn_up_1", 4 * e.hidden, e.hidden}, {"ffn_down_1", e.hidden, 4 * e.hidden},
		{"attn_q", e.hidden, e.hidden}, {"attn_k", e.hidden, e.hidden}, {"attn_v", e.hidden, e.hidden}, {"attn_out", e.hidden, e.hidden},
		{"conv_pw1", 2 * e.hidden, e.hidden}, {"conv_pw2", e.hidden, e.hidden},
	} {
		list = append(list, clipped(p+l.name, l.out, l.in)...)
	}
	return list
}
