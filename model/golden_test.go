package model_test

import (
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/check"
)

// The reference cases with text, images, sound and video: every named activation within
// golden.Tolerance, ids and token types equal, and the greedy reply. Converted to GGUF the
// checkpoints answer the same, so one case with pictures is enough; quantised files have
// cases of their own, with the logits only.
func TestGolden(t *testing.T) {
	for checkpoint, want := range map[string]struct{ cases, activations int }{
		"tiny-e": {8, 10}, "tiny-dense": {6, 10}, "tiny-moe": {5, 10}, "tiny-unified": {8, 9},
		"gguf/tiny-e-bf16": {5, 10}, "gguf/tiny-dense-bf16": {5, 10}, "gguf/tiny-moe-bf16": {5, 10}, "gguf/tiny-unified-bf16": {8, 9},
		"gguf/small-e-Q4_0": {1, 1},
	} {
		names, err := check.Cases(fixtures.Path("golden"), checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) < want.cases {
			t.Errorf("%s: only the cases %v", checkpoint, names)
		}
		if strings.HasSuffix(checkpoint, "-bf16") {
			names = []string{"image"}
			if checkpoint == "gguf/tiny-e-bf16" || checkpoint == "gguf/tiny-unified-bf16" {
				names = append(names, "audio")
			}
		}
		for _, name := range names {
			t.Run(checkpoint+"/"+name, func(t *testing.T) {
				r := check.Case(fixtures.Path("golden"), checkpoint, name, check.Options{})
				if r.Err != nil {
					t.Error(r.Err)
				}
				if r.Skipped != "" {
					t.Error("skipped:", r.Skipped)
				}
				if r.Compared < want.activations {
					t.Errorf("only %d activations were compared", r.Compared)
				}
				t.Logf("%d activations, largest difference %.1e in %s", r.Compared, r.Worst, r.WorstName)
			})
		}
	}
}
