package job

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Transcribe asks what is said in a recording, or in the sound of a film.
var Transcribe = Job{
	Name:      "transcribe",
	MaxTokens: 1024, // 30 s of fast speech are 120 words; twice that where it is translated as well
	Media:     []Medium{Sound, Film},
	Ask:       askTranscribe,
	Own:       ownTranscribe,
	Read:      readTranscript,
}

func ownTranscribe(o Options) (Options, error) {
	rest := o
	rest.Language, rest.Listening = "", Listening{}
	return o, rest.strange()
}

// askTranscribe words the question as Google's own examples for Gemma do: it was trained
// to answer these.
func askTranscribe(o Options, _ Medium) string {
	spoken := cmp.Or(o.Language, "its original language")
	var q string
	switch {
	case o.Translate != "":
		q = fmt.Sprintf("Transcribe the following speech segment in %s, then translate it into %s. When formatting the answer, "+
			"first output the transcription in %s, then one newline, then output the string '%s: ', then the translation in %s.",
			spoken, o.Translate, spoken, o.Translate, o.Translate)
	default:
		q = "Transcribe the following speech segment in its original language. "
		if o.Language != "" {
			q = fmt.Sprintf("Transcribe the following speech segment in %s into %s text. ", o.Language, o.Language)
		}
		q += "Follow these specific instructions for formatting the answer:\n* Only output the transcription, with no newlines."
		if o.Numbers != NumbersWords {
			q += "\n* When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three."
		}
	}
	if o.Context != "" {
		q += "\n* These names and words may be said: " + strings.Join(strings.Fields(o.Context), " ")
	}
	return q
}

// AskLanguage is the question which language is spoken; Reply.Detects marks its answer.
const AskLanguage = "Which language is spoken in this recording? Answer with the English name of the language only."

// readLanguage takes the name out of the answer: one to three words.
func readLanguage(r Reply) string {
	name := strings.Trim(plainText(r.text()), " .*\"'")
	if len(name) > maxLanguage || len(strings.Fields(name)) > 3 || strings.ContainsFunc(name, unicode.IsControl) {
		return ""
	}
	return name
}

// readTranscript makes a segment of each reply that holds words.
func readTranscript(rec *Record, replies []Reply) {
	w := warnings{list: rec.Warnings}
	rec.Finish, rec.Segments = FinishStop, []Segment{}
	var lines []string
	for _, r := range replies {
		if r.Detects {
			if rec.Language = readLanguage(r); rec.Language == "" {
				w.warn("the model did not name the language: %q", excerpt(r.text()))
			}
			continue
		}
		rec.Language = cmp.Or(rec.Language, r.Language)
		s, ok := readSegment(r, &w)
		if r.Finish != FinishStop && rec.Finish == FinishStop {
			rec.Finish = r.Finish
		}
		rec.asked(r)
		switch {
		case ok && r.Subtitles && s.Translation == "":
			for _, c := range s.cues(r.Pauses) {
				part := s
				part.Start, part.End, part.Text, part.Estimated = c.Start, c.End, c.Text, c.Estimated
				rec.Segments = append(rec.Segments, part)
			}
		case ok:
			rec.Segments = append(rec.Segments, s)
		}
	}
	slices.SortStableFunc(rec.Segments, func(a, b Segment) int { return cmp.Compare(a.Start, b.Start) })
	for _, s := range rec.Segments {
		if s.Text != "" { // the model may give the translation alone
			lines = append(lines, s.Text)
		}
	}
	rec.Text = strings.Join(lines, "\n")
	silent := len(rec.Segments) == 0 && rec.Finish == FinishStop
	rec.Blank = &silent
	if silent {
		w.warn("no speech was found")
	}
	rec.Warnings = w.all()
}

// readSegment reads the reply about a piece; it is false if that holds no words.
func readSegment(r Reply, w *warnings) (Segment, bool) {
	r = r.kept()
	whole := r.text()
	text := whole
	switch r.Finish {
	case FinishLoop:
		text = cutRepeats(text)
		w.warn("%s: the model %s; what it repeated is there once, and what is said after it is missing", r.when(), r.looped())
	case FinishLength:
		text = cutRepeats(text)
		w.warn("%s: the reply was cut at the token limit: the end is missing", r.when())
	}
	s := Segment{Start: Seconds(r.Start), End: Seconds(r.End), Channel: r.Channel, Track: r.Track}
	if r.Translate != "" {
		text, s.Translation = translated(text, r.Translate)
		if s.Translation == "" && strings.TrimSpace(text) != "" {
			w.warn("%s: the reply has no translation", r.when())
		}
	}
	s.Text = strings.Join(strings.Fields(plainText(text)), " ")
	if s.Text == "" && s.Translation == "" {
		return s, false
	}
	s.Confidence = newConfidences(r.Tokens).span(0, len(whole))
	return s, true
}

// when names the stretch of time of a part, for warnings.
func (r Reply) when() string { return Clock(r.Start) + "–" + Clock(math.Ceil(r.End)) }

// Clock shows a time in seconds as people read it: 1:02:03.
func Clock(s float64) string {
	n := int(s)
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// Seconds rounds a time to a millisecond, which is what subtitles tell.
func Seconds(s float64) float64 { return math.Round(s*1000) / 1000 }

// translated parts a reply to the question with a translation: the transcript, and what
// follows "LANGUAGE:" at the start of a line.
func translated(s, language string) (text, translation string) {
	for line, at := range linesOf(s) {
		head, ok := cutPrefixFold(strings.TrimLeft(line, " \t*"), language)
		if head, ok2 := strings.CutPrefix(strings.TrimLeft(head, " *"), ":"); ok && ok2 {
			rest := s[at+len(line):]
			return s[:at], strings.Join(strings.Fields(strings.TrimLeft(head, " *")+" "+rest), " ")
		}
	}
	return s, ""
}

// linesOf yields the lines of s with the offsets at which they begin.
func linesOf(s string) func(yield func(string, int) bool) {
	return func(yield func(string, int) bool) {
		at := 0
		for line := range strings.Lines(s) {
			if !yield(line, at) {
				return
			}
			at += len(line)
		}
	}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// cutRepeats leaves one of the words, or rows of words, that a text ends in three times or
// more. Scripts without spaces are one word, of which characters are looked at.
func cutRepeats(s string) string {
	words := strings.Fields(s)
	if len(words) < 4 {
		words = strings.Split(s, "")
	}
	best := 0 // words at the end that are too many
	for period := 1; period <= len(words)/3; period++ {
		same := 0 // words at the end that are as those a period before
		for same < len(words)-period && words[len(words)-1-same] == words[len(words)-1-same-period] {
			same++
		}
		if same >= 2*period {
			best = max(best, same)
		}
	}
	if best == 0 {
		return s
	}
	end := 0 // of the words that stay: what parts them stays as well, since lines tell a transcript from its translation
	for _, w := range words[:len(words)-best] {
		end += strings.Index(s[end:], w) + len(w)
	}
	return s[:end]
}
