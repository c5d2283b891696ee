package eval

import (
	"fmt"
	"io"

	"facet/pipeline/job"
)

// LocateScore sums up how well elements were located. Shares are from 0 to 1.
type LocateScore struct {
	Present   int     `json:"present"`    // labels with a place
	Absent    int     `json:"absent"`     // labels without one
	BoxAt50   float64 `json:"box"`        // share of the present with an IoU of at least FoundIoU
	Point     float64 `json:"point"`      // share of the present whose click point is in the labelled box
	Found     float64 `json:"found"`      // share of the present with both
	Empty     float64 `json:"empty"`      // share of the absent that were answered by an empty list
	MeanIoU   float64 `json:"mean_iou"`   // over the present, 0 where nothing was found
	JSONValid float64 `json:"json_valid"` // share of all whose records ended with stop: answers in the form asked for

	Items      []Located `json:"items"`
	Missing    []Missing `json:"missing"`
	Unlabelled int       `json:"unlabelled"`
}

// Located is the score of one question.
type Located struct {
	File    string  `json:"file"`
	Page    int     `json:"page,omitempty"`
	Find    string  `json:"find,omitempty"`
	Present bool    `json:"present"`
	IoU     float64 `json:"iou"`   // of the first element of the answer, with the labelled place that it fits best
	Point   bool    `json:"point"` // of the same element, in any labelled place
	Empty   bool    `json:"empty"` // the answer is an empty list
	Valid   bool    `json:"valid"`
}

// Locate scores the locate records of a run against labels of what was to be found. The first element of an answer counts, which
// a program would click. Errors as of OCR, and if a label does not say which of several questions it is about.
func Locate(labels []Label, run Run) (*LocateScore, error) {
	pairs, err := pair(labels, run, job.Locate.Name)
	if err != nil {
		return nil, err
	}
	s := &LocateScore{Items: []Located{}, Missing: pairs.missing, Unlabelled: pairs.unlabelled}
	box, point, found, empty, valid, iou := 0, 0, 0, 0, 0, 0.0
	for _, p := range pairs.list {
		if n := len(p.record.Effective.Find); p.label.Find == "" && n > 1 {
			return nil, fmt.Errorf("label %s has no find, and its record has %d questions", p.label.name(), n)
		}
		item := scoreLocated(p.label, p.record)
		s.Items = append(s.Items, item)
		count(&valid, item.Valid)
		if !item.Present {
			s.Absent++
			count(&empty, item.Empty)
			continue
		}
		s.Present++
		iou += item.IoU
		count(&box, item.IoU >= FoundIoU)
		count(&point, item.Point)
		count(&found, item.IoU >= FoundIoU && item.Point)
	}
	s.BoxAt50, s.Point, s.Found = ratio(box, s.Present), ratio(point, s.Present), ratio(found, s.Present)
	s.Empty = ratio(empty, s.Absent)
	s.MeanIoU = iou / float64(max(1, s.Present))
	s.JSONValid = ratio(valid, len(s.Items))
	return s, nil
}

func count(n *int, yes bool) {
	if yes {
		*n++
	}
}

// scoreLocated scores the answer to one question. The point is the middle of the box on the model's grid, as far as it is
// on the image.
func scoreLocated(l Label, r *job.Record) Located {
	item := Located{File: l.name(), Page: l.Page, Find: l.Find, Present: len(l.Lines) > 0, Valid: r.Finish == job.FinishStop}
	var answer []job.Element
	for _, e := range r.Elements {
		if l.Find == "" || e.Find == l.Find {
			answer = append(answer, e)
		}
	}
	if len(answer) == 0 {
		item.Empty = item.Valid
		return item
	}
	b := answer[0].Box2D
	y, x := (max(0, b[0])+min(1000, b[2]))/2, (max(0, b[1])+min(1000, b[3]))/2
	for _, line := range l.Lines {
		item.IoU = max(item.IoU, line.Box2D.IoU(b))
		if line.Box2D[0] <= y && y <= line.Box2D[2] && line.Box2D[1] <= x && x <= line.Box2D[3] {
			item.Point = true
		}
	}
	return item
}

// WriteTable writes the score for people.
func (s *LocateScore) WriteTable(w io.Writer, items bool) error {
	t := &table{}
	t.row("questions", "%d", len(s.Items)).note("%d missing, %d records without a label", len(s.Missing), s.Unlabelled)
	t.percent("found", s.Found, 1).note("of %d present: IoU ≥ %.1f and the click point inside", s.Present, FoundIoU)
	t.percent("box", s.BoxAt50, 1).note("IoU ≥ %.1f", FoundIoU)
	t.percent("point", s.Point, 1).note("the click point is in the labelled box")
	t.row("mean IoU", "%.3f", s.MeanIoU)
	if s.Absent > 0 {
		t.percent("absent, answered []", s.Empty, 1).note("of %d absent", s.Absent)
	}
	t.percent("JSON valid", s.JSONValid, 1).note("answers in the form asked for")
	if items {
		t.heads("image", "find", "present", "IoU", "point", "empty", "valid")
		for _, i := range s.Items {
			t.item(i.File, i.Page, "%.3f", i.Find, i.Present, i.IoU, i.Point, i.Empty, i.Valid)
		}
	}
	t.missing("answers", s.Missing)
	return t.write(w)
}
