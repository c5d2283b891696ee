package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"facet/internal/strictjson"
)

// Attention kinds as the checkpoint's layer_types spells them.
const (
	slidingAttention = "sliding_attention"
	fullAttention    = "full_attention"
)

// What model_type may say. The 12B is the unified one: it has no towers, and masks of its own.
// The parts of a configuration have the name with what they are behind it.
const (
	gemma4        = "gemma4"
	gemma4Unified = "gemma4_unified"
)

// Config is a checkpoint's config.json with the keys the engine reads.
type Config struct {
	ModelType    string        `json:"model_type"`
	TextConfig   TextConfig    `json:"text_config"`
	VisionConfig *VisionConfig `json:"vision_config"`
	AudioConfig  *AudioConfig  `json:"audio_config"`
	EOSTokenID   TokenIDs      `json:"eos_token_id"`

	// Generation is generation_config.json; zero where the file is absent.
	Generation GenerationConfig `json:"-"`
	// Processor is processor_config.json; defaults where the file is absent.
	Processor ProcessorConfig `json:"-"`
}

// TextConfig describes the decoder.
type TextConfig struct {
	ModelType                 string                    `json:"model_type"`
	VocabSize                 int                       `json:"vocab_size"`
	HiddenSize                int                       `json:"hidden_size"`
	IntermediateSize          int                       `json:"intermediate_size"`
	NumHiddenLayers           int                       `json:"num_hidden_layers"`
	NumAttentionHeads         int                       `json:"num_attention_heads"`
	NumKeyValueHeads          int                       `json:"num_key_value_heads"`
	NumGlobalKeyValueHeads    *int                      `json:"num_global_key_value_heads"`
	HeadDim                   int                       `json:"head_dim"`
	GlobalHeadDim             *int                      `json:"global_head_dim"`
	HiddenActivation          string                    `json:"hidden_activation"`
	RMSNormEps                float32                   `json:"rms_norm_eps"`
	MaxPositionEmbeddings     int                       `json:"max_position_embeddings"`
	RopeParameters            map[string]RopeParameters `json:"rope_parameters"`
	AttentionBias             bool                      `json:"attention_bias"`
	AttentionKEqV             bool                      `json:"attention_k_eq_v"`
	SlidingWindow             int                       `json:"sliding_window"`
	LayerTypes                []string                  `json:"layer_types"`
	FinalLogitSoftcapping     *float32                  `json:"final_logit_softcapping"`
	UseBidirectionalAttention *string                   `json:"use_bidirectional_attention"`
	NumKVSharedLayers         int                       `json:"num_kv_shared_layers"`
	UseDoubleWideMLP          bool                      `json:"use_double_wide_mlp"`
	HiddenSizePerLayerInput   int                       `json:"hidden_size_per_layer_input"`
	VocabSizePerLayerInput    int                       `json:"vocab_size_per_layer_input"`
	EnableMoEBlock            bool                      `json:"enable_moe_block"`
	NumExperts                *int                      `json:"num_experts"`
	TopKExperts               *int                      `json:"top_k_experts"`
	MoEIntermediateSize       *int                      `json:"moe_intermediate_size"`
	PadTokenID                int32                     `json:"pad_token_id"`
	BOSTokenID                int32                     `json:"bos_token_id"`
	EOSTokenID                TokenIDs                  `json:"eos_token_id"`
	TieWordEmbeddings         *bool                     `json:"tie_word_embeddings"`

	// PerLayerConfig overrides sizes by layer index. transformers writes it since
	// 5.15 in place of global_head_dim and num_global_key_value_heads.
	PerLayerConfig map[string]LayerConfig `json:"per_layer_config"`
}

// LayerConfig is one entry of per_layer_config: the sizes in which a layer departs from the rest.
type LayerConfig struct {
	HeadDim           *int `json:"head_dim"`
	NumKeyValueHeads  *int `json:"num_key_value_heads"`
	NumAttentionHeads *int `json:"num_attention_heads"`
	IntermediateSize  *int `json:"intermediate_size"`
}

// RopeParameters are the rotary settings of one kind of attention.
type RopeParameters struct {
	RopeType            string   `json:"rope_type"`
	RopeTheta           float64  `json:"rope_theta"`
	PartialRotaryFactor *float64 `json:"partial_rotary_factor"`
	Factor              *float64 `json:"factor"`
}

// VisionConfig describes the vision tower, or, in a 12B, what it has in place of one: see
// pictureEmbedder.
type VisionConfig struct {
	ModelType             string         `json:"model_type"`
	HiddenSize            int            `json:"hidden_size"`
	IntermediateSize      int            `json:"intermediate_size"`
	NumHiddenLayers       int            `json:"num_hidden_layers"`
	NumAttentionHeads     int            `json:"num_attention_heads"`
	NumKeyValueHeads      int            `json:"num_key_value_heads"`
	HeadDim               int            `json:"head_dim"`
	HiddenActivation      string         `json:"hidden_activation"`
	AttentionBias         bool           `json:"attention_bias"`
	RMSNormEps            float32        `json:"rms_norm_eps"`
	PatchSize             int            `json:"patch_size"`
	PoolingKernelSize     int            `json:"pooling_kernel_size"`
	PositionEmbeddingSize int            `json:"position_embedding_size"`
	RopeParameters        RopeParameters `json:"rope_parameters"`
	UseClippedLinears     bool           `json:"use_clipped_linears"`
	Standardize           bool           `json:"standardize"`
	DefaultOutputLength   int            `json:"default_output_length"`

	// Of a 12B, which has besides these and RMSNormEps only the two sizes of patches.
	MMEmbedDim     int `json:"mm_embed_dim,omitempty"`
	MMPosembSize   int `json:"mm_posemb_size,omitempty"`
	OutputProjDims int `json:"output_proj_dims,omitempty"`
}

// AudioConfig describes the audio tower, or, in a 12B, what it has in place of one: see
// soundEmbedder.
type AudioConfig struct {
	ModelType               string  `json:"model_type"`
	HiddenSize              int     `json:"hidden_size"`
	HiddenAct               string  `json:"hidden_act"`
	NumHiddenLayers         int     `json:"num_hidden_layers"`
	NumAttentionHeads       int     `json:"num_attention_heads"`
	AttentionContextLeft    int     `json:"attention_context_left"`
	AttentionContextRight   int     `json:"attention_context_right"`
	AttentionLogitCap       float32 `json:"attention_logit_cap"`
	SubsamplingConvChannels []int   `json:"subsampling_conv_channels"`
	ConvKernelSize          int     `json:"conv_kernel_size"`
	ResidualWeight          float32 `json:"residual_weight"`
	GradientClipping        float64 `json:"gradient_clipping"`
	UseClippedLinears       bool    `json:"use_clipped_linears"`
	RMSNormEps              float32 `json:"rms_norm_eps"`
	OutputProjDims          int     `json:"output_proj_dims"`

	// AudioEmbedDim is the samples of a frame of sound of a 12B, which has besides it and
	// RMSNormEps nothing.
	AudioEmbedDim int `json:"audio_embed_dim,omitempty"`
}

// GenerationConfig is generation_config.json: the sampling the checkpoint's makers advise.
type GenerationConfig struct {
	DoSample    bool     `json:"do_sample"`
	Temperature *float32 `json:"temperature"`
	TopK        int      `json:"top_k"`
	TopP        *float32 `json:"top_p"`
	MinP        float32  `json:"min_p"`
	EOSTokenID  TokenIDs `json:"eos_token_id"`

	// SuppressTokens are never chosen: a 12B names the ends of pictures and of sound.
	SuppressTokens TokenIDs `json:"suppress_tokens,omitempty"`
}

// ProcessorConfig is processor_config.json, as far as the engine reads it.
type ProcessorConfig struct {
	ImageProcessor struct {
		PatchSize         int `json:"patch_size"`
		PoolingKernelSize int `json:"pooling_kernel_size"`
		MaxSoftTokens     int `json:"max_soft_tokens"`
	} `json:"image_processor"`
	VideoProcessor struct {
		MaxSoftTokens int `json:"max_soft_tokens"`
	} `json:"video_processor"`
	FeatureExtractor *FeatureExtractor `json:"feature_extractor"`
	AudioSeqLength   int               `json:"audio_seq_length"`
	AudioMsPerToken  int               `json:"audio_ms_per_token"`
}

// FeatureExtractor is how sound becomes a log-mel spectrogram, or, in a 12B, frames of samples.
type FeatureExtractor struct {
	FeatureSize  int       `json:"feature_size"`
	SamplingRate int       `json:"sampling_rate"`
	FrameLength  int       `json:"frame_length"`
	HopLength    int       `json:"hop_length"`
	FFTLength    int       `json:"fft_length"`
	MinFrequency float64   `json:"min_frequency"`
	MaxFrequency float64   `json:"max_frequency"`
	MelFloor     float64   `json:"mel_floor"`
	FFTOverdrive bool      `json:"fft_overdrive"`
	Dither       float64   `json:"dither"`
	Preemphasis  float64   `json:"preemphasis"`
	InputScale   *float64  `json:"input_scale_factor"`
	PerBinMean   []float64 `json:"per_bin_mean"`
	PerBinStddev []float64 `json:"per_bin_stddev"`

	// Of a 12B, which has besides these only FeatureSize, their number again, and SamplingRate.
	AudioSamplesPerToken int     `json:"audio_samples_per_token,omitempty"`
	PaddingValue         float64 `json:"padding_value,omitempty"`
}

// TokenIDs is a JSON number or list of numbers.
type TokenIDs []int32

// UnmarshalJSON accepts null, a number and a list of numbers.
func (t *TokenIDs) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int32)(t))
	}
	var one *int32
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*t = nil
	if one != nil {
		*t = TokenIDs{*one}
	}
	return nil
}

// loadConfig reads config.json of a checkpoint folder and, where they exist,
// generation_config.json and processor_config.json, and checks every value.
func loadConfig(dir string) (*Config, error) {
	c := new(Config)
	if err := readJSON(filepath.Join(dir, "config.json"), c); err != nil {
		return nil, err
	}
	for name, dst := range map[string]any{"generation_config.json": &c.Generation, "processor_config.json": &c.Processor} {
		if err := readJSON(filepath.Join(dir, name), dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	return c, nil
}

// maxConfigBytes is the longest JSON file beside the weights that is read.
// tokenizer_config.json has megabytes where a checkpoint adds thousands of tokens.
const maxConfigBytes = 32 << 20

// readJSON reads a JSON file of the checkpoint into dst. Keys that dst has no field for are
// dropped; a key that is there twice and text after the value are FormatErrors.
func readJSON(path string, dst any) error {
	data, err := strictjson.ReadFile(path, maxConfigBytes)
	if err != nil {
		return err
	}
	if err := strictjson.Unmarshal(data, dst, strictjson.AllowUnknown); err != nil {
		return fmt.Errorf("%s: %w", path, FormatError("not valid JSON for this file: "+err.Error()))
	}
	return nil
}

// validate checks that every value the engine computes with is present, of a
// known kind and in range, so that the code after it need not.
func (c *Config) validate() error {
	switch c.ModelType {
	case gemma4, gemma4Unified:
	case "gemma4_text", "gemma4_unified_text":
		return UnsupportedError("model_type " + c.ModelType + ": checkpoints without the parts for images are not supported yet")
	case "":
		return FormatError("model_type is missing")
	default:
		return UnsupportedError(fmt.Sprintf("model_type %q is not Gemma 4", c.ModelType))
	}
	if err := c.validateTypes(); err != nil {
		return err
	}
	if err := c.TextConfig.validate(); err != nil {
		return fmt.Errorf("text_config: %w", err)
	}
	if v := c.VisionConfig; v != nil {
		if err := v.validate(); err != nil {
			return fmt.Errorf("vision_config: %w", err)
		}
	}
	if a := c.AudioConfig; a != nil {
		if err := a.validate(); err != nil {
			return fmt.Errorf("audio_config: %w", err)
		}
	}
	p := &c.Processor.ImageProcessor
	for name, n := range map[string]int{
		"image_processor.max_soft_tokens": p.MaxSoftTokens,
		"video_processor.max_soft_tokens": c.Processor.VideoProcessor.MaxSoftTokens,
		"audio_seq_length":                c.Processor.AudioSeqLength,
		"audio_ms_per_token":              c.Processor.AudioMsPerToken,
	} {
		if n < 0 || n > maxSoftTokens {
			return FormatError(fmt.Sprintf("processor_config.json: %s is %d, must be 0 to %d", name, n, maxSoftTokens))
		}
	}
	if f := c.Processor.FeatureExtractor; f != nil && c.AudioConfig != nil {
		if err := f.validate(c.AudioConfig); err != nil {
			return fmt.Errorf("processor_config.json: feature_extractor: %w", err)
		}
	}
	if v := c.VisionConfig; v != nil && (p.PatchSize != 0 && p.PatchSize != v.PatchSize || p.PoolingKernelSize != 0 && p.PoolingKernelSize != v.PoolingKernelSize) {
		return FormatError("processor_config.json and vision_config disagree on patch_size or pooling_kernel_size")
	}
	return nil
}

// validateTypes checks that the parts of the configuration belong to one kind of model. What
// says nothing is of the whole's kind, unless that is the 12B, whose parts share no keys with others.
func (c *Config) validateTypes() error {
	parts := map[string]string{"text": c.TextConfig.ModelType}
	if v := c.VisionConfig; v != nil {
		parts["vision"] = v.ModelType
	}
	if a := c.AudioConfig; a != nil {
		parts["audio"] = a.ModelType
	}
	for _, part := range []string{"text", "vision", "audio"} {
		got, ok := parts[part]
		if want := c.ModelType + "_" + part; ok && got != want && (got != "" || c.ModelType == gemma4Unified) {
			return FormatError(fmt.Sprintf("%s_config: model_type is %q, want %q", part, got, want))
		}
	}
	return nil
}

// bounded is a named configuration value with the range it must lie in.
type bounded struct {
	name       string
	value      int
	least, top int
}

func checkBounds(values []bounded) error {
	for _, v := range values {
		if v.value < v.least || v.value > v.top {
			return FormatError(fmt.Sprintf("%s is %d, must be %d to %d", v.name, v.value, v.least, v.top))
		}
	}
	return nil
}

func (t *TextConfig) validate() error {
	err := checkBounds([]bounded{
		{"vocab_size", t.VocabSize, 1, 1 << 22},
		{"hidden_size", t.HiddenSize, 1, 1 << 16},
		{"intermediate_size", t.IntermediateSize, 1, 1 << 20},
		{"num_hidden_layers", t.NumHiddenLayers, 1, 1024},
		{"num_attention_heads", t.NumAttentionHeads, 1, 1024},
		{"num_key_value_heads", t.NumKeyValueHeads, 1, 1024},
		{"head_dim", t.HeadDim, 2, 4096},
		{"sliding_window", t.SlidingWindow, 1, 1 << 20},
		{"max_position_embeddings", t.MaxPositionEmbeddings, 1, 1 << 24},
		{"num_kv_shared_layers", t.NumKVSharedLayers, 0, t.NumHiddenLayers - 1},
		{"hidden_size_per_layer_input", t.HiddenSizePerLayerInput, 0, 1 << 16},
		{"pad_token_id", int(t.PadTokenID), 0, t.VocabSize - 1},
		{"bos_token_id", int(t.BOSTokenID), 0, t.VocabSize - 1},
	})
	if err != nil {
		return err
	}
	switch {
	case !(t.RMSNormEps > 0 && t.RMSNormEps < 1):
		return FormatError(fmt.Sprintf("rms_norm_eps is %g", t.RMSNormEps))
	case t.HiddenActivation != "gelu_pytorch_tanh":
		return UnsupportedError(fmt.Sprintf("hidden_activation %q", t.HiddenActivation))
	case t.AttentionBias:
		return UnsupportedError("attention_bias true")
	case t.TieWordEmbeddings != nil && !*t.TieWordEmbeddings:
		return UnsupportedError("tie_word_embeddings false")
	case t.unified() && t.UseBidirectionalAttention == nil: // transformers would take it for "vision"
		return FormatError("use_bidirectional_attention is missing")
	case t.UseBidirectionalAttention != nil && *t.UseBidirectionalAttention != "vision":
		return UnsupportedError(fmt.Sprintf("use_bidirectional_attention %q", *t.UseBidirectionalAttention))
	case t.FinalLogitSoftcapping != nil && !(*t.FinalLogitSoftcapping > 0):
		return FormatError(fmt.Sprintf("final_logit_softcapping is %g", *t.FinalLogitSoftcapping))
	case t.HiddenSizePerLayerInput > 0 && (t.VocabSizePerLayerInput < t.VocabSize || t.VocabSizePerLayerInput > 1<<22):
		return FormatError(fmt.Sprintf("vocab_size_per_layer_input is %d for a vocab_size of %d", t.VocabSizePerLayerInput, t.VocabSize))
	}
	if err := t.validateExperts(); err != nil {
		return err
	}
	return t.validateLayers()
}

func (t *TextConfig) validateExperts() error {
	if !t.EnableMoEBlock {
		return nil
	}
	if t.NumExperts == nil || t.TopKExperts == nil || t.MoEIntermediateSize == nil {
		return FormatError("enable_moe_block without num_experts, top_k_experts and moe_intermediate_size")
	}
	return checkBounds([]bounded{
		{"num_experts", *t.NumExperts, 1, 4096},
		{"top_k_experts", *t.TopKExperts, 1, *t.NumExperts},
		{"moe_intermediate_size", *t.MoEIntermediateSize, 1, 1 << 20},
	})
}

func (t *TextConfig) validateLayers() error {
	if len(t.LayerTypes) != t.NumHiddenLayers {
		return FormatError(fmt.Sprintf("layer_types has %d entries for %d layers", len(t.LayerTypes), t.NumHiddenLayers))
	}
	for key := range t.PerLayerConfig {
		if n, err := strconv.Atoi(key); err != nil || n < 0 || n >= t.NumHiddenLayers {
			return FormatError(fmt.Sprintf("per_layer_config has an entry %q for %d layers", key, t.NumHiddenLayers))
		}
	}
	if t.LayerTypes[t.NumHiddenLayers-1] != fullAttention {
		return UnsupportedError("the last of layer_types is not full_attention")
	}
	for i, kind := range t.LayerTypes {
		if kind != slidingAttention && kind != fullAttention {
			return UnsupportedError(fmt.Sprintf("layer_types[%d] is %q", i, kind))
		}
		rope, ok := t.RopeParameters[kind]
		if !ok {
			return FormatError("rope_parameters has no " + kind)
		}
		if err := rope.validate("default", "proportional"); err != nil {
			return fmt.Errorf("rope_parameters.%s: %w", kind, err)
		}
		err := checkBounds([]bounded{
			{"head size", t.headDim(i), 2, 4096},
			{"attention heads", t.heads(i), 1, 1024},
			{"key/value heads", t.kvHeads(i), 1, 1024},
			{"intermediate size", t.intermediateSize(i), 1, 1 << 20},
		})
		switch {
		case err != nil:
			return fmt.Errorf("layer %d: %w", i, err)
		case t.headDim(i)%2 != 0:
			return FormatError(fmt.Sprintf("layer %d: head size %d is odd", i, t.headDim(i)))
		case t.heads(i)%t.kvHeads(i) != 0:
			return FormatError(fmt.Sprintf("layer %d: %d attention heads are no multiple of %d key/value heads", i, t.heads(i), t.kvHeads(i)))
		}
		if first := slices.Index(t.LayerTypes, kind); t.headDim(first) != t.headDim(i) {
			return UnsupportedError(fmt.Sprintf("layers %d and %d are both %s and have heads of %d and %d", first, i, kind, t.headDim(first), t.headDim(i)))
		}
		if !t.ownsKV(i) {
			src := t.kvSource(i)
			if src < 0 {
				return FormatError(fmt.Sprintf("layer %d shares keys and values, but no earlier layer of kind %s owns any", i, kind))
			}
			if t.headDim(src) != t.headDim(i) || t.kvHeads(src) != t.kvHeads(i) {
				return FormatError(fmt.Sprintf("layer %d shares the keys of layer %d, which have another shape", i, src))
			}
		}
	}
	return nil
}

// validate refuses what newRope does not compute. kinds are the rope types that may stand here.
func (r RopeParameters) validate(kinds ...string) error {
	switch {
	case !slices.Contains(kinds, r.RopeType):
		return UnsupportedError(fmt.Sprintf("rope_type %q", r.RopeType))
	case !(r.RopeTheta > 1) || math.IsInf(r.RopeTheta, 0):
		return FormatError(fmt.Sprintf("rope_theta is %g", r.RopeTheta))
	case r.Factor != nil && *r.Factor != 1:
		return UnsupportedError(fmt.Sprintf("factor %g", *r.Factor))
	case r.PartialRotaryFactor != nil && !(*r.PartialRotaryFactor > 0 && *r.PartialRotaryFactor <= 1):
		return FormatError(fmt.Sprintf("partial_rotary_factor is %g", *r.PartialRotaryFactor))
	case r.PartialRotaryFactor != nil && *r.PartialRotaryFactor != 1 && r.RopeType != "proportional":
		return UnsupportedError(fmt.Sprintf("partial_rotary_factor %g with rope_type %q", *r.PartialRotaryFactor, r.RopeType))
	}
	return nil
}

func (v *VisionConfig) validate() error {
	if v.unified() {
		return v.validateUnified()
	}
	err := checkBounds([]bounded{
		{"hidden_size", v.HiddenSize, 1, 1 << 16},
		{"intermediate_size", v.IntermediateSize, 1, 1 << 20},
		{"num_hidden_layers", v.NumHiddenLayers, 1, 1024},
		{"num_attention_heads", v.NumAttentionHeads, 1, 1024},
		{"num_key_value_heads", v.NumKeyValueHeads, 1, 1024},
		{"head_dim", v.HeadDim, 4, 4096},
		{"patch_size", v.PatchSize, 1, 256},
		{"pooling_kernel_size", v.PoolingKernelSize, 1, 16},
		{"position_embedding_size", v.PositionEmbeddingSize, 1, 1 << 20},
		{"default_output_length", v.DefaultOutputLength, 0, maxSoftTokens},
		{"head_dim modulo 4", v.HeadDim % 4, 0, 0},
		{"num_attention_heads modulo num_key_value_heads", v.NumAttentionHeads % max(1, v.NumKeyValueHeads), 0, 0},
	})
	if err != nil {
		return err
	}
	switch {
	case !(v.RMSNormEps > 0 && v.RMSNormEps < 1):
		return FormatError(fmt.Sprintf("rms_norm_eps is %g", v.RMSNormEps))
	case v.HiddenActivation != "gelu_pytorch_tanh":
		return UnsupportedError(fmt.Sprintf("hidden_activation %q", v.HiddenActivation))
	case v.AttentionBias:
		return UnsupportedError("attention_bias true")
	}
	if err := v.RopeParameters.validate("default", "axial"); err != nil {
		return fmt.Errorf("rope_parameters: %w", err)
	}
	return nil
}

// unified reports whether the checkpoint has no vision tower but a pictureEmbedder.
func (v *VisionConfig) unified() bool { return v.ModelType == gemma4Unified+"_vision" }

func (v *VisionConfig) validateUnified() error {
	err := checkBounds([]bounded{
		{"mm_embed_dim", v.MMEmbedDim, 1, 1 << 16},
		{"mm_posemb_size", v.MMPosembSize, 1, 1 << 20},
		{"patch_size", v.PatchSize, 1, 256},
		{"pooling_kernel_size", v.PoolingKernelSize, 1, 16},
		{"patch_size times pooling_kernel_size", v.PatchSize * v.PoolingKernelSize, 1, 256},
	})
	switch {
	case err != nil:
		return err
	case v.OutputProjDims != v.MMEmbedDim:
		return UnsupportedError(fmt.Sprintf("output_proj_dims %d with mm_embed_dim %d", v.OutputProjDims, v.MMEmbedDim))
	case !(v.RMSNormEps > 0 && v.RMSNormEps < 1):
		return FormatError(fmt.Sprintf("rms_norm_eps is %g", v.RMSNormEps))
	}
	return nil
}

// unified reports whether the checkpoint has no audio tower but a soundEmbedder.
func (a *AudioConfig) unified() bool { return a.ModelType == gemma4Unified+"_audio" }

func (a *AudioConfig) validateUnified() error {
	if err := checkBounds([]bounded{{"audio_embed_dim", a.AudioEmbedDim, 1, 1 << 16}}); err != nil {
		return err
	}
	if !(a.RMSNormEps > 0 && a.RMSNormEps < 1) {
		return FormatError(fmt.Sprintf("rms_norm_eps is %g", a.RMSNormEps))
	}
	return nil
}

func (a *AudioConfig) validate() error {
	if a.unified() {
		return a.validateUnified()
	}
	switch n := len(a.SubsamplingConvChannels); n {
	case 2:
	case 0:
		return FormatError("subsampling_conv_channels is missing")
	default:
		return UnsupportedError(fmt.Sprintf("%d subsampling_conv_channels, want 2", n))
	}
	err := checkBounds([]bounded{
		{"hidden_size", a.HiddenSize, 4, 1 << 16},
		{"num_hidden_layers", a.NumHiddenLayers, 1, 1024},
		{"num_attention_heads", a.NumAttentionHeads, 1, 1024},
		{"attention_context_left", a.AttentionContextLeft, 2, 1024},
		{"conv_kernel_size", a.ConvKernelSize, 1, 1024},
		{"output_proj_dims", a.OutputProjDims, 1, 1 << 16},
		{"hidden_size modulo num_attention_heads", a.HiddenSize % max(1, a.NumAttentionHeads), 0, 0},
		{"hidden_size modulo 2", a.HiddenSize % 2, 0, 0},
		{"subsampling_conv_channels", a.SubsamplingConvChannels[0], 1, 1 << 12},
		{"subsampling_conv_channels", a.SubsamplingConvChannels[1], 1, 1 << 12},
	})
	if err != nil {
		return err
	}
	switch {
	case !(a.RMSNormEps > 0 && a.RMSNormEps < 1):
		return FormatError(fmt.Sprintf("rms_norm_eps is %g", a.RMSNormEps))
	case a.HiddenAct != "silu":
		return UnsupportedError(fmt.Sprintf("hidden_act %q", a.HiddenAct))
	case a.AttentionContextRight != 0:
		return UnsupportedError(fmt.Sprintf("attention_context_right %d", a.AttentionContextRight))
	case !(a.AttentionLogitCap > 0):
		return FormatError(fmt.Sprintf("attention_logit_cap is %g", a.AttentionLogitCap))
	case !(a.GradientClipping > 1e6): // reaches no activation of float32, and is not applied
		return UnsupportedError(fmt.Sprintf("gradient_clipping %g", a.GradientClipping))
	}
	return nil
}

// validate refuses what audio.Spec has no room for, and values that it panics on.
func (f *FeatureExtractor) validate(a *AudioConfig) error {
	if a.unified() {
		return f.validateUnified(a.AudioEmbedDim)
	}
	err := checkBounds([]bounded{
		{"feature_size", f.FeatureSize, melBins, melBins},
		{"sampling_rate", f.SamplingRate, 4000, 384_000},
		{"fft_length", f.FFTLength, 2, 1 << 16},
		{"fft_length modulo 2", f.FFTLength % 2, 0, 0},
		{"frame_length", f.FrameLength, 2, f.FFTLength},
		{"hop_length", f.HopLength, 1, f.FrameLength},
	})
	switch {
	case err != nil:
		return err
	case !(f.MinFrequency >= 0 && f.MinFrequency < f.MaxFrequency && f.MaxFrequency <= float64(f.SamplingRate)/2):
		return FormatError(fmt.Sprintf("frequencies from %g to %g Hz at a sampling_rate of %d", f.MinFrequency, f.MaxFrequency, f.SamplingRate))
	case !(f.MelFloor > 0) || math.IsInf(f.MelFloor, 0):
		return FormatError(fmt.Sprintf("mel_floor is %g", f.MelFloor))
	case f.FFTOverdrive || f.Dither != 0 || f.Preemphasis != 0 || f.InputScale != nil && *f.InputScale != 1 || f.PerBinMean != nil || f.PerBinStddev != nil:
		return UnsupportedError("fft_overdrive, dither, preemphasis, input_scale_factor, per_bin_mean or per_bin_stddev")
	}
	return nil
}

func (f *FeatureExtractor) validateUnified(samples int) error {
	err := checkBounds([]bounded{
		{"audio_samples_per_token", f.AudioSamplesPerToken, samples, samples},
		{"feature_size", f.FeatureSize, samples, samples},
		{"sampling_rate", f.SamplingRate, 4000, 384_000},
	})
	if err == nil && f.PaddingValue != 0 {
		err = UnsupportedError(fmt.Sprintf("padding_value %g", f.PaddingValue))
	}
	return err
}

// maxSoftTokens bounds the budget for a picture that a checkpoint may set: far above
// the largest released one of 1120, and a picture's activations stay under 3 GB.
const maxSoftTokens = 4096

// Sliding reports whether layer i attends within the sliding window only.
func (t *TextConfig) Sliding(i int) bool { return t.LayerTypes[i] == slidingAttention }

// layer returns the overrides of layer i; all fields are nil where there are none.
func (t *TextConfig) layer(i int) LayerConfig { return t.PerLayerConfig[strconv.Itoa(i)] }

func (t *TextConfig) headDim(i int) int {
	if d := t.layer(i).HeadDim; d != nil {
		return *d
	}
	if !t.Sliding(i) && t.GlobalHeadDim != nil {
		return *t.GlobalHeadDim
	}
	return t.HeadDim
}

func (t *TextConfig) heads(i int) int {
	if n := t.layer(i).NumAttentionHeads; n != nil {
		return *n
	}
	return t.NumAttentionHeads
}

// kvHeads is the number of key/value heads of layer i. num_global_key_value_heads
// counts only where full layers use their keys as values (E2B and E4B carry the
// key with another meaning).
func (t *TextConfig) kvHeads(i int) int {
	if n := t.layer(i).NumKeyValueHeads; n != nil {
		return *n
	}
	if t.keyIsValue(i) && t.NumGlobalKeyValueHeads != nil {
		return *t.NumGlobalKeyValueHeads
	}
	return t.NumKeyValueHeads
}

// keyIsValue reports whether layer i has no v_proj and uses its raw keys as values.
func (t *TextConfig) keyIsValue(i int) bool { return t.AttentionKEqV && !t.Sliding(i) }

// KVShape returns the number and the size of the key/value heads of layer i.
func (t *TextConfig) KVShape(i int) (heads, dim int) { return t.kvHeads(i), t.headDim(i) }

// intermediateSize is the MLP width of layer i: doubled in KV-shared layers where use_double_wide_mlp says so.
func (t *TextConfig) intermediateSize(i int) int {
	if n := t.layer(i).IntermediateSize; n != nil {
		return *n
	}
	if t.UseDoubleWideMLP && !t.ownsKV(i) {
		return 2 * t.IntermediateSize
	}
	return t.IntermediateSize
}

// firstShared is the first layer that uses the keys and values of an earlier one; NumHiddenLayers if none does.
func (t *TextConfig) firstShared() int { return t.NumHiddenLayers - t.NumKVSharedLayers }

func (t *TextConfig) ownsKV(i int) bool { return i < t.firstShared() }

// kvSource is the layer whose keys and values layer i reads: itself, or the last
// owning layer of the same kind. It is -1 if there is none.
func (t *TextConfig) kvSource(i int) int {
	if t.ownsKV(i) {
		return i
	}
	for s := t.firstShared() - 1; s >= 0; s-- {
		if t.LayerTypes[s] == t.LayerTypes[i] {
			return s
		}
	}
	return -1
}

// bidirectionalImages reports whether the soft tokens of one image see each other in both directions.
func (t *TextConfig) bidirectionalImages() bool {
	return t.UseBidirectionalAttention != nil && *t.UseBidirectionalAttention == "vision"
}

// unified reports whether the decoder is a 12B's, in which every layer sees all of a picture
// that it is in: see sequence.visible.
func (t *TextConfig) unified() bool { return t.ModelType == gemma4Unified+"_text" }

// large reports whether the checkpoint belongs to the sizes whose chat template
// writes an empty thought when thinking is off (12B, 26B-A4B, 31B): those without
// per-layer embeddings.
func (c *Config) large() bool { return c.TextConfig.HiddenSizePerLayerInput == 0 }
