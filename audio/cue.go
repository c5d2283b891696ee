package audio

import (
	"math"
	"strings"
	"unicode"
)

// A Cue is a text and when it is heard.
type Cue struct {
	Span
	Text      string
	Estimated bool // the times are worked out from lengths of texts and from pauses, not heard
}

// snapWithin is how far a border between cues may be moved to a pause, in seconds of speech.
const snapWithin = 0.8

// Cues spreads texts that were heard one after another in a piece over the time of what is heard. Each gets a share of what isn't pause by
// the length of its text; a border near a pause is moved there, and the pause belongs to neither side. Empty texts are
// left out. The cues don't overlap; the first begins and the last ends with what is heard. One text alone has the
// times of that; of several all are estimated.
func (p Piece) Cues(texts []string) []Cue {
	var cues []Cue
	var ends []float64 // weights up to the end of each text
	var total float64
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			total += weight(text)
			cues = append(cues, Cue{Text: text})
			ends = append(ends, total)
		}
	}
	if len(cues) == 0 {
		return nil
	}
	speech := p.Heard.End - p.Heard.Start
	for _, pause := range p.Pauses {
		speech -= pause.End - pause.Start
	}
	left := p.Pauses // those that no border has passed yet
	gap := Span{p.Heard.Start, p.Heard.Start}
	for i := range cues {
		cues[i].Estimated = len(cues) > 1
		cues[i].Start = gap.End
		if i == len(cues)-1 {
			cues[i].End = p.Heard.End
			break
		}
		gap, left = p.border(max(0, speech)*ends[i]/total, left)
		gap.Start = max(gap.Start, cues[i].Start)
		gap.End = max(gap.End, gap.Start)
		cues[i].End = gap.Start
	}
	return cues
}

// border returns where so many seconds of speech have passed, or the nearest of the pauses that are left if it is near enough;
// and the pauses that follow.
func (p Piece) border(speech float64, left []Span) (Span, []Span) {
	paused := 0.0 // before the pause at hand
	at := p.Heard.Start + speech
	for _, pause := range p.Pauses {
		if pause.Start-p.Heard.Start-paused >= speech {
			break
		}
		paused += pause.End - pause.Start
		at += pause.End - pause.Start
	}

	nearest, distance := -1, math.Inf(1)
	paused = 0
	first := len(p.Pauses) - len(left)
	for i, pause := range p.Pauses {
		if d := math.Abs(pause.Start - p.Heard.Start - paused - speech); i >= first && d <= snapWithin && d < distance {
			nearest, distance = i, d
		}
		paused += pause.End - pause.Start
	}
	if nearest >= 0 {
		return p.Pauses[nearest], p.Pauses[nearest+1:]
	}
	for len(left) > 0 && left[0].Start < at {
		left = left[1:]
	}
	return Span{at, at}, left
}

// weight tells how long a text takes to say, in letters. A digit is a word, and so, nearly, is a Chinese character.
func weight(text string) (w float64) {
	for _, r := range text {
		switch {
		case unicode.IsDigit(r):
			w += 4
		case unicode.In(r, unicode.Han):
			w += 3
		case unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
			w += 2
		case unicode.IsLetter(r):
			w++
		}
	}
	return max(w, 1)
}
