package eval

import (
	"cmp"
	"io"
	"slices"

	"facet/pipeline/job"
)

// FoundIoU is the least overlap at which a box counts as being on a line.
const FoundIoU = 0.5

// OCRScore sums up how well pages were read. Shares are from 0 to 1; the
// error rate can be larger. The fields are those of the JSON output.
type OCRScore struct {
	Total
	CharacterErrorRate float64 `json:"character_error_rate"` // edits / characters
	LineRecall         float64 `json:"line_recall"`          // found / lines
	LinePrecision      float64 `json:"line_precision"`       // found / boxes
	MeanIoU            float64 `json:"mean_iou"`             // over the lines, each with the box that is best for it, 0 without any
	LinesExact         float64 `json:"lines_exact"`          // found with exactly their text / lines
	PagesExact         float64 `json:"pages_exact"`          // pages without an edit / pages
	JSONValid          float64 `json:"json_valid"`           // answers in the form asked for / pages

	Pages      []Page    `json:"pages"`
	Missing    []Missing `json:"missing"`    // labelled, but not in the run; counted as empty answers
	Unlabelled int       `json:"unlabelled"` // records of the job without a label; not counted
}

// Total holds counts, of one page or of all.
type Total struct {
	Characters int `json:"characters"`  // in the labels, line breaks included
	Edits      int `json:"edits"`       // EditDistance of the whole texts
	Lines      int `json:"lines"`       // in the labels
	Boxes      int `json:"boxes"`       // blocks in the records
	Found      int `json:"found"`       // lines matched with a box
	FoundExact int `json:"found_exact"` // and with the same text
}

func (t *Total) add(u Total) {
	t.Characters += u.Characters
	t.Edits += u.Edits
	t.Lines += u.Lines
	t.Boxes += u.Boxes
	t.Found += u.Found
	t.FoundExact += u.FoundExact
}

// Page is the score of one page.
type Page struct {
	File string `json:"file"`
	Page int    `json:"page,omitempty"`
	Total
	// Valid tells whether the answer came in the form asked for: its record
	// finished with "stop", which the OCR reader leaves only on a whole list of valid JSON
	// with text and four finite numbers in each entry.
	Valid bool `json:"valid"`

	iou float64 // sum over the lines of the best IoU
}

// OCR scores the ocr records of a run against the ocr labels; other jobs'
// are left out. Texts are compared as Normalize leaves them, the whole page
// at once, so that a line in the wrong place costs its characters.
//
// Lines and boxes are matched one to one: of all pairs with an IoU of at
// least FoundIoU, on the grid of 0–1000, the one with the largest is taken,
// then the next whose line and box are both free. Ties go to the earlier line
// and then box. A block without a box matches nothing and counts as one.
//
// It returns an error if no label is of this job, if two labels are for one
// page, or if two records could be a label's.
func OCR(labels []Label, run Run) (*OCRScore, error) {
	pairs, err := pair(labels, run, job.OCR.Name)
	if err != nil {
		return nil, err
	}
	s := &OCRScore{Pages: []Page{}, Missing: pairs.missing, Unlabelled: pairs.unlabelled}
	iou, exact, valid := 0.0, 0, 0
	for _, p := range pairs.list {
		page := scorePage(p.label, p.record)
		s.Pages = append(s.Pages, page)
		s.add(page.Total)
		iou += page.iou
		if page.Edits == 0 && !p.missing {
			exact++
		}
		if page.Valid {
			valid++
		}
	}
	s.CharacterErrorRate = ratio(s.Edits, s.Characters)
	s.LineRecall = ratio(s.Found, s.Lines)
	s.LinePrecision = ratio(s.Found, s.Boxes)
	s.MeanIoU = iou / float64(max(1, s.Lines))
	s.LinesExact = ratio(s.FoundExact, s.Lines)
	s.PagesExact = ratio(exact, len(s.Pages))
	s.JSONValid = ratio(valid, len(s.Pages))
	return s, nil
}

func scorePage(l Label, r *job.Record) Page {
	want, got := Normalize(l.text()), Normalize(r.Text)
	p := Page{File: l.name(), Page: l.Page, Valid: r.Finish == job.FinishStop}
	p.Characters = len([]rune(want))
	p.Edits = EditDistance(want, got)
	p.Lines, p.Boxes = len(l.Lines), len(r.Blocks)

	type pair struct {
		line, box int
		iou       float64
	}
	var pairs []pair
	for i, line := range l.Lines {
		best := 0.0
		for j, b := range r.Blocks {
			v := line.Box2D.IoU(b.Box2D)
			best = max(best, v)
			if v >= FoundIoU {
				pairs = append(pairs, pair{i, j, v})
			}
		}
		p.iou += best
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.iou, a.iou) })
	lineTaken, boxTaken := make([]bool, len(l.Lines)), make([]bool, len(r.Blocks))
	for _, m := range pairs {
		if lineTaken[m.line] || boxTaken[m.box] {
			continue
		}
		lineTaken[m.line], boxTaken[m.box] = true, true
		p.Found++
		if Normalize(l.Lines[m.line].Text) == Normalize(r.Blocks[m.box].Text) {
			p.FoundExact++
		}
	}
	return p
}

// WriteTable writes the score for people.
func (s *OCRScore) WriteTable(w io.Writer, items bool) error {
	t := &table{}
	t.row("pages", "%d", len(s.Pages)).note("%d missing, %d without a label", len(s.Missing), s.Unlabelled)
	t.percent("character error rate", s.CharacterErrorRate, 2).note("%d edits in %d characters", s.Edits, s.Characters)
	t.percent("line recall", s.LineRecall, 1).note("%d of %d lines have a box with IoU ≥ %.1f", s.Found, s.Lines, FoundIoU)
	t.percent("line precision", s.LinePrecision, 1).note("of %d boxes", s.Boxes)
	t.row("mean IoU", "%.3f", s.MeanIoU)
	t.percent("lines exact", s.LinesExact, 1).note("found, with every character right")
	t.percent("pages exact", s.PagesExact, 1)
	t.percent("JSON valid", s.JSONValid, 1)
	t.remark = "Texts are compared as Unicode NFC with single spaces and no empty lines."
	if items {
		t.heads("page", "edits", "characters", "found", "lines", "boxes", "valid")
		for _, p := range s.Pages {
			t.item(p.File, p.Page, "%d", p.Edits, p.Characters, p.Found, p.Lines, p.Boxes, p.Valid)
		}
	}
	t.missing("pages", s.Missing)
	return t.write(w)
}
