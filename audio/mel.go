package audio

import (
	"fmt"
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/dsp/fourier"
)

// A Spec says how a model hears: mel frames, or, with a RawFrame, the samples themselves, where what is said of mel counts
// for nothing. The values come from the feature extractor of the checkpoint's processor config; what
// that may say besides (dither, pre-emphasis, scaling, mean and deviation of each bin) is off in every released
// checkpoint, and whoever fills a Spec refuses it.
type Spec struct {
	SampleRate   int     // Hz: sampling_rate, 16,000
	RawFrame     int     // samples of a frame that is heard as it is: audio_samples_per_token, 640 in a 12B; 0 for mel frames
	FrameLength  int     // samples that a mel frame sees: frame_length, 320 (20 ms)
	HopLength    int     // samples from one mel frame to the next: hop_length, 160 (10 ms)
	FFTLength    int     // fft_length, 512
	MelBins      int     // feature_size, 128
	MinFrequency float64 // Hz: min_frequency, 0
	MaxFrequency float64 // Hz: max_frequency, 8,000
	MelFloor     float64 // added before the logarithm: mel_floor, 0.001
	MaxSamples   int     // what the model hears at once: audio_seq_length · audio_ms_per_token · SampleRate, 480,000 (30 s)
}

// Gemma4 is the Spec of E2B and E4B.
var Gemma4 = Spec{
	SampleRate: 16000, FrameLength: 320, HopLength: 160, FFTLength: 512, MelBins: 128, MaxFrequency: 8000,
	MelFloor: 0.001, MaxSamples: 480000,
}

// padMultiple is what the reference pads the number of samples to (pad_to_multiple_of).
const padMultiple = 128

// padded returns the samples that a clip of n has after padding.
func padded(n int) int { return (n + padMultiple - 1) / padMultiple * padMultiple }

// Frames returns the frames of a clip of n samples: how many Features returns, and how many of them, from the first on,
// are valid. Of mel frames those are with which every sample they see, and one more, is the clip's, or in the half frame
// before its first; of raw ones all. Longer clips than MaxSamples count as that long.
func (s Spec) Frames(n int) (frames, valid int) {
	s.check()
	n = min(n, s.MaxSamples)
	if s.RawFrame > 0 {
		frames = (n + s.RawFrame - 1) / s.RawFrame
		return frames, frames
	}
	return s.framesIn(padded(n)), s.framesIn(n)
}

// framesIn returns how many frames begin and end within n samples, when half a frame of silence stands before them. The
// reference cuts frames of one sample more, for a pre-emphasis, and drops it.
func (s Spec) framesIn(n int) int {
	room := n + s.FrameLength/2 - (s.FrameLength + 1)
	if room < 0 {
		return 0
	}
	return room/s.HopLength + 1
}

// SoftTokens returns the soft tokens of a clip of n samples: a quarter of its valid mel frames, by two convolutions that
// halve and round up, or all raw ones.
func (s Spec) SoftTokens(n int) int {
	_, valid := s.Frames(n)
	if s.RawFrame > 0 {
		return valid
	}
	return ((valid+1)/2 + 1) / 2
}

// Width returns the values of a frame.
func (s Spec) Width() int {
	if s.RawFrame > 0 {
		return s.RawFrame
	}
	return s.MelBins
}

func (s Spec) check() {
	if s.RawFrame > 0 && s.SampleRate > 0 && s.MaxSamples > 0 {
		return
	}
	if s.RawFrame != 0 || s.SampleRate < 1 || s.FrameLength < 2 || s.HopLength < 1 || s.FFTLength < s.FrameLength || s.MelBins < 1 ||
		!(s.MinFrequency >= 0) || !(s.MaxFrequency > s.MinFrequency) || !(s.MelFloor > 0) || s.MaxSamples < 1 {
		panic(fmt.Sprintf("audio: a Spec without meaning: %+v", s))
	}
}

// Features are what a model hears of a clip: its log-mel spectrogram, a value for each mel bin of a frame, or, where a
// Spec has a RawFrame, its samples, the last frame filled up with zeros.
type Features struct {
	Frames, Width int
	Valid         int       // frames from here on are padding, and all zero
	Data          []float32 // [Frames, Width]
	Samples       int       // of the clip, at most Spec.MaxSamples
}

// An Extractor computes Features. It is not safe for concurrent use; making one for mel frames takes a millisecond.
type Extractor struct {
	spec Spec

	// Of mel frames.
	window []float64 // [FrameLength]
	bank   []band    // [MelBins]
	fft    *fourier.FFT

	frame     []float64    // [FFTLength], zeros past FrameLength
	spectrum  []complex128 // [FFTLength/2 + 1]
	magnitude []float64    // [FFTLength/2 + 1]
}

// A band is one filter of the mel bank: what it takes of each bin of the spectrum, from first on.
type band struct {
	first   int
	weights []float64
}

// NewExtractor returns an Extractor for a Spec. It panics if the Spec has no meaning.
func NewExtractor(s Spec) *Extractor {
	s.check()
	if s.RawFrame > 0 {
		return &Extractor{spec: s}
	}
	bins := s.FFTLength/2 + 1
	return &Extractor{
		spec:      s,
		window:    hann(s.FrameLength),
		bank:      melBank(s),
		fft:       fourier.NewFFT(s.FFTLength),
		frame:     make([]float64, s.FFTLength),
		spectrum:  make([]complex128, bins),
		magnitude: make([]float64, bins),
	}
}

// hann returns the periodic Hann window of n samples.
func hann(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))
	}
	return w
}

// melBank returns triangles whose corners lie evenly on the HTK mel scale, m = 2595·log10(1 + f/700), and whose sides are
// straight in Hz. They are not normed by their area. Where bins lie further apart than corners, a filter can be empty.
func melBank(s Spec) []band {
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	hertz := func(m float64) float64 { return 700 * (math.Pow(10, m/2595) - 1) }
	low, high := mel(s.MinFrequency), mel(s.MaxFrequency)
	corner := func(i int) float64 { return hertz(low + (high-low)*float64(i)/float64(s.MelBins+1)) }

	bank := make([]band, s.MelBins)
	for i := range bank {
		left, top, right := corner(i), corner(i+1), corner(i+2)
		b := &bank[i]
		for k := range s.FFTLength/2 + 1 {
			f := float64(k) * float64(s.SampleRate) / float64(s.FFTLength)
			w := min((f-left)/(top-left), (right-f)/(right-top))
			switch {
			case w <= 0:
				continue
			case len(b.weights) == 0:
				b.first = k
			}
			b.weights = append(b.weights, w)
		}
	}
	return bank
}

// Features returns what is heard of a clip, mono at the Spec's sample rate; what is past MaxSamples is not heard. pcm is
// only read.
func (e *Extractor) Features(pcm []float32) *Features { return e.Padded(pcm, 0) }

// Padded is Features for a clip in a batch whose longest has length samples: it has the frames of that one. The valid ones
// are the same as without.
func (e *Extractor) Padded(pcm []float32, length int) *Features {
	s := e.spec
	pcm = pcm[:min(len(pcm), s.MaxSamples)]
	frames, _ := s.Frames(max(len(pcm), length))
	_, valid := s.Frames(len(pcm))
	f := &Features{Frames: frames, Width: s.Width(), Valid: valid, Samples: len(pcm)}
	f.Data = make([]float32, f.Frames*f.Width)
	if s.RawFrame > 0 {
		copy(f.Data, pcm)
		return f
	}
	for i := range f.Valid {
		e.cut(pcm, i*s.HopLength-s.FrameLength/2)
		e.logMel(f.Data[i*f.Width : (i+1)*f.Width])
	}
	return f
}

// cut sets the frame to the windowed samples of pcm from begin on. Before the clip's first sample there is silence.
func (e *Extractor) cut(pcm []float32, begin int) {
	for i, w := range e.window {
		var v float64
		if j := begin + i; j >= 0 {
			v = float64(pcm[j])
		}
		e.frame[i] = v * w
	}
}

// logMel writes the logarithms of the frame's mel bins.
func (e *Extractor) logMel(dst []float32) {
	e.fft.Coefficients(e.spectrum, e.frame)
	for k, c := range e.spectrum {
		e.magnitude[k] = cmplx.Abs(c)
	}
	for i, b := range e.bank {
		var sum float64
		for k, w := range b.weights {
			sum += w * e.magnitude[b.first+k]
		}
		dst[i] = float32(math.Log(sum + e.spec.MelFloor))
	}
}
