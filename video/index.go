package video

import (
	"slices"
	"sort"
)

// An Index knows when each frame of a track is shown. It comes from the container, not from decoding, and holds what a
// player shows: frames that an edit list cuts off are not in it. It is not changed after it was made.
type Index struct {
	Base   Base
	Origin float64 // as in Info
	Ticks  []int64 // when each frame begins to be shown, ascending, each once; never empty
	Key    []int   // the frames that can be decoded alone, by their place in Ticks, ascending
	End    int64   // tick at which the last frame ends: its begin and its length
}

// Seconds returns a tick's time on the clip's clock.
func (x *Index) Seconds(tick int64) float64 {
	return float64(tick)*float64(x.Base.Num)/float64(x.Base.Den) - x.Origin
}

// Duration returns the seconds from the first frame's begin to the last frame's end.
func (x *Index) Duration() float64 { return x.Seconds(x.End) - x.Seconds(x.Ticks[0]) }

// instant is what two times may differ by and be the same, in seconds: more than rounding makes of them, less than any frame.
const instant = 1e-6

// At returns the frame on show at a second of the clip's clock: the last that began by then, or the first of all.
func (x *Index) At(second float64) int {
	n := sort.Search(len(x.Ticks), func(i int) bool { return x.Seconds(x.Ticks[i]) > second+instant })
	return max(n-1, 0)
}

// KeyBefore returns the last keyframe up to frame i, or the first keyframe if none stands before; i itself if
// the track has none.
func (x *Index) KeyBefore(i int) int {
	n, found := slices.BinarySearch(x.Key, i)
	switch {
	case len(x.Key) == 0 || found:
		return i
	case n == 0:
		return x.Key[0]
	}
	return x.Key[n-1]
}
