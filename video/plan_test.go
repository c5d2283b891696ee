package video

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// steady returns the index of a film of so many frames at 25 a second, with a keyframe every ten.
func steady(frames int) *Index {
	x := &Index{Base: Base{1, 1000}, Origin: 5, End: 5000 + int64(frames)*40}
	for i := range frames {
		x.Ticks = append(x.Ticks, 5000+int64(i)*40)
		if i%10 == 0 {
			x.Key = append(x.Key, i)
		}
	}
	return x
}

func TestWindowsOfAFilm(t *testing.T) {
	x := steady(1500) // 60 s
	for _, c := range []struct {
		o       PlanOptions
		windows int
		frames  []int // of the second window
	}{
		{PlanOptions{Frames: 4, Window: 30 * time.Second}, 2, []int{750, 937, 1125, 1312}},
		{PlanOptions{Frames: 32, FPS: 1, Window: 30 * time.Second}, 2, seq(750, 1500, 25)},
		{PlanOptions{Frames: 10, FPS: 1}, 6, seq(250, 500, 25)},
		{PlanOptions{Frames: 3, Cuts: []int64{x.Ticks[1000]}}, 2, []int{1000, 1166, 1333}},
		{PlanOptions{Frames: 2, Window: 25 * time.Second, Keyframes: true}, 3, []int{500, 750}},
	} {
		got := x.Windows(c.o)
		if len(got) != c.windows || !slices.Equal(got[1].Frames, c.frames) {
			t.Errorf("%+v: %d windows, the second of %v; want %d, %v", c.o, len(got), got[1].Frames, c.windows, c.frames)
		}
	}
}

func seq(from, to, step int) (s []int) {
	for ; from < to; from += step {
		s = append(s, from)
	}
	return s
}

// Cuts that no frame begins at, that are out of the film, or that follow too closely.
func TestCutsBecomeBorders(t *testing.T) {
	x := steady(100)
	windows := x.Windows(PlanOptions{Frames: 1, MinScene: 400 * time.Millisecond,
		Cuts: []int64{-1, x.Ticks[0], x.Ticks[5], x.Ticks[20] - 1, x.Ticks[25], x.Ticks[30], x.End + 7}})
	var starts []int64
	for _, w := range windows {
		starts = append(starts, (w.Start-5000)/40)
	}
	if want := []int64{0, 20, 30}; !slices.Equal(starts, want) {
		t.Errorf("windows begin at frames %v, want %v", starts, want)
	}
}

// What holds for every plan of every film: windows cover it without a gap, their frames lie within, are no more than
// allowed, and begin with the first.
func TestWindowsCover(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		x := &Index{Base: Base{1, 1 + r.Int64N(90000)}, Origin: r.Float64()}
		tick := r.Int64N(1000) - 500
		for range 1 + r.IntN(300) {
			if r.IntN(10) == 0 {
				x.Key = append(x.Key, len(x.Ticks))
			}
			x.Ticks = append(x.Ticks, tick)
			tick += 1 + r.Int64N(1+r.Int64N(5000))
		}
		x.End = tick
		o := PlanOptions{Frames: 1 + r.IntN(40), FPS: float64(r.IntN(3)) * r.Float64() * 10, Window: time.Duration(r.Int64N(int64(time.Second)))}
		for range r.IntN(5) {
			o.Cuts = append(o.Cuts, x.Ticks[r.IntN(len(x.Ticks))])
		}
		slices.Sort(o.Cuts)
		at := x.Ticks[0]
		for _, w := range x.Windows(o) {
			if w.Start != at || w.End <= w.Start {
				t.Fatalf("%+v: window from %d to %d after %d", o, w.Start, w.End, at)
			}
			at = w.End
			if n := len(w.Frames); n < 1 || n > o.Frames || x.Ticks[w.Frames[0]] != w.Start {
				t.Fatalf("%+v: window from %d has frames %v", o, w.Start, w.Frames)
			}
			for i, p := range w.Frames {
				if x.Ticks[p] >= w.End || i > 0 && p <= w.Frames[i-1] {
					t.Fatalf("%+v: frame %d of %v is outside", o, p, w.Frames)
				}
			}
		}
		if at != x.End {
			t.Fatalf("%+v: windows end at %d, the film at %d", o, at, x.End)
		}
		for _, cut := range o.Cuts {
			if cut != x.Ticks[0] && !slices.ContainsFunc(x.Windows(o), func(w Window) bool { return w.Start == cut }) {
				t.Fatalf("%+v: no window begins at the cut %d", o, cut)
			}
		}
	}
}

func TestAt(t *testing.T) {
	x := steady(3)
	for _, c := range []struct {
		second float64
		want   int
	}{{-1, 0}, {0, 0}, {0.0399, 0}, {0.04, 1}, {0.07, 1}, {0.08, 2}, {99, 2}, {math.Inf(1), 2}} {
		if got := x.At(c.second); got != c.want {
			t.Errorf("at %v s: frame %d, want %d", c.second, got, c.want)
		}
	}
}

func TestKeyBefore(t *testing.T) {
	x := &Index{Ticks: make([]int64, 10), Key: []int{2, 5}}
	for i, want := range []int{2, 2, 2, 2, 2, 5, 5, 5, 5, 5} {
		if got := x.KeyBefore(i); got != want {
			t.Errorf("before %d: %d, want %d", i, got, want)
		}
	}
	if got := (&Index{}).KeyBefore(7); got != 7 {
		t.Errorf("without keyframes: %d", got)
	}
}
