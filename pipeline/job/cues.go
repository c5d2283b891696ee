package job

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"

	"facet/audio"
)

// Cue is one subtitle: at most two lines, on show for at most seven seconds.
type Cue struct {
	Start, End float64 // seconds
	Text       string
	Lines      []string // the text, laid out
	// Estimated says that the times are not those of a pause: they divide those of a segment
	// by the length of the text.
	Estimated bool
}

// What people can read: the limits that broadcasters agree on.
const (
	cueColumns = 42 // of a line; characters of Chinese, Japanese and Korean take two
	cueLines   = 2
	cueSeconds = 7.0
	// leastCue is the time that each cue has, even if a hundred channels speak at once: for a
	// player a cue without any is wrong.
	leastCue = 0.001
)

// Cues makes subtitles of segments. What two channels say at the same time follows one
// another: no cue begins before the one before it has ended.
func Cues(segments []Segment) []Cue {
	var out []Cue
	for _, s := range segments {
		out = append(out, s.cues(nil)...)
	}
	slices.SortStableFunc(out, func(a, b Cue) int { return cmp.Compare(a.Start, b.Start) })
	for i := range out {
		c := &out[i]
		c.End = Seconds(max(min(c.End, c.Start+cueSeconds), c.Start+leastCue))
		if i == 0 || out[i-1].End <= c.Start {
			continue
		}
		before := &out[i-1]
		// Half of what both have, so that each can be read.
		end := max(before.End, c.End)
		before.End = Seconds(max(min(before.End, (before.Start+end)/2), before.Start+leastCue))
		c.Start, c.End = before.End, Seconds(max(end, before.End+leastCue))
	}
	return out
}

// cues parts a segment. Its pauses tell better where a cue ends than the length of a text.
func (s Segment) cues(pauses []audio.Span) []Cue {
	chunks := s.chunks()
	texts := make([]string, len(chunks))
	for i, c := range chunks {
		texts[i] = c.text
	}
	piece := audio.Piece{Heard: audio.Span{Start: s.Start, End: s.End}, Pauses: pauses}
	var out []Cue
	for i, c := range piece.Cues(texts) {
		out = append(out, Cue{Seconds(c.Start), Seconds(c.End), c.Text, chunks[i].lines, c.Estimated || s.Estimated})
	}
	return out
}

// chunk is the text of a cue.
type chunk struct {
	text  string
	lines []string
}

// chunks parts the text of a segment among cues.
func (s Segment) chunks() []chunk {
	words := cueWords(s.Text)
	if len(words) == 0 {
		return nil
	}
	total := 0
	for _, w := range words {
		total += w.columns
	}
	n := max(1, int(math.Ceil((s.End-s.Start)/cueSeconds)), (total+cueColumns*cueLines-1)/(cueColumns*cueLines))
	for ; ; n++ {
		if chunks, ok := divide(words, total, n); ok {
			return chunks
		}
	}
}

// divide parts the words among n cues, as equally as their ends allow; it is false if
// there are more lines in one than it may have.
func divide(words []cueWord, total, n int) (chunks []chunk, ok bool) {
	used, from := 0, 0
	for i := 1; i <= n && from < len(words); i++ {
		to := len(words)
		if i < n {
			to = breakAt(words, from, used, total*i/n, total/n/3)
		}
		var text strings.Builder
		for _, w := range words[from:to] {
			used += w.columns
			text.WriteString(w.text)
		}
		lines := wrap(words[from:to])
		if len(lines) > cueLines && to-from > 1 {
			return nil, false
		}
		chunks, from = append(chunks, chunk{strings.TrimPrefix(text.String(), " "), lines}), to
	}
	return chunks, true
}

// breakAt returns the end of a cue that begins with words[from], used columns into the
// text, and should end near column ideal: after a full stop or a comma if one is within
// slack of it.
func breakAt(words []cueWord, from, used, ideal, slack int) int {
	best, least := from+1, math.MaxInt
	at := used
	for i := from; i < len(words)-1; i++ {
		at += words[i].columns
		distance := at - ideal
		if distance < 0 {
			distance = -distance
		}
		if distance <= slack {
			distance -= slack * words[i].stop
		}
		if distance < least {
			best, least = i+1, distance
		}
	}
	return best
}

// cueWord is a word with what parts it from the one before.
type cueWord struct {
	text    string // with a space before it, but for those of scripts that have none
	columns int
	stop    int // 2 at the end of a sentence, 1 of a clause
}

// cueWords parts a text where a line may break: at spaces, and between wide characters.
func cueWords(s string) []cueWord {
	var words []cueWord
	var w cueWord
	end := func() {
		if w.columns > 0 {
			w.stop = stops(w.text)
			words = append(words, w)
		}
		w = cueWord{}
	}
	for i, field := range strings.Fields(s) {
		if i > 0 {
			w = cueWord{text: " ", columns: 1}
		}
		for _, r := range field {
			n := columns(r)
			if n == 2 && w.columns > 1 && !strings.ContainsRune("、。，．！？」』）", r) {
				end()
			}
			w.text, w.columns = w.text+string(r), w.columns+n
		}
		end()
	}
	return words
}

func columns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func stops(word string) int {
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRight(word, `"'”’»)`))
	switch {
	case strings.ContainsRune(".!?…。！？", r):
		return 2
	case strings.ContainsRune(",;:—、，；：", r):
		return 1
	}
	return 0
}

// wrap lays words in lines of at most cueColumns, a word that is longer by itself; two
// lines are about equally long.
func wrap(words []cueWord) []string {
	total := 0
	for _, w := range words {
		total += w.columns
	}
	most := cueColumns
	if total > cueColumns && total <= cueLines*cueColumns {
		for most = (total + 1) / 2; most < cueColumns && len(layLines(words, most)) > cueLines; most++ {
		}
	}
	return layLines(words, most)
}

func layLines(words []cueWord, most int) []string {
	var lines []string
	line, used := "", 0
	for _, w := range words {
		text, n := w.text, w.columns
		if used > 0 && used+n > most {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used == 0 && strings.HasPrefix(text, " ") {
			text, n = text[1:], n-1
		}
		line, used = line+text, used+n
	}
	return append(lines, line)
}
