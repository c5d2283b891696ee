package audio

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Channels of which one is the other upside down are told, and others are not: equal ones, strangers, silence beside sound, or
// nothing at all.
func TestWatchChannelsThatCancel(t *testing.T) {
	a, b := newScene(1).talk(3).pcm, newScene(2).talk(4).pcm
	n := min(len(a), len(b))
	faint := newScene(3).silence(9).noise(0.001).pcm
	for name, c := range map[string]struct {
		right func(i int) float32
		want  bool
	}{
		"upside down":           {func(i int) float32 { return -a[i] }, true},
		"upside down and noise": {func(i int) float32 { return faint[i] - a[i] }, true},
		"equal":                 {func(i int) float32 { return a[i] }, false},
		"strangers":             {func(i int) float32 { return b[i] }, false},
		"nothing beside":        {func(i int) float32 { return 0 }, false},
	} {
		right := make([]float32, n)
		for i := range right {
			right[i] = c.right(i)
		}
		src := Watch(&stereo{left: a[:n], right: right})
		if _, _, err := ReadMono(src, 16000, Mix, 1e6); err != nil {
			t.Fatal(err)
		}
		if w := src.Warnings(); c.want != (len(w) == 1 && strings.Contains(w[0], "cancel")) || !c.want && len(w) > 0 {
			t.Errorf("%s: %q", name, w)
		}
	}
	// Of many strangers, the mix keeps little, and no one is to blame.
	var sounds []int16
	rng := rand.New(rand.NewPCG(1, 1))
	for range 96 * 2000 {
		sounds = append(sounds, int16(rng.IntN(1<<16)-1<<15))
	}
	for _, c := range []chunk{samples16(sounds...), samples16(make([]int16, 96*100)...)} {
		s, _, err := read(riff("RIFF", fmtChunk(tagPCM, 96, 16000, 16), c), false)
		if err != nil || len(s.Warnings()) > 0 {
			t.Errorf("%v, %q", err, s.Warnings())
		}
	}
	if s := Watch(&stereo{}); Watch(s) != s || len(s.Warnings()) > 0 {
		t.Error("watched twice")
	}
}
