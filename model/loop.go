package model

import (
	"bytes"
	"hash/fnv"
	"math"
	"unicode"
	"unicode/utf8"
)

// Loop says where a reply began to repeat itself.
type Loop struct {
	Keep  int // tokens of the reply up to the end of the first round: what is worth keeping
	Times int // how often what is repeated stands there, the first included
}

// Pages repeat themselves as well: rows of dots, tables of forty columns, lists in which everybody said yes. What tells
// them from a loop is their size, so the guard asks whether a page would hold what it sees. There are two ways to
// look.
//
// By tokens, within a line: the same 1 to 64 tokens again and again. Leaders and rules are up to 200
// characters, which may be as many tokens; tables have up to 40 columns, whose cells may be 20 tokens.
//
// By lines, whatever their tokens: the same 1 to 32 lines again and again. A line is also an object of a JSON list;
// coordinates in it do not count, because a model that repeats a line of a page lets its box march down the page. A page
// has up to 72 lines, and of zeros and dots they may all be the same. Lines with words in them are the same forty
// times at most unless they are short. The same object with the same box says that one thing is printed twice at one
// place. Lines that count up on and on are a loop of their own.
const (
	loopLongest   = 64  // tokens of a pattern in a line
	loopRow       = 256 // tokens, and characters, in a line that a short pattern fills, at least
	loopCells     = 44  // repetitions of a pattern of up to loopCell tokens, at least
	loopCell      = 20
	loopLongCells = 14 // repetitions of a longer one, at least, and as many tokens as of one of loopCell

	loopLines      = 32   // lines of a pattern
	loopPage       = 80   // equal lines, at least
	loopSigns      = 100  // where they have no letters
	loopRounds     = 12   // repetitions of a pattern of several lines, at least
	loopLongRounds = 24   // where they have letters and at least
	loopTokens     = 1900 // tokens in all
	loopWideRounds = 40   // where besides a round is longer than
	loopWide       = 80   // tokens, as a row of a wide table
	loopCounted    = 200  // lines that differ in a number only, which grows by the same each time
)

// loopGuard watches a reply as it grows. A token costs it 64 comparisons, a line 64 more.
type loopGuard struct {
	bytes func(id int32) []byte // what a token stands for; nil where there is no tokenizer
	same  [loopLongest + 1]int  // by period: tokens at the end that equal those a period before
	// Tokens up to the last one with a line break in it, and up to the last one with more than space.
	lastBreak, lastInk int

	open    []byte // the line that is not at its end
	lines   []loopLine
	equal   [loopLines + 1]int // by period in lines: lines at the end that equal those a period before
	exact   [loopLines + 1]int // and whose coordinates are the same
	counted int                // lines at the end that count on
}

// loopLine is a line that came to its end.
type loopLine struct {
	end    int    // tokens up to its end
	hash   uint64 // without coordinates
	exact  uint64 // with them
	shape  uint64 // without any digits
	number uint64 // the first one
	step   uint64 // by which that is more than in the line before; wraps around
	letter bool   // it has one, keys of JSON apart
	boxed  bool   // it has coordinates
}

// add takes the reply so far, which has one token more than the last time, and reports whether it loops.
func (g *loopGuard) add(ids []int32) (Loop, bool) {
	if g.bytes != nil {
		token := g.bytes(ids[len(ids)-1])
		if bytes.IndexByte(token, '\n') >= 0 {
			g.lastBreak = len(ids)
		}
		if len(bytes.TrimSpace(token)) > 0 {
			g.lastInk = len(ids)
		}
		for _, line := range g.read(token) {
			if l, ok := g.endLine(line, len(ids)); ok {
				return l, true
			}
		}
	}
	return g.byTokens(ids)
}

// byTokens looks for a pattern within a line, or of nothing but line breaks.
func (g *loopGuard) byTokens(ids []int32) (Loop, bool) {
	n := len(ids)
	id := ids[n-1]
	for p := 1; p <= loopLongest && p < n; p++ {
		if ids[n-1-p] != id {
			g.same[p] = 0
			continue
		}
		g.same[p]++
		breaks, ink := g.lastBreak > n-p, g.lastInk > n-p
		run := g.same[p] + p
		if run >= rowTokens(p) && !(breaks && ink) && g.characters(ids[n-p:])*run >= loopRow*p {
			return Loop{Keep: n - run + p, Times: run / p}, true
		}
	}
	return Loop{}, false
}

// characters counts those of a pattern: one may be several tokens, and control tokens count as one.
func (g *loopGuard) characters(pattern []int32) (n int) {
	if g.bytes == nil {
		return len(pattern)
	}
	for _, id := range pattern {
		token := g.bytes(id)
		if len(token) == 0 {
			n++
		}
		for _, b := range token {
			if utf8.RuneStart(b) {
				n++
			}
		}
	}
	return n
}

// rowTokens is how many tokens a pattern of p of them has to fill.
func rowTokens(p int) int {
	if p <= loopCell {
		return max(loopRow, loopCells*p)
	}
	return max(loopCells*loopCell, loopLongCells*p)
}

// read adds the text of a token to the open line and returns the lines that end in it. A line ends with a line break or
// a closing brace.
func (g *loopGuard) read(token []byte) (ended [][]byte) {
	for _, c := range token {
		if c != '\n' {
			g.open = append(g.open, c)
		}
		if c == '\n' || c == '}' {
			ended = append(ended, g.open)
			g.open = nil
		}
	}
	return ended
}

// endLine compares a line, which ended with so many tokens of the reply, with those before it.
func (g *loopGuard) endLine(raw []byte, end int) (Loop, bool) {
	raw = bytes.Trim(raw, " \t\r,[]") // what parts the objects of a list
	if len(raw) == 0 {
		return Loop{}, false
	}
	l := newLoopLine(raw)
	l.end = end
	n := len(g.lines)
	if n > 0 {
		last := &g.lines[n-1]
		l.step = l.number - last.number
		switch {
		case !l.letter || l.shape != last.shape || l.step == 0:
			g.counted = 0
		case g.counted > 0 && l.step != last.step:
			g.counted = 1
		default:
			g.counted++
		}
	}
	g.lines = append(g.lines, l)
	for k := 1; k <= min(loopLines, n); k++ {
		before := &g.lines[n-k]
		if before.hash != l.hash {
			g.equal[k], g.exact[k] = 0, 0
			continue
		}
		g.equal[k]++
		if before.exact == l.exact && l.boxed {
			g.exact[k]++
		} else {
			g.exact[k] = 0
		}
		if run := g.exact[k] + k; g.exact[k] > 0 && run >= loopRounds*k {
			return g.lineLoop(run, k), true
		}
		if run := g.equal[k] + k; g.isLoop(run, k) {
			return g.lineLoop(run, k), true
		}
	}
	if g.counted+1 >= loopCounted {
		return g.lineLoop(g.counted+1, 1), true
	}
	return Loop{}, false
}

// isLoop judges lines at the end that are rounds of k lines.
func (g *loopGuard) isLoop(run, k int) bool {
	n := len(g.lines)
	letters := false
	for _, l := range g.lines[n-k:] {
		letters = letters || l.letter
	}
	page := loopPage
	if !letters {
		page = loopSigns
	}
	if run >= page && run >= loopRounds*k {
		return true
	}
	tokens := g.lines[n-1].end
	if run < n {
		tokens -= g.lines[n-1-run].end
	}
	rounds := run / k
	return letters && tokens >= loopTokens && (rounds >= loopWideRounds || rounds >= loopLongRounds && tokens <= loopWide*rounds)
}

func (g *loopGuard) lineLoop(run, k int) Loop {
	n := len(g.lines)
	return Loop{Keep: g.lines[n-run+k-1].end, Times: run / k}
}

// newLoopLine takes a line apart.
func newLoopLine(raw []byte) loopLine {
	hash, exact, shape := fnv.New64a(), fnv.New64a(), fnv.New64a()
	exact.Write(raw)
	l := loopLine{exact: exact.Sum64(), number: math.MaxUint64}
	brackets, keys := 0, 0
	key := 0 // bytes of a JSON key, or of an escape, that are still to come
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRune(raw[i:])
		digit := '0' <= r && r <= '9'
		switch {
		case key > 0:
			key -= n
		case r == '"':
			if key = keyLength(raw[i:]) - n; key > 0 {
				keys++
			}
		case r == '\\':
			key = 1 // the n of \n is no letter
		case r == '[' && keys > 0: // coordinates are values of an object: x[7] in a program is none
			brackets++
		case r == ']':
			brackets = max(0, brackets-1)
		case digit && brackets == 0:
			if l.number == math.MaxUint64 {
				l.number = firstNumber(raw[i:])
			}
		case unicode.IsLetter(r):
			l.letter = true
		}
		if digit && brackets > 0 {
			l.boxed = true
		} else {
			hash.Write(raw[i : i+n])
		}
		if !digit {
			shape.Write(raw[i : i+n])
		}
		i += n
	}
	l.hash, l.shape = hash.Sum64(), shape.Sum64()
	return l
}

// keyLength is the length of the JSON key that s begins with, quotes included; that of the first quote where it is
// no key.
func keyLength(s []byte) int {
	if end := bytes.IndexByte(s[1:], '"'); end >= 0 {
		if rest := bytes.TrimLeft(s[end+2:], " "); len(rest) > 0 && rest[0] == ':' {
			return end + 2
		}
	}
	return 1
}

// firstNumber reads the digits that s begins with; large ones wrap around.
func firstNumber(s []byte) (n uint64) {
	for _, c := range s {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}
