package main

import "facet/internal/weights/gguf"

const (
	unifiedPatch     = 48   // side in pixels of what a 12B takes for a soft token
	unifiedPositions = 1120 // of each axis
	unifiedFrame     = 640  // samples that it takes for a soft token
)

// unifiedMetadata returns the keys of the mmproj file of a 12B, which has no towers.
func (s shape) unifiedMetadata() []gguf.KV {
	kvs := []gguf.KV{
		{Key: "general.architecture", Value: "clip"},
		{Key: "general.type", Value: "mmproj"},
		{Key: "general.name", Value: "Random " + s.name},
		{Key: "general.file_type", Value: uint32(32)}, // mostly BF16
		{Key: "clip.vision.patch_size", Value: uint32(patchSize)},
		{Key: "clip.vision.image_size", Value: uint32(224)}, // must be there, is not used
		{Key: "clip.vision.image_mean", Value: []float32{0, 0, 0}},
		{Key: "clip.vision.image_std", Value: []float32{1, 1, 1}},
		{Key: "clip.audio.num_mel_bins", Value: uint32(melBins)}, // the same
	}
	for _, part := range []struct {
		name, kind string
		width      int
	}{{"vision", "gemma4uv", s.hidden}, {"audio", "gemma4ua", unifiedFrame}} {
		p := "clip." + part.name + "."
		kvs = append(kvs,
			gguf.KV{Key: "clip.has_" + part.name + "_encoder", Value: true},
			gguf.KV{Key: p + "projector_type", Value: part.kind},
			gguf.KV{Key: p + "projection_dim", Value: uint32(s.hidden)},
			gguf.KV{Key: p + "embedding_length", Value: uint32(part.width)},
			gguf.KV{Key: p + "feed_forward_length", Value: uint32(0)},
			gguf.KV{Key: p + "block_count", Value: uint32(0)},
			gguf.KV{Key: p + "attention.head_count", Value: uint32(0)},
			gguf.KV{Key: p + "attention.layer_norm_epsilon", Value: float32(1e-6)})
	}
	return append(kvs, gguf.KV{Key: "general.quantization_version", Value: uint32(2)})
}

// unifiedTensors returns every tensor of that file.
func (s shape) unifiedTensors() []matrix {
	const patch = 3 * unifiedPatch * unifiedPatch
	list := []matrix{
		{name: "mm.input_projection.weight", dtype: "BF16", shape: []int{s.hidden, s.hidden}, std: inverseRoot(s.hidden)},
		{name: "mm.a.input_projection.weight", dtype: "BF16", shape: []int{s.hidden, unifiedFrame}, std: inverseRoot(unifiedFrame)},
		{name: "v.patch_embd.weight", dtype: "F32", shape: []int{s.hidden, patch}, std: inverseRoot(patch)},
		{name: "v.patch_embd.bias", dtype: "F32", shape: []int{s.hidden}, std: 0.1},
		{name: "v.position_embd.weight", dtype: "F32", shape: []int{2, unifiedPositions, s.hidden}, std: 0.5},
	}
	for i, width := range []int{patch, s.hidden, s.hidden} {
		p := "v.patch_norm." + string(rune('1'+i)) + "."
		list = append(list,
			norm(p+"weight", width, 1),
			matrix{name: p + "bias", dtype: "F32", shape: []int{width}, std: 0.1})
	}
	return list
}
