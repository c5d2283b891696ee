package video

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"facet/fixtures"
)

// The frames that the reference takes.
func TestSampleAsTheReference(t *testing.T) {
	b, err := os.ReadFile(fixtures.Path("golden/video/sampling.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Frames    int
		FPS       float64
		NumFrames int `json:"num_frames"`
		Indices   []int
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 5 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		if got := Sample(c.Frames, c.NumFrames); !slices.Equal(got, c.Indices) {
			t.Errorf("%d of %d frames: %v, want %v", c.NumFrames, c.Frames, got, c.Indices)
		}
	}
}

func TestSampleOfFewFrames(t *testing.T) {
	if got := Sample(3, 32); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("3 frames: %v", got)
	}
	if got := SampleRate(100, 25, 1); !slices.Equal(got, []int{0, 25, 50, 75}) {
		t.Errorf("1 a second of 4 s: %v", got)
	}
	if got := SampleRate(10, 25, 1); !slices.Equal(got, []int{0}) {
		t.Errorf("1 a second of 0.4 s: %v", got)
	}
	if got := SampleRate(3, 25, 100); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("100 a second of 25: %v", got)
	}
}
