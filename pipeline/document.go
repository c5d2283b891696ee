package pipeline

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"facet/pipeline/job"
	"facet/vision"
	"facet/vision/pdf"
)

// Documents say how documents are read.
type Documents struct {
	pdf.Options
	Pages Pages // that are read of a document that is named as a whole; none: all
}

// Pages is a choice of pages: ranges, both ends included, counted from 1. One that is open ends with math.MaxInt.
type Pages [][2]int

// ParsePages reads a choice as people write it: "1-3,7,20-".
func ParsePages(s string) (Pages, error) {
	var p Pages
	for part := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && ranged {
			if to = math.MaxInt; last != "" {
				to, err = strconv.Atoi(last)
			}
		}
		if err != nil || from < 1 || to < from {
			return nil, fmt.Errorf("pages %q: want numbers and ranges from 1 on, as in 1-3,7,20-", s)
		}
		p = append(p, [2]int{from, to})
	}
	return p, nil
}

// of lists the chosen pages of a document of n, each once and in their order.
func (p Pages) of(n int) []int {
	var pages []int
	for page := 1; page <= n; page++ {
		if len(p) == 0 || slices.ContainsFunc(p, func(r [2]int) bool { return r[0] <= page && page <= r[1] }) {
			pages = append(pages, page)
		}
	}
	return pages
}

// document is an open document that several items share. It is closed by the last.
type document struct {
	*pdf.Document
	path  string
	sum   [32]byte
	size  int64
	users atomic.Int32
}

// openDocument opens a document for one user. Errors do not name the path.
func openDocument(ctx context.Context, path string, o pdf.Options) (*document, error) {
	doc, err := pdf.Open(ctx, path, o)
	if err != nil {
		return nil, unnamedPDF(err, path)
	}
	d := &document{Document: doc, path: path}
	d.users.Store(1)
	if d.sum, d.size, err = doc.SHA256(ctx); err != nil {
		d.release()
		return nil, unnamedPDF(err, path)
	}
	return d, nil
}

// release takes a user away. A nil document has none.
func (d *document) release() {
	if d != nil && d.users.Add(-1) == 0 {
		d.Close()
	}
}

// entry is an item whose turn has come.
type entry struct {
	index int
	item  Item
	head  []byte    // of its file; nil if that could not be read
	doc   *document // of a page, with the entry as its user
	err   error     // why it cannot be prepared
}

// list gives out the items in their order, and for a document its pages. A document is opened when its turn comes, and once for
// all its pages that follow each other.
func (r *run) list(ctx context.Context, to chan<- entry) {
	var doc *document
	defer func() { doc.release() }()
	index := 0
	give := func(e entry) bool {
		e.index = index
		index++
		if e.doc != nil {
			e.doc.users.Add(1)
		}
		if r.order.admit(ctx) {
			select {
			case to <- e:
				return true
			case <-ctx.Done():
			}
		}
		e.doc.release()
		return false
	}
	for _, item := range r.items {
		head, _ := readHead(item.Path) // an error is told when the item is prepared
		if !r.isDocument(item, head) {
			if !give(entry{item: item, head: head}) {
				return
			}
			continue
		}
		if doc == nil || doc.path != item.Path {
			doc.release()
			var err error
			if doc, err = openDocument(ctx, item.Path, r.Documents.Options); err != nil {
				if !give(entry{item: item, err: err}) {
					return
				}
				continue
			}
		}
		if item.Page > 0 {
			if !give(entry{item: item, doc: doc}) {
				return
			}
			continue
		}
		pages := r.Documents.Pages.of(doc.Pages())
		if len(pages) == 0 {
			if !give(entry{item: item, err: fmt.Errorf("none of the chosen pages is there: the document has %d", doc.Pages())}) {
				return
			}
			continue
		}
		r.pages.Add(int64(len(pages) - 1))
		for _, n := range pages {
			page := item
			page.Page, page.ID = n, ""
			e := entry{item: page, doc: doc}
			if id := job.ID(doc.sum, 0); item.ID != "" && item.ID != id {
				e.err = meansAnother(item.ID, id)
			}
			if !give(e) {
				return
			}
		}
	}
}

// isDocument reports whether an item is, or is called, a document that this job reads. head
// is nil if its file cannot be read.
func (r *run) isDocument(item Item, head []byte) bool {
	if head == nil || !slices.Contains(r.Job.Media, job.Image) || item.Job != "" && item.Job != r.Job.Name {
		return false
	}
	kind := vision.Sniff(head)
	return kind == documentType || kind == "" && strings.EqualFold(filepath.Ext(item.Path), ".pdf")
}

const documentType = "application/pdf"

// page sends the one part of a page.
func (r *run) page(ctx context.Context, w *work, e entry, send sender) error {
	w.record.Source.SHA256, w.record.Source.Bytes, w.record.Source.Page = hex.EncodeToString(e.doc.sum[:]), e.doc.size, e.item.Page
	if err := w.identify(e.item, e.doc.sum, e.doc.size); err != nil {
		return err
	}
	page, err := e.doc.Page(ctx, e.item.Page)
	if err != nil {
		return unnamedPage(err, e.item)
	}
	s := r.scale(page, w)
	img, err := e.doc.Render(ctx, e.item.Page, s.width, s.height)
	if err != nil {
		return unnamedPage(err, e.item)
	}
	if e.doc.Changed() {
		return errors.New("the file has changed while it was read")
	}
	w.record.Effective.Sheet = &job.Sheet{
		DPI:        math.Round(s.dpi*100) / 100,
		PagePoints: [2]float64{page.Width, page.Height},
	}
	return r.see(w, img, s.budget, send)
}

// scale is how large a page is drawn.
type scale struct {
	width, height int     // pixels
	dpi           float64 // before sides are rounded to pixels
	budget        int     // 0 if the image decides
}

// The resolutions of pages that are drawn and not scanned. Letters of 8 points are 17 pixels high at usualDPI, which is what
// decides the budget where nobody does; at mostDPI they are 33, and no model reads better for more.
const (
	usualDPI = 150
	mostDPI  = 300
)

// scale decides how large a page is drawn: as the user says, as large as the picture that fills it, or as large as the budget can
// use.
func (r *run) scale(page pdf.Page, w *work) scale {
	s := scale{budget: w.plan.Budget, dpi: float64(w.options.DPI)}
	if s.dpi == 0 {
		limit := cmp.Or(r.Documents.Limits.Pixels, pdf.DefaultLimits.Pixels)
		if p := page.Picture; p[0] > 0 && int64(p[0])*int64(p[1]) <= limit {
			s.width, s.height, s.dpi = p[0], p[1], page.DPI(p[0], p[1])
			return s
		}
		if s.budget == 0 {
			width, height := page.At(usualDPI)
			s.budget = r.specs.vision.AutoBudget(width, height, leastBudget, mostBudget, sharpness)
		}
		side := int64(r.specs.vision.PatchSize * r.specs.vision.PoolingKernelSize) // of a soft token
		if s.dpi = page.Fit(int64(s.budget)*side*side, mostDPI); s.dpi > 10 {
			s.dpi = math.Ceil(s.dpi) // a number for people, at a percent or two of size
		}
	}
	s.width, s.height = page.At(s.dpi)
	return s
}

// unnamedPDF takes the path out of an error's text, and the kind of file, since both are named already.
func unnamedPDF(err error, path string) error {
	err = Unnamed(err, path)
	if text, ok := strings.CutPrefix(err.Error(), "pdf: "); ok {
		return errors.New(text)
	}
	return err
}

// unnamedPage takes the page out as well.
func unnamedPage(err error, item Item) error {
	err = unnamedPDF(err, item.Path)
	if text, ok := strings.CutPrefix(err.Error(), fmt.Sprintf("page %d: ", item.Page)); ok {
		return errors.New(text)
	}
	return err
}

// redraw draws a page once more, as large as its record says.
func (o *Output) redraw(rec *job.Record) (*vision.Image, error) {
	ctx := context.Background() // what is written is finished, whatever ends the run
	if o.doc == nil || o.doc.path != rec.Source.Path {
		o.doc.release()
		var err error
		if o.doc, err = openDocument(ctx, rec.Source.Path, o.Documents.Options); err != nil {
			return nil, err
		}
	}
	if hex.EncodeToString(o.doc.sum[:]) != rec.Source.SHA256 {
		return nil, errChanged
	}
	size := rec.Effective.SizeOriginal
	img, err := o.doc.Render(ctx, rec.Source.Page, size[0], size[1])
	if err != nil {
		return nil, unnamedPDF(err, rec.Source.Path)
	}
	return img, nil
}
