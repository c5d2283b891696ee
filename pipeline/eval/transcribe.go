package eval

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"facet/pipeline/job"
)

// Words are those of a text as they are compared: Unicode NFC, in lower case, ’ as ', and whatever is no letter, mark, digit or
// apostrophe between such parts words. Apostrophes at the ends of a word are quotation marks.
func Words(s string) []string {
	s = strings.ReplaceAll(strings.ToLower(norm.NFC.String(s)), "’", "'")
	fields := strings.FieldsFunc(s, func(r rune) bool {
		return r != '\'' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
	})
	words := fields[:0]
	for _, w := range fields {
		if w = strings.Trim(w, "'"); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// TranscribeScore sums up how well recordings were heard. Rates can be larger than 1.
type TranscribeScore struct {
	SpokenTotal
	WordErrorRate      float64 `json:"word_error_rate"`      // word edits / words, of what Words gives
	WordErrorRateRaw   float64 `json:"word_error_rate_raw"`  // of what spaces part, with case and punctuation
	CharacterErrorRate float64 `json:"character_error_rate"` // edits / characters, of the text as it is, with single spaces
	Exact              float64 `json:"exact"`                // recordings without a word edit / recordings
	*Times                     // nil where no label has times

	Items      []Spoken  `json:"items"`
	Missing    []Missing `json:"missing"`
	Unlabelled int       `json:"unlabelled"`
}

// SpokenTotal holds counts, of one recording or of all.
type SpokenTotal struct {
	Words        int `json:"words"` // in the labels
	WordEdits    int `json:"word_edits"`
	RawWords     int `json:"raw_words"`
	RawWordEdits int `json:"raw_word_edits"`
	Characters   int `json:"characters"`
	Edits        int `json:"edits"`
}

// Spoken is the score of one recording.
type Spoken struct {
	File string `json:"file"`
	SpokenTotal
	*Times
}

// Transcribe scores the transcribe records of a run against the labels of recordings. Segments are one text: where one ends is
// no error. Errors as of OCR.
func Transcribe(labels []Label, run Run) (*TranscribeScore, error) {
	pairs, err := pair(labels, run, job.Transcribe.Name)
	if err != nil {
		return nil, err
	}
	s := &TranscribeScore{Items: []Spoken{}, Missing: pairs.missing, Unlabelled: pairs.unlabelled}
	exact := 0
	for _, p := range pairs.list {
		item := Spoken{File: p.label.name(), SpokenTotal: scoreSpoken(*p.label.Text, p.record.Text)}
		if p.label.Segments != nil {
			var read []Span
			for _, g := range p.record.Segments {
				read = append(read, Span{g.Start, g.End})
			}
			item.Times = times(p.label.Segments, read)
			s.Times = s.Times.add(item.Times)
		}
		s.Items = append(s.Items, item)
		s.Words += item.Words
		s.WordEdits += item.WordEdits
		s.RawWords += item.RawWords
		s.RawWordEdits += item.RawWordEdits
		s.Characters += item.Characters
		s.Edits += item.Edits
		if item.WordEdits == 0 && !p.missing {
			exact++
		}
	}
	s.WordErrorRate = ratio(s.WordEdits, s.Words)
	s.WordErrorRateRaw = ratio(s.RawWordEdits, s.RawWords)
	s.CharacterErrorRate = ratio(s.Edits, s.Characters)
	s.Exact = ratio(exact, len(s.Items))
	return s, nil
}

func scoreSpoken(want, got string) (t SpokenTotal) {
	a, b := Words(want), Words(got)
	t.Words, t.WordEdits = len(a), edits(a, b)
	want, got = norm.NFC.String(want), norm.NFC.String(got)
	a, b = strings.Fields(want), strings.Fields(got)
	t.RawWords, t.RawWordEdits = len(a), edits(a, b)
	want, got = strings.Join(a, " "), strings.Join(b, " ")
	t.Characters, t.Edits = len([]rune(want)), EditDistance(want, got)
	return t
}

// Times tells how well stretches of time were met. Labelled and read ones are matched one to one, those first that overlap most
// (shared over joint length).
type Times struct {
	Labelled int     `json:"spans"`       // in the labels
	Read     int     `json:"spans_read"`  // in the records
	Matched  int     `json:"spans_found"` // that overlap at all
	Error    float64 `json:"time_error"`  // mean distance in seconds of the matched ones' starts and ends
}

// add is both together; t may be nil.
func (t *Times) add(u *Times) *Times {
	sum := Times{}
	for _, v := range []*Times{t, u} {
		if v != nil {
			sum.Labelled += v.Labelled
			sum.Read += v.Read
			sum.Matched += v.Matched
			sum.Error += v.Error * float64(v.Matched)
		}
	}
	sum.Error /= float64(max(1, sum.Matched))
	return &sum
}

func times(want, got []Span) *Times {
	t := &Times{Labelled: len(want), Read: len(got)}
	type match struct {
		a, b    int
		overlap float64
	}
	var matches []match
	for i, a := range want {
		for j, b := range got {
			if shared := min(a.End, b.End) - max(a.Start, b.Start); shared > 0 {
				matches = append(matches, match{i, j, shared / (max(a.End, b.End) - min(a.Start, b.Start))})
			}
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return cmp.Compare(b.overlap, a.overlap) })
	taken, used := make([]bool, len(want)), make([]bool, len(got))
	for _, m := range matches {
		if taken[m.a] || used[m.b] {
			continue
		}
		taken[m.a], used[m.b] = true, true
		t.Matched++
		a, b := want[m.a], got[m.b]
		t.Error += (math.Abs(a.Start-b.Start) + math.Abs(a.End-b.End)) / 2
	}
	t.Error /= float64(max(1, t.Matched))
	return t
}

// table adds the figures of times.
func (t *Times) table(to *table, what string) {
	if t != nil {
		to.row("time error", "%.2f s", t.Error).note("mean of starts and ends of %d %s that overlap, of %d labelled and %d read", t.Matched, what, t.Labelled, t.Read)
	}
}

// WriteTable writes the score for people.
func (s *TranscribeScore) WriteTable(w io.Writer, items bool) error {
	t := &table{}
	t.row("recordings", "%d", len(s.Items)).note("%d missing, %d without a label", len(s.Missing), s.Unlabelled)
	t.percent("word error rate", s.WordErrorRate, 2).note("%d edits in %d words, case and punctuation aside", s.WordEdits, s.Words)
	t.percent("word error rate, raw", s.WordErrorRateRaw, 2).note("%d edits in %d words as they are written", s.RawWordEdits, s.RawWords)
	t.percent("character error rate", s.CharacterErrorRate, 2).note("%d edits in %d characters as they are written", s.Edits, s.Characters)
	t.percent("recordings exact", s.Exact, 1).note("every word right, case and punctuation aside")
	s.Times.table(t, "segments")
	if items {
		t.heads("recording", "word edits", "words", "raw edits", "edits", "characters")
		for _, i := range s.Items {
			t.item(i.File, 0, "%.2f", i.WordEdits, i.Words, i.RawWordEdits, i.Edits, i.Characters)
		}
	}
	t.missing("recordings", s.Missing)
	return t.write(w)
}
