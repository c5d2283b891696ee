package audio

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"facet/fixtures"
	"facet/internal/weights"
	"facet/internal/weights/safetensors"
)

// gemma is what the processor configs of the released checkpoints say.
var gemma = Spec{
	SampleRate: 16000, FrameLength: 320, HopLength: 160, FFTLength: 512, MelBins: 128,
	MinFrequency: 0, MaxFrequency: 8000, MelFloor: 0.001, MaxSamples: 480000,
}

// golden gives the reference's tensors by name.
func golden(t testing.TB, file string) func(name string) ([]int, []float64) {
	t.Helper()
	src, err := safetensors.Open(fixtures.Path("golden/audio/" + file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return func(name string) ([]int, []float64) {
		tensor, ok := src.Tensor(name)
		if !ok {
			t.Fatalf("%s has no %s", file, name)
		}
		return tensor.Shape, values(t, tensor)
	}
}

func values(t testing.TB, x weights.Tensor) []float64 {
	out := make([]float64, x.Elements())
	for i := range out {
		switch x.DType {
		case "F32":
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:])))
		case "I64":
			out[i] = float64(int64(binary.LittleEndian.Uint64(x.Data[8*i:])))
		case "U8":
			out[i] = float64(x.Data[i])
		default:
			t.Fatalf("%s is %s", x.Name, x.DType)
		}
	}
	return out
}

func open(t testing.TB, name string) Stream {
	t.Helper()
	f, err := os.Open(fixtures.Path("golden/media/" + name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s, err := Open(name, f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain reads a stream to its end.
func drain(t testing.TB, s Stream) []float32 {
	t.Helper()
	var all []float32
	buf := make([]float32, 4096/s.Info().Channels*s.Info().Channels)
	for {
		n, err := s.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A file becomes the reference's spectrogram: the same number of frames, the same mask, the same number of soft tokens, and
// values within 2e-4. The reference transforms in float32, which is where they differ.
func TestMelGolden(t *testing.T) {
	tensor := golden(t, "mel.safetensors")
	for _, name := range []string{"say0", "say1", "tone320", "tone640", "tone1000", "tone8000", "tone16001"} {
		t.Run(name, func(t *testing.T) {
			pcm := drain(t, open(t, name+".wav"))
			m := NewExtractor(gemma).Features(pcm)
			_, counts := tensor(name + ".counts")
			got := []float64{float64(len(pcm)), float64(m.Frames), float64(m.Valid), float64(gemma.SoftTokens(len(pcm)))}
			if !slices.Equal(got, counts) {
				t.Fatalf("samples, frames, valid frames, soft tokens: got %v, want %v", got, counts)
			}
			_, mask := tensor(name + ".mask")
			shape, want := tensor(name + ".mel")
			compareMel(t, m, shape, want, mask)
		})
	}
}

func compareMel(t *testing.T, m *Features, shape []int, want, mask []float64) {
	t.Helper()
	if shape[1] != m.Width || shape[0] > m.Frames || len(m.Data) != m.Frames*m.Width {
		t.Fatalf("got %d × %d in %d values, want %v", m.Frames, m.Width, len(m.Data), shape)
	}
	var worst float64
	for i, w := range want {
		d := math.Abs(float64(m.Data[i]) - w)
		if !(d <= 2e-4) {
			t.Fatalf("frame %d, bin %d: got %g, want %g", i/m.Width, i%m.Width, m.Data[i], w)
		}
		worst = max(worst, d)
	}
	for i, w := range mask {
		if got := i < m.Valid; got != (w == 1) {
			t.Fatalf("frame %d: valid is %v, want %v", i, got, w)
		}
	}
	t.Logf("largest difference %.2g", worst)
}

// Clips in one batch get the frames of the longest; what is valid of each stays the same.
func TestMelOfPaddedBatch(t *testing.T) {
	tensor := golden(t, "batch.safetensors")
	names := []string{"tone320", "say0", "tone1000", "tone8000"}
	var clips [][]float32
	longest := 0
	for _, name := range names {
		clips = append(clips, drain(t, open(t, name+".wav")))
		longest = max(longest, len(clips[len(clips)-1]))
	}
	e := NewExtractor(gemma)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			m := e.Padded(clips[i], longest)
			_, counts := tensor(name + ".counts")
			if got := []float64{float64(m.Frames), float64(m.Valid)}; !slices.Equal(got, counts) {
				t.Fatalf("frames, valid frames: got %v, want %v", got, counts)
			}
			_, mask := tensor(name + ".mask")
			shape, want := tensor(name + ".mel")
			compareMel(t, m, shape, want, mask)
		})
	}
}

func TestFrameCounts(t *testing.T) {
	_, rows := golden(t, "batch.safetensors")("lengths")
	for row := range slices.Chunk(rows, 3) {
		frames, valid := gemma.Frames(int(row[0]))
		if frames != int(row[1]) || valid != int(row[2]) {
			t.Errorf("%.0f samples: got %d frames, %d valid; want %.0f, %.0f", row[0], frames, valid, row[1], row[2])
		}
	}
	for n, want := range map[int]int{0: 0, 1: 0, 160: 0, 161: 1, 320: 1, 640: 1, 1000: 2, 8000: 13, 16001: 25, 480000: 750, 1 << 40: 750} {
		if got := gemma.SoftTokens(n); got != want {
			t.Errorf("%d samples: %d soft tokens, want %d", n, got, want)
		}
	}
}

// What is shorter than half a frame has no frames, and no clip reads past its end.
func TestMelOfShortClips(t *testing.T) {
	e := NewExtractor(gemma)
	for n := range 700 {
		x := sine(500, 16000, n+50)
		for i := n; i < len(x); i++ {
			x[i] = float32(math.NaN()) // past the clip
		}
		m := e.Features(x[:n])
		for i, v := range m.Data {
			if math.IsNaN(float64(v)) || i >= m.Valid*m.Width && v != 0 {
				t.Fatalf("%d samples: frame %d of %d valid has %g", n, i/m.Width, m.Valid, v)
			}
		}
	}
}

// The bank is that of the reference, by values worked out there.
func TestMelBank(t *testing.T) {
	bank := melBank(gemma)
	if len(bank[0].weights) != 0 {
		t.Errorf("filter 0 has %v, want nothing", bank[0])
	}
	for _, c := range []struct {
		filter, bin int
		want        float64
	}{{1, 1, 0.766008}, {2, 1, 0.233992}, {40, 27, 0.483601}, {40, 28, 0.490503}, {127, 246, 0.126341}} {
		b := bank[c.filter]
		if got := b.weights[c.bin-b.first]; math.Abs(got-c.want) > 1e-6 {
			t.Errorf("filter %d, bin %d: got %g, want %g", c.filter, c.bin, got, c.want)
		}
	}
	var sum float64
	for _, w := range bank[127].weights {
		sum += w
	}
	if math.Abs(sum-5.310227) > 1e-6 {
		t.Errorf("filter 127 sums to %g, want 5.310227", sum)
	}
	if w := hann(320); math.Abs(w[1]-9.638e-5) > 1e-8 || w[160] != 1 {
		t.Errorf("Hann window: got %g and %g", w[1], w[160])
	}
}

// The slow sum is the definition of the transform, of the magnitude and of the bank.
func TestMelAgainstSlowDFT(t *testing.T) {
	x := drain(t, open(t, "say0.wav"))
	m := NewExtractor(gemma).Features(x)
	for _, i := range []int{0, 1, 37, m.Valid - 1} {
		var spectrum [257]float64
		for k := range spectrum {
			var re, im float64
			for n := range 320 {
				if j := 160*i - 160 + n; j >= 0 {
					v := float64(x[j]) * (0.5 - 0.5*math.Cos(2*math.Pi*float64(n)/320))
					re += v * math.Cos(2*math.Pi*float64(k*n)/512)
					im -= v * math.Sin(2*math.Pi*float64(k*n)/512)
				}
			}
			spectrum[k] = math.Hypot(re, im)
		}
		mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
		for b := range 128 {
			var sum float64
			corner := func(c int) float64 { return 700 * (math.Pow(10, mel(8000)*float64(c)/129/2595) - 1) }
			for k, v := range spectrum {
				f := float64(k) * 31.25
				sum += v * max(0, min((f-corner(b))/(corner(b+1)-corner(b)), (corner(b+2)-f)/(corner(b+2)-corner(b+1))))
			}
			if got, want := float64(m.Data[i*128+b]), math.Log(sum+0.001); math.Abs(got-want) > 2e-6 {
				t.Fatalf("frame %d, bin %d: got %g, want %g", i, b, got, want)
			}
		}
	}
}

// A frame costs no allocation.
func TestMelAllocations(t *testing.T) {
	e := NewExtractor(gemma)
	x := make([]float32, 160000)
	if n := testing.AllocsPerRun(3, func() { e.Features(x) }); n > 2 {
		t.Errorf("%g allocations for 1000 frames, want the spectrogram only", n)
	}
}

func BenchmarkMel30s(b *testing.B) {
	e := NewExtractor(gemma)
	x := sine(440, 16000, 480000)
	b.ReportAllocs()
	for b.Loop() {
		e.Features(x)
	}
}
