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
			m := NewExtractor(gemma).Mel(pcm)
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

func compareMel(t *testing.T, m *Mel, shape []int, want, mask []float64) {
	t.Helper()
	if shape[1] != m.Bins || shape[0] > m.Frames || len(m.Data) != m.Frames*m.Bins {
		t.Fatalf("got %d × %d in %d values, want %v", m.Frames, m.Bins, len(m.Data), shape)
	}
	var worst float64
	for i, w := range want {
		d := math.Abs(float64(m.Data[i]) - w)
		if !(d <= 2e-4) {
			t.Fatalf("frame %d, bin %d: got %g, want %g", i/m.Bins, i%m.Bins, m.Data[i], w)
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
