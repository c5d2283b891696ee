package model

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/vision"
)

func open(t testing.TB, name string, o Options) *Model {
	t.Helper()
	m, err := Open(fixtures.Path(name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func patches(t testing.TB, m *Model, name string, budget int) *vision.Patches {
	t.Helper()
	data, err := os.ReadFile(fixtures.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := vision.Decode(data, vision.DecodeOptions{Limits: vision.DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := m.Spec()
	p, _, err := vision.Prepare(img, spec, budget)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// prompts returns requests of several lengths, some with pictures, sound and video, past the
// sliding window of the tiny checkpoints.
func prompts(t testing.TB, m *Model, n int) []Request {
	t.Helper()
	soft, err := m.EncodeImages([]*vision.Patches{patches(t, m, "golden/media/scene.png", 70)})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		"<bos><|turn>user\nHello<turn|>\n<|turn>model\n",
		"<bos><|turn>user\n<|image|>What is this?<turn|>\n<|turn>model\n",
		"<bos>See <|video|>, and then hear <|audio|> again.",
		"<bos>The committee will meet again on Tuesday to discuss the proposal, which was first made in the spring.",
		"<bos>a",
		"<bos>Before the picture <|image|> and after it, a few more words.",
	}
	var out []Request
	for i := range n {
		text := texts[i%len(texts)]
		var media Media
		switch {
		case strings.Contains(text, "<|image|>"):
			media.Images = soft
		case strings.Contains(text, "<|video|>"):
			media = soundAndVideo(t, m)
			if media.Audio == nil {
				text = strings.ReplaceAll(text, "<|audio|>", "")
			}
		}
		p, err := m.RawPrompt(text, media)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Request{ID: fmt.Sprint(i), Prompt: p, MaxTokens: 5, IgnoreEnd: true})
	}
	return out
}

// generate runs the requests together.
func generate(t testing.TB, b *Batch, requests []Request) map[string][]Token {
	t.Helper()
	for _, r := range requests {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]Token{}
	for b.Len() > 0 {
		done, err := b.Step()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range done {
			if f.Reply.Err != nil {
				t.Fatal(f.Reply.Err)
			}
			out[f.Request.ID] = f.Reply.Tokens
		}
	}
	if n := b.CacheBytes(); n != 0 {
		t.Errorf("an empty batch holds %d bytes of keys and values", n)
	}
	return out
}

// The reply to a request, to the last bit of each log-probability, is the same
// whatever runs beside it, however its prompt is cut, and for any number of threads.
func TestSameBits(t *testing.T) {
	for _, name := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		t.Run(name, func(t *testing.T) {
			var want map[string][]Token
			for _, threads := range []int{1, 2, 4} {
				m := open(t, "golden/checkpoints/"+name, Options{Threads: threads})
				requests := prompts(t, m, 8)
				for _, batch := range []int{1, 2, 5, 8} {
					for _, room := range []int{1, 7, 64, math.MaxInt / 2} {
						got := map[string][]Token{}
						for group := range slices.Chunk(requests, batch) {
							b := m.NewBatch()
							b.room = room // prompt positions a pass
							for id, tokens := range generate(t, b, group) {
								got[id] = tokens
							}
						}
						if want == nil {
							want = got
						}
						for id, tokens := range got {
							if !slices.Equal(tokens, want[id]) {
								t.Fatalf("request %s with %d threads, %d at a time, %d positions a pass: got %v, want %v", id, threads, batch, room, tokens, want[id])
							}
						}
					}
				}
			}
		})
	}
}

// Skipping the KV-shared layers for rows without wanted logits changes no bit.
func TestSkipIsExact(t *testing.T) {
	for _, name := range []string{"golden/checkpoints/tiny-e", "nano"} {
		skip := open(t, name, Options{})
		every := open(t, name, Options{Tracer: discard{}}) // a tracer sees every row
		if skip.config.TextConfig.NumKVSharedLayers == 0 {
			t.Fatalf("%s shares no layers", name)
		}
		requests := prompts(t, skip, 5)
		for i, r := range requests {
			for _, last := range []int{1, min(3, r.Prompt.Len()), r.Prompt.Len()} {
				a, err := skip.Logits(r.Prompt, last)
				if err != nil {
					t.Fatal(err)
				}
				b, err := every.Logits(r.Prompt, last)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a, b) {
					t.Errorf("%s: request %d: the logits of the last %d positions differ", name, i, last)
				}
			}
		}
		b := skip.NewBatch()
		b.EveryRow = true
		a, all := generate(t, skip.NewBatch(), requests), generate(t, b, requests)
		for id := range a {
			if !slices.Equal(a[id], all[id]) {
				t.Errorf("%s: request %s: got %v, want %v", name, id, a[id], all[id])
			}
		}
	}
}

// discard is a tracer that looks at nothing.
type discard struct{}

func (discard) Trace(string, int, int, int, []float32) {}

// A cut that would fall into a picture that sees itself in both directions moves to its end.
func TestCutKeepsPicturesWhole(t *testing.T) {
	p := &Prompt{IDs: make([]int32, 30), media: []mediaSpan{{lo: 5, hi: 15}, {lo: 16, hi: 20}}}
	for _, c := range []struct {
		from, room int
		whole      bool
		want       int
	}{
		{0, 3, true, 3}, {0, 5, true, 5}, {0, 6, true, 15}, {0, 6, false, 6}, {0, 15, true, 15},
		{0, 17, true, 20}, {15, 1, true, 16}, {20, 100, true, 30}, {4, 1, true, 5}, {5, 1, true, 15},
	} {
		if got := p.cut(c.from, c.room, c.whole); got != c.want {
			t.Errorf("cut(%d, %d, %v) = %d, want %d", c.from, c.room, c.whole, got, c.want)
		}
	}
}
