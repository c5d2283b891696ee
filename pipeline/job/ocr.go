package job

import (
	"fmt"
	"image"
	"math"
	"strings"
	"unicode/utf8"
)

// OCR asks for the text of an image, with a box around each line unless told
// otherwise.
var OCR = Job{
	Name:      "ocr",
	MaxTokens: 8192, // a dense page: 5,000 characters in 100 lines, and 25 tokens a line for the box
	Boxes:     []Boxes{BoxesLine, BoxesNone},
	Media:     []Medium{Image},
	Pages:     true,
	Ask:       askOCR,
	Own:       ownOCR,
	Read:      readOCR,
}

func ownOCR(o Options) (Options, error) {
	rest := o
	rest.Budget, rest.DPI, rest.Boxes, rest.Blank, rest.Language, rest.Rotate, rest.SkipTextLayer = 0, 0, "", "", "", "", false
	return o, rest.strange()
}

// askOCR words the question. The form of the boxes is the one Gemma was
// trained to answer detection with: a JSON list, y first, from 0 to 1000.
func askOCR(o Options, _ Medium) string {
	q := `Read all text in the image. Answer with a JSON list that has one entry for each printed line, in reading order: ` +
		`[{"box_2d": [y1, x1, y2, x2], "text": "the line exactly as printed"}]. ` +
		`Coordinates are integers from 0 to 1000. If there is no text, answer [].`
	if o.Boxes == BoxesNone {
		q = `Read all text in the image. Answer with the text alone, exactly as printed, line by line in reading order, ` +
			`as plain text without Markdown or comments. If there is no text, answer [].`
	}
	if o.Language != "" {
		q += " The text is in " + o.Language + "."
	}
	return q
}

// readOCR reads a reply to either question.
func readOCR(rec *Record, replies []Reply) {
	if len(replies) == 0 { // the page is empty
		blank := true
		rec.Finish, rec.Text, rec.Blocks, rec.Blank = FinishStop, "", []Block{}, &blank
		return
	}
	r := replies[0].kept()
	if r.Width <= 0 || r.Height <= 0 {
		panic(fmt.Sprintf("job: ocr: image of %d x %d pixels", r.Width, r.Height))
	}
	o := ocrReader{rec: rec, reply: r, warnings: warnings{list: rec.Warnings}}
	rec.Finish = r.Finish
	rec.Text, rec.Blocks = "", []Block{}
	rec.BoxesWithoutInk = 0
	rec.asked(r)
	if n := len(r.Tries); n > 1 && r.Boxes != r.Tries[0].Boxes {
		o.warn("asked %d times: the text was read without boxes, since the replies with boxes could not be used", n)
	}
	o.cut()
	if s := r.text(); r.Boxes == BoxesNone {
		rec.Text = plainText(s)
	} else {
		o.lines(s)
	}
	// A cut or faulty reply that gave no text says nothing about the page.
	blank := rec.Text == "" && len(rec.Blocks) == 0 && rec.Finish == FinishStop
	rec.Blank = &blank
	rec.Warnings = o.all()
}

// ocrReader is one reading of one reply.
type ocrReader struct {
	rec   *Record
	reply Reply
	warnings
}

// fault marks a complete reply that is not in the form asked for. It stays
// what it is where generation was cut: that is the reason then.
func (o *ocrReader) fault(format string, args ...any) {
	o.warn(format, args...)
	if o.rec.Finish == FinishStop {
		o.rec.Finish = FinishSchema
	}
}

// cut warns of a reply that did not come to its own end.
func (o *ocrReader) cut() {
	switch o.reply.Finish {
	case FinishLength:
		o.warn("the reply was cut at the token limit: the end of the text is missing")
	case FinishLoop:
		o.warn("the model %s and was stopped: what it repeated is there once, and the end of the text is missing", o.reply.looped())
	}
}

// lines reads a list of lines with boxes.
func (o *ocrReader) lines(s string) {
	found := findEntries(s)
	if !found.list {
		o.rec.Text = plainText(s)
		if o.rec.Text != "" {
			o.fault("the reply is plain text without boxes")
		} else {
			o.warn("the reply is empty")
		}
		return
	}
	if !found.valid && o.reply.Finish == FinishStop { // a cut list has its warning
		o.fault("the reply is not valid JSON and was read with repairs")
	}
	switch {
	case found.pieces() && o.reply.Finish == FinishStop:
		o.fault("left out pieces of lines that could not be read: %q", excerpt(found.prose))
	case found.prose != "":
		o.warn("left out what stands around the list: %q", excerpt(found.prose))
	}
	if found.strange > 0 {
		o.fault("left out %d objects that have neither text nor box", found.strange)
	}
	prob := newConfidences(o.reply.Tokens)
	seen := make(map[Block]bool, len(found.entries))
	repeated := 0
	var lines []string
	for i, e := range found.entries {
		n := i + 1
		if !e.hasText() {
			o.fault("line %d: no text: left out", n)
			continue
		}
		b := Block{Text: e.text.text}
		b.Box2D, b.Box = o.box(e.box, n)
		// The same words at the same place are one line said twice.
		if b.Box2D != (Box2D{}) && seen[b] {
			repeated++
			continue
		}
		seen[b] = true
		b.Confidence = prob.span(e.text.start, e.text.end)
		if b.Box != (Box{}) && o.reply.Ink != nil && !o.reply.Ink.Within(around(b.Box)) {
			b.NoInk = true
			o.rec.BoxesWithoutInk++
			o.warn("line %d: nothing is printed where its box is", n)
		}
		o.rec.Blocks = append(o.rec.Blocks, b)
		lines = append(lines, b.Text)
	}
	if repeated > 0 {
		o.warn("left out %d repeated lines", repeated)
	}
	o.rec.Text = strings.Join(lines, "\n")
	o.missed()
}

// missed says how much of what is on the page is in no box.
func (o *ocrReader) missed() {
	if o.reply.Ink == nil {
		return
	}
	var boxes []image.Rectangle
	for _, b := range o.rec.Blocks {
		if b.Box != (Box{}) {
			boxes = append(boxes, around(b.Box))
		}
	}
	share := math.Round(1000*o.reply.Ink.Outside(boxes)) / 1000
	o.rec.InkOutside = &share
	if share > muchOutside {
		o.warn("%.0f %% of what is on the page is in no box: pictures, or text that was missed", 100*share)
	}
}

// muchOutside is the share of ink outside all boxes that is worth a warning: most of what is on the page.
const muchOutside = 0.5

// around is a box and a quarter of its height on each side, by which boxes of lines are off more often than not.
func around(b Box) image.Rectangle {
	return image.Rect(b[0], b[1], b[2], b[3]).Inset(-(b[3] - b[1] + 3) / 4)
}

// box checks the box of line n and converts it. A box that cannot be used is
// the zero Box2D and Box, with a warning; it is never moved into the image.
func (o *ocrReader) box(v *value, n int) (Box2D, Box) {
	box, notes, form := v.box()
	for _, note := range notes {
		if !form {
			o.fault("line %d: %s", n, note)
		} else {
			o.warn("line %d: %s", n, note)
		}
	}
	if box == (Box2D{}) {
		return Box2D{}, Box{}
	}
	return box, box.Pixels(o.reply.Width, o.reply.Height)
}

// plainText is a reply that is text: without the code fence some models put
// around it, and without space at its ends. "[]" is the answer for no text.
func plainText(s string) string {
	s = strings.TrimSpace(valid(unfence(s)))
	if s == "[]" {
		return ""
	}
	return s
}

// unfence returns what stands in a code fence, if s is one: ``` and a
// language, a line break, the content, ``` unless it was cut off.
func unfence(s string) string {
	t := strings.TrimSpace(s)
	if !strings.HasPrefix(t, "```") {
		return s
	}
	lang, rest, ok := strings.Cut(t[3:], "\n")
	if !ok || strings.ContainsAny(lang, " `") {
		return s
	}
	inside, after, ok := strings.Cut("\n"+rest, "\n```")
	if ok && strings.TrimSpace(after) != "" {
		return s // more than the fence
	}
	return strings.TrimPrefix(inside, "\n")
}

// excerpt is the start of s, at most 40 bytes, for a warning.
func excerpt(s string) string {
	const most = 40
	s = valid(s)
	if len(s) <= most {
		return s
	}
	n := most
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// warnings collects sentences for a record, a bounded number of them.
type warnings struct {
	list []string
	more int
}

const maxWarnings = 20 // in a record; a broken reply could give one a line

func (w *warnings) warn(format string, args ...any) {
	if len(w.list) >= maxWarnings {
		w.more++
		return
	}
	w.list = append(w.list, fmt.Sprintf(format, args...))
}

func (w *warnings) all() []string {
	if w.more > 0 {
		w.list = append(w.list, fmt.Sprintf("%d more warnings", w.more))
	}
	if w.list == nil {
		return []string{}
	}
	return w.list
}
