package model_test

import (
	"testing"

	"facet/fixtures"
	"facet/internal/check"
	"facet/internal/golden"
)

// The reference cases with text and images: every named activation within
// golden.Tolerance, ids and token types equal, and the greedy reply.
func TestGolden(t *testing.T) {
	for _, checkpoint := range []string{"tiny-e", "tiny-dense", "tiny-moe"} {
		names, err := golden.Cases(fixtures.Path("golden/" + checkpoint))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) < 5 {
			t.Errorf("%s: only the cases %v", checkpoint, names)
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
				if r.Compared < 10 {
					t.Errorf("only %d activations were compared", r.Compared)
				}
				t.Logf("%d activations, largest difference %.1e in %s", r.Compared, r.Worst, r.WorstName)
			})
		}
	}
}
