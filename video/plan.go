package video

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// ReferenceFrames is how many frames of a film the reference shows a model where nobody says otherwise (num_frames
// of its processor), and what Gemma 4 was trained with.
const ReferenceFrames = 32

// Sample returns which n of so many frames the reference shows a model: frame ⌊j · frames / n⌋ for j from 0, the first of
// each of n equal parts (transformers, video_processing_utils.py, sample_frames). If there are fewer than n, which the
// reference refuses, it returns all. It panics if n is below 1.
func Sample(frames, n int) []int {
	if n < 1 {
		panic(fmt.Sprintf("video: Sample of %d frames", n))
	}
	n = min(n, frames)
	places := make([]int, n)
	for j := range places {
		places[j] = int(int64(j) * int64(frames) / int64(n))
	}
	return places
}

// SampleRate is Sample with as many frames as the reference takes of a video of rate frames a second when it is asked for fps
// a second: ⌊frames / rate · fps⌋, but at least one. It panics unless both rates are positive.
func SampleRate(frames int, rate, fps float64) []int {
	if !(rate > 0 && fps > 0) {
		panic(fmt.Sprintf("video: SampleRate at %v of %v frames a second", fps, rate))
	}
	n := math.Floor(float64(frames) / rate * fps)
	return Sample(frames, int(max(1, min(n, float64(frames)))))
}

// PlanOptions say how a film becomes windows.
type PlanOptions struct {
	Frames    int           // most frames of a window: what a model takes at once. It must be positive.
	Window    time.Duration // longest window; 0 means no bound but Frames and FPS
	FPS       float64       // frames a second; 0 spreads Frames over each window
	Cuts      []int64       // ticks, ascending, at which a scene begins: a window ends there, and another begins
	MinScene  time.Duration // a cut that is nearer than this to the border before it is none
	Keyframes bool          // take the keyframe before each frame instead, which is decoded alone: much faster, less exact
}

// A Window is a stretch of a film that a model sees at once. Windows follow one another without a gap.
type Window struct {
	Start, End int64 // ticks: of its first frame, and of the next window's first frame or the end of all
	Frames     []int // places in the index, ascending, each once; at least one
}

// Windows divides a film. Each scene between two cuts is divided evenly into the fewest windows that are within the bounds, with
// borders where frames begin. In a window frames are taken from its start on at equal distances, as [Sample] does, so the
// first is the first of a scene. It panics if o.Frames is not positive or FPS is negative.
func (x *Index) Windows(o PlanOptions) []Window {
	if o.Frames < 1 || !(o.FPS >= 0) {
		panic(fmt.Sprintf("video: Windows of %d frames at %v a second", o.Frames, o.FPS))
	}
	longest := math.Inf(1)
	if o.Window > 0 {
		longest = o.Window.Seconds()
	}
	if o.FPS > 0 {
		longest = min(longest, float64(o.Frames)/o.FPS)
	}
	var windows []Window
	borders := x.scenes(o)
	for i, first := range borders[:len(borders)-1] {
		windows = append(windows, x.divide(first, borders[i+1], longest, o)...)
	}
	return windows
}

// scenes returns the places at which scenes begin, and behind them the number of frames.
func (x *Index) scenes(o PlanOptions) []int {
	borders := []int{0}
	for _, cut := range o.Cuts {
		place, _ := slices.BinarySearch(x.Ticks, cut)
		before := borders[len(borders)-1]
		if place > before && place < len(x.Ticks) && x.Seconds(x.Ticks[place])-x.Seconds(x.Ticks[before]) >= o.MinScene.Seconds() {
			borders = append(borders, place)
		}
	}
	return append(borders, len(x.Ticks))
}

// begin returns the tick at which a frame begins, for the place behind the last one the end.
func (x *Index) begin(place int) int64 {
	if place == len(x.Ticks) {
		return x.End
	}
	return x.Ticks[place]
}

// divide makes windows of the frames from first up to end.
func (x *Index) divide(first, end int, longest float64, o PlanOptions) []Window {
	from, to := x.Seconds(x.begin(first)), x.Seconds(x.begin(end))
	parts := max(1, math.Ceil((to-from-instant)/longest))
	var windows []Window
	for k, a := 1.0, first; a < end; k++ {
		b := end
		if k < parts {
			border := from + (to-from)*k/parts
			b = first + sort.Search(end-first, func(i int) bool { return x.Seconds(x.Ticks[first+i]) >= border-instant })
		}
		if b > a {
			windows = append(windows, Window{x.begin(a), x.begin(b), x.pick(a, b, o)})
			a = b
		}
	}
	return windows
}

// pick chooses the frames of the window from place a up to b.
func (x *Index) pick(a, b int, o PlanOptions) []int {
	from, to := x.Seconds(x.begin(a)), x.Seconds(x.begin(b))
	step := (to - from) / float64(o.Frames)
	if o.FPS > 0 {
		step = 1 / o.FPS
	}
	var places []int
	for j := range o.Frames {
		t := from + float64(j)*step
		if j > 0 && t >= to-instant {
			break
		}
		place := max(x.At(t), a)
		if o.Keyframes {
			place = x.KeyBefore(place)
		}
		if n := len(places); n == 0 || place > places[n-1] {
			places = append(places, place)
		}
	}
	return places
}

// TicksOf returns the ticks of frames, as [Clip.Frames] takes them.
func (x *Index) TicksOf(places []int) []int64 {
	ticks := make([]int64, len(places))
	for i, p := range places {
		ticks[i] = x.Ticks[p]
	}
	return ticks
}
