package model

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
)

// edited writes a copy of a checkpoint's config.json with some keys of a part
// changed, removed where the value is nil, and loads it.
func edited(t *testing.T, part string, change map[string]any) error {
	t.Helper()
	data, err := os.ReadFile(fixtures.Path("golden/checkpoints/tiny-e/config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	at := doc
	if part != "" {
		at = doc[part].(map[string]any)
	}
	for k, v := range change {
		if at[k] = v; v == nil {
			delete(at, k)
		}
	}
	dir := t.TempDir()
	if data, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = loadConfig(dir)
	return err
}

func TestConfigRefuses(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		part        string
		change      m
		want        string
		unsupported bool
	}{
		{"", m{"model_type": "llama"}, `model_type "llama"`, true},
		{"", m{"model_type": nil}, "model_type is missing", false},
		{"", m{"model_type": "gemma4_unified"}, `text_config: model_type is "gemma4_text", want "gemma4_unified_text"`, false},
		{"text_config", m{"hidden_size": 0}, "hidden_size is 0", false},
		{"audio_config", m{"num_hidden_layers": 1 << 30}, "audio_config: num_hidden_layers is 1073741824", false},
		{"audio_config", m{"subsampling_conv_channels": []int{128, 0}}, "subsampling_conv_channels is 0", false},
		{"text_config", m{"hidden_size": 1 << 30}, "hidden_size", false},
		{"text_config", m{"num_attention_heads": 3}, "no multiple", false},
		{"text_config", m{"num_hidden_layers": 7}, "layer_types has", false},
		{"text_config", m{"layer_types": nil}, "layer_types has 0", false},
		{"text_config", m{"rms_norm_eps": 0}, "rms_norm_eps", false},
		{"text_config", m{"rms_norm_eps": nil}, "rms_norm_eps", false},
		{"text_config", m{"hidden_activation": "silu"}, "hidden_activation", true},
		{"text_config", m{"attention_bias": true}, "attention_bias", true},
		{"text_config", m{"tie_word_embeddings": false}, "tie_word_embeddings", true},
		{"text_config", m{"use_bidirectional_attention": "all"}, "use_bidirectional_attention", true},
		{"text_config", m{"rope_parameters": nil}, "rope_parameters", false},
		{"text_config", m{"sliding_window": nil}, "sliding_window is 0", false},
		{"text_config", m{"final_logit_softcapping": -1}, "final_logit_softcapping", false},
		{"text_config", m{"num_kv_shared_layers": 8}, "num_kv_shared_layers", false},
		{"text_config", m{"num_kv_shared_layers": 7}, "shares keys and values", false},
		{"text_config", m{"vocab_size_per_layer_input": 5}, "vocab_size_per_layer_input", false},
		{"text_config", m{"enable_moe_block": true}, "enable_moe_block without", false},
		{"text_config", m{"per_layer_config": m{"99": m{}}}, "per_layer_config", false},
		{"text_config", m{"head_dim": 3}, "odd", false},
		{"text_config", m{"per_layer_config": m{"1": m{"head_dim": 8}}}, "layers 0 and 1", true},
		{"text_config", m{"rope_parameters": m{"sliding_attention": m{"rope_type": "default", "rope_theta": 1e4, "factor": 8}}}, "factor 8", true},
		{"text_config", m{"rope_parameters": m{"sliding_attention": m{"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}}, "partial_rotary_factor 0.5", true},
		{"text_config", m{"rope_parameters": m{"sliding_attention": m{"rope_type": "axial", "rope_theta": 1e4}}}, `rope_type "axial"`, true},
		{"vision_config", m{"hidden_activation": "relu"}, `hidden_activation "relu"`, true},
		{"vision_config", m{"attention_bias": true}, "attention_bias", true},
		{"vision_config", m{"default_output_length": 1 << 20}, "default_output_length", false},
		{"audio_config", m{"num_hidden_layers": 1000000000}, "num_hidden_layers", false},
		{"audio_config", m{"num_attention_heads": 5}, "modulo num_attention_heads", false},
		{"audio_config", m{"subsampling_conv_channels": nil}, "subsampling_conv_channels", false},
		{"audio_config", m{"subsampling_conv_channels": []int{8, 8, 8}}, "3 subsampling_conv_channels", true},
		{"audio_config", m{"attention_context_left": 1}, "attention_context_left is 1", false},
		{"audio_config", m{"attention_context_right": 2}, "attention_context_right 2", true},
		{"audio_config", m{"attention_logit_cap": 0}, "attention_logit_cap is 0", false},
		{"audio_config", m{"rms_norm_eps": 0}, "rms_norm_eps is 0", false},
		{"audio_config", m{"hidden_act": "gelu"}, `hidden_act "gelu"`, true},
		{"audio_config", m{"gradient_clipping": 100}, "gradient_clipping 100", true},
		{"vision_config", m{"head_dim": 6}, "head_dim modulo 4", false},
		{"vision_config", m{"patch_size": 0}, "patch_size", false},
		{"vision_config", m{"pooling_kernel_size": 0}, "pooling_kernel_size", false},
	} {
		err := edited(t, c.part, c.change)
		var unsupported UnsupportedError
		var format FormatError
		switch {
		case err == nil:
			t.Errorf("%s %v: no error", c.part, c.change)
		case !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "config.json"):
			t.Errorf("%s %v: got %q, want the file and %q", c.part, c.change, err, c.want)
		case errors.As(err, &unsupported) != c.unsupported || errors.As(err, &format) == c.unsupported:
			t.Errorf("%s %v: %q is of the wrong kind", c.part, c.change, err)
		}
	}
	if err := edited(t, "", nil); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// per_layer_config says with other keys what global_head_dim says.
func TestPerLayerConfig(t *testing.T) {
	data, err := os.ReadFile(fixtures.Path("golden/checkpoints/tiny-dense/config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var old, newer Config
	if err := errors.Join(json.Unmarshal(data, &old), json.Unmarshal(data, &newer)); err != nil {
		t.Fatal(err)
	}
	o, n := &old.TextConfig, &newer.TextConfig
	if o.GlobalHeadDim == nil || o.NumGlobalKeyValueHeads == nil {
		t.Skip("this checkpoint is written in the newer form already")
	}
	n.GlobalHeadDim, n.NumGlobalKeyValueHeads, n.PerLayerConfig = nil, nil, map[string]LayerConfig{}
	for i := range n.NumHiddenLayers {
		if !n.Sliding(i) {
			dim, kv := *o.GlobalHeadDim, *o.NumGlobalKeyValueHeads
			n.PerLayerConfig[string(rune('0'+i))] = LayerConfig{HeadDim: &dim, NumKeyValueHeads: &kv}
		}
	}
	for i := range o.NumHiddenLayers {
		if o.headDim(i) != n.headDim(i) || o.kvHeads(i) != n.kvHeads(i) {
			t.Errorf("layer %d: %d×%d and %d×%d", i, o.kvHeads(i), o.headDim(i), n.kvHeads(i), n.headDim(i))
		}
	}
}

// What processor_config.json says of sound is read, and what we do not compute is refused.
func TestFeatureExtractor(t *testing.T) {
	type m = map[string]any
	load := func(change func(processor, extractor m)) (*Config, error) {
		dir := t.TempDir()
		for _, name := range []string{"config.json", "processor_config.json"} {
			data, err := os.ReadFile(fixtures.Path("golden/checkpoints/tiny-e/" + name))
			if err != nil {
				t.Fatal(err)
			}
			if name == "processor_config.json" {
				processor := m{}
				if err := json.Unmarshal(data, &processor); err != nil {
					t.Fatal(err)
				}
				change(processor, processor["feature_extractor"].(m))
				if data, err = json.Marshal(processor); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return loadConfig(dir)
	}
	c, err := load(func(p, e m) { p["audio_seq_length"], e["max_frequency"], e["mel_floor"] = 100, 7000, 0.5 })
	if err != nil {
		t.Fatal(err)
	}
	if s := c.audioSpec(); s.MaxSamples != 64_000 || s.MaxFrequency != 7000 || s.MelFloor != 0.5 {
		t.Errorf("read as %+v", s)
	}
	if c, err = load(func(p, _ m) { delete(p, "feature_extractor") }); err != nil || c.audioSpec().MaxSamples != 480_000 {
		t.Errorf("without feature_extractor: %v", err)
	}
	for _, x := range []struct {
		key         string
		value       any
		want        string
		unsupported bool
	}{
		{"feature_size", 80, "feature_size is 80", false}, {"sampling_rate", 0, "sampling_rate is 0", false},
		{"hop_length", 0, "hop_length is 0", false}, {"frame_length", 600, "frame_length is 600", false},
		{"fft_length", 1 << 30, "fft_length is", false}, {"fft_length", 513, "fft_length modulo 2", false},
		{"max_frequency", 9000, "to 9000 Hz", false}, {"min_frequency", 8000, "from 8000", false},
		{"mel_floor", 0, "mel_floor is 0", false}, {"dither", 0.1, "dither", true}, {"preemphasis", 0.97, "preemphasis", true},
		{"fft_overdrive", true, "fft_overdrive", true}, {"input_scale_factor", 2, "input_scale_factor", true}, {"per_bin_mean", []float64{1}, "per_bin_mean", true},
	} {
		_, err := load(func(_, e m) { e[x.key] = x.value })
		var unsupported UnsupportedError
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "feature_extractor") || errors.As(err, &unsupported) != x.unsupported {
			t.Errorf("%s %v: got %v, want %q", x.key, x.value, err, x.want)
		}
	}
	if _, err := load(func(p, _ m) { p["audio_seq_length"] = 1 << 20 }); err == nil || !strings.Contains(err.Error(), "audio_seq_length") {
		t.Errorf("audio_seq_length: %v", err)
	}
}
