package model

// A reply loops when its end is one short pattern, again and again. Tables, rows of
// dots and columns of zeros repeat as well, so the guard waits for a dozen
// repetitions that fill many tokens before it ends a reply.
const (
	loopLongest     = 64  // tokens in a pattern, at most
	loopRepetitions = 12  // of the pattern, at least
	loopTokens      = 128 // covered by the repetitions, at least
)

// loops reports whether ids ends in a loop. It looks at the last position only, so it
// is to be called after every token.
func loops(ids []int32) bool {
	for p := 1; p <= loopLongest; p++ {
		need := max(loopTokens, loopRepetitions*p)
		if len(ids) < need {
			continue
		}
		tail := ids[len(ids)-need:]
		same := true
		for i := p; i < need && same; i++ {
			same = tail[i] == tail[i-p]
		}
		if same {
			return true
		}
	}
	return false
}
