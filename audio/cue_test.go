package audio

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestCues(t *testing.T) {
	piece := Piece{Heard: Span{100, 112}, Pauses: []Span{{103, 103.5}, {106, 108}}}
	for _, c := range []struct {
		name  string
		piece Piece
		texts []string
		want  []Cue
	}{
		{"none", piece, nil, nil},
		{"blank", piece, []string{" ", "\n"}, nil},
		{"one", piece, []string{" All of it. "}, []Cue{{Span{100, 112}, "All of it.", false}}},
		{"without pauses", Piece{Heard: Span{0, 8}}, []string{"aaa", "b"}, []Cue{{Span{0, 6}, "aaa", true}, {Span{6, 8}, "b", true}}},
		// 9.5 s of speech: the texts end at 2.71 and 5.43 s of it, the pauses lie at 3 and 5.5
		{"borders in pauses", piece, []string{"aa", "bb", "ccc"}, []Cue{{Span{100, 103}, "aa", true}, {Span{103.5, 106}, "bb", true}, {Span{108, 112}, "ccc", true}}},
		// 4.75 s of speech lie at 105.25, 0.75 before the second pause
		{"the nearest pause", piece, []string{"aa", "", "bb"}, []Cue{{Span{100, 106}, "aa", true}, {Span{108, 112}, "bb", true}}},
		// a tenth of the speech: no pause is near
		{"no pause near", piece, []string{"a", "bbbbbbbbb"}, []Cue{{Span{100, 100.95}, "a", true}, {Span{100.95, 112}, "bbbbbbbbb", true}}},
		// nine tenths lie after both pauses
		{"after pauses", piece, []string{"bbbbbbbbb", "a"}, []Cue{{Span{100, 111.05}, "bbbbbbbbb", true}, {Span{111.05, 112}, "a", true}}},
		// borders at 3 and 3.5 s of 9: both near one pause, which only one can have
		{"one pause for two", Piece{Heard: Span{0, 10}, Pauses: []Span{{3, 4}}}, []string{"aaaaaa", "b", "ccccccccccc"},
			[]Cue{{Span{0, 3}, "aaaaaa", true}, {Span{4, 4.5}, "b", true}, {Span{4.5, 10}, "ccccccccccc", true}}},
		// digits are said as words
		{"digits", Piece{Heard: Span{0, 9}}, []string{"12", "a"}, []Cue{{Span{0, 8}, "12", true}, {Span{8, 9}, "a", true}}},
	} {
		got := c.piece.Cues(c.texts)
		ok := len(got) == len(c.want)
		for i := 0; ok && i < len(got); i++ {
			g, w := got[i], c.want[i]
			ok = near(g.Start, w.Start) && near(g.End, w.End) && g.Text == w.Text && g.Estimated == w.Estimated
		}
		if !ok {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Cues are in order, within the piece, and don't overlap, whatever the pauses.
func TestCuesAreInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		p := Piece{Heard: Span{50, 50 + 30*rng.Float64()}}
		for at := p.Heard.Start + rng.Float64(); ; {
			pause := Span{at, at + 0.15 + rng.Float64()}
			if at = pause.End + 2*rng.Float64(); pause.End > p.Heard.End {
				break
			}
			p.Pauses = append(p.Pauses, pause)
		}
		texts := make([]string, 1+rng.IntN(20))
		for i := range texts {
			texts[i] = strings.Repeat("a", 1+rng.IntN(60))
		}
		cues := p.Cues(texts)
		at := p.Heard.Start
		for i, c := range cues {
			if c.Start < at || c.End < c.Start || c.End > p.Heard.End+1e-9 {
				t.Fatalf("cue %d of %v with pauses %v: %v after %g", i, p.Heard, p.Pauses, c.Span, at)
			}
			at = c.End
		}
		if len(cues) != len(texts) || cues[0].Start != p.Heard.Start || at != p.Heard.End {
			t.Fatalf("%d cues for %d texts, %g to %g of %v", len(cues), len(texts), cues[0].Start, at, p.Heard)
		}
	}
}
