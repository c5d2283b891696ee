package audio

import (
	"math"
	"testing"
)

// unified is how a 12B hears.
var unified = Spec{SampleRate: 16000, RawFrame: 640, MaxSamples: 480000}

// Raw frames are the samples, cut into frames, with zeros behind the last one, and no sample past
// the clip or past what the model hears.
func TestRawFrames(t *testing.T) {
	e := NewExtractor(unified)
	for _, n := range []int{0, 1, 639, 640, 641, 1280, 5000, 480_000, 480_001} {
		pcm := sine(440, 16000, n+100)
		for i := n; i < len(pcm); i++ {
			pcm[i] = float32(math.NaN())
		}
		heard := min(n, 480_000)
		f := e.Features(pcm[:n])
		frames := (heard + 639) / 640
		if f.Frames != frames || f.Valid != frames || f.Width != 640 || len(f.Data) != frames*640 || f.Samples != heard {
			t.Fatalf("%d samples: %d frames of %d, %d valid, %d values, %d samples", n, f.Frames, f.Width, f.Valid, len(f.Data), f.Samples)
		}
		if got := unified.SoftTokens(n); got != frames {
			t.Errorf("%d samples: %d soft tokens, want %d", n, got, frames)
		}
		for i, v := range f.Data {
			var want float32
			if i < heard {
				want = pcm[i]
			}
			if v != want {
				t.Fatalf("%d samples: value %d is %g, want %g", n, i, v, want)
			}
		}
		pcm[0] = 7 // the caller's again
		if n > 0 && f.Data[0] == 7 {
			t.Error("the features are the caller's samples")
		}
	}
}

// In a batch a clip has the frames of the longest; what is past its own is not valid, and zero.
func TestRawFramesPadded(t *testing.T) {
	f := NewExtractor(unified).Padded(sine(440, 16000, 1000), 3000)
	if f.Frames != 5 || f.Valid != 2 || len(f.Data) != 5*640 {
		t.Fatalf("%d frames, %d valid, %d values", f.Frames, f.Valid, len(f.Data))
	}
	for i, v := range f.Data[1000:] {
		if v != 0 {
			t.Fatalf("value %d is %g", 1000+i, v)
		}
	}
}

func TestSpecWithoutMeaning(t *testing.T) {
	for _, s := range []Spec{{}, {SampleRate: 16000, RawFrame: 640}, {RawFrame: 640, MaxSamples: 1}, {SampleRate: 16000, RawFrame: -1, MaxSamples: 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", s)
				}
			}()
			NewExtractor(s)
		}()
	}
}
