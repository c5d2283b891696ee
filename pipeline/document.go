package pipeline

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/still"
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
	pdf   *pdf.Document  // or
	still *still.Picture // an image of several pages
	mu    sync.Mutex     // of still, which answers one at a time

	path  string // of the item
	image bool   // it is an image, in pdf as well
	sum   [32]byte
	size  int64
	users atomic.Int32
}

// openDocument opens a document for one user. Errors do not name the path.
func openDocument(ctx context.Context, item source.Item, p *Pipeline) (*document, error) {
	if head, err := source.Head(item.File); err == nil && imageOfPages(vision.Sniff(head)) {
		picture, err := p.Stills.Open(ctx, item.File)
		if err != nil {
			return nil, Unnamed(err, item.File)
		}
		d := &document{still: picture, image: true, path: item.Path, sum: picture.SHA256(), size: picture.Bytes()}
		d.users.Store(1)
		return d, nil
	}
	return openPDF(ctx, item, p.Documents.Options)
}

// imageOfPages reports whether images of this type may have several pages.
func imageOfPages(mediaType string) bool {
	return mediaType == "image/tiff" || mediaType == "image/gif"
}

func openPDF(ctx context.Context, item source.Item, o pdf.Options) (*document, error) {
	doc, err := pdf.Open(ctx, item.File, o)
	if err != nil {
		return nil, unnamedPDF(err, item.File)
	}
	head, _ := source.Head(item.File) // or the hash tells what is wrong
	d := &document{pdf: doc, path: item.Path, image: vision.Sniff(head) == jpeg2000}
	d.users.Store(1)
	if d.sum, d.size, err = doc.SHA256(ctx); err != nil {
		d.release()
		return nil, unnamedPDF(err, item.File)
	}
	return d, nil
}

// single reports whether it is an image of one page, which has no number then.
func (d *document) single() bool { return d.image && d.Pages() == 1 }

// Pages returns the number of pages.
func (d *document) Pages() int {
	if d.still != nil {
		return d.still.Pages()
	}
	return d.pdf.Pages()
}

// Changed reports whether the file is not as it was when it was opened.
func (d *document) Changed() bool {
	if d.still != nil {
		return d.still.Changed()
	}
	return d.pdf.Changed()
}

// release takes a user away. A nil document has none.
func (d *document) release() {
	switch {
	case d == nil || d.users.Add(-1) > 0:
	case d.still != nil:
		d.still.Close()
	default:
		d.pdf.Close()
	}
}

// page sends the one part of a page.
func (r *run) page(ctx context.Context, w *work, e entry, send sender) error {
	doc := e.doc
	w.record.Source.SHA256, w.record.Source.Bytes, w.record.Source.Page = hex.EncodeToString(doc.sum[:]), doc.size, e.item.Page
	if err := w.identify(e.item, doc.sum, doc.size); err != nil {
		return err
	}
	if twin, err := r.isTwin(w, doc.sum, send); twin || err != nil {
		return err
	}
	if doc.still != nil {
		return r.frame(ctx, w, e, send)
	}
	if w.options.SkipTextLayer && !doc.image {
		if done, err := r.textLayer(ctx, w, doc, e.item.Page, send); done || err != nil {
			return unnamedPage(err, e.item)
		}
	}
	img, sheet, budget, err := r.draw(ctx, doc, max(1, e.item.Page), w.plan.Budget, w.options.DPI)
	if err != nil {
		return unnamedPage(err, e.item)
	}
	if doc.Changed() {
		return errChanging
	}
	if !doc.image {
		w.record.Effective.Sheet = sheet
	}
	return r.see(w, img, budget, send)
}

// draw draws a page within a budget of soft tokens, or 0 for the one that its size asks for, at a resolution, or 0
// for the one that suits.
func (r *run) draw(ctx context.Context, doc *document, number, budget, dpi int) (*vision.Image, *job.Sheet, int, error) {
	page, err := doc.pdf.Page(ctx, number)
	if err != nil {
		return nil, nil, 0, err
	}
	s := r.scale(page, budget, dpi)
	start := time.Now()
	img, err := doc.pdf.Render(ctx, number, s.width, s.height)
	r.out.meters.decode.since(start)
	return img, s.sheet(page), s.budget, err
}

// frame sends the one part of a page of an image that has several.
func (r *run) frame(ctx context.Context, w *work, e entry, send sender) error {
	e.doc.mu.Lock()
	start := time.Now()
	img, err := e.doc.still.Page(ctx, max(1, e.item.Page))
	r.out.meters.decode.since(start)
	e.doc.mu.Unlock()
	switch {
	case err != nil:
		return Unnamed(err, e.item.File)
	case e.doc.Changed():
		return errChanging
	}
	return r.see(w, img, w.plan.Budget, send)
}

var errChanging = errors.New("the file has changed while it was read")

// scale is how large a page is drawn.
type scale struct {
	width, height int     // pixels
	dpi           float64 // before sides are rounded to pixels
	budget        int     // 0 if the image decides
}

// sheet is what a record says of a page that is drawn so.
func (s scale) sheet(page pdf.Page) *job.Sheet {
	return &job.Sheet{DPI: math.Round(s.dpi*100) / 100, PagePoints: [2]float64{page.Width, page.Height}}
}

// The resolutions of pages that are drawn and not scanned. Letters of 8 points are 17 pixels high at usualDPI, which is what
// decides the budget where nobody does; at mostDPI they are 33, and no model reads better for more.
const (
	usualDPI = 150
	mostDPI  = 300
)

// scale decides how large a page is drawn: as the user says, as large as the picture that fills it, or as large as the budget can
// use.
func (r *run) scale(page pdf.Page, budget, dpi int) scale {
	s := scale{budget: budget, dpi: float64(dpi)}
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

// textLayer takes the text of a page from the document, if it has some that can be read.
func (r *run) textLayer(ctx context.Context, w *work, doc *document, number int, send sender) (done bool, err error) {
	if n, err := doc.pdf.Characters(ctx, number); err != nil || n == 0 {
		return false, err
	}
	lines, err := doc.pdf.Text(ctx, number)
	if err != nil {
		return false, err
	}
	page, err := doc.pdf.Page(ctx, number)
	if err != nil {
		return false, err
	}
	s := r.scale(page, w.plan.Budget, w.options.DPI)
	rec := &w.record
	var text []string
	rec.Blocks = []job.Block{}
	unknown, all := 0, 0
	for _, line := range lines {
		text = append(text, line.Text)
		all += utf8.RuneCountInString(line.Text)
		unknown += strings.Count(line.Text, "\uFFFD")
		b := line.Box.Scale(page, s.width, s.height)
		rec.Blocks = append(rec.Blocks, job.Block{Text: line.Text, Box: boxAround(b.X0, b.Y0, b.X1, b.Y1, s.width, s.height)})
	}
	if 10*unknown > all || all == 0 { // letters that the file does not name: the page tells more
		rec.Blocks = nil
		return false, nil
	}
	blank := false
	rec.Text, rec.TextLayer, rec.Blank = strings.Join(text, "\n"), true, &blank
	rec.Finish, rec.Attempts = job.FinishStop, 0
	rec.Effective.Seen = &job.Seen{SizeOriginal: [2]int{s.width, s.height}}
	rec.Effective.Sheet = s.sheet(page)
	send(&part{last: true, read: true})
	return true, nil
}

// boxAround is the smallest box of whole pixels around one, as far as it is in an image.
func boxAround(x0, y0, x1, y1 float64, width, height int) job.Box {
	left, top := max(0, int(math.Floor(x0))), max(0, int(math.Floor(y0)))
	return job.Box{left, top, max(left+1, min(width, int(math.Ceil(x1)))), max(top+1, min(height, int(math.Ceil(y1))))}
}

// unnamedPDF takes the path out of an error's text, and the kind of file, since both are named already.
func unnamedPDF(err error, path string) error {
	if err == nil {
		return nil
	}
	err = Unnamed(err, path)
	if text, ok := strings.CutPrefix(err.Error(), "pdf: "); ok {
		return errors.New(text)
	}
	return err
}

// unnamedPage takes the page out as well.
func unnamedPage(err error, item source.Item) error {
	if err == nil {
		return nil
	}
	err = unnamedPDF(err, item.File)
	if text, ok := strings.CutPrefix(err.Error(), fmt.Sprintf("page %d: ", item.Page)); ok {
		return errors.New(text)
	}
	return err
}

// redraw draws a page once more, as large as its record says.
func (o *Output) redraw(ctx context.Context, item source.Item, rec *job.Record) (*vision.Image, error) {
	if o.doc == nil || o.doc.path != item.Path || o.doc.Changed() {
		o.doc.release()
		var err error
		if o.doc, err = openPDF(ctx, item, o.Documents.Options); err != nil {
			return nil, err
		}
	}
	if hex.EncodeToString(o.doc.sum[:]) != rec.Source.SHA256 {
		return nil, errChanged
	}
	size := rec.Effective.SizeOriginal
	if turnOf(rec)%180 != 0 {
		size[0], size[1] = size[1], size[0]
	}
	img, err := o.doc.pdf.Render(ctx, max(1, rec.Source.Page), size[0], size[1])
	if err != nil {
		return nil, unnamedPDF(err, item.File)
	}
	return img, nil
}
