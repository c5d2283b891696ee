package eval

import (
	"io"
	"maps"
	"slices"
	"strings"

	"facet/pipeline/job"
)

// CaptionScore sums up what captions tell.
type CaptionScore struct {
	Facets map[string]Facet `json:"facets"` // by the names in the labels
	All    float64          `json:"all"`    // captions with every facet right / captions
	*Times                  // nil where no label has scenes

	Items      []Told    `json:"items"`
	Missing    []Missing `json:"missing"`
	Unlabelled int       `json:"unlabelled"`
}

// Facet is how often one thing was told right, as the colour.
type Facet struct {
	Labelled int     `json:"labelled"`
	Right    int     `json:"right"`
	Share    float64 `json:"share"`
}

// Told is the score of one caption.
type Told struct {
	File  string          `json:"file"`
	Page  int             `json:"page,omitempty"`
	Right map[string]bool `json:"right"`
	*Times
}

// Caption scores the caption records of a run against labels of what they must tell. A facet is right if every entry of its words
// is in the caption, in one of its synonyms, and none of what must not be. Errors as of OCR.
func Caption(labels []Label, run Run) (*CaptionScore, error) {
	pairs, err := pair(labels, run, job.Caption.Name)
	if err != nil {
		return nil, err
	}
	s := &CaptionScore{Facets: map[string]Facet{}, Items: []Told{}, Missing: pairs.missing, Unlabelled: pairs.unlabelled}
	all := 0
	for _, p := range pairs.list {
		item := Told{File: p.label.name(), Page: p.label.Page, Right: map[string]bool{}}
		whole := !p.missing
		names := maps.Clone(p.label.Words)
		if names == nil {
			names = map[string][]Synonyms{}
		}
		maps.Copy(names, p.label.Not)
		for name := range names {
			right := !p.missing && tells(p.record, name, p.label)
			f := s.Facets[name]
			f.Labelled++
			count(&f.Right, right)
			f.Share = ratio(f.Right, f.Labelled)
			s.Facets[name] = f
			item.Right[name] = right
			whole = whole && right
		}
		if p.label.Scenes != nil {
			var read []Span
			for _, scene := range p.record.Scenes {
				read = append(read, Span{scene.Start, scene.End})
			}
			item.Times = times(p.label.Scenes, read)
			s.Times = s.Times.add(item.Times)
		}
		s.Items = append(s.Items, item)
		count(&all, whole)
	}
	s.All = ratio(all, len(s.Items))
	return s, nil
}

// tells tells whether a facet is right.
func tells(r *job.Record, name string, l Label) bool {
	text := where(r, name)
	for _, s := range l.Words[name] {
		if !slices.ContainsFunc(s, func(phrase string) bool { return says(text, Words(phrase)) }) {
			return false
		}
	}
	for _, s := range l.Not[name] {
		if slices.ContainsFunc(s, func(phrase string) bool { return says(text, Words(phrase)) }) {
			return false
		}
	}
	return true
}

// where lists the texts of a record in which a facet is looked for: those on the screen and what is said have places of their own.
func where(r *job.Record, name string) (texts [][]string) {
	add := func(s string) { texts = append(texts, Words(s)) }
	switch name {
	case "on_screen_text":
		for _, s := range r.Scenes {
			add(s.OnScreenText)
		}
		if r.Scenes != nil {
			return texts
		}
	case "speech":
		lines := []string{}
		for _, s := range r.Segments {
			lines = append(lines, s.Text)
		}
		add(strings.Join(lines, " "))
		return texts
	}
	add(r.Text)
	for _, s := range r.Scenes {
		add(s.Text)
	}
	return texts
}

// says tells whether the words of a phrase stand one behind the other in one of the texts.
func says(texts [][]string, phrase []string) bool {
	for _, text := range texts {
		for i := 0; i+len(phrase) <= len(text); i++ {
			if slices.Equal(text[i:i+len(phrase)], phrase) {
				return true
			}
		}
	}
	return false
}

// WriteTable writes the score for people.
func (s *CaptionScore) WriteTable(w io.Writer, items bool) error {
	t := &table{}
	t.row("captions", "%d", len(s.Items)).note("%d missing, %d without a label", len(s.Missing), s.Unlabelled)
	names := slices.Sorted(maps.Keys(s.Facets))
	for _, name := range names {
		f := s.Facets[name]
		t.percent(name, f.Share, 1).note("right in %d of %d", f.Right, f.Labelled)
	}
	t.percent("all of them", s.All, 1).note("captions with everything right")
	s.Times.table(t, "scenes")
	if items {
		t.heads(append([]string{"file"}, names...)...)
		for _, i := range s.Items {
			var values []any
			for _, name := range names {
				right, ok := i.Right[name]
				values = append(values, any(right))
				if !ok {
					values[len(values)-1] = "-"
				}
			}
			t.item(i.File, i.Page, "", values...)
		}
	}
	t.missing("captions", s.Missing)
	return t.write(w)
}
