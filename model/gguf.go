package model

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"facet/internal/weights/gguf"
	"facet/model/tokenizer"
)

// Architectures that general.architecture may name here.
const (
	textArchitecture   = "gemma4"
	mmprojArchitecture = "clip"
)

const (
	chatTemplateKey = "tokenizer.chat_template"
	suppressKey     = "tokenizer.ggml.suppress_tokens"
)

// maxSuppressed bounds the tokens that a file keeps from replies; a 12B has two.
const maxSuppressed = 4096

// maxLayers is what validate allows, known before it to what makes a list of them.
const maxLayers = 1024

// openGGUF opens a text model, and the towers in mmproj; where that is "", those in the
// file beside it that fits, if there is one.
func openGGUF(path, mmproj string) (*checkpoint, error) {
	text, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	var towers *gguf.File
	if mmproj == "" {
		mmproj, err = findMMProj(path, text)
	}
	if err == nil && mmproj != "" {
		towers, err = gguf.Open(mmproj)
	}
	var c *checkpoint
	if err == nil {
		c, err = ggufCheckpoint(text, towers)
	}
	if err != nil {
		text.Close()
		if towers != nil {
			towers.Close()
		}
		return nil, err
	}
	return c, nil
}

// ggufCheckpoint reads the configuration of both files, of which towers may be nil, and
// gives their tensors the names they have in safetensors files.
func ggufCheckpoint(text, towers *gguf.File) (*checkpoint, error) {
	config, err := ggufConfig(text, towers)
	if err != nil {
		return nil, err
	}
	source, err := newGGUFSource(text, towers, config.ModelType == gemma4Unified)
	if err != nil {
		return nil, err
	}
	return &checkpoint{
		config: config, source: source, chat: text.Has(chatTemplateKey),
		readTokenizer: func() (*tokenizer.Tokenizer, error) { return ggufTokenizer(text) },
		readTemplate: func() (string, error) {
			template, _, err := text.String(chatTemplateKey)
			return template, err
		},
		readJobs: func() ([]byte, string, error) { return ggufJobs(text) },
	}, nil
}

// isMMProj reports whether a file holds towers, by its name: all converters put the
// word into it.
func isMMProj(name string) bool { return strings.Contains(strings.ToLower(name), "mmproj") }

// findMMProj returns the mmproj file beside path that fits the text model: of those
// that project into embeddings of its size, the one whose name has most in common with
// path's, and of equal ones a BF16 one, in which the towers are published. "" if there is
// none.
func findMMProj(path string, text *gguf.File) (string, error) {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return "", err
	}
	width, _, _ := text.Uint(textArchitecture + ".embedding_length")
	best, bestCommon, bestBF16 := "", -1, false
	for _, e := range entries { // sorted by name, so that the choice does not depend on the folder
		candidate := e.Name()
		if !isMMProj(candidate) || !strings.EqualFold(filepath.Ext(candidate), ".gguf") || !projectsTo(filepath.Join(dir, candidate), width) {
			continue
		}
		common, isBF16 := commonPrefix(name, candidate), strings.Contains(strings.ToLower(candidate), "bf16")
		if common > bestCommon || common == bestCommon && isBF16 && !bestBF16 {
			best, bestCommon, bestBF16 = filepath.Join(dir, candidate), common, isBF16
		}
	}
	return best, nil
}

// projectsTo reports whether the file holds towers that end in embeddings of this width.
// A file that cannot be read does not: it was not asked for.
func projectsTo(path string, width uint64) bool {
	f, err := gguf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	arch, _, _ := f.String("general.architecture")
	for _, tower := range []string{"vision", "audio"} {
		if n, ok, _ := f.Uint("clip." + tower + ".projection_dim"); ok && n == width {
			return arch == mmprojArchitecture
		}
	}
	return false
}

// commonPrefix is the length of what two names begin with alike, in any case of letters.
func commonPrefix(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// ggufTokenizer reads the vocabulary of a text file; nil if it has none.
func ggufTokenizer(f *gguf.File) (*tokenizer.Tokenizer, error) {
	k := &ggufKeys{file: f}
	kind := optional(k, "tokenizer.ggml.model", f.String, "")
	if k.err == nil && (kind == "" || kind == "no_vocab" || kind == "none") {
		return nil, nil
	}
	if k.err == nil && kind != "gemma4" {
		return nil, k.in(UnsupportedError(fmt.Sprintf("tokenizer.ggml.model is %q, want \"gemma4\"", kind)))
	}
	v := tokenizer.Vocabulary{
		Tokens: required(k, "tokenizer.ggml.tokens", f.Strings),
		Merges: required(k, "tokenizer.ggml.merges", f.Strings),
	}
	for _, n := range optional(k, "tokenizer.ggml.token_type", f.Uints, nil) {
		v.Types = append(v.Types, int(min(n, math.MaxInt32)))
	}
	if k.err != nil {
		return nil, k.err
	}
	t, err := tokenizer.New(v)
	if err != nil {
		return nil, k.in(err)
	}
	return t, nil
}

// ggufKeys reads the metadata of a file. It keeps the first thing that is wrong, so that
// what reads it is a list of keys.
type ggufKeys struct {
	file *gguf.File
	err  error
}

// in wraps an error with the file's name.
func (k *ggufKeys) in(err error) error { return fmt.Errorf("%s: %w", k.file.Path(), err) }

func (k *ggufKeys) fail(err error) {
	if k.err == nil {
		k.err = k.in(err)
	}
}

// required returns the value of key, which must be there.
func required[T any](k *ggufKeys, key string, read func(string) (T, bool, error)) T {
	v, ok, err := read(key)
	switch {
	case err != nil:
		k.fail(err)
	case !ok:
		k.fail(FormatError(fmt.Sprintf("key %q is missing", key)))
	}
	return v
}

// optional returns the value of key, or other if it is absent.
func optional[T any](k *ggufKeys, key string, read func(string) (T, bool, error), other T) T {
	v, ok, err := read(key)
	if err != nil {
		k.fail(err)
	}
	if !ok {
		return other
	}
	return v
}

// int reads an integer that must be there.
func (k *ggufKeys) int(key string) int { return int(min(required(k, key, k.file.Uint), math.MaxInt32)) }

// intOr reads an integer that may be absent.
func (k *ggufKeys) intOr(key string, other int) int {
	return int(min(optional(k, key, k.file.Uint, uint64(other)), math.MaxInt32))
}

// float reads a float that must be there.
func (k *ggufKeys) float(key string) float64 { return required(k, key, k.file.Float) }

// floatOr reads a float that may be absent.
func (k *ggufKeys) floatOr(key string, other float64) float64 {
	return optional(k, key, k.file.Float, other)
}

// ints reads a value for each of n layers, which may be one integer for all.
func (k *ggufKeys) ints(key string, n int) []int {
	all := make([]int, n)
	if !strings.HasPrefix(k.file.Kind(key), "array") {
		one := k.int(key)
		for i := range all {
			all[i] = one
		}
		return all
	}
	values := required(k, key, k.file.Uints)
	if len(values) != n {
		k.fail(FormatError(fmt.Sprintf("key %q has %d values for %d layers", key, len(values), n)))
		return all
	}
	for i, v := range values {
		all[i] = int(min(v, math.MaxInt32))
	}
	return all
}

// ggufConfig returns the configuration that the keys and tensors of a text file and its
// mmproj file, which may be nil, stand for, checked as that of a folder is.
//
// What no key says follows from the tensors: whether full layers use their keys as
// values (they have no attn_v), how much of a head is rotated (rope_freqs), the size of
// tables. What neither says follows from the size: pictures see themselves in both
// directions in models without per-layer embeddings. The text file of a 12B has the keys of a
// 31B; it is one by the size of the released one, or if its mmproj file says so.
func ggufConfig(text, mmproj *gguf.File) (*Config, error) {
	c := &Config{ModelType: gemma4}
	k := &ggufKeys{file: text}
	if err := checkArchitecture(text, textArchitecture); err != nil {
		return nil, err
	}
	ggufText(k, &c.TextConfig)
	ggufSampling(k, &c.Generation)
	ggufSettings(k, c)
	if k.err != nil {
		return nil, k.err
	}
	if t := &c.TextConfig; t.NumHiddenLayers == 48 && t.HiddenSize == 3840 || mmproj != nil && t.HiddenSizePerLayerInput == 0 && isUnified(mmproj) {
		c.ModelType = gemma4Unified
	}
	c.TextConfig.ModelType = c.ModelType + "_text"
	if mmproj != nil {
		if err := ggufTowers(mmproj, c); err != nil {
			return nil, err
		}
	}
	if err := c.validate(); err != nil {
		return nil, k.in(err)
	}
	return c, nil
}

// isUnified reports whether an mmproj file says that it is a 12B's.
func isUnified(f *gguf.File) bool {
	vision, _, _ := f.String("clip.vision.projector_type")
	audio, _, _ := f.String("clip.audio.projector_type")
	return vision == "gemma4uv" || audio == "gemma4ua"
}

// checkArchitecture refuses a file of another architecture than want.
func checkArchitecture(f *gguf.File, want string) error {
	k := &ggufKeys{file: f}
	got := required(k, "general.architecture", f.String)
	switch {
	case k.err != nil:
		return k.err
	case got == want:
		return nil
	case got == mmprojArchitecture:
		return k.in(FormatError("this file holds the towers of a model (mmproj) and not the model: name the other file"))
	case want == mmprojArchitecture:
		return k.in(FormatError(fmt.Sprintf("general.architecture is %q: not an mmproj file", got)))
	}
	return k.in(UnsupportedError(fmt.Sprintf("general.architecture %q is not Gemma 4", got)))
}

// ggufText reads the decoder's configuration.
func ggufText(k *ggufKeys, t *TextConfig) {
	const p = textArchitecture + "."
	layers := k.int(p + "block_count")
	if layers < 1 || layers > maxLayers {
		k.fail(FormatError(fmt.Sprintf("key %q is %d, must be 1 to %d", p+"block_count", layers, maxLayers)))
		return
	}
	*t = TextConfig{
		VocabSize:               k.rows("token_embd.weight"),
		HiddenSize:              k.int(p + "embedding_length"),
		NumHiddenLayers:         layers,
		NumAttentionHeads:       k.int(p + "attention.head_count"),
		HeadDim:                 k.int(p + "attention.key_length_swa"),
		HiddenActivation:        "gelu_pytorch_tanh",
		RMSNormEps:              float32(k.float(p + "attention.layer_norm_rms_epsilon")),
		MaxPositionEmbeddings:   k.int(p + "context_length"),
		SlidingWindow:           k.int(p + "attention.sliding_window"),
		NumKVSharedLayers:       k.intOr(p+"attention.shared_kv_layers", 0),
		HiddenSizePerLayerInput: k.intOr(p+"embedding_length_per_layer_input", 0),
		PadTokenID:              int32(k.intOr("tokenizer.ggml.padding_token_id", 0)),
		BOSTokenID:              int32(k.intOr("tokenizer.ggml.bos_token_id", 2)),
		LayerTypes:              k.layerTypes(p+"attention.sliding_window_pattern", layers),
	}
	if key := "tokenizer.ggml.eos_token_id"; k.file.Has(key) {
		t.EOSTokenID = TokenIDs{int32(k.int(key))}
	}
	if limit := float32(k.floatOr(p+"final_logit_softcapping", 0)); limit != 0 {
		t.FinalLogitSoftcapping = &limit
	}
	if t.HiddenSizePerLayerInput > 0 {
		t.VocabSizePerLayerInput = k.rows("per_layer_token_embd.weight")
	} else {
		vision := "vision"
		t.UseBidirectionalAttention = &vision
	}
	global := k.int(p + "attention.key_length")
	t.GlobalHeadDim = &global
	k.same(p+"attention.value_length", global)
	k.same(p+"attention.value_length_swa", t.HeadDim)
	k.same(p+"rope.dimension_count", global)
	k.same(p+"rope.dimension_count_swa", t.HeadDim)
	t.RopeParameters = map[string]RopeParameters{
		slidingAttention: {RopeType: "default", RopeTheta: k.floatOr(p+"rope.freq_base_swa", 10_000)},
		fullAttention:    {RopeType: "proportional", RopeTheta: k.floatOr(p+"rope.freq_base", 1_000_000), PartialRotaryFactor: k.rotatedPart()},
	}
	if n := k.intOr(p+"expert_count", 0); n > 0 {
		topK, width := k.int(p+"expert_used_count"), k.int(p+"expert_feed_forward_length")
		t.EnableMoEBlock, t.NumExperts, t.TopKExperts, t.MoEIntermediateSize = true, &n, &topK, &width
	}
	if k.err == nil {
		k.perLayer(t)
	}
}

// layerTypes reads the kind of every layer.
func (k *ggufKeys) layerTypes(key string, layers int) []string {
	pattern := required(k, key, k.file.Bools)
	if len(pattern) != layers {
		k.fail(FormatError(fmt.Sprintf("key %q has %d values for %d layers", key, len(pattern), layers)))
		return nil
	}
	types := make([]string, layers)
	for i, sliding := range pattern {
		types[i] = fullAttention
		if sliding {
			types[i] = slidingAttention
		}
	}
	return types
}

// same refuses a key that is there and differs from what it must be in Gemma 4.
func (k *ggufKeys) same(key string, want int) {
	if got := k.intOr(key, want); got != want {
		k.fail(UnsupportedError(fmt.Sprintf("key %q is %d, want %d", key, got, want)))
	}
}

// perLayer reads what may differ from layer to layer, as the keys of config.json where
// these can say it and otherwise layer by layer.
func (k *ggufKeys) perLayer(t *TextConfig) {
	const p = textArchitecture + "."
	kvHeads := k.ints(p+"attention.head_count_kv", t.NumHiddenLayers)
	ffn := k.ints(p+"feed_forward_length", t.NumHiddenLayers)
	t.NumKeyValueHeads, t.IntermediateSize = kvHeads[0], ffn[0]
	for i, kind := range t.LayerTypes {
		switch {
		case kind == slidingAttention:
			t.NumKeyValueHeads = kvHeads[i]
		case !t.ownsKV(i):
		default:
			_, hasValues := k.file.Tensor(fmt.Sprintf("blk.%d.attn_v.weight", i))
			t.AttentionKEqV = !hasValues
			if t.AttentionKEqV {
				t.NumGlobalKeyValueHeads = &kvHeads[i]
			}
		}
	}
	last := t.NumHiddenLayers - 1
	t.UseDoubleWideMLP = !t.ownsKV(last) && ffn[last] == 2*ffn[0]
	for i := range t.NumHiddenLayers {
		var own LayerConfig
		if t.kvHeads(i) != kvHeads[i] {
			own.NumKeyValueHeads = &kvHeads[i]
		}
		if t.intermediateSize(i) != ffn[i] {
			own.IntermediateSize = &ffn[i]
		}
		if own != (LayerConfig{}) {
			if t.PerLayerConfig == nil {
				t.PerLayerConfig = map[string]LayerConfig{}
			}
			t.PerLayerConfig[strconv.Itoa(i)] = own
		}
	}
}

// rows returns the rows of a matrix that must be there.
func (k *ggufKeys) rows(name string) int {
	t, ok := k.file.Tensor(name)
	if !ok || len(t.Shape) != 2 {
		k.fail(FormatError(fmt.Sprintf("tensor %s is missing or no matrix", name)))
		return 0
	}
	return t.Shape[0]
}

// rotatedPart returns the part of a full layer's head that is rotated: rope_freqs
// divides the frequency of each pair by 1, or by a number so large that nothing turns.
func (k *ggufKeys) rotatedPart() *float64 {
	part := 0.25 // of every released checkpoint
	t, ok := k.file.Tensor(ropeFreqs)
	if !ok {
		return &part
	}
	divisors, err := floats(t)
	if err != nil {
		k.fail(err)
		return nil
	}
	rotated := 0
	for i, d := range divisors {
		switch {
		case d == 1 && i == rotated:
			rotated++
		case !(d >= 1e30):
			k.fail(UnsupportedError(fmt.Sprintf("tensor rope_freqs.weight: divisor %d is %g, want 1 for the first pairs and 1e30 for the others", i, d)))
			return nil
		}
	}
	part = float64(rotated) / float64(len(divisors))
	return &part
}

// ggufSampling reads the sampling that the model's makers advise.
func ggufSampling(k *ggufKeys, g *GenerationConfig) {
	const p = "general.sampling."
	g.TopK = k.intOr(p+"top_k", 0)
	for key, dst := range map[string]**float32{"top_p": &g.TopP, "temp": &g.Temperature} {
		if k.file.Has(p + key) {
			v := float32(k.float(p + key))
			*dst = &v
		}
	}
	g.MinP = float32(k.floatOr(p+"min_p", 0))
	suppressed := optional(k, suppressKey, k.file.Uints, nil)
	if len(suppressed) > maxSuppressed {
		k.fail(FormatError(fmt.Sprintf("key %q has %d values, more than %d", suppressKey, len(suppressed), maxSuppressed)))
		return
	}
	for _, id := range suppressed {
		g.SuppressTokens = append(g.SuppressTokens, int32(min(id, math.MaxInt32)))
	}
	g.DoSample = g.TopK > 0 || g.TopP != nil || g.Temperature != nil
}

// ggufTowers reads the towers' configuration into c.
func ggufTowers(f *gguf.File, c *Config) error {
	if err := checkArchitecture(f, mmprojArchitecture); err != nil {
		return err
	}
	k := &ggufKeys{file: f}
	if optional(k, "clip.has_vision_encoder", f.Bool, false) {
		c.VisionConfig = new(VisionConfig)
		k.tower("clip.vision.", "gemma4v", "gemma4uv", c)
		ggufVision(k, c.VisionConfig, c.ModelType == gemma4Unified)
	}
	if optional(k, "clip.has_audio_encoder", f.Bool, false) {
		c.AudioConfig = new(AudioConfig)
		k.tower("clip.audio.", "gemma4a", "gemma4ua", c)
		if c.ModelType == gemma4Unified {
			*c.AudioConfig = AudioConfig{ModelType: gemma4Unified + "_audio", RMSNormEps: 1e-6, AudioEmbedDim: k.int("clip.audio.embedding_length")}
		} else {
			ggufAudio(k, c.AudioConfig)
		}
	}
	return k.err
}

// tower checks what both towers' keys (prefix p) say alike. A 12B has a type of its own.
func (k *ggufKeys) tower(p, others, unified string, c *Config) {
	want := others
	if c.ModelType == gemma4Unified {
		want = unified
	}
	switch got := required(k, p+"projector_type", k.file.String); got {
	case want:
	case others, unified:
		k.fail(FormatError(fmt.Sprintf("%sprojector_type is %s, want %s: it belongs to another size of model", p, got, want)))
	default:
		k.fail(UnsupportedError(fmt.Sprintf("%sprojector_type %q is not Gemma 4's", p, got)))
	}
	if n := k.int(p + "projection_dim"); k.err == nil && n != c.TextConfig.HiddenSize {
		k.fail(FormatError(fmt.Sprintf("projects to %d values, but the model's embeddings have %d: it belongs to another model", n, c.TextConfig.HiddenSize)))
	}
}

// ggufVision reads the configuration of the vision tower, or of what a 12B has in place of one.
func ggufVision(k *ggufKeys, v *VisionConfig, unified bool) {
	const p = "clip.vision."
	for key, want := range map[string]float64{"image_mean": 0, "image_std": 1} {
		for _, got := range optional(k, p+key, k.file.Floats, nil) {
			if got != want {
				k.fail(UnsupportedError(fmt.Sprintf("key %q has %g, want %g", p+key, got, want)))
			}
		}
	}
	positions := 0
	if t, ok := k.file.Tensor("v.position_embd.weight"); ok && len(t.Shape) == 3 {
		positions = t.Shape[1]
	} else {
		k.fail(FormatError("tensor v.position_embd.weight is missing or has not 3 dimensions"))
	}
	if unified {
		hidden := k.int(p + "embedding_length")
		*v = VisionConfig{
			ModelType:         gemma4Unified + "_vision",
			PatchSize:         k.int(p + "patch_size"),
			PoolingKernelSize: k.intOr(p+"projector.scale_factor", 3),
			RMSNormEps:        float32(k.float(p + "attention.layer_norm_epsilon")),
			MMEmbedDim:        hidden,
			MMPosembSize:      positions,
			OutputProjDims:    hidden,
		}
		return
	}
	*v = VisionConfig{
		ModelType:           gemma4 + "_vision",
		HiddenActivation:    "gelu_pytorch_tanh", // Gemma 4 has no other
		HiddenSize:          k.int(p + "embedding_length"),
		IntermediateSize:    k.int(p + "feed_forward_length"),
		NumHiddenLayers:     k.int(p + "block_count"),
		NumAttentionHeads:   k.int(p + "attention.head_count"),
		RMSNormEps:          float32(k.float(p + "attention.layer_norm_epsilon")),
		PatchSize:           k.int(p + "patch_size"),
		PoolingKernelSize:   k.intOr(p+"projector.scale_factor", 3),
		RopeParameters:      RopeParameters{RopeType: "axial", RopeTheta: 100},
		DefaultOutputLength: 280,

		PositionEmbeddingSize: positions,
	}
	v.NumKeyValueHeads = v.NumAttentionHeads
	if v.NumAttentionHeads > 0 {
		v.HeadDim = v.HiddenSize / v.NumAttentionHeads
	}
	_, v.UseClippedLinears = k.file.Tensor("v.blk.0.attn_q.input_min")
	_, v.Standardize = k.file.Tensor("v.std_bias")
}

// ggufAudio reads the audio tower's configuration. What the keys leave out is what every
// Gemma 4 has; the epsilon that they give is not the one of the tower's norms.
func ggufAudio(k *ggufKeys, a *AudioConfig) {
	const p = "clip.audio."
	*a = AudioConfig{
		ModelType:            gemma4 + "_audio",
		HiddenSize:           k.int(p + "embedding_length"),
		HiddenAct:            "silu",
		NumHiddenLayers:      k.int(p + "block_count"),
		NumAttentionHeads:    k.int(p + "attention.head_count"),
		AttentionContextLeft: 13,
		AttentionLogitCap:    50,
		ResidualWeight:       0.5,
		GradientClipping:     1e10,
		RMSNormEps:           1e-6,
		OutputProjDims:       k.rows("a.pre_encode.out.weight"),
	}
	k.same(p+"num_mel_bins", melBins)
	for i := range 2 {
		name := fmt.Sprintf("a.conv1d.%d.weight", i)
		t, ok := k.file.Tensor(name)
		if !ok || len(t.Shape) != 4 {
			k.fail(FormatError(fmt.Sprintf("tensor %s is missing or has not 4 dimensions", name)))
			return
		}
		a.SubsamplingConvChannels = append(a.SubsamplingConvChannels, t.Shape[0])
	}
	if t, ok := k.file.Tensor("a.blk.0.conv_dw.weight"); ok && len(t.Shape) == 2 {
		a.ConvKernelSize = t.Shape[1]
	} else {
		k.fail(FormatError("tensor a.blk.0.conv_dw.weight is missing or has not 2 dimensions"))
	}
	_, a.UseClippedLinears = k.file.Tensor("a.blk.0.ffn_up.input_min")
}

var errNoVocabulary = UnsupportedError("this file has no vocabulary: its speed can be measured, and nothing asked of it")
