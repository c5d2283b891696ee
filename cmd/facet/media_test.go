package main

import (
	"os"
	"slices"
	"testing"
	"time"

	"facet/fixtures"
	"facet/video"
)

// Frames and their times are the reference's: numbers over the mean rate. The film has 80 frames, 20 a second.
func TestChooseFrames(t *testing.T) {
	program := fixtures.Path("../bin/facet-media")
	if _, err := os.Stat(program); err != nil {
		t.Skip("facet-media is not built: make build")
	}
	clip, err := video.Open(t.Context(), fixtures.Path("video/scenes.mp4"), video.Options{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	defer clip.Close()
	for _, c := range []struct {
		frames int
		fps    float64
		want   []time.Duration // the first ones
		n      int
	}{
		{2, 0, []time.Duration{0, 2 * time.Second}, 2},
		{0, 1, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}, 4},
		{0, 0, []time.Duration{0, 100 * time.Millisecond, 250 * time.Millisecond}, 32}, // frames 0, 2 and 5
		{1000, 0, []time.Duration{0, 50 * time.Millisecond}, 80},
	} {
		got, err := chooseFrames(t.Context(), clip, c.frames, c.fps)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.at) != c.n || len(got.ticks) != c.n || !slices.Equal(got.at[:len(c.want)], c.want) {
			t.Errorf("%d frames, %v a second: %d of them at %v, want %d beginning with %v", c.frames, c.fps, len(got.at), got.at, c.n, c.want)
		}
	}
}
