package video

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"math"
	"slices"
	"testing"

	"facet/fixtures"
)

// Every frame of a film, one by one, all at once and a few, is the one that its time says; whatever the codec's order of
// decoding, and whether keyframes are closed or open.
func TestFramesAreThoseAskedFor(t *testing.T) {
	for _, name := range []string{"count.mp4", "opengop.mp4", "hevc.mp4", "count.webm", "count.mpg", "count.avi", "late.ts", "late.mkv"} {
		t.Run(name, func(t *testing.T) {
			c := open(t, name)
			x := indexOf(t, c)
			if len(x.Ticks) != 50 {
				t.Fatalf("%d frames", len(x.Ticks))
			}
			all := frames(t, c, x.Ticks)
			for i, f := range all {
				if number(t, f) != i || f.Tick != x.Ticks[i] {
					t.Errorf("frame %d at %d is number %d at %d", i, x.Ticks[i], number(t, f), f.Tick)
				}
			}
			for _, places := range [][]int{{0}, {49}, {13}, {9, 10, 11}, {19, 20}, {3, 27, 44}, {8, 9, 38, 39}, seq(0, 50, 7), seq(0, 50, 12)} {
				for i, f := range frames(t, c, x.TicksOf(places)) {
					if number(t, f) != places[i] || !equal(f.Image.Pix, all[places[i]].Image.Pix) {
						t.Errorf("of %v: frame %d is number %d, or differs from the same decoded with its neighbours", places, places[i], number(t, f))
					}
				}
			}
			if w := c.Warnings(); len(w) > 0 {
				t.Errorf("warnings %q", w)
			}
		})
	}
}

// Times between frames, before the first and past the last, and twice the same.
func TestFramesAtAnyTick(t *testing.T) {
	c := open(t, "count.mp4")
	x := indexOf(t, c)
	var got []int
	for _, f := range frames(t, c, []int64{math.MinInt32, x.Ticks[3] - 1, x.Ticks[3], x.Ticks[3] + 1, x.Ticks[3] + 1, x.End + 1e9}) {
		got = append(got, number(t, f))
	}
	if want := []int{0, 3, 3, 4, 4, 49}; !slices.Equal(got, want) {
		t.Errorf("frames %v, want %v", got, want)
	}
}

// Frames of varying length are shown at the times that the container gives them.
func TestVaryingRate(t *testing.T) {
	c := open(t, "vfr.mkv")
	x := indexOf(t, c)
	for i, f := range frames(t, c, x.Ticks) {
		if want := float64(i*i) / 100; math.Abs(f.Seconds-want) > instant || number(t, f) != i {
			t.Errorf("frame %d at %v s is number %d; want it at %v", i, f.Seconds, number(t, f), want)
		}
	}
	if got := x.At(1.0); got != 10 {
		t.Errorf("frame %d is on show at 1 s, want 10", got)
	}
}

// What an edit list hides is no frame, and the clock begins with what is shown.
func TestEditList(t *testing.T) {
	c := open(t, "edited.mp4")
	x := indexOf(t, c)
	got := frames(t, c, x.Ticks)
	first := number(t, got[0])
	// The cut falls into frame 12. FFmpeg begins with the next, up to a frame early.
	if first != 12 && first != 13 || math.Abs(got[0].Seconds-(float64(first)*0.04-0.5)) > 0.04 {
		t.Errorf("the first frame is number %d at %v s", first, got[0].Seconds)
	}
	for i, f := range got {
		if number(t, f) != first+i {
			t.Errorf("frame %d is number %d", i, number(t, f))
		}
	}
	if n := first + len(got); n != 50 {
		t.Errorf("the last frame is number %d", n-1)
	}
}

// A film is shown turned as it says, by so many degrees against the clock: red is left before.
func TestTurned(t *testing.T) {
	for name, want := range map[string]string{"turned90.mp4": "48×64 red bottom", "turned180.mp4": "64×48 red right", "turned270.mp4": "48×64 red top"} {
		f := frames(t, open(t, name), []int64{0})[0]
		at := func(x, y int) bool { return f.Image.Pix[3*(y*f.Image.Width+x)] > 128 } // red
		w, h := f.Image.Width, f.Image.Height
		side := "nowhere"
		switch {
		case at(w/2, 8) && !at(w/2, h-8):
			side = "top"
		case at(w/2, h-8) && !at(w/2, 8):
			side = "bottom"
		case at(8, h/2) && !at(w-8, h/2):
			side = "left"
		case at(w-8, h/2) && !at(8, h/2):
			side = "right"
		}
		if got := fmt.Sprintf("%d×%d red %s", w, h, side); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Colours are bit for bit those of FFmpeg's scale filter with the reference's flags.
func TestColours(t *testing.T) {
	for _, name := range []string{"unspecified.mp4", "bt709.mp4", "bt601full.mp4", "bt2020.mkv", "mjpeg.avi", "odd.mp4"} {
		want := readFile(t, fixtures.Path("video/"+name[:len(name)-4]+".rgb"))
		got := frames(t, open(t, name), []int64{0})[0].Image
		if !equal(got.Pix, want) {
			most := 0
			for i := range min(len(want), len(got.Pix)) {
				most = max(most, int(max(got.Pix[i], want[i])-min(got.Pix[i], want[i])))
			}
			t.Errorf("%s: %d bytes, want %d; they differ by up to %d", name, len(got.Pix), len(want), most)
		}
	}
}

// The pixels that the reference data was made with.
func TestGoldenFrames(t *testing.T) {
	c, err := Open(context.Background(), fixtures.Path("golden/media/clip.mp4"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x := indexOf(t, c)
	places := Sample(len(x.Ticks), 4)
	for i, f := range frames(t, c, x.TicksOf(places)) {
		b := readFile(t, fixtures.Path(fmt.Sprintf("golden/media/clip.mp4.frames/%d.png", places[i])))
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if w, h := img.Bounds().Dx(), img.Bounds().Dy(); w != f.Image.Width || h != f.Image.Height {
			t.Fatalf("frame %d: %d × %d, want %d × %d", places[i], f.Image.Width, f.Image.Height, w, h)
		}
		for y := range f.Image.Height {
			for x := range f.Image.Width {
				r, g, b, _ := img.At(x, y).RGBA()
				at := f.Image.Pix[3*(y*f.Image.Width+x):]
				if at[0] != byte(r>>8) || at[1] != byte(g>>8) || at[2] != byte(b>>8) {
					t.Fatalf("frame %d at (%d, %d): %v, want %d %d %d", places[i], x, y, at[:3], r>>8, g>>8, b>>8)
				}
			}
		}
	}
}

// Scenes are cut where they change.
func TestCuts(t *testing.T) {
	c := open(t, "scenes.mp4")
	x := indexOf(t, c)
	cuts, err := c.Cuts(context.Background(), 0, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	var starts []int
	for _, w := range x.Windows(PlanOptions{Frames: 32, Cuts: cuts}) {
		starts = append(starts, w.Frames[0])
	}
	if want := []int{0, 20, 45, 60}; !slices.Equal(starts, want) {
		t.Errorf("windows begin at frames %v, want %v", starts, want)
	}
}

// Whoever stops reading frames gets other ones afterwards.
func TestStopAndGoOn(t *testing.T) {
	c := open(t, "count.mp4")
	x := indexOf(t, c)
	for f, err := range c.Frames(context.Background(), 0, x.Ticks) {
		if err != nil || number(t, f) != 0 {
			t.Fatal(err)
		}
		break
	}
	if got := number(t, frames(t, c, x.Ticks[7:8])[0]); got != 7 {
		t.Errorf("frame 7 is number %d", got)
	}
}

// A clip whose context ends gives its error, and nothing is left behind.
func TestCancel(t *testing.T) {
	c := open(t, "count.mp4")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x := indexOf(t, c)
	var last error
	for _, err := range c.Frames(ctx, 0, x.Ticks) {
		cancel()
		last = err
	}
	// The frames may all have come before the child was ended.
	if last != nil && last != context.Canceled {
		t.Errorf("error %v", last)
	}
	if _, err := c.Index(ctx, 0); err != context.Canceled {
		t.Errorf("index: error %v", err)
	}
}
