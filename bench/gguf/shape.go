package main

import "facet/internal/weights/gguf"

// shape holds the sizes of a checkpoint, named as in config.json.
type shape struct {
	name                            string
	layers, period                  int // every period-th layer is a full one
	hidden, heads                   int
	kvHeads, globalKVHeads          int // of sliding and of full layers
	headDim, globalHeadDim          int
	intermediate                    int
	doubleWide                      bool // in the layers that share keys and values
	kvShared                        int
	kEqV                            bool // full layers have no matrix for values
	perLayer                        int  // width of the per-layer embeddings, 0 for none
	window, context                 int
	experts, expertsPerToken, expFF int
	vocabulary                      int
	tower                           tower
	ear                             ear  // none in the large sizes
	unified                         bool // no towers: unified.go
}

// tower holds the sizes of a vision tower.
type tower struct {
	layers, hidden, heads, intermediate int
	clipped                             bool // linear layers clamp what goes in and comes out
	standardize                         bool
	positions                           int // of each axis
}

var (
	smallTower = tower{layers: 16, hidden: 768, heads: 12, intermediate: 3072, clipped: true, positions: 10240}
	largeTower = tower{layers: 27, hidden: 1152, heads: 16, intermediate: 4304, standardize: true, positions: 10240}
)

// released are the sizes of the published checkpoints, from their config.json.
var released = map[string]shape{
	"E2B": {
		name: "E2B", layers: 35, period: 5, hidden: 1536, heads: 8, kvHeads: 1, globalKVHeads: 1, headDim: 256, globalHeadDim: 512,
		intermediate: 6144, doubleWide: true, kvShared: 20, perLayer: 256, window: 512, context: 131072, vocabulary: 262144, tower: smallTower, ear: smallEar,
	},
	"E4B": {
		name: "E4B", layers: 42, period: 6, hidden: 2560, heads: 8, kvHeads: 2, globalKVHeads: 2, headDim: 256, globalHeadDim: 512,
		intermediate: 10240, kvShared: 18, perLayer: 256, window: 512, context: 131072, vocabulary: 262144, tower: smallTower, ear: smallEar,
	},
	"12B": {
		name: "12B", layers: 48, period: 6, hidden: 3840, heads: 16, kvHeads: 8, globalKVHeads: 1, headDim: 256, globalHeadDim: 512,
		intermediate: 15360, kEqV: true, window: 1024, context: 262144, vocabulary: 262144, unified: true,
	},
	"26B-A4B": {
		name: "26B-A4B", layers: 30, period: 6, hidden: 2816, heads: 16, kvHeads: 8, globalKVHeads: 2, headDim: 256, globalHeadDim: 512,
		intermediate: 2112, kEqV: true, window: 1024, context: 262144, experts: 128, expertsPerToken: 8, expFF: 704, vocabulary: 262144, tower: largeTower,
	},
	"31B": {
		name: "31B", layers: 60, period: 6, hidden: 5376, heads: 32, kvHeads: 16, globalKVHeads: 4, headDim: 256, globalHeadDim: 512,
		intermediate: 21504, kEqV: true, window: 1024, context: 262144, vocabulary: 262144, tower: largeTower,
	},
}

// cut returns the shape with n layers. The layers that share keys and values shrink in
// proportion. Those before them are whole periods, as in the released shapes: llama.cpp
// takes the last two of them for the sources, a sliding and a full one.
func (s shape) cut(n int) shape {
	if s.kvShared > 0 {
		own := n * (s.layers - s.kvShared) / s.layers
		s.kvShared = n - max(s.period, own/s.period*s.period)
	}
	s.layers = n
	return s
}

// sliding reports whether layer i has sliding attention. The last layer never has.
func (s shape) sliding(i int) bool { return i%s.period != s.period-1 && i != s.layers-1 }

// head returns the width of a head and the number of KV heads of layer i.
func (s shape) head(i int) (dim, kv int) {
	if s.sliding(i) {
		return s.headDim, s.kvHeads
	}
	return s.globalHeadDim, s.globalKVHeads
}

// feedForward returns the width of the MLP of layer i.
func (s shape) feedForward(i int) int {
	if s.doubleWide && i >= s.layers-s.kvShared {
		return 2 * s.intermediate
	}
	return s.intermediate
}

// mmproj returns the keys and the tensors of the mmproj file.
func (s shape) mmproj() ([]gguf.KV, []matrix) {
	if s.unified {
		return s.unifiedMetadata(), s.unifiedTensors()
	}
	return s.tower.metadata(s), s.tower.tensors(s)
}

// metadata returns the keys that llama.cpp's converter writes for this checkpoint.
func (s shape) metadata(m mix) []gguf.KV {
	const p = "gemma4."
	pattern := make([]bool, s.layers)
	kvHeads := make([]int32, s.layers)
	feedForward := make([]int32, s.layers)
	for i := range s.layers {
		pattern[i] = s.sliding(i)
		_, kv := s.head(i)
		kvHeads[i] = int32(kv)
		feedForward[i] = int32(s.feedForward(i))
	}
	kvs := []gguf.KV{
		{Key: "general.architecture", Value: "gemma4"},
		{Key: "general.type", Value: "model"},
		{Key: "general.name", Value: "Random " + s.name},
		{Key: p + "block_count", Value: uint32(s.layers)},
		{Key: p + "context_length", Value: uint32(s.context)},
		{Key: p + "embedding_length", Value: uint32(s.hidden)},
		{Key: p + "feed_forward_length", Value: feedForward},
		{Key: p + "attention.head_count", Value: uint32(s.heads)},
		{Key: p + "attention.head_count_kv", Value: kvHeads},
		{Key: p + "rope.freq_base", Value: float32(1e6)},
		{Key: p + "rope.freq_base_swa", Value: float32(1e4)},
		{Key: p + "attention.layer_norm_rms_epsilon", Value: float32(1e-6)},
		{Key: p + "attention.key_length", Value: uint32(s.globalHeadDim)},
		{Key: p + "attention.value_length", Value: uint32(s.globalHeadDim)},
		{Key: p + "attention.key_length_swa", Value: uint32(s.headDim)},
		{Key: p + "attention.value_length_swa", Value: uint32(s.headDim)},
		{Key: p + "final_logit_softcapping", Value: float32(30)},
		{Key: p + "attention.sliding_window", Value: uint32(s.window)},
		{Key: p + "attention.sliding_window_pattern", Value: pattern},
		{Key: p + "attention.shared_kv_layers", Value: uint32(s.kvShared)},
		{Key: p + "embedding_length_per_layer_input", Value: uint32(s.perLayer)},
		{Key: p + "rope.dimension_count", Value: uint32(s.globalHeadDim)},
		{Key: p + "rope.dimension_count_swa", Value: uint32(s.headDim)},
		{Key: "general.file_type", Value: m.fileType()},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
	if s.experts > 0 {
		kvs = append(kvs,
			gguf.KV{Key: p + "expert_count", Value: uint32(s.experts)},
			gguf.KV{Key: p + "expert_used_count", Value: uint32(s.expertsPerToken)},
			gguf.KV{Key: p + "expert_feed_forward_length", Value: uint32(s.expFF)})
	}
	return append(kvs, vocabulary(s.vocabulary)...)
}
