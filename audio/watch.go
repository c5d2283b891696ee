package audio

import (
	"fmt"
	"slices"
)

// Watch returns src with an eye on its samples: those that are no number become 0, and they, samples scaled as integers and
// channels that cancel each other out are told in Warnings. [Open] watches already; other sources want it.
func Watch(src Stream) Stream {
	if w, ok := src.(*watched); ok {
		return w
	}
	return &watched{Stream: src, channels: src.Info().Channels}
}

type watched struct {
	Stream
	channels     int
	bad          int64   // values that are no number
	peak         float32 // the largest magnitude
	mixed, apart float64 // sums of squares of the channels' mean, and of the channels, over their number
}

// loudest is the largest value taken for a sample. Floats may pass full scale, and scaled as integers of 32 bits they pass it
// by 2³¹; what lies beyond is no sound, but would drown what follows in a filter.
const loudest = 1e10

// finite returns v, or 0 and true if it can't be a sample.
func finite(v float32) (float32, bool) {
	if v >= -loudest && v <= loudest { // false for NaN
		return v, false
	}
	return 0, true
}

func (w *watched) Read(dst []float32) (int, error) {
	n, err := w.Stream.Read(dst)
	for i, v := range dst[:n] {
		v, bad := finite(v)
		if bad {
			w.bad++
			dst[i] = 0
		}
		w.peak = max(w.peak, v, -v)
	}
	if w.channels > 1 {
		w.compare(dst[:n])
	}
	return n, err
}

// compare adds to the sums that tell whether channels cancel each other out.
func (w *watched) compare(block []float32) {
	for i := 0; i+w.channels <= len(block); i += w.channels {
		var sum, squares float64
		for _, v := range block[i : i+w.channels] {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		mean := sum / float64(w.channels)
		w.mixed += mean * mean
		w.apart += squares / float64(w.channels)
	}
}

// What is told. Full scale is 1 in a file of floats; a mix may pass it a little, but what passes it by 12 dB was most likely
// scaled as integers. Of channels that have nothing to do with each other, a mix keeps one part in their number; where a
// twentieth of that is left, one is another upside down.
const (
	tooLoud   = 4
	cancelled = 1.0 / 20
)

func (w *watched) Warnings() []string {
	list := slices.Clip(w.Stream.Warnings())
	if w.bad > 0 {
		list = append(list, fmt.Sprintf("%d samples are no number or beyond 1e10 times full scale: taken as 0", w.bad))
	}
	if w.peak > tooLoud {
		list = append(list, fmt.Sprintf("samples reach %.4g times full scale: a model may not understand them", w.peak))
	}
	if w.mixed*float64(w.channels) < cancelled*w.apart {
		list = append(list, "the channels cancel each other out where they are mixed: one of them alone is heard better")
	}
	return list
}
