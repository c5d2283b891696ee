package model

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"facet/fixtures"
	"facet/vision"
)

// greedyPage is one line of hf_greedy.jsonl: what transformers answers for a held-out page.
type greedyPage struct {
	File      string    `json:"file"`
	Prompt    string    `json:"prompt"`
	Budget    int       `json:"budget"`
	InputIDs  []int32   `json:"input_ids"`
	OutputIDs []int32   `json:"output_ids"`
	Margin    []float64 `json:"margin"`
}

// heldOut lists the held-out pages with what the reference answers.
func heldOut(t *testing.T) []greedyPage {
	t.Helper()
	f, err := os.Open(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var pages []greedyPage
	for d := json.NewDecoder(f); d.More(); {
		var page greedyPage
		if err := d.Decode(&page); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	if len(pages) != 60 {
		t.Fatalf("%d pages, want 60", len(pages))
	}
	return pages
}

// answer prepares a page, checks the ids of its prompt, and generates the reply.
func (page *greedyPage) answer(t *testing.T, m *Model) []int32 {
	t.Helper()
	soft, err := m.EncodeImages([]*vision.Patches{patches(t, m, "nano/heldout/"+page.File, page.Budget)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.RawPrompt(page.Prompt, Media{Images: soft})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.IDs, page.InputIDs) {
		t.Fatalf("%s: input ids %v, want %v", page.File, p.IDs, page.InputIDs)
	}
	reply, err := m.Generate(context.Background(), Request{Prompt: p, MaxTokens: len(page.OutputIDs)})
	if err != nil {
		t.Fatal(err)
	}
	return reply.IDs()
}

// The nano checkpoint's replies to its held-out pages are those of transformers, from
// the file's bytes to the last id. An id may differ where the reference's margin is
// under 0.002, which is rounding; what follows it is then another reply.
func TestNanoEqualsReference(t *testing.T) {
	m := open(t, "nano", Options{})
	rounded := 0
	for _, page := range heldOut(t) {
		ids := page.answer(t, m)
		if slices.Equal(ids, page.OutputIDs) {
			continue
		}
		i := 0
		for i < len(ids) && ids[i] == page.OutputIDs[i] {
			i++
		}
		switch {
		case i == len(ids):
			t.Errorf("%s: ends after %d tokens, want %d", page.File, i, len(page.OutputIDs))
		case page.Margin[i] >= 0.002:
			t.Errorf("%s: token %d is %d, want %d, with a margin of %g", page.File, i, ids[i], page.OutputIDs[i], page.Margin[i])
		default:
			rounded++
		}
	}
	if rounded > 2 { // 12 of the 2,969 margins are this small, and few of those flip
		t.Errorf("%d replies leave the reference's at a small margin", rounded)
	}
}
