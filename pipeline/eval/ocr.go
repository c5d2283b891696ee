package eval

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"facet/pipeline/job"
	"facet/pipeline/sink"
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

// Missing is a page without a record.
type Missing struct {
	File  string `json:"file"`
	Page  int    `json:"page,omitempty"`
	Error string `json:"error,omitempty"` // of the run, if it tried
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
	s := &OCRScore{Pages: []Page{}, Missing: []Missing{}}
	records := newIndex(run.Records, func(r *job.Record) (string, int, bool) {
		return r.Source.Path, r.Source.Page, r.Job == job.OCR.Name
	})
	failures := newIndex(run.Errors, func(e *job.ErrorRecord) (string, int, bool) { return e.Path, e.Page, true })
	nothing := new(job.Record) // stands for each record that is missing
	used := map[*job.Record]string{}
	iou, exact, valid := 0.0, 0, 0
	for _, l := range labels {
		if l.Task != "" && l.Task != job.OCR.Name {
			continue
		}
		r, err := records.find(l)
		if err != nil {
			return nil, err
		}
		if r == nil {
			m := Missing{File: l.File, Page: l.Page}
			if e, _ := failures.find(l); e != nil {
				m.Error = e.Error
			}
			s.Missing = append(s.Missing, m)
			r = nothing
		} else if other, ok := used[r]; ok {
			return nil, fmt.Errorf("labels %s and %s are both for %s", other, l.File, r.Source.Path)
		} else {
			used[r] = l.File
		}
		p := scorePage(l, r)
		s.Pages = append(s.Pages, p)
		s.add(p.Total)
		iou += p.iou
		if p.Edits == 0 && r != nothing {
			exact++
		}
		if p.Valid {
			valid++
		}
	}
	if len(s.Pages) == 0 {
		return nil, fmt.Errorf("no label is for the job %s", job.OCR.Name)
	}
	s.Unlabelled = records.n - len(used)
	s.CharacterErrorRate = ratio(s.Edits, s.Characters)
	s.LineRecall = ratio(s.Found, s.Lines)
	s.LinePrecision = ratio(s.Found, s.Boxes)
	s.MeanIoU = iou / float64(max(1, s.Lines))
	s.LinesExact = ratio(s.FoundExact, s.Lines)
	s.PagesExact = ratio(exact, len(s.Pages))
	s.JSONValid = ratio(valid, len(s.Pages))
	return s, nil
}

func ratio(a, b int) float64 { return float64(a) / float64(max(1, b)) }

func scorePage(l Label, r *job.Record) Page {
	want, got := Normalize(l.text()), Normalize(r.Text)
	p := Page{File: l.File, Page: l.Page, Valid: r.Finish == job.FinishStop}
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

// index finds what belongs to a label among things with a path and a page.
type index[T any] struct {
	items  []T
	key    func(*T) (path string, page int, ok bool)
	byBase map[string][]int // last part of the path → places in items
	n      int              // how many are ok
}

func newIndex[T any](items []T, key func(*T) (string, int, bool)) *index[T] {
	x := &index[T]{items: items, key: key, byBase: map[string][]int{}}
	for i := range items {
		if p, _, ok := key(&items[i]); ok {
			base := path.Base(filepath.ToSlash(p))
			x.byBase[base] = append(x.byBase[base], i)
			x.n++
		}
	}
	return x
}

// find returns the item whose path is the label's file or ends with it, nil
// if there is none, and an error if there are several.
func (x *index[T]) find(l Label) (*T, error) {
	file := path.Clean(filepath.ToSlash(l.File))
	var found *T
	var foundPath string
	for _, i := range x.byBase[path.Base(file)] {
		item := &x.items[i]
		p, page, _ := x.key(item)
		full := path.Clean(filepath.ToSlash(p))
		if page != l.Page || full != file && !strings.HasSuffix(full, "/"+file) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("label %s could be for %s or %s", l.File, foundPath, p)
		}
		found, foundPath = item, p
	}
	return found, nil
}

// maxNamed is how many missing pages WriteTable names; the JSON output has all.
const maxNamed = 20

// WriteTable writes the score for people.
func (s *OCRScore) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "pages\t%d\t%d missing, %d without a label\n", len(s.Pages), len(s.Missing), s.Unlabelled)
	fmt.Fprintf(t, "character error rate\t%.2f %%\t%d edits in %d characters\n", 100*s.CharacterErrorRate, s.Edits, s.Characters)
	fmt.Fprintf(t, "line recall\t%.1f %%\t%d of %d lines have a box with IoU ≥ %.1f\n", 100*s.LineRecall, s.Found, s.Lines, FoundIoU)
	fmt.Fprintf(t, "line precision\t%.1f %%\tof %d boxes\n", 100*s.LinePrecision, s.Boxes)
	fmt.Fprintf(t, "mean IoU\t%.3f\n", s.MeanIoU)
	fmt.Fprintf(t, "lines exact\t%.1f %%\tfound, with every character right\n", 100*s.LinesExact)
	fmt.Fprintf(t, "pages exact\t%.1f %%\n", 100*s.PagesExact)
	fmt.Fprintf(t, "JSON valid\t%.1f %%\n", 100*s.JSONValid)
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\nTexts are compared as Unicode NFC with single spaces and no empty lines.\n")
	if len(s.Missing) > 0 {
		b.WriteString("Missing pages, counted as empty answers:\n")
	}
	for _, m := range s.Missing[:min(maxNamed, len(s.Missing))] {
		fmt.Fprintf(&b, "  %s", sink.PrintableLine(m.File))
		if m.Page > 0 {
			fmt.Fprintf(&b, " page %d", m.Page)
		}
		if m.Error != "" {
			fmt.Fprintf(&b, ": %s", sink.PrintableLine(m.Error))
		}
		b.WriteByte('\n')
	}
	if more := len(s.Missing) - maxNamed; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
