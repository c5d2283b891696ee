package sink

import (
	"math"
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/width"

	"facet/pipeline/job"
)

// sheet is a page that was read, as formats with a layout show it: regions of lines of words. Boxes are in
// pixels of the upright image, x first, the end exclusive.
type sheet struct {
	box     job.Box // of the page; without area if neither the record nor a box tells its size
	regions []region
}

// region is lines that stand close together, as those of a paragraph.
type region struct {
	box   job.Box
	lines []line
}

type line struct {
	box        job.Box
	unplaced   bool // the model gave no box that could be used: box is the page's
	rtl        bool // is read from right to left
	confidence float64
	words      []word // at least one
}

// word is what stands between spaces. Its box is estimated, since the model gives boxes of lines.
type word struct {
	text string // as Printable shows it
	box  job.Box
}

// sheetOf lays out a record of a page. A record may come from a foreign file: a box that is not on the page is none.
func sheetOf(rec *job.Record) sheet {
	s := sheet{box: pageBox(rec)}
	open := false // the last region can take one more line
	if len(rec.Blocks) == 0 {
		for text := range strings.Lines(rec.Text) {
			l, ok := newLine(job.Block{Text: text}, s.box)
			if ok {
				s.add(l, open)
			}
			open = ok
		}
		return s
	}
	for _, b := range rec.Blocks {
		if l, ok := newLine(b, s.box); ok {
			s.add(l, open && s.goesOn(l))
			open = true
		}
	}
	return s
}

func pageBox(rec *job.Record) job.Box {
	var page job.Box
	if seen := rec.Effective.Seen; seen != nil {
		page[2], page[3] = max(0, seen.SizeOriginal[0]), max(0, seen.SizeOriginal[1])
	}
	if page[2] == 0 || page[3] == 0 {
		for _, b := range rec.Blocks {
			page[2], page[3] = max(page[2], b.Box[2]), max(page[3], b.Box[3])
		}
	}
	return page
}

// newLine is false for a block that has no words.
func newLine(b job.Block, page job.Box) (line, bool) {
	text := Printable(b.Text)
	l := line{box: common(b.Box, page), confidence: b.Confidence, rtl: rightToLeft(text)}
	if !(l.confidence > 0 && l.confidence <= 1) {
		l.confidence = 0
	}
	if !hasArea(l.box) {
		l.box, l.unplaced = page, true
	}
	for _, w := range strings.Fields(text) {
		l.words = append(l.words, word{text: w, box: l.box})
	}
	if !l.unplaced {
		l.split()
	}
	return l, len(l.words) > 0
}

func (s *sheet) add(l line, goesOn bool) {
	if !goesOn {
		s.regions = append(s.regions, region{box: l.box})
	}
	r := &s.regions[len(s.regions)-1]
	r.lines = append(r.lines, l)
	r.box = job.Box{min(r.box[0], l.box[0]), min(r.box[1], l.box[1]), max(r.box[2], l.box[2]), max(r.box[3], l.box[3])}
}

// goesOn tells whether l belongs to the region of the line before it: both lack a box, or it stands under that
// line, whose box it may overlap by its height, and there is no room for a further line between them.
func (s *sheet) goesOn(l line) bool {
	last := s.regions[len(s.regions)-1].lines
	before := last[len(last)-1]
	if before.unplaced || l.unplaced {
		return before.unplaced && l.unplaced
	}
	a, b := before.box, l.box
	height := min(a[3]-a[1], b[3]-b[1])
	gap := b[1] - a[3]
	return min(a[2], b[2]) > max(a[0], b[0]) && -height <= gap && gap <= height
}

// confidence is the mean over the words of a page whose confidence is known; 0 if none is.
func (s *sheet) confidence() float64 {
	sum, n := 0.0, 0
	for _, r := range s.regions {
		for _, l := range r.lines {
			if l.confidence > 0 {
				sum += l.confidence * float64(len(l.words))
				n += len(l.words)
			}
		}
	}
	if n == 0 {
		return 0
	}
	return max(1, math.Round(1e4*sum/float64(n))) / 1e4
}

func common(a, b job.Box) job.Box {
	return job.Box{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])}
}

func hasArea(b job.Box) bool { return b[0] < b[2] && b[1] < b[3] }

// split gives each word its share of the line's box: by the widths that words and spaces would have in
// Go's bold font, from the side where the line begins. A line that is higher than wide is taken to run
// downwards, as Chinese and Japanese may.
func (l *line) split() {
	ends := make([]fixed.Int26_6, 0, 2*len(l.words)) // where each word begins and ends, from the line's start
	var at fixed.Int26_6
	for i, w := range l.words {
		if i > 0 {
			at += advance(" ")
		}
		ends = append(ends, at, at+advance(w.text))
		at = ends[len(ends)-1]
	}
	if at <= 0 {
		return // nothing but marks without a width: each word has the line's box
	}
	axis := 0
	if l.box[3]-l.box[1] > 2*(l.box[2]-l.box[0]) && len(l.words) > 1 {
		axis = 1
	}
	length := l.box[2+axis] - l.box[axis]
	for i := range l.words {
		from, to := share(length, ends[2*i], at), share(length, ends[2*i+1], at)
		if from == to { // a box has an area, also where there is no pixel for each word
			from = min(from, length-1)
			to = from + 1
		}
		if l.rtl && axis == 0 {
			from, to = length-to, length-from
		}
		b := &l.words[i].box
		b[axis], b[2+axis] = l.box[axis]+from, l.box[axis]+to
	}
}

// share is length · part / whole, rounded; length fits an image's side.
func share(length int, part, whole fixed.Int26_6) int {
	return int((2*int64(length)*int64(part) + int64(whole)) / (2 * int64(whole)))
}

// advance is the width of text, without kerning, in the font that is part of the program. What the
// font lacks is an em wide if it is Chinese, Japanese, Korean or an emoji, half an em otherwise, and marks
// that stand over or under others have no width.
func advance(text string) (sum fixed.Int26_6) {
	f := numberFont()
	em := fixed.I(int(f.UnitsPerEm())) // at this size nothing is rounded
	var buffer sfnt.Buffer
	for _, r := range text {
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
			continue
		}
		if glyph, err := f.GlyphIndex(&buffer, r); err == nil && glyph != 0 {
			if a, err := f.GlyphAdvance(&buffer, glyph, em, font.HintingNone); err == nil {
				sum += a
				continue
			}
		}
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			sum += em
		default:
			sum += em / 2
		}
	}
	return sum
}

// rightToLeft tells the direction of a line by its first letter that has one (UAX #9, rules P2 and P3).
func rightToLeft(text string) bool {
	for len(text) > 0 {
		p, n := bidi.LookupString(text)
		if n == 0 {
			break
		}
		switch p.Class() {
		case bidi.L:
			return false
		case bidi.R, bidi.AL:
			return true
		}
		text = text[n:]
	}
	return false
}
