package model

import (
	"bufio"
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

// The nano checkpoint's replies to its held-out pages are those of transformers, from
// the file's bytes to the last id. An id may differ where the reference's margin is
// under 0.002, which is rounding; what follows it is then another reply.
func TestNanoEqualsReference(t *testing.T) {
	f, err := os.Open(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := open(t, "nano", Options{})
	pages, rounded := 0, 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var page greedyPage
		if err := json.Unmarshal(lines.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		pages++
		soft, err := m.EncodeImages([]*vision.Patches{patches(t, m, "nano/heldout/"+page.File, page.Budget)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.RawPrompt(page.Prompt, soft)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.IDs, page.InputIDs) {
			t.Errorf("%s: input ids %v, want %v", page.File, p.IDs, page.InputIDs)
			continue
		}
		reply, err := m.Generate(context.Background(), Request{Prompt: p, MaxTokens: len(page.OutputIDs)})
		if err != nil {
			t.Fatal(err)
		}
		ids := reply.IDs()
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
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if pages != 60 {
		t.Errorf("%d pages, want 60", pages)
	}
	if rounded > 2 { // 12 of the 2,969 margins are this small, and few of those flip
		t.Errorf("%d replies leave the reference's at a small margin", rounded)
	}
}
