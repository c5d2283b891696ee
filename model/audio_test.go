package model

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"facet/audio"
	"facet/fixtures"
	"facet/internal/tensor"
	"facet/vision"
)

// noise returns a spectrogram of random values with so many valid frames and three of padding.
func noise(seed uint64, valid int) *audio.Features { return noiseOf(seed, valid, melBins) }

// noiseOf is noise with frames of so many values.
func noiseOf(seed uint64, valid, width int) *audio.Features {
	r := rand.New(rand.NewPCG(seed, 1))
	m := &audio.Features{Frames: valid + 3, Width: width, Valid: valid, Data: make([]float32, (valid+3)*width)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64()*2 - 3)
	}
	return m
}

// Clips that are encoded together have the bits that each has alone, for any number of
// threads, whatever its length, and whatever stands in its padding.
func TestClipsDoNotTouch(t *testing.T) {
	lengths := []int{1, 2, 3, 4, 5, 47, 48, 49, 64, 65, 188, 431, 12, 900}
	for _, precision := range []Precision{Exact, Fast} {
		var want []*SoftTokens
		for _, threads := range []int{1, 2, 3} {
			m := open(t, "golden/checkpoints/tiny-e", Options{Threads: threads, Precision: precision, EncoderCache: -1})
			var clips []*audio.Features
			for i, n := range lengths {
				clips = append(clips, noise(uint64(i), n))
			}
			if want == nil {
				for i, c := range clips {
					soft, err := m.EncodeAudio(c)
					if err != nil {
						t.Fatal(err)
					}
					if n := (lengths[i] + 3) / 4; soft.Rows != n || soft.Width != m.config.TextConfig.HiddenSize {
						t.Fatalf("%d frames give [%d, %d], want %d rows", lengths[i], soft.Rows, soft.Width, n)
					}
					want = append(want, soft)
				}
			}
			for _, c := range clips {
				for i := c.Valid * melBins; i < len(c.Data); i++ {
					c.Data[i] = float32(math.NaN())
				}
			}
			for group := range 4 {
				lo := min(group*group, len(clips))
				got, err := m.EncodeAudios(clips[lo:])
				if err != nil {
					t.Fatal(err)
				}
				for i, soft := range got {
					if !slices.Equal(soft.Values, want[lo+i].Values) {
						t.Fatalf("%v, %d threads, from clip %d: clip of %d frames has other bits than alone", precision, threads, lo, lengths[lo+i])
					}
				}
			}
		}
	}
}

// The convolutions run in blocks, which change nothing: a trace has one block for each clip.
func TestAudioInBlocks(t *testing.T) {
	blocks := open(t, "golden/checkpoints/tiny-e", Options{EncoderCache: -1})
	whole := open(t, "golden/checkpoints/tiny-e", Options{Tracer: discard{}})
	for _, frames := range []int{64, 65, 127, 128, 129, 130, 700} {
		c := noise(7, frames)
		a, err := blocks.EncodeAudio(c)
		if err != nil {
			t.Fatal(err)
		}
		b, err := whole.EncodeAudio(c)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Values, b.Values) {
			t.Errorf("%d frames: other bits in blocks", frames)
		}
	}
}

// More clips than go through the tower together come back in their order.
func TestManyClips(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{EncoderCache: -1})
	var clips []*audio.Features
	for i := range 7 {
		clips = append(clips, noise(uint64(i), 2400-i)) // 600 rows
	}
	got, err := m.EncodeAudios(clips)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range clips {
		want, err := m.EncodeAudio(c)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i].Values, want.Values) {
			t.Errorf("clip %d of %d differs", i, len(clips))
		}
	}
	if none, err := m.EncodeAudios(nil); err != nil || len(none) != 0 {
		t.Errorf("no clips give %v, %v", none, err)
	}
}

// Nothing looks ahead but the convolutions: what is more than two frames later changes no
// soft token.
func TestAudioIsCausal(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{EncoderCache: -1})
	long := noise(1, 400)
	short := *long
	short.Valid = 203
	a, err := m.EncodeAudios([]*audio.Features{long, &short})
	if err != nil {
		t.Fatal(err)
	}
	rows := a[1].Rows - 1 // the last one sees the cut
	if n := rows * a[0].Width; !slices.Equal(a[0].Values[:n], a[1].Values[:n]) {
		t.Errorf("the first %d soft tokens depend on what comes after", rows)
	}
	if slices.Equal(a[0].Values[:len(a[1].Values)], a[1].Values) {
		t.Error("the soft token at the cut does not see it")
	}
}

// In fast soft tokens point where those of exact do.
func TestFastAudio(t *testing.T) {
	exact := open(t, "golden/checkpoints/tiny-e", Options{Precision: Exact})
	fast := open(t, "golden/checkpoints/tiny-e", Options{Precision: Fast})
	c := noise(5, 700)
	want, err := exact.EncodeAudio(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fast.EncodeAudio(c)
	if err != nil {
		t.Fatal(err)
	}
	cos := cosine(got.Values, want.Values)
	t.Logf("cosine %.6f", cos)
	if !(cos >= leastCosine) || slices.Equal(got.Values, want.Values) {
		t.Errorf("cosine of soft tokens %.6f", cos)
	}
}

// Attention is the formula of its comment, in float64, for windows of 12 and 13 keys,
// over clips that begin within a tile, and whatever rows are computed together.
func TestLocalAttention(t *testing.T) {
	const heads, dim, rows, table = 2, 6, 61, 13
	r := rand.New(rand.NewPCG(3, 1))
	random := func(rows, cols int) tensor.Mat {
		m := tensor.New(rows, cols)
		for i := range m.Data {
			m.Data[i] = float32(2 * r.NormFloat64())
		}
		return m
	}
	identity := tensor.New(heads*dim, heads*dim)
	for i := range identity.Rows {
		identity.Row(i)[i] = 1
	}
	a := &localAttention{heads: heads, dim: dim, limit: 5, distances: random(table, heads*dim)}
	a.queryScale = random(1, dim).Data
	a.post = linear{weight: dense(t, identity)}
	s := newScratch(tensor.NewPool(1))
	s.q, s.k, s.v = random(rows, heads*dim), random(rows, heads*dim), random(rows, heads*dim)
	begin := 0
	for _, end := range []int{5, 6, 30, rows} { // four clips
		for len(s.audio.start) < end {
			s.audio.start = append(s.audio.start, begin)
		}
		begin = end
	}
	for _, window := range []int{table - 1, table} {
		for _, cut := range []int{rows, 1, 7, 12, 24} {
			for lo := 0; lo < rows; lo += cut {
				hi := min(rows, lo+cut)
				got := a.attend(s, s, lo, hi, window)
				for i := lo; i < hi; i++ {
					for c, want := range a.slow(s, i, window) {
						if d := math.Abs(float64(got.Row(i - lo)[c]) - want); !(d <= 2e-5) {
							t.Fatalf("window %d, rows [%d, %d): row %d, column %d is off by %g", window, lo, hi, i, c, d)
						}
					}
				}
			}
		}
	}
}

// slow is the attention of one row in float64.
func (a *localAttention) slow(s *scratch, row, window int) []float64 {
	out := make([]float64, a.heads*a.dim)
	for h := range a.heads {
		at := h * a.dim
		var weights []float64
		var sum float64
		first := max(s.audio.start[row], row-window+1)
		for key := first; key <= row; key++ {
			r := a.distances.Row(a.distances.Rows - 1 - (row - key))
			var score float64
			for i := range a.dim {
				q := float64(s.q.Row(row)[at+i]) * float64(a.queryScale[i])
				score += q * (float64(s.k.Row(key)[at+i]) + float64(r[at+i]))
			}
			w := math.Exp(float64(a.limit) * math.Tanh(score/float64(a.limit)))
			weights, sum = append(weights, w), sum+w
		}
		for i := range a.dim {
			for j, w := range weights {
				out[at+i] += w / sum * float64(s.v.Row(first + j)[at+i])
			}
		}
	}
	return out
}

// The window of 13 keys differs from that of 12 where there are 13, and nowhere before.
func TestWideAudio(t *testing.T) {
	near := open(t, "golden/checkpoints/tiny-e", Options{})
	wide := open(t, "golden/checkpoints/tiny-e", Options{WideAudio: true})
	a, err := near.EncodeAudio(noise(2, 200))
	if err != nil {
		t.Fatal(err)
	}
	b, err := wide.EncodeAudio(noise(2, 200))
	if err != nil {
		t.Fatal(err)
	}
	if n := 12 * a.Width; !slices.Equal(a.Values[:n], b.Values[:n]) || slices.Equal(a.Values[n:n+a.Width], b.Values[n:n+a.Width]) {
		t.Error("the 13th key is not what differs")
	}
}

func TestAudioRefuses(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	for _, c := range []struct {
		name string
		clip *audio.Features
		want string
	}{
		{"nothing", &audio.Features{Width: melBins}, "no sound in it"},
		{"padding only", &audio.Features{Width: melBins, Frames: 2, Data: make([]float32, 2*melBins)}, "no sound in it"},
		{"past 30 s", noise(1, 3001), "3001 frames are past the 2999"},
		{"other bins", &audio.Features{Width: 64, Frames: 2, Valid: 2, Data: make([]float32, 128)}, "want frames of 128"},
		{"more valid than there are", &audio.Features{Width: melBins, Frames: 1, Valid: 2, Data: make([]float32, melBins)}, "2 of them valid"},
		{"values that lack", &audio.Features{Width: melBins, Frames: 2, Valid: 2, Data: make([]float32, melBins)}, "128 values for 2 frames"},
	} {
		if _, err := m.EncodeAudios([]*audio.Features{noise(1, 8), c.clip}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "clip 2") {
			t.Errorf("%s: got %v, want clip 2 and %q", c.name, err, c.want)
		}
	}
	deaf := open(t, "golden/checkpoints/tiny-dense", Options{})
	var unsupported UnsupportedError
	if _, err := deaf.EncodeAudio(noise(1, 8)); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "no audio tower") {
		t.Errorf("without a tower: %v", err)
	}
	if _, ok := deaf.AudioSpec(); ok {
		t.Error("a checkpoint without a tower says how it hears")
	}
}

// What audio says that a clip becomes is what the tower makes of it.
func TestAudioSpec(t *testing.T) {
	for _, name := range []string{"golden/checkpoints/tiny-e", "golden/gguf/tiny-e-bf16.gguf"} {
		m := open(t, name, Options{})
		spec, ok := m.AudioSpec()
		want := audio.Spec{SampleRate: 16000, FrameLength: 320, HopLength: 160, FFTLength: 512, MelBins: 128, MaxFrequency: 8000, MelFloor: 1e-3, MaxSamples: 480_000}
		if !ok || spec != want {
			t.Fatalf("%s: %+v, want %+v", name, spec, want)
		}
	}
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	spec, _ := m.AudioSpec()
	e := audio.NewExtractor(spec)
	for _, samples := range []int{320, 640, 1000, 8000, 16001, 480_000} {
		soft, err := m.EncodeAudio(e.Features(make([]float32, samples)))
		if err != nil {
			t.Fatal(err)
		}
		if want := spec.SoftTokens(samples); soft.Rows != want {
			t.Errorf("%d samples are %d soft tokens, audio says %d", samples, soft.Rows, want)
		}
	}
}

// A checkpoint that Quantize wrote hears as the one it was made of: towers keep their
// values, and the front end its settings.
func TestQuantisedHears(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{Precision: Exact})
	dst := filepath.Join(t.TempDir(), "e.gguf")
	if _, err := Quantize(t.Context(), fixtures.Path("golden/checkpoints/tiny-e"), dst, QuantizeOptions{Type: "bf16"}); err != nil {
		t.Fatal(err)
	}
	q, err := Open(dst, Options{Precision: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if q.config.Processor.FeatureExtractor == nil || *q.config.Processor.FeatureExtractor.InputScale != 1 {
		t.Error("the settings of the front end are lost")
	}
	want, err := m.EncodeAudio(noise(1, 100))
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.EncodeAudio(noise(1, 100))
	if err != nil {
		t.Fatal(err)
	}
	// The factor of each dimension goes through softplus and back, which rounds.
	if d := worst(got.Values, want.Values); !(d <= 1e-5) {
		t.Errorf("soft tokens are off by %g of the largest", d)
	}
}

// A clip that was encoded lately is not encoded again, beside others or alone.
func TestEncoderCacheOfSound(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	first, err := m.EncodeAudios([]*audio.Features{noise(1, 50), noise(2, 50)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.EncodeAudios([]*audio.Features{noise(2, 50), noise(3, 50), noise(1, 50)})
	if err != nil {
		t.Fatal(err)
	}
	if m.encoded.hits != 2 || again[0] != first[1] || again[2] != first[0] {
		t.Errorf("%d hits, want 2 with the soft tokens of before", m.encoded.hits)
	}
	changed := noise(1, 50)
	changed.Data[49*melBins+3]++
	padded := noise(1, 50)
	padded.Data[51*melBins]++
	shorter := noise(1, 50)
	shorter.Valid--
	if key := clipKey(noise(1, 50)); key == clipKey(changed) || key == clipKey(shorter) || key != clipKey(padded) {
		t.Error("the key is not that of the valid frames")
	}
}

// dense is a matrix as a weight.
func dense(t *testing.T, m tensor.Mat) tensor.Weight {
	t.Helper()
	var data []byte
	for _, v := range m.Data {
		b := math.Float32bits(v)
		data = append(data, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
	w, err := tensor.WeightOf("F32", data, m.Rows, m.Cols)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// soundAndVideo is a clip, for a checkpoint that hears, and a video of two frames.
func soundAndVideo(t testing.TB, m *Model) Media {
	t.Helper()
	var media Media
	if spec, ok := m.AudioSpec(); ok {
		_, frames := spec.Frames(21_000)
		soft, err := m.EncodeAudio(noiseOf(1, frames, spec.Width()))
		if err != nil {
			t.Fatal(err)
		}
		media.Audio = []*SoftTokens{soft}
	}
	v, err := m.EncodeVideo([]*vision.Patches{patches(t, m, "golden/media/tiny.png", 70), patches(t, m, "golden/media/scene.png", 70)}, []time.Duration{0, 61 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	media.Videos = []*Video{v}
	return media
}

// Placeholders become what the reference's processor makes of them.
func TestPromptMedia(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	soft := func(n int) *SoftTokens {
		return &SoftTokens{Rows: n, Width: 48, Values: make([]float32, n*48)}
	}
	video := &Video{Frames: []VideoFrame{{0, soft(2)}, {59*time.Minute + 59*time.Second + 999*time.Millisecond, soft(1)}, {100 * time.Minute, soft(1)}}}
	media := Media{Audio: []*SoftTokens{soft(3)}, Videos: []*Video{video}}
	p, err := m.RawPrompt("<bos>at 1<|video|>2, hear<|audio|>!", media)
	if err != nil {
		t.Fatal(err)
	}
	want := "<bos>at 100:00 <|image><|video|><|video|><image|> 59:59 <|image><|video|><image|> 100:00 <|image><|video|><image|>2, hear<|audio><|audio|><|audio|><|audio|><audio|>!"
	if ids := m.tokenizer.EncodeSpecial(want, nil); !slices.Equal(p.IDs, ids) {
		t.Errorf("%s, want %s", m.tokenizer.Decode(p.IDs, false), want)
	}
	if p.Count(AudioToken) != 3 || p.Count(VideoToken) != 4 || p.Count(ImageToken) != 0 {
		t.Errorf("types %v", p.Types)
	}
	for i, kind := range p.Types {
		if _, _, ok := p.block(i); ok != (kind == VideoToken) {
			t.Errorf("position %d of type %d is one of a picture: %v", i, kind, ok)
		}
	}
	// A prompt may be gone on with after the sound and after the video, not within it.
	if points := m.reusePoints(p); len(points) != 2 || m.tokenizer.Token(p.IDs[points[0]-1]) != "<image|>" || m.tokenizer.Token(p.IDs[points[1]-1]) != "<audio|>" {
		t.Errorf("reuse after %v", points)
	}
	completion, err := m.CompletionPrompt("<|audio|> x", media)
	if err != nil {
		t.Fatal(err)
	}
	if completion.Count(AudioToken) != 3 || completion.Count(VideoToken) != 4 || completion.IDs[0] != m.ids.bos {
		t.Errorf("completion %v", completion.Types)
	}
	for _, c := range []struct {
		text  string
		media Media
		want  string
	}{
		{"<|audio|>", Media{}, "more places for sound than the 0"},
		{"a", Media{Audio: media.Audio}, "1 clips of sound for 0 places"},
		{"<|video|><|video|>", media, "more places for videos than the 1"},
		{"a", Media{Videos: media.Videos}, "1 videos for 0 places"},
		{"<|video|>", Media{Videos: []*Video{{}}}, "video 1 has no frames"},
	} {
		if _, err := m.RawPrompt(c.text, c.media); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}

// Sound is causal where pictures are not: a change at its end leaves what stands before.
func TestSoundIsNoPicture(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-dense", Options{})
	soft := func(last float32) *SoftTokens {
		s := &SoftTokens{Rows: 4, Width: m.config.TextConfig.HiddenSize}
		s.Values = make([]float32, s.Rows*s.Width)
		for i := range s.Values {
			s.Values[i] = float32(i%7) - 3
		}
		s.Values[len(s.Values)-1] = last
		return s
	}
	for _, causal := range []bool{true, false} {
		var first [2][]float32
		for i := range first {
			p := &Prompt{IDs: []int32{2, 3, 3, 3, 3}, Types: make([]TokenType, 5), media: []mediaSpan{{lo: 1, hi: 5, soft: soft(float32(9 * i)), causal: causal}}}
			logits, err := m.Logits(p, 4)
			if err != nil {
				t.Fatal(err)
			}
			first[i] = logits[:m.config.TextConfig.VocabSize]
		}
		if same := slices.Equal(first[0], first[1]); same != causal {
			t.Errorf("causal %v: the first of four tokens sees the last: %v", causal, !same)
		}
	}
}

func TestVideoBudget(t *testing.T) {
	if n := open(t, "golden/checkpoints/tiny-e", Options{}).VideoBudget(); n != 70 {
		t.Errorf("%d soft tokens for a frame, want 70", n)
	}
	c := &Config{}
	c.Processor.VideoProcessor.MaxSoftTokens = 140
	if n := (&Model{checkpoint: checkpoint{config: c}}).VideoBudget(); n != 140 {
		t.Errorf("%d soft tokens for a frame, the file says 140", n)
	}
}
