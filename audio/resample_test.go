package audio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var rates = []int{4000, 8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 384000, 44099, 383999}

var made = map[[2]int]*Resampler{} // since tables of rates that are no ratio take a while

// resampled is x in one block.
func resampled(x []float32, from, to int) []float32 {
	if made[[2]int{from, to}] == nil {
		made[[2]int{from, to}] = NewResampler(from, to)
	}
	r := made[[2]int{from, to}].sibling()
	return r.Flush(r.Resample(nil, x))
}

// sine is a tone of amplitude 0.5.
func sine(f float64, rate, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(0.5 * math.Sin(2*math.Pi*f*float64(i)/float64(rate)))
	}
	return x
}

func decibel(ratio float64) float64 { return 20 * math.Log10(ratio) }

// A tone of the pass band keeps level and phase: the same tone at the new rate, taken away, leaves nothing. The pass
// band ends at 0.4375 of the lower rate, 7 kHz for everything that comes down to 16 kHz.
func TestResampledTonesKeepLevelAndPhase(t *testing.T) {
	const to = 16000
	for _, from := range rates {
		edge := 0.4375 * float64(min(from, to))
		worst, level := 0.0, 0.0
		for _, f := range []float64{20, 440, 0.2 * edge, 0.5 * edge, 0.9 * edge, edge} {
			got := resampled(sine(f, from, from/4), from, to)
			want := sine(f, to, len(got))
			var left, power, wanted float64
			for i := 200; i < len(got)-200; i++ { // the filter sees the tone begin and end
				d := float64(got[i]) - float64(want[i])
				left += d * d
				power += float64(got[i]) * float64(got[i])
				wanted += float64(want[i]) * float64(want[i])
			}
			worst = max(worst, math.Sqrt(left/wanted))
			level = max(level, math.Abs(decibel(math.Sqrt(power/wanted))))
		}
		t.Logf("%d Hz: level within %.4f dB, difference %.1f dB", from, level, decibel(worst))
		if level > 0.1 {
			t.Errorf("%d Hz: the level is off by %.3f dB", from, level)
		}
		if !(decibel(worst) < -55) { // half a degree of phase would leave −41 dB
			t.Errorf("%d Hz: difference of %.1f dB", from, decibel(worst))
		}
	}
}

// A tone that the new rate can't hold is gone, and one of a lower rate brings no images with it.
func TestResampledStopBand(t *testing.T) {
	const to = 16000
	for _, from := range rates {
		for f := 9000.0; f < float64(from)/2; f = f*1.31 + 7 {
			got := resampled(sine(f, from, from/4), from, to)
			if level := loudestOf(got[200:len(got)-200]) / 0.5; !(decibel(level) < -60) {
				t.Errorf("%d Hz: a tone of %.0f Hz comes out at %.1f dB", from, f, decibel(level))
			}
		}
		if from >= to {
			continue
		}
		f := 0.4375 * float64(from) // its first image lies at from − f
		got := resampled(sine(f, from, from/4), from, to)
		var re, im float64
		for i, v := range got {
			a := 2 * math.Pi * (float64(from) - f) * float64(i) / to
			w := 1 - math.Cos(2*math.Pi*float64(i)/float64(len(got)))
			re += w * float64(v) * math.Cos(a)
			im += w * float64(v) * math.Sin(a)
		}
		if level := 2 * math.Hypot(re, im) / float64(len(got)) / 0.5; !(decibel(level) < -60) {
			t.Errorf("%d Hz: the image of %.0f Hz comes out at %.1f dB", from, f, decibel(level))
		}
	}
}

func loudestOf(x []float32) (peak float64) {
	for _, v := range x {
		peak = max(peak, math.Abs(float64(v)))
	}
	return peak
}

// However the input is cut, the same bits come out, and as many as documented.
func TestResampledInBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, from := range rates {
		made := NewResampler(from, 16000)
		for _, n := range []int{0, 1, 2, 77, from/10 + 3} {
			x := make([]float32, n)
			for i := range x {
				x[i] = rng.Float32() - 0.5
			}
			r := made.sibling()
			want := r.Flush(r.Resample(nil, x))
			if length := (n*16000 + from - 1) / from; len(want) != length {
				t.Errorf("%d Hz: %d samples became %d, want %d", from, n, len(want), length)
			}
			for _, most := range []int{3, 1000} {
				r := made.sibling()
				var got []float32
				for rest := x; len(rest) > 0; {
					k := min(1+rng.IntN(most), len(rest))
					got = r.Resample(got, rest[:k])
					rest = rest[k:]
				}
				if got = r.Flush(got); !slices.Equal(got, want) {
					t.Errorf("%d Hz: %d samples in blocks of up to %d differ", from, n, most)
				}
			}
		}
	}
}

// A constant stays what it is, at every phase.
func TestResampledConstant(t *testing.T) {
	for _, from := range rates {
		x := slices.Repeat([]float32{0.25}, from/8)
		got := resampled(x, from, 16000)
		for i := 150; i < len(got)-150; i++ { // 36 samples of 4 kHz
			if d := math.Abs(float64(got[i]) - 0.25); d > 1e-6 {
				t.Fatalf("%d Hz: sample %d is %g", from, i, got[i])
			}
		}
	}
}

// A click stays at its time: the middle of what it becomes is where it was.
func TestResampledClickKeepsItsTime(t *testing.T) {
	for _, from := range rates {
		at := from / 20
		x := make([]float32, from/10)
		x[at] = 1
		var moment, sum float64
		for i, v := range resampled(x, from, 16000) {
			moment += float64(i) / 16000 * float64(v)
			sum += float64(v)
		}
		if d := moment/sum - float64(at)/float64(from); math.Abs(d) > 1e-6 {
			t.Errorf("%d Hz: a click moves by %.2g s", from, d)
		}
	}
}

// The straightforward sum over the whole recording, in float64, is the definition.
func TestResamplerAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, from := range []int{8000, 11025, 44100, 44099, 96000} {
		x := make([]float32, from/20)
		for i := range x {
			x[i] = rng.Float32() - 0.5
		}
		scale := min(1, 16000/float64(from))
		for n, got := range resampled(x, from, 16000) {
			at := float64(n) * float64(from) / 16000
			var sum, weight float64
			for i := int(at) - 400; i < int(at)+400; i++ {
				d := (float64(i) - at) * scale
				if u := d / sincHalfWidth; math.Abs(u) < 1 {
					w := sinc(2*sincCutoff*d) * bessel0(kaiserBeta*math.Sqrt(1-u*u))
					weight += w
					if i >= 0 && i < len(x) {
						sum += w * float64(x[i])
					}
				}
			}
			if d := math.Abs(float64(got) - sum/weight); d > 4e-6 {
				t.Fatalf("%d Hz: sample %d: got %g, want %g", from, n, got, sum/weight)
			}
		}
	}
}

func BenchmarkResample(b *testing.B) {
	for _, from := range []int{8000, 44100, 48000, 384000} {
		b.Run(fmt.Sprint(from), func(b *testing.B) {
			x := sine(440, from, from)
			out := make([]float32, 0, 20000)
			r := NewResampler(from, 16000)
			b.SetBytes(int64(4 * len(x)))
			b.ReportAllocs()
			for b.Loop() {
				out = r.Resample(out[:0], x)
			}
		})
	}
}
