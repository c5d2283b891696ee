package audio

import (
	"fmt"
	"math"
)

// The filter is a windowed sinc, given here for a lower rate (of the two) of 1. Cutoff and length put the edges of its pass
// and stop band at 0.444 and 0.525: 7.1 and 8.4 kHz when a recording comes down to 16 kHz. That is as wide as the mel bins up
// there and keeps the filter short.
const (
	sincCutoff    = 0.4844 // where the level has fallen by 6 dB
	sincHalfWidth = 36     // samples on each side

	// Kaiser's window for a stop band of 90 dB, and the width of the transition that it gives (Kaiser, 1974):
	// (90 − 7.95)/(14.36 · 2 · 36) = 0.079.
	kaiserBeta = 0.1102 * (90 - 8.7)
)

// maxPhases bounds the table of filters. Rates in a ratio that needs more get the mean of the two nearest of this many,
// weighted by distance, which is off by (π/1024)²/8, or −118 dB.
const maxPhases = 1024

// A Resampler turns mono samples of one rate into samples of another as they come. Sample n of what comes out lies at the time
// n/to: nothing is delayed, and ceil(n·to/from) samples come out for n. What comes out doesn't depend on how what goes in is
// cut, bit for bit. Equal rates pass unchanged. Not safe for concurrent use.
//
// It is our own in every build, so that an answer does not depend on which libraries are there.
type Resampler struct {
	up, down int64 // to/from in lowest terms
	phases   int64
	half     int64     // samples of the input on each side of a moment that a filter sees
	filters  []float32 // [phases + 1, 2·half]: filter p is for moments p/phases of a sample past a sample

	in   []float32 // the input from sample base on, as far as it is still needed
	base int64     // negative at first: before the recording there are zeros
	read int64     // samples that went in
	next int64     // sample that comes out next
}

// NewResampler returns a Resampler from one sample rate to another, in Hz. It panics unless both are within the limits
// of [Info.Check].
func NewResampler(from, to int) *Resampler {
	for _, rate := range []int{from, to} {
		if rate < minSampleRate || rate > maxSampleRate {
			panic(fmt.Sprintf("audio: NewResampler from %d to %d Hz", from, to))
		}
	}
	g := gcd(from, to)
	r := &Resampler{up: int64(to / g), down: int64(from / g)}
	if r.up == r.down {
		return r
	}
	r.phases = min(r.up, maxPhases)
	r.half = int64(math.Ceil(sincHalfWidth * max(1, float64(from)/float64(to))))
	r.filters = sincTable(int(r.phases), int(r.half), float64(min(from, to))/float64(from))
	return r.sibling()
}

// sibling returns a Resampler between the same rates that has read nothing, and shares the filters of r.
func (r *Resampler) sibling() *Resampler {
	return &Resampler{
		up: r.up, down: r.down, phases: r.phases, half: r.half, filters: r.filters,
		base: -r.half, in: make([]float32, r.half),
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// sincTable returns phases + 1 filters of 2·half taps; the last is the first, a sample later. scale is the lower rate
// in terms of the input's. Tap j of filter p weighs the sample at j − half + 1 from the last before the moment.
func sincTable(phases, half int, scale float64) []float32 {
	table := make([]float32, (phases+1)*2*half)
	taps := make([]float64, 2*half)
	for p := range phases + 1 {
		var sum float64
		for j := range taps {
			x := (float64(j-half+1) - float64(p)/float64(phases)) * scale
			taps[j] = 0
			if u := x / sincHalfWidth; u > -1 && u < 1 {
				taps[j] = sinc(2*sincCutoff*x) * bessel0(kaiserBeta*math.Sqrt(1-u*u))
			}
			sum += taps[j]
		}
		for j, v := range taps {
			table[p*2*half+j] = float32(v / sum) // a constant stays what it is
		}
	}
	return table
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel0 returns the modified Bessel function of the first kind and order zero, by its power series.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-17*sum; k++ {
		term *= x / 2 / k * (x / 2 / k)
		sum += term
	}
	return sum
}

// Resample takes the next samples of the recording, appends what can be said by then to dst and returns it. src is not kept.
func (r *Resampler) Resample(dst, src []float32) []float32 {
	r.read += int64(len(src))
	if r.up == r.down {
		return append(dst, src...)
	}
	for len(src) > 0 { // in small blocks, so that little is held twice
		n := min(len(src), 4096)
		r.in = append(r.in, src[:n]...)
		src = src[n:]
		dst = r.take(dst, math.MaxInt64)
	}
	return dst
}

// Flush appends what comes out after the recording's last sample. The Resampler can't be used after it.
func (r *Resampler) Flush(dst []float32) []float32 {
	if r.up == r.down {
		return dst
	}
	r.in = append(r.in, make([]float32, r.half)...)
	return r.take(dst, (r.read*r.up+r.down-1)/r.down)
}

// take appends the samples before end for which all that their filter sees is there.
func (r *Resampler) take(dst []float32, end int64) []float32 {
	for ; r.next < end; r.next++ {
		at, rest := r.next*r.down/r.up, r.next*r.down%r.up
		first := at - r.half + 1 - r.base
		if first+2*r.half > int64(len(r.in)) {
			break
		}
		dst = append(dst, r.filter(r.in[first:first+2*r.half], rest))
	}
	// What lies before the next sample's filter is done with. The next can begin past what has come in.
	done := min(r.next*r.down/r.up-r.half+1-r.base, int64(len(r.in)))
	if done > 0 {
		r.in = r.in[:copy(r.in, r.in[done:])]
		r.base += done
	}
	return dst
}

// filter returns the value rest/up of a sample past the middle of x.
func (r *Resampler) filter(x []float32, rest int64) float32 {
	n := 2 * r.half
	if r.phases == r.up {
		return dot(r.filters[rest*n:(rest+1)*n], x)
	}
	p, part := rest*r.phases/r.up, rest*r.phases%r.up
	f := float32(part) / float32(r.up)
	a, b := dot(r.filters[p*n:(p+1)*n], x), dot(r.filters[(p+1)*n:(p+2)*n], x)
	return a + f*(b-a)
}

// dot returns the sum of products in four parts, which a processor works on side by side.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}
