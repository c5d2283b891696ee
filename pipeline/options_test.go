package pipeline

import (
	"testing"

	"facet/pipeline/job"
)

func TestOptionsOver(t *testing.T) {
	run := job.Options{Budget: 70, Boxes: job.BoxesLine, Language: "German", Prompt: "Read.", MaxTokens: 10, Temperature: 1, Seed: 2}
	if got := over(job.Options{}, run); got != run {
		t.Errorf("got %+v, want those of the run", got)
	}
	item := job.Options{Budget: 140, Boxes: job.BoxesNone, Language: "Danish", Prompt: "Say.", MaxTokens: 20, Temperature: 0.5, Seed: 3}
	if got := over(item, run); got != item {
		t.Errorf("got %+v, want those of the item", got)
	}
}

// A manifest that asks for subtitles does so whatever length of pieces the run has.
func TestOverSubtitles(t *testing.T) {
	a, b := job.Options{Listening: job.Listening{Subtitles: true}}, job.Options{Listening: job.Listening{Segment: 10}}
	if got := over(a, b); got != a {
		t.Errorf("got %+v", got)
	}
	if got := over(b, a); got != b {
		t.Errorf("got %+v", got)
	}
}
