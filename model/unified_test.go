package model

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/audio"
	"facet/fixtures"
	"facet/internal/tensor"
	"facet/internal/weights"
	"facet/vision"
)

const tinyUnified = "golden/checkpoints/tiny-unified"

// What a row sees, position by position, against the rules as they are written: causal, within
// the window where there is one, or, in a 12B always and elsewhere in sliding layers and within
// the window, in the same picture.
func TestVisibleByTheRules(t *testing.T) {
	soft := func(n int) *SoftTokens { return &SoftTokens{Rows: n, Width: 1, Values: make([]float32, n)} }
	spans := []mediaSpan{
		{lo: 3, hi: 15, soft: soft(12)},                // longer than the window
		{lo: 15, hi: 17, soft: soft(2)},                // another picture, right behind it
		{lo: 18, hi: 30, soft: soft(12), causal: true}, // sound
		{lo: 31, hi: 35, soft: soft(4), inside: true},  // a frame of a video
	}
	const window, length = 5, 40
	same := func(q, k int) bool {
		for _, s := range spans {
			if !s.causal && q >= s.lo && q < s.hi && k >= s.lo && k < s.hi {
				return true
			}
		}
		return false
	}
	vision := "vision"
	for _, c := range []struct {
		name string
		text TextConfig
		sees func(q, k int, sliding bool) bool
	}{
		{"E2B", TextConfig{ModelType: "gemma4_text"}, func(q, k int, sliding bool) bool {
			return k <= q && (!sliding || q-k < window)
		}},
		{"31B", TextConfig{ModelType: "gemma4_text", UseBidirectionalAttention: &vision}, func(q, k int, sliding bool) bool {
			if !sliding {
				return k <= q
			}
			return (k <= q || same(q, k)) && q-k < window
		}},
		{"12B", TextConfig{ModelType: "gemma4_unified_text", UseBidirectionalAttention: &vision}, func(q, k int, sliding bool) bool {
			return k <= q && (!sliding || q-k < window) || same(q, k)
		}},
	} {
		c.text.SlidingWindow, c.text.LayerTypes = window, []string{slidingAttention, fullAttention}
		s := &sequence{config: &c.text, prompt: &Prompt{IDs: make([]int32, length), media: spans}}
		for layer := range 2 {
			for _, start := range []int{0, 3, 17} {
				visible := s.visible(layer, start)
				for q := start; q < length+3; q++ { // three of the reply
					from, to := visible(q - start)
					for k := range length + 3 {
						if got, want := k >= from && k < to, c.sees(q, k, layer == 0); got != want {
							t.Fatalf("%s, layer %d: row %d sees position %d: %v, want %v", c.name, layer, q, k, got, want)
						}
					}
				}
			}
		}
	}
}

// A picture larger than the window is answered the same whatever the room of a pass, and
// its first row depends on its last one in the very first layer.
func TestUnifiedPictureIsWhole(t *testing.T) {
	m := open(t, tinyUnified, Options{})
	p := patches(t, m, "golden/media/page.png", 140)
	other := *p
	other.Values = slices.Clone(p.Values)
	for i := len(p.Values) - 3*48*48; i < len(p.Values); i++ {
		other.Values[i] = 1 - p.Values[i]
	}
	var rows [2][]float32
	for i, patches := range []*vision.Patches{p, &other} {
		soft, err := m.EncodeImage(patches)
		if err != nil {
			t.Fatal(err)
		}
		if soft.Rows <= m.config.TextConfig.SlidingWindow {
			t.Fatalf("%d soft tokens are not more than the window", soft.Rows)
		}
		prompt, err := m.RawPrompt("<bos><|image|>", Media{Images: []*SoftTokens{soft}})
		if err != nil {
			t.Fatal(err)
		}
		all, err := m.Logits(prompt, prompt.Len())
		if err != nil {
			t.Fatal(err)
		}
		width := m.config.TextConfig.VocabSize
		rows[i] = all[2*width : 3*width] // the first soft token, behind <bos> and <|image>
		if i == 1 && !slices.Equal(all[:2*width], before(t, m, p)) {
			t.Error("what stands before a picture depends on it")
		}
	}
	if slices.Equal(rows[0], rows[1]) {
		t.Error("the first row of a picture does not see its last one")
	}
}

// before is the logits of what stands before a picture.
func before(t *testing.T, m *Model, p *vision.Patches) []float32 {
	t.Helper()
	soft, err := m.EncodeImage(p)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := m.RawPrompt("<bos><|image|>", Media{Images: []*SoftTokens{soft}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Logits(prompt, prompt.Len())
	if err != nil {
		t.Fatal(err)
	}
	return all[:2*m.config.TextConfig.VocabSize]
}

// A soft token of a picture is the formula, in float64, and has the same bits for any number of
// threads, in blocks and whole.
func TestPictureEmbedder(t *testing.T) {
	for _, precision := range []Precision{Exact, Fast} {
		var want *SoftTokens
		for _, o := range []Options{{Threads: 1}, {Threads: 2}, {Threads: 5}, {Tracer: discard{}}} {
			o.Precision, o.EncoderCache = precision, -1
			m := open(t, tinyUnified, o)
			p := patches(t, m, "golden/media/page.png", 280)
			soft, err := m.EncodeImage(p)
			if err != nil {
				t.Fatal(err)
			}
			if spec, _ := m.Spec(); spec != (vision.Spec{PatchSize: 48, PoolingKernelSize: 1}) {
				t.Errorf("%+v", spec)
			}
			if want == nil {
				want = soft
				e := m.vision.(*pictureEmbedder)
				if precision == Exact {
					for _, patch := range []int{0, p.Columns - 1, p.Columns, 100, p.Columns*p.Rows - 1} {
						got := soft.Values[patch*soft.Width : (patch+1)*soft.Width]
						if d := furthest(got, e.slow(p, patch)); !(d <= 2e-6) {
							t.Errorf("patch %d is off by %g of its largest value", patch, d)
						}
					}
				}
			}
			if soft.Rows != p.Columns*p.Rows || !slices.Equal(soft.Values, want.Values) {
				t.Errorf("%v, %+v: other bits", precision, o)
			}
		}
	}
}

func furthest(got []float32, want []float64) float64 {
	var d, top float64
	for i, w := range want {
		d, top = max(d, math.Abs(float64(got[i])-w)), max(top, math.Abs(w))
	}
	return d / top
}

// slow is a soft token in float64.
func (e *pictureEmbedder) slow(p *vision.Patches, patch int) []float64 {
	n := e.dense.In()
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(p.Values[patch*n+i])
	}
	x = e.patchNorm.slow(x)
	x = slowProduct(e.dense, x)
	for i := range x {
		x[i] += float64(e.bias.v[i])
	}
	x = e.denseNorm.slow(x)
	column, row := make([]float32, len(x)), make([]float32, len(x))
	e.positions.Row(column, 2*(patch%p.Columns))
	e.positions.Row(row, 2*(patch/p.Columns)+1)
	for i := range x {
		x[i] += float64(column[i]) + float64(row[i])
	}
	return slowProduct(e.projection, slowRMSNorm(e.posNorm.slow(x), 1e-6))
}

func (l *layerNorm) slow(x []float64) []float64 {
	var mean, variance float64
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = (v-mean)/math.Sqrt(variance+1e-5)*float64(l.weight.v[i]) + float64(l.bias.v[i])
	}
	return out
}

func slowRMSNorm(x []float64, eps float64) []float64 {
	var squares float64
	for _, v := range x {
		squares += v * v / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / math.Sqrt(squares+eps)
	}
	return out
}

func slowProduct(w tensor.Weight, x []float64) []float64 {
	out, row := make([]float64, w.Out()), make([]float32, w.In())
	for o := range out {
		w.Row(row, o)
		for i, v := range row {
			out[o] += float64(v) * x[i]
		}
	}
	return out
}

// A picture of one colour has no variance: what is left is the biases, and finite.
func TestLayerNormOfOneColour(t *testing.T) {
	one := func(v float32) *vector {
		x := &vector{n: 6912, v: make([]float32, 6912)}
		for i := range x.v {
			x.v[i] = v
		}
		return x
	}
	l := layerNorm{one(3), one(0.25)}
	x := tensor.New(2, 6912)
	for i := range x.Data {
		x.Data[i] = 200. / 255
	}
	x.Row(1)[7] += 1e-3
	l.apply(x, x)
	for i, v := range x.Row(0) {
		if math.Abs(float64(v)-0.25) > 1e-4 {
			t.Fatalf("value %d is %g, want the bias", i, v)
		}
	}
	if want := l.slow(append(make([]float64, 6911), 1e-3))[6911]; math.Abs(float64(x.Row(1)[7])-want) > 1e-3 {
		t.Errorf("the pixel that differs is %g, want %g", x.Row(1)[7], want)
	}
}

// A frame of sound is the formula, whatever stands beside it, and silence is silence.
func TestSoundEmbedder(t *testing.T) {
	for _, precision := range []Precision{Exact, Fast} {
		for _, threads := range []int{1, 3} {
			m := open(t, tinyUnified, Options{Precision: precision, Threads: threads, EncoderCache: -1})
			clips := []*audio.Features{noiseOf(1, 1, 640), noiseOf(2, 50, 640), noiseOf(3, 750, 640)}
			for i := range clips[0].Data[:640] {
				clips[0].Data[i] = 0
			}
			for _, c := range clips {
				for i := c.Valid * 640; i < len(c.Data); i++ {
					c.Data[i] = float32(math.NaN())
				}
			}
			soft, err := m.EncodeAudios(clips)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range clips {
				alone, err := m.EncodeAudio(c)
				if err != nil {
					t.Fatal(err)
				}
				if alone.Rows != c.Valid || !slices.Equal(alone.Values, soft[i].Values) {
					t.Errorf("%v: clip %d: %d rows, or other bits than alone", precision, i, alone.Rows)
				}
			}
			for i, v := range soft[0].Values {
				if v != 0 {
					t.Fatalf("%v: value %d of silence is %g", precision, i, v)
				}
			}
			if precision == Fast {
				continue
			}
			for _, frame := range []int{0, 17, 49} {
				x := make([]float64, 640)
				for i := range x {
					x[i] = float64(clips[1].Data[frame*640+i])
				}
				want := slowProduct(m.audio.(*soundEmbedder).projection, slowRMSNorm(x, 1e-6))
				if d := furthest(soft[1].Values[frame*soft[1].Width:][:soft[1].Width], want); !(d <= 2e-6) {
					t.Errorf("frame %d is off by %g of its largest value", frame, d)
				}
			}
		}
	}
}

// In fast the soft tokens of sound point where those of exact do.
func TestFastUnifiedSound(t *testing.T) {
	exact, fast := open(t, tinyUnified, Options{Precision: Exact}), open(t, tinyUnified, Options{Precision: Fast})
	c := noiseOf(4, 100, 640)
	want, err := exact.EncodeAudio(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fast.EncodeAudio(c)
	if err != nil {
		t.Fatal(err)
	}
	if cos := cosine(got.Values, want.Values); !(cos >= leastCosine) || slices.Equal(got.Values, want.Values) {
		t.Errorf("cosine %.6f", cos)
	}
}

// What audio says that a clip becomes is what the embedder makes of it, from a folder and from
// a GGUF file, which does not say how sound is cut.
func TestUnifiedAudioSpec(t *testing.T) {
	for _, name := range []string{tinyUnified, "golden/gguf/tiny-unified-bf16.gguf"} {
		m := open(t, name, Options{})
		spec, ok := m.AudioSpec()
		if want := (audio.Spec{SampleRate: 16000, RawFrame: 640, MaxSamples: 480_000}); !ok || spec != want {
			t.Fatalf("%s: %+v, want %+v", name, spec, want)
		}
		e := audio.NewExtractor(spec)
		for _, samples := range []int{1, 639, 640, 641, 8000, 480_000, 500_000} {
			soft, err := m.EncodeAudio(e.Features(make([]float32, samples)))
			if err != nil {
				t.Fatal(err)
			}
			if want := min(750, (samples+639)/640); soft.Rows != want || spec.SoftTokens(samples) != want {
				t.Errorf("%s: %d samples are %d soft tokens, audio says %d, want %d", name, samples, soft.Rows, spec.SoftTokens(samples), want)
			}
		}
	}
}

func TestUnifiedRefuses(t *testing.T) {
	m := open(t, tinyUnified, Options{})
	square := func(columns, rows int) *vision.Patches {
		return &vision.Patches{Columns: columns, Rows: rows, Values: make([]float32, columns*rows*6912)}
	}
	for _, c := range []struct {
		picture *vision.Patches
		want    string
	}{
		{square(161, 1), "161 × 1 patches is past this checkpoint's 160 positions"},
		{square(1, 161), "1 × 161 patches is past"},
		{square(0, 1), "does not divide"},
		{&vision.Patches{Columns: 3, Rows: 3, Values: make([]float32, 9*768)}, "6912 patch values for 3 × 3 patches of 6912"},
		{square(160, 1), ""},
	} {
		_, err := m.EncodeImage(c.picture)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d × %d: got %v, want %q", c.picture.Columns, c.picture.Rows, err, c.want)
		}
	}
	for _, c := range []struct {
		clip *audio.Features
		want string
	}{
		{noise(1, 8), "want frames of 640"},
		{noiseOf(1, 751, 640), "751 frames are past the 750"},
		{&audio.Features{Width: 640}, "no sound in it"},
	} {
		if _, err := m.EncodeAudio(c.clip); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// What the files of a 12B may not say.
func TestUnifiedConfig(t *testing.T) {
	type m = map[string]any
	load := func(change func(config, processor m)) error {
		dir := t.TempDir()
		files := map[string]m{"config.json": {}, "processor_config.json": {}}
		for name, file := range files {
			data, err := os.ReadFile(filepath.Join(fixtures.Path(tinyUnified), name))
			if err == nil {
				err = json.Unmarshal(data, &file)
			}
			if err != nil {
				t.Fatal(err)
			}
			files[name] = file
		}
		change(files["config.json"], files["processor_config.json"])
		for name, file := range files {
			data, err := json.Marshal(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := loadConfig(dir)
		return err
	}
	for _, c := range []struct {
		part, key   string
		value       any
		want        string
		unsupported bool
	}{
		{"text_config", "model_type", "gemma4_text", `text_config: model_type is "gemma4_text", want "gemma4_unified_text"`, false},
		{"vision_config", "model_type", "gemma4_vision", `vision_config: model_type is "gemma4_vision"`, false},
		{"audio_config", "model_type", nil, `audio_config: model_type is ""`, false},
		{"text_config", "use_bidirectional_attention", nil, "use_bidirectional_attention is missing", false},
		{"vision_config", "mm_embed_dim", 0, "mm_embed_dim is 0", false},
		{"vision_config", "mm_posemb_size", 1 << 30, "mm_posemb_size is 1073741824", false},
		{"vision_config", "output_proj_dims", 64, "output_proj_dims 64 with mm_embed_dim 52", true},
		{"vision_config", "rms_norm_eps", 0, "rms_norm_eps is 0", false},
		{"vision_config", "patch_size", 8, "disagree on patch_size", false},
		{"audio_config", "audio_embed_dim", 320, "audio_samples_per_token is 640, must be 320 to 320", false},
		{"audio_config", "audio_embed_dim", -1, "audio_embed_dim is -1", false},
		{"audio_config", "rms_norm_eps", 2, "rms_norm_eps is 2", false},
		{"feature_extractor", "audio_samples_per_token", nil, "audio_samples_per_token is 0", false},
		{"feature_extractor", "feature_size", 128, "feature_size is 128", false},
		{"feature_extractor", "padding_value", 0.5, "padding_value 0.5", true},
		{"feature_extractor", "sampling_rate", 0, "sampling_rate is 0", false},
		{"vision_config", "dtype", "bfloat16", "", false},
	} {
		err := load(func(config, processor m) {
			part, ok := config[c.part].(m)
			if !ok {
				part = processor[c.part].(m)
			}
			if part[c.key] = c.value; c.value == nil {
				delete(part, c.key)
			}
		})
		var unsupported UnsupportedError
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &unsupported) != c.unsupported) {
			t.Errorf("%s.%s %v: got %v, want %q", c.part, c.key, c.value, err, c.want)
		}
	}
	if err := load(func(config, _ m) { delete(config, "vision_config"); delete(config, "audio_config") }); err != nil {
		t.Errorf("text only: %v", err)
	}
}

// Suppressed tokens are in no reply, greedy or drawn, of few allowed tokens or all; in a
// prompt they stand all the same.
func TestSuppressTokens(t *testing.T) {
	plain := open(t, tinyUnified, Options{})
	request := func(m *Model, allowed []int32) Request {
		p, err := m.RawPrompt("<bos><|turn>user\nHello<turn|>\n<|turn>model\n", Media{})
		if err != nil {
			t.Fatal(err)
		}
		r := Request{Prompt: p, MaxTokens: 12, IgnoreEnd: true}
		if allowed != nil {
			r.Allow = func([]int32) []int32 { return allowed }
		}
		return r
	}
	reply := func(m *Model, r Request) []int32 {
		t.Helper()
		got, err := m.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return got.IDs()
	}
	first := reply(plain, request(plain, nil))[0]
	dir := copied(t, tinyUnified, "generation_config.json")
	suppressed := append([]int32{first}, 21, 22)
	data, err := json.Marshal(map[string]any{"suppress_tokens": suppressed})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "generation_config.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.gguf")
	if _, err := Quantize(t.Context(), dir, file, QuantizeOptions{Type: "bf16"}); err != nil {
		t.Fatal(err)
	}
	few := []int32{min(first, 500), max(first, 500)}
	if first == 500 {
		t.Fatal("the test wants another token")
	}
	for _, path := range []string{dir, file} {
		m, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if !slices.Equal(m.config.Generation.SuppressTokens, suppressed) {
			t.Errorf("%s: %v, want %v", path, m.config.Generation.SuppressTokens, suppressed)
		}
		for _, allowed := range [][]int32{nil, few} {
			if ids := reply(m, request(m, allowed)); slices.Contains(ids, first) {
				t.Errorf("%s: %v has %d", path, ids, first)
			}
			if ids := reply(plain, request(plain, allowed)); ids[0] != first {
				t.Errorf("without: %v begins with another token than %d", ids, first)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"suppress_tokens": [1024]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "suppress_tokens has 1024") {
		t.Errorf("outside the vocabulary: %v", err)
	}
}

// A quantised 12B sees and hears as the checkpoint does: what stands for towers keeps its values.
func TestQuantisedUnified(t *testing.T) {
	m := open(t, tinyUnified, Options{Precision: Exact})
	dst := filepath.Join(t.TempDir(), "u.gguf")
	if _, err := Quantize(t.Context(), fixtures.Path(tinyUnified), dst, QuantizeOptions{Type: "q8_0"}); err != nil {
		t.Fatal(err)
	}
	q, err := Open(dst, Options{Precision: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if q.config.Processor.FeatureExtractor.AudioSamplesPerToken != 640 || q.config.ModelType != gemma4Unified || !q.config.TextConfig.unified() {
		t.Errorf("the settings are lost: %+v", q.config)
	}
	picture := patches(t, m, "golden/media/tiny.png", 70)
	for _, encode := range []func(*Model) (*SoftTokens, error){
		func(m *Model) (*SoftTokens, error) { return m.EncodeImage(picture) },
		func(m *Model) (*SoftTokens, error) { return m.EncodeAudio(noiseOf(1, 9, 640)) },
	} {
		want, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encode(q); err != nil || !slices.Equal(got.Values, want.Values) {
			t.Errorf("%v, or other soft tokens", err)
		}
	}
}

// The changes of a 12B's values on the way from GGUF files, value by value, and back.
func TestUnifiedChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(shape ...int) weights.Tensor {
		n := 2
		for _, d := range shape {
			n *= d
		}
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		return weights.Tensor{Name: "x", DType: "BF16", Shape: shape, Data: data}
	}
	at := func(t weights.Tensor, i int) [2]byte { return [2]byte(t.Data[2*i:]) }
	for _, c := range []struct {
		change   *change
		gguf     weights.Tensor
		shape    []int
		from, to int // a value's place in a GGUF file and elsewhere
	}{
		{&planes, random(2, 3*16), []int{2, 48}, 48 + 1*16 + 5, 48 + 5*3 + 1}, // row 1, colour 1, pixel 5
		{&planes, random(3 * 16), []int{48}, 2*16 + 5, 5*3 + 2},
		{&axes, random(2, 7, 5), []int{7, 2, 5}, (1*7+3)*5 + 4, (3*2+1)*5 + 4}, // axis 1, position 3, value 4
	} {
		there, err := c.change.toHF(c.gguf)
		if err != nil || !slices.Equal(there.Shape, c.shape) || at(there, c.to) != at(c.gguf, c.from) {
			t.Errorf("%v: shape %v, %v, or another order", c.gguf.Shape, there.Shape, err)
		}
		back, err := c.change.toGGUF(there)
		if err != nil || !slices.Equal(back.Shape, c.gguf.Shape) || !slices.Equal(back.Data, c.gguf.Data) {
			t.Errorf("%v: back as %v, %v, or other values", c.gguf.Shape, back.Shape, err)
		}
	}
	for _, c := range []struct {
		change *change
		shape  []int
	}{{&planes, []int{4}}, {&planes, []int{2, 3, 4}}, {&planes, nil}, {&axes, []int{3, 4, 5}}, {&axes, []int{2, 4}}} {
		if _, err := c.change.toHF(random(c.shape...)); err == nil {
			t.Errorf("%v was taken", c.shape)
		}
	}
}

// What is wrong with the mmproj file of a 12B, or is that of another size, is said.
func TestUnifiedGGUFErrors(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		name    string
		text    string // checkpoint of the text file
		towers  string // of the mmproj file
		textual edit
		tow     edit
		want    string
	}{
		{"as it is", "tiny-unified", "tiny-unified", edit{}, edit{}, ""},
		{"640 mel bins", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.audio.num_mel_bins": uint32(640)}}, ""},
		{"without sound", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.has_audio_encoder": false}, without: "mm.a.input_projection.weight"}, ""},
		{"a tower for pictures", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.vision.projector_type": "gemma4v"}}, "clip.vision.projector_type is gemma4v, want gemma4uv"},
		{"a tower for sound", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.audio.projector_type": "gemma4a"}}, "clip.audio.projector_type is gemma4a, want gemma4ua"},
		{"per-layer embeddings", "tiny-e", "tiny-unified", edit{}, edit{keys: m{"clip.vision.projection_dim": uint32(48), "clip.audio.projection_dim": uint32(48)}}, "clip.vision.projector_type is gemma4uv, want gemma4v"},
		{"another width", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.audio.projection_dim": uint32(64)}}, "projects to 64 values, but the model's embeddings have 52"},
		{"no positions", "tiny-unified", "tiny-unified", edit{}, edit{without: "v.position_embd.weight"}, "tensor v.position_embd.weight is missing"},
		{"positions of three axes", "tiny-unified", "tiny-unified", edit{}, edit{reshape: map[string][]int{"v.position_embd.weight": {5, 64, 52}}}, "shape [5 64 52], want [2, positions, n]"},
		{"no bias", "tiny-unified", "tiny-unified", edit{}, edit{without: "v.patch_norm.2.bias"}, "tensor model.vision_embedder.patch_ln2.bias is missing"},
		{"patches of 47 pixels", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.vision.patch_size": uint32(15)}}, "has shape [6912], want [6075]"},
		{"another frame", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.audio.embedding_length": uint32(320)}}, "has shape [52 640], want [52 320]"},
		{"no frame", "tiny-unified", "tiny-unified", edit{}, edit{keys: m{"clip.audio.embedding_length": uint32(0)}}, "audio_embed_dim is 0"},
		{"a row of two colours", "tiny-unified", "tiny-unified", edit{}, edit{reshape: map[string][]int{"v.patch_norm.1.bias": {6912 / 4, 4}}}, "no rows of three colours"},
		{"a layer of a tower", "tiny-unified", "tiny-unified", edit{}, edit{rename: [2]string{"v.patch_embd.bias", "v.blk.0.ln1.weight"}}, "tensor model.vision_embedder.patch_dense.bias is missing"},
		{"suppressed outside", "tiny-unified", "tiny-unified", edit{keys: m{"tokenizer.ggml.suppress_tokens": []int32{5000}}}, edit{}, "suppress_tokens has 5000"},
		{"too many suppressed", "tiny-unified", "tiny-unified", edit{keys: m{"tokenizer.ggml.suppress_tokens": make([]int32, maxSuppressed+1)}}, edit{}, "has 4097 values, more than 4096"},
	} {
		dir := t.TempDir()
		text, towers := filepath.Join(dir, "text.gguf"), filepath.Join(dir, "towers.gguf")
		c.textual.write(t, textFile(c.text), text)
		c.tow.write(t, fixtures.Path("golden/gguf/"+c.towers+"-mmproj-bf16.gguf"), towers)
		m, err := Open(text, Options{Threads: 1, MMProj: towers})
		if err == nil {
			m.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), dir)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// Of a GGUF file the values that were put in another order are memory of their own, and stay
// beside what fast makes of the matrix among them.
func TestMemoryOfReordered(t *testing.T) {
	for _, precision := range []Precision{Exact, Fast} {
		m := open(t, "golden/gguf/tiny-unified-bf16.gguf", Options{Precision: precision})
		var want int64
		for _, x := range m.Tensors() {
			if !strings.Contains(x.Name, "vision") {
				continue
			}
			want += x.Bytes
			if precision == Fast && strings.HasSuffix(x.Name, "patch_dense.weight") {
				want += 2 * 52 * 6912
			}
		}
		if got := m.Memory(100, 1, 70).Vision; got != want {
			t.Errorf("%v: %d bytes, want %d", precision, got, want)
		}
	}
}
