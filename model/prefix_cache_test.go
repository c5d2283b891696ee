package model

import (
	"fmt"
	"slices"
	"testing"

	"facet/vision"
)

// Questions about one picture that follow another are answered as if they stood alone,
// to the last bit, and run only what is new.
func TestPrefixCache(t *testing.T) {
	for _, name := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		m := open(t, "golden/checkpoints/"+name, Options{})
		soft, err := m.EncodeImages([]*vision.Patches{patches(t, m, "golden/media/scene.png", 70), patches(t, m, "golden/media/tiny.png", 70)})
		if err != nil {
			t.Fatal(err)
		}
		const system = "<bos><|turn>system\nBe brief.<turn|>\n"
		var requests []Request
		for i, q := range []struct {
			text   string
			images []*SoftTokens
		}{
			{system + "<|turn>user\n<|image|>What is this?<turn|>\n<|turn>model\n", soft[:1]},
			{system + "<|turn>user\n<|image|>How many?<turn|>\n<|turn>model\n", soft[:1]},     // shares the picture
			{system + "<|turn>user\n<|image|>What is this?<turn|>\n<|turn>model\n", soft[1:]}, // shares the system text only
			{system + "<|turn>user\n<|image|>How many?<turn|>\n<|turn>model\n", soft[:1]},     // all but the end
			{"<bos><|turn>user\nHello<turn|>\n<|turn>model\n", nil},
		} {
			p, err := m.RawPrompt(q.text, Media{Images: q.images})
			if err != nil {
				t.Fatal(err)
			}
			requests = append(requests, Request{ID: fmt.Sprint(i), Prompt: p, MaxTokens: 6, IgnoreEnd: true})
		}
		b := m.NewBatch()
		for i, r := range requests {
			alone := generate(t, m.NewBatch(), []Request{r})[r.ID]
			r.Keep = true
			got := generate(t, b, []Request{r})[r.ID]
			if !slices.Equal(got, alone) {
				t.Errorf("%s: request %d: got %v, want %v", name, i, got, alone)
			}
		}
		if b.kept.hits != 3 {
			t.Errorf("%s: %d requests went on from an earlier one, want 3", name, b.kept.hits)
		}
		// Together, not one after the other: sharing must not mix them.
		together := generate(t, b, requests)
		for _, r := range requests {
			if alone := generate(t, m.NewBatch(), []Request{r})[r.ID]; !slices.Equal(together[r.ID], alone) {
				t.Errorf("%s: request %s among others: got %v, want %v", name, r.ID, together[r.ID], alone)
			}
		}
		b.Drop()
		for kind, pages := range b.pages {
			for _, p := range pages {
				if p.users != 0 {
					t.Errorf("%s: a free page of %v has %d users", name, kind, p.users)
				}
			}
		}
		if b.kept.bytes != 0 {
			t.Errorf("%s: %d bytes are kept after Drop", name, b.kept.bytes)
		}
	}
}

// What is kept stays within the budget.
func TestPrefixCacheBudget(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	b := m.NewBatch()
	var one int64
	for i := range 6 {
		p, err := m.RawPrompt(fmt.Sprintf("<bos><|turn>system\n%d<turn|>\n<|turn>user\nHello<turn|>\n<|turn>model\n", i), Media{})
		if err != nil {
			t.Fatal(err)
		}
		generate(t, b, []Request{{ID: "a", Prompt: p, MaxTokens: 2, Keep: true, IgnoreEnd: true}})
		if one == 0 {
			one = b.kept.bytes
			b.kept.budget = 3*one + 1
		}
		if want := min(int64(i)+1, 3) * one; b.kept.bytes != want {
			t.Errorf("after %d prompts: %d bytes kept, want %d", i+1, b.kept.bytes, want)
		}
	}
}
