package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	index, err := clip.Index(t.Context(), clip.Info().DefaultVideo())
	if err != nil {
		t.Fatal(err)
	}
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
		for i, at := range got.at {
			if want := index.TicksOf([]int{int(math.Round(at.Seconds() * 20))})[0]; got.ticks[i] != want {
				t.Errorf("%d frames, %v a second: the one at %v is at tick %d, want %d", c.frames, c.fps, at, got.ticks[i], want)
			}
		}
	}
}

// nano's replies to its held-out clips are those of transformers, from the file's bytes to the last id.
func TestNanoClipsEqualReference(t *testing.T) {
	program := fixtures.Path("../bin/facet-media")
	if _, err := os.Stat(program); err != nil {
		t.Skip("facet-media is not built: make build")
	}
	t.Setenv("FACET_MEDIA", program)
	t.Setenv("FACET_MODEL", fixtures.Path("nano"))
	f, err := os.Open(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type reply struct {
		Input  []int32 `json:"input_ids"`
		Output []int32 `json:"output_ids"`
	}
	clips := 0
	for d := json.NewDecoder(f); d.More(); {
		var want struct {
			File, Prompt string
			Margin       []float64
			reply
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(want.File) != ".mp4" {
			continue
		}
		clips++
		var out, stderr bytes.Buffer
		args := []string{"generate", "--raw", "--json", "--video", fixtures.Path("nano/heldout/" + want.File), "--frames", "4", "--video-budget", "70", want.Prompt}
		if status := run(args, strings.NewReader(""), &out, &stderr); status != 0 {
			t.Fatalf("%s: status %d: %s", want.File, status, &stderr)
		}
		var got reply
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Input, want.Input) {
			t.Errorf("%s: input ids %v, want %v", want.File, got.Input, want.Input)
		}
		for i, id := range want.Output {
			if i >= len(got.Output) || got.Output[i] != id {
				if want.Margin[i] >= 0.002 { // what is closer is rounding, and what follows is another reply
					t.Errorf("%s: ids %v, want %v: token %d won by %g", want.File, got.Output, want.Output, i, want.Margin[i])
				}
				break
			}
		}
	}
	if clips != 10 {
		t.Errorf("%d clips, want 10", clips)
	}
}
