package model

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// Few allowed tokens, of which alone logits are computed, or many: the reply is the likeliest
// of them at every step, with its probability among them, and other requests beside it
// change no bit.
func TestAllow(t *testing.T) {
	for _, precision := range []Precision{Exact, Fast} {
		m := open(t, "golden/checkpoints/tiny-e", Options{Precision: precision})
		vocabulary := int32(m.Config().TextConfig.VocabSize)
		every := func(n int32) []int32 {
			var ids []int32
			for id := int32(1); id < vocabulary; id += n {
				ids = append(ids, id, id+1)
			}
			return ids
		}
		sets := map[string][]int32{"one": {17}, "few": every(2 * vocabulary / 3), "many": every(4)}
		if len(sets["few"]) > int(vocabulary)/fewAllowed || len(sets["many"]) <= int(vocabulary)/fewAllowed {
			t.Fatalf("%d and %d tokens of %d do not lie on both sides", len(sets["few"]), len(sets["many"]), vocabulary)
		}
		plain := prompts(t, m, 3)
		free := generate(t, m.NewBatch(), plain)
		for name, allowed := range sets {
			var got []Request
			for i, r := range plain {
				r.ID = fmt.Sprint("allowed ", i)
				r.Allow = func([]int32) []int32 { return allowed }
				got = append(got, r)
			}
			alone := generate(t, m.NewBatch(), got)
			together := generate(t, m.NewBatch(), slices.Concat(got[:1], plain, got[1:]))
			for i, r := range plain {
				if !slices.Equal(together[r.ID], free[r.ID]) {
					t.Errorf("%v: %s beside a reply of %s: %v, want %v", precision, r.ID, name, together[r.ID], free[r.ID])
				}
				tokens := alone[got[i].ID]
				if !slices.Equal(together[got[i].ID], tokens) {
					t.Errorf("%v: %s of %s: %v together, %v alone", precision, r.ID, name, together[got[i].ID], tokens)
				}
				checkAllowed(t, m, r.Prompt, tokens, allowed)
			}
		}
	}
}

// checkAllowed checks each token of a reply against all logits of what stands before it.
func checkAllowed(t *testing.T, m *Model, p *Prompt, reply []Token, allowed []int32) {
	t.Helper()
	whole := *p
	for _, token := range reply {
		logits, err := m.Logits(&whole, 1)
		if err != nil {
			t.Fatal(err)
		}
		best, sum := allowed[0], 0.0
		for _, id := range allowed {
			if logits[id] > logits[best] {
				best = id
			}
			sum += math.Exp(float64(logits[id]))
		}
		want := float64(logits[best]) - math.Log(sum)
		if token.ID != best || math.Abs(float64(token.LogProb)-want) > 1e-5 || token.Forced != (len(allowed) == 1) {
			t.Fatalf("after %d tokens: %v, want token %d with %g", whole.Len(), token, best, want)
		}
		whole.IDs = append(slices.Clone(whole.IDs), token.ID)
		whole.Types = append(slices.Clone(whole.Types), p.Types[p.Len()-1])
	}
}

// What a reply may be can depend on what it is so far; a wrong answer ends that reply only.
func TestAllowFollowsTheReply(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	r := prompts(t, m, 1)[0]
	r.Allow = func(reply []int32) []int32 { return []int32{int32(100 + len(reply))} }
	for i, token := range generate(t, m.NewBatch(), []Request{r})[r.ID] {
		if token.ID != int32(100+i) || token.LogProb != 0 || !token.Forced {
			t.Errorf("token %d is %v", i, token)
		}
	}
	for _, c := range []struct {
		ids  []int32
		want string
	}{
		{[]int32{}, "no token"}, {[]int32{-1, 5}, "-1"}, {[]int32{5, 1 << 30}, "vocabulary"}, {[]int32{7, 7}, "order"},
	} {
		b := m.NewBatch()
		bad, good := r, r
		bad.ID, bad.Allow = "bad", func(reply []int32) []int32 {
			if len(reply) < 2 {
				return nil
			}
			return c.ids
		}
		good.ID, good.Allow = "good", nil
		for _, r := range []Request{bad, good} {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		for b.Len() > 0 {
			done, err := b.Step()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range done {
				switch err := f.Reply.Err; {
				case f.Request.ID == "good" && err != nil:
					t.Error(err)
				case f.Request.ID == "bad" && (err == nil || !strings.Contains(err.Error(), c.want) || len(f.Reply.Tokens) != 2):
					t.Errorf("%v allowed: %v after %d tokens", c.ids, err, len(f.Reply.Tokens))
				}
			}
		}
	}
}
