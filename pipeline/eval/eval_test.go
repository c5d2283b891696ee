package eval

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for s, want := range map[string]string{
		"":                             "",
		" a \t b\u00a0c \r\n\n \n d\n": "a b c\nd",
		"e\u0301":                      "é",
		"ﬁ":                            "ﬁ", // a ligature is not what NFC takes apart
		"Straße":                       "Straße",
	} {
		if got := Normalize(s); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", s, got, want)
		}
	}
}

// distance is the definition, with nothing clever.
func distance(a, b []rune) int {
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b)
	}
	if a[0] == b[0] {
		return distance(a[1:], b[1:])
	}
	return 1 + min(distance(a[1:], b[1:]), distance(a[1:], b), distance(a, b[1:]))
}

func TestEditDistance(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	word := func() string {
		var b strings.Builder
		for range rng.IntN(7) {
			b.WriteRune([]rune("abé")[rng.IntN(3)])
		}
		return b.String()
	}
	for range 3000 {
		a, b := word(), word()
		if got, want := EditDistance(a, b), distance([]rune(a), []rune(b)); got != want {
			t.Fatalf("EditDistance(%q, %q) = %d, want %d", a, b, got, want)
		}
	}
	if got := EditDistance("kitten", "sitting"); got != 3 {
		t.Errorf("kitten to sitting: %d, want 3", got)
	}
}
