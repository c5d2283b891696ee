package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"facet/internal/weights/gguf"
)

// The keys here are those that llama.cpp (v0.5.0) asks for, of the kinds in which its
// converter writes them; ggufConfig reads them. Those of our own are in gguf_settings.go.

// ggufKeys returns the metadata of the text file.
func (m *Model) ggufKeys(fileType uint32) ([]gguf.KV, error) {
	t := &m.config.TextConfig
	if err := t.fitsGGUF(); err != nil {
		return nil, err
	}
	keys := m.generalKeys(textArchitecture, "model", fileType)
	add := func(key string, value any) { keys = append(keys, gguf.KV{Key: key, Value: value}) }
	const p = textArchitecture + "."
	sliding, full := t.RopeParameters[slidingAttention], t.RopeParameters[fullAttention]
	add(p+"block_count", uint32(t.NumHiddenLayers))
	add(p+"context_length", uint32(t.MaxPositionEmbeddings))
	add(p+"embedding_length", uint32(t.HiddenSize))
	add(p+"feed_forward_length", t.eachLayer(t.intermediateSize))
	add(p+"attention.head_count", uint32(t.NumAttentionHeads))
	add(p+"attention.head_count_kv", t.eachLayer(t.kvHeads))
	add(p+"rope.freq_base", float32(full.RopeTheta))
	add(p+"rope.freq_base_swa", float32(sliding.RopeTheta))
	add(p+"attention.layer_norm_rms_epsilon", t.RMSNormEps)
	if t.EnableMoEBlock {
		add(p+"expert_count", uint32(*t.NumExperts))
		add(p+"expert_used_count", uint32(*t.TopKExperts))
		add(p+"expert_feed_forward_length", uint32(*t.MoEIntermediateSize))
	}
	if t.FinalLogitSoftcapping != nil {
		add(p+"final_logit_softcapping", *t.FinalLogitSoftcapping)
	}
	add(p+"attention.sliding_window", uint32(t.SlidingWindow))
	add(p+"attention.shared_kv_layers", uint32(t.NumKVSharedLayers))
	add(p+"embedding_length_per_layer_input", uint32(t.HiddenSizePerLayerInput))
	pattern := make([]bool, t.NumHiddenLayers)
	for i := range pattern {
		pattern[i] = t.Sliding(i)
	}
	add(p+"attention.sliding_window_pattern", pattern)
	for _, key := range []string{"attention.key_length", "attention.value_length", "rope.dimension_count"} {
		add(p+key, uint32(t.globalHeadDim()))
		add(p+key+"_swa", uint32(t.HeadDim))
	}
	vocabulary, err := m.vocabularyKeys()
	if err != nil {
		return nil, err
	}
	settings, err := m.settingsKeys()
	return slices.Concat(keys, vocabulary, settings), err
}

// fitsGGUF reports what of a configuration the keys cannot say.
func (t *TextConfig) fitsGGUF() error {
	for i := range t.NumHiddenLayers {
		want := t.HeadDim
		if !t.Sliding(i) {
			want = t.globalHeadDim()
		}
		if t.headDim(i) != want || t.heads(i) != t.NumAttentionHeads {
			return UnsupportedError(fmt.Sprintf("layer %d has heads of its own size or number, which GGUF files of Gemma 4 cannot say", i))
		}
	}
	if p := t.RopeParameters[slidingAttention]; p.PartialRotaryFactor != nil && *p.PartialRotaryFactor != 1 {
		return UnsupportedError("sliding layers that rotate a part of their heads, which GGUF files of Gemma 4 cannot say")
	}
	if t.bidirectionalImages() != (t.HiddenSizePerLayerInput == 0) {
		return UnsupportedError("use_bidirectional_attention differs from what the size stands for, and GGUF files of Gemma 4 cannot say it")
	}
	return nil
}

// globalHeadDim is the size of the heads of full layers.
func (t *TextConfig) globalHeadDim() int {
	if i := slices.Index(t.LayerTypes, fullAttention); i >= 0 {
		return t.headDim(i)
	}
	return t.HeadDim
}

// eachLayer returns a value that all layers share as one, and others as an array.
func (t *TextConfig) eachLayer(value func(int) int) any {
	list := make([]int32, t.NumHiddenLayers)
	for i := range list {
		list[i] = int32(value(i))
	}
	if slices.Max(list) == slices.Min(list) {
		return uint32(list[0])
	}
	return list
}

// generalKeys are those of any file.
func (m *Model) generalKeys(architecture, kind string, fileType uint32) []gguf.KV {
	keys := []gguf.KV{
		{Key: "general.architecture", Value: architecture},
		{Key: "general.type", Value: kind},
		{Key: "general.name", Value: strings.TrimSuffix(filepath.Base(filepath.Clean(m.path)), ".gguf")},
		{Key: "general.file_type", Value: fileType},
		{Key: "general.quantization_version", Value: uint32(2)}, // of ggml's block formats
	}
	g := &m.config.Generation
	if !g.DoSample {
		return keys
	}
	if g.TopK > 0 {
		keys = append(keys, gguf.KV{Key: "general.sampling.top_k", Value: int32(g.TopK)})
	}
	if g.TopP != nil {
		keys = append(keys, gguf.KV{Key: "general.sampling.top_p", Value: *g.TopP})
	}
	if g.MinP > 0 {
		keys = append(keys, gguf.KV{Key: "general.sampling.min_p", Value: g.MinP})
	}
	return append(keys, gguf.KV{Key: "general.sampling.temp", Value: m.config.Sampling().Temperature})
}

// vocabularyKeys are the tokenizer's, and the chat template.
func (m *Model) vocabularyKeys() ([]gguf.KV, error) {
	t, err := m.readTokenizer()
	if err != nil {
		return nil, err
	}
	if t == nil {
		return []gguf.KV{{Key: "tokenizer.ggml.model", Value: "no_vocab"}}, nil
	}
	v := t.Vocabulary()
	types := make([]int32, len(v.Types))
	scores := make([]float32, len(v.Types))
	for i, n := range v.Types {
		types[i], scores[i] = int32(n), -1000 // merges have ranks, and scores count for nothing
	}
	c := &m.config.TextConfig
	keys := []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: "gemma4"},
		{Key: "tokenizer.ggml.tokens", Value: v.Tokens},
		{Key: "tokenizer.ggml.scores", Value: scores},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: v.Merges},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(c.BOSTokenID)},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(c.PadTokenID)},
		{Key: "tokenizer.ggml.add_space_prefix", Value: false},
		{Key: "tokenizer.ggml.add_bos_token", Value: true},
	}
	for _, special := range [][2]string{{"eos", "<eos>"}, {"unknown", "<unk>"}, {"mask", "<mask>"}} {
		if id, ok := t.ID(special[1]); ok {
			keys = append(keys, gguf.KV{Key: "tokenizer.ggml." + special[0] + "_token_id", Value: uint32(id)})
		}
	}
	if ids := m.config.Generation.SuppressTokens; len(ids) > 0 {
		keys = append(keys, gguf.KV{Key: suppressKey, Value: []int32(ids)})
	}
	template, err := m.readTemplate()
	if err == nil && template != "" {
		keys = append(keys, gguf.KV{Key: chatTemplateKey, Value: template})
	}
	return keys, err
}

// mmprojKeys returns the metadata of the towers' file.
func (m *Model) mmprojKeys() []gguf.KV {
	keys := m.generalKeys(mmprojArchitecture, "mmproj", recipes["bf16"].fileType)
	width := uint32(m.config.TextConfig.HiddenSize)
	add := func(key string, value any) { keys = append(keys, gguf.KV{Key: "clip." + key, Value: value}) }
	add("has_vision_encoder", m.config.VisionConfig != nil)
	add("has_audio_encoder", m.config.AudioConfig != nil)
	if v := m.config.VisionConfig; v != nil && v.unified() {
		add("vision.projector_type", "gemma4uv")
		add("vision.projection_dim", width)
		add("vision.image_size", uint32(224)) // asked for and not used
		add("vision.patch_size", uint32(v.PatchSize))
		add("vision.embedding_length", uint32(v.MMEmbedDim))
		for _, none := range []string{"feed_forward_length", "block_count", "attention.head_count"} {
			add("vision."+none, uint32(0)) // asked for as well
		}
		add("vision.attention.layer_norm_epsilon", v.RMSNormEps)
		add("vision.image_mean", []float32{0, 0, 0})
		add("vision.image_std", []float32{1, 1, 1})
		if v.PoolingKernelSize != 3 {
			add("vision.projector.scale_factor", uint32(v.PoolingKernelSize))
		}
	} else if v != nil {
		add("vision.projector_type", "gemma4v")
		add("vision.projection_dim", width)
		add("vision.image_size", uint32(224)) // asked for and not used
		add("vision.patch_size", uint32(v.PatchSize))
		add("vision.embedding_length", uint32(v.HiddenSize))
		add("vision.feed_forward_length", uint32(v.IntermediateSize))
		add("vision.block_count", uint32(v.NumHiddenLayers))
		add("vision.attention.head_count", uint32(v.NumAttentionHeads))
		add("vision.attention.layer_norm_epsilon", v.RMSNormEps)
		add("vision.image_mean", []float32{0, 0, 0})
		add("vision.image_std", []float32{1, 1, 1})
		if v.PoolingKernelSize != 3 {
			add("vision.projector.scale_factor", uint32(v.PoolingKernelSize))
		}
	}
	if a := m.config.AudioConfig; a != nil && a.unified() {
		add("audio.projector_type", "gemma4ua")
		add("audio.projection_dim", width)
		add("audio.num_mel_bins", uint32(melBins)) // as llama.cpp's converter has it; there are none
		add("audio.embedding_length", uint32(a.AudioEmbedDim))
		for _, none := range []string{"feed_forward_length", "block_count", "attention.head_count"} {
			add("audio."+none, uint32(0))
		}
		add("audio.attention.layer_norm_epsilon", a.RMSNormEps)
	} else if a != nil {
		add("audio.projector_type", "gemma4a")
		add("audio.projection_dim", width)
		add("audio.num_mel_bins", uint32(melBins))
		add("audio.embedding_length", uint32(a.HiddenSize))
		add("audio.feed_forward_length", uint32(4*a.HiddenSize))
		add("audio.block_count", uint32(a.NumHiddenLayers))
		add("audio.attention.head_count", uint32(a.NumAttentionHeads))
		add("audio.attention.layer_norm_epsilon", float32(1e-6)) // of every norm of the tower
	}
	return keys
}

// ropeFreqsTensor tells llama.cpp which pairs of a full layer's head are rotated: it
// divides their frequencies by 1, and those of the others by so much that nothing turns.
func ropeFreqsTensor(t *TextConfig) gguf.Tensor {
	r := newRope(t.RopeParameters[fullAttention], t.globalHeadDim())
	var data []byte
	for _, frequency := range r.inverse {
		divisor := float32(1)
		if frequency == 0 {
			divisor = 1e30
		}
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(divisor))
	}
	return gguf.Tensor{Name: ropeFreqs, DType: "F32", Shape: []int{len(r.inverse)}, Write: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}
