package model

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"facet/audio"
	"facet/fixtures"
	"facet/vision"
)

// greedyInput is one line of hf_greedy.jsonl: what transformers answers about a held-out input.
type greedyInput struct {
	File      string    `json:"file"`
	Prompt    string    `json:"prompt"`
	Budget    int       `json:"budget"`
	InputIDs  []int32   `json:"input_ids"`
	OutputIDs []int32   `json:"output_ids"`
	Margin    []float64 `json:"margin"`
}

// heldOut lists the held-out pages, interfaces, scenes and recordings with what the reference answers. Clips need another
// program to be read: cmd/facet compares those.
func heldOut(t *testing.T) []greedyInput {
	t.Helper()
	f, err := os.Open(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var inputs []greedyInput
	for d := json.NewDecoder(f); d.More(); {
		var in greedyInput
		if err := d.Decode(&in); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(in.File) != ".mp4" {
			inputs = append(inputs, in)
		}
	}
	if len(inputs) != 70 {
		t.Fatalf("%d inputs, want 70", len(inputs))
	}
	return inputs
}

// recording is a file of sound as the model hears it.
func recording(t *testing.T, m *Model, name string) *audio.Features {
	t.Helper()
	f, err := os.Open(fixtures.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := audio.Open(name, f)
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := m.AudioSpec()
	pcm, cut, err := audio.ReadMono(s, spec.SampleRate, audio.Mix, spec.MaxSamples)
	if err != nil || cut {
		t.Fatalf("%s: cut %v, %v", name, cut, err)
	}
	return audio.NewExtractor(spec).Features(pcm)
}

// answer prepares an input, checks the ids of its prompt, and generates the reply.
func (in *greedyInput) answer(t *testing.T, m *Model) []int32 {
	t.Helper()
	var media Media
	var err error
	if filepath.Ext(in.File) == ".wav" {
		var soft *SoftTokens
		soft, err = m.EncodeAudio(recording(t, m, "nano/heldout/"+in.File))
		media.Audio = []*SoftTokens{soft}
	} else {
		media.Images, err = m.EncodeImages([]*vision.Patches{patches(t, m, "nano/heldout/"+in.File, in.Budget)})
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.RawPrompt(in.Prompt, media)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.IDs, in.InputIDs) {
		t.Fatalf("%s: input ids %v, want %v", in.File, p.IDs, in.InputIDs)
	}
	reply, err := m.Generate(context.Background(), Request{Prompt: p, MaxTokens: len(in.OutputIDs)})
	if err != nil {
		t.Fatal(err)
	}
	return reply.IDs()
}

// The nano checkpoint's replies to what was held out of its training are those of transformers, from
// the file's bytes to the last id. An id may differ where the reference's margin is
// under 0.002, which is rounding; what follows it is then another reply.
func TestNanoEqualsReference(t *testing.T) {
	m := open(t, "nano", Options{})
	rounded := 0
	for _, in := range heldOut(t) {
		ids := in.answer(t, m)
		if slices.Equal(ids, in.OutputIDs) {
			continue
		}
		i := 0
		for i < len(ids) && ids[i] == in.OutputIDs[i] {
			i++
		}
		switch {
		case i == len(ids):
			t.Errorf("%s: ends after %d tokens, want %d", in.File, i, len(in.OutputIDs))
		case in.Margin[i] >= 0.002:
			t.Errorf("%s: token %d is %d, want %d, with a margin of %g", in.File, i, ids[i], in.OutputIDs[i], in.Margin[i])
		default:
			rounded++
		}
	}
	if rounded > 2 {
		t.Errorf("%d replies leave the reference's at a small margin", rounded)
	}
}
