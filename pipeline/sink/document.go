package sink

import (
	"fmt"
	"io"
	"slices"

	"facet/pipeline/job"
)

// About is what a document's file says once, at its beginning. Where a page was made otherwise, as with another budget, it
// stands with the page.
type About struct {
	Facet     string        // version of the program, where Effective has none
	Source    job.Source    // the document; its Page does not count
	Effective job.Effective // model, hashes, temperature and seed; with Seen, the budget of all pages
	Pages     int           // that are to come; 0 if that is not known
}

// provenance lists it as that of a record.
func (a About) provenance() [][2]string {
	p := provenance(&job.Record{Effective: a.Effective})
	return slices.DeleteFunc(p, func(p [2]string) bool { return p[0] == "finish" }) // which is of pages
}

// Document writes the pages of a document as one file, one after the other: what was written of it is not kept in memory.
// A page that failed keeps its place, without text. Not safe for concurrent use.
type Document struct {
	form  documentForm
	about [][2]string
	last  int
	end   bool
}

// documentForm is a format of documents. Pages have their numbers from 1; a remark says what is to be
// known of one.
type documentForm interface {
	begin(a About) error
	page(number int, rec *job.Record, remark string) error
	failed(number int, size [2]int, remark string) error
	finish() error
}

// DocumentFormats are the formats that take a whole document in one file:
//
//	txt   the text, after each page a form feed, as pdftotext writes it; nothing of what made it
//	md    as WritePageMarkdown writes it, before each page a comment with its number
//	alto  ALTO 4.4 with a Page for each
//	hocr  hOCR 1.2 with an ocr_page for each
var DocumentFormats = []string{"txt", "md", "alto", "hocr"}

// NewDocument begins a document in one of DocumentFormats; it panics if format is none. The caller goes on with Page and
// Failed in the order of the pages, and ends with End.
func NewDocument(w io.Writer, format string, a About) (*Document, error) {
	if a.Effective.Facet != "" { // which read it
		a.Facet = a.Effective.Facet
	}
	d := &Document{about: append(a.provenance(), [2]string{"facet", a.Facet})}
	switch format {
	case "txt":
		d.form = textDocument{w}
	case "md":
		d.form = &markdownDocument{w: w}
	case "alto":
		d.form = &altoDocument{newALTOWriter(w)}
	case "hocr":
		d.form = &hocrDocument{hocrWriter: newHOCRWriter(w), path: a.Source.Path}
	default:
		panic("sink: no document in " + format)
	}
	return d, d.form.begin(a)
}

// Page writes the next page, whose number is Source.Page of rec or else the one after the last.
func (d *Document) Page(rec *job.Record) error {
	n, err := d.next(rec.Source.Page)
	if err != nil {
		return err
	}
	var other [][2]string // than what the document begins with
	made := provenance(rec)
	if v := rec.Effective.Facet; v != "" {
		made = append(made, [2]string{"facet", v})
	}
	for _, p := range made {
		if !slices.Contains(d.about, p) && p != [2]string{"finish", string(job.FinishStop)} {
			other = append(other, p)
		}
	}
	remark := settings(other)
	for _, w := range rec.Warnings {
		if remark != "" {
			remark += "; "
		}
		remark += w
	}
	return d.form.page(n, rec, remark)
}

// Failed writes a page that could not be read in its place. Its number is that of a page, or 0 for the one
// after the last; size is its width and height in pixels, zeros if they are not known.
func (d *Document) Failed(page int, size [2]int, reason error) error {
	n, err := d.next(page)
	if err != nil {
		return err
	}
	return d.form.failed(n, size, "not read: "+reason.Error())
}

// next is the number of the next page.
func (d *Document) next(page int) (int, error) {
	if d.end {
		panic("sink: a page after the end of a document")
	}
	if page <= 0 {
		page = d.last + 1
	}
	if page <= d.last {
		return 0, fmt.Errorf("page %d comes after page %d", page, d.last)
	}
	d.last = page
	return page, nil
}

// End ends the document. One without pages is whole as well.
func (d *Document) End() error {
	d.end = true
	return d.form.finish()
}

type textDocument struct{ w io.Writer }

func (t textDocument) begin(About) error { return nil }
func (t textDocument) finish() error     { return nil }

func (t textDocument) page(_ int, rec *job.Record, _ string) error {
	if err := WriteText(t.w, rec); err != nil {
		return err
	}
	return t.failed(0, [2]int{}, "")
}

func (t textDocument) failed(int, [2]int, string) error {
	_, err := io.WriteString(t.w, "\f")
	return err
}

type markdownDocument struct{ w io.Writer }

func (m *markdownDocument) begin(a About) error {
	about := aboutSource(a.Source, a.Facet, a.provenance())
	if a.Pages > 0 {
		about = append(about, [2]string{"pages", fmt.Sprint(a.Pages)})
	}
	_, err := io.WriteString(m.w, yamlHead(about))
	return err
}

func (m *markdownDocument) page(n int, rec *job.Record, about string) error {
	return m.write(n, about, markdownText(rec))
}

func (m *markdownDocument) failed(n int, _ [2]int, about string) error { return m.write(n, about, "") }

func (m *markdownDocument) write(n int, about, text string) error {
	_, err := io.WriteString(m.w, "\n<!--"+string(pageRemark(n, about))+"-->\n"+text)
	return err
}

func (m *markdownDocument) finish() error { return nil }

// pageRemark is a comment that names the page.
func pageRemark(n int, about string) xmlComment {
	if about == "" {
		return remark("page %d", n)
	}
	return remark("page %d: %s", n, about)
}

type altoDocument struct{ *altoWriter }

func (d *altoDocument) begin(a About) error {
	return d.altoWriter.begin(a.Source, a.Facet, settings(a.provenance()))
}

func (d *altoDocument) page(n int, rec *job.Record, about string) error {
	p := newALTOPage(rec, fmt.Sprintf("_%d", n))
	p.Number = n
	return d.write(p, about)
}

func (d *altoDocument) failed(n int, size [2]int, about string) error {
	return d.write(altoPage{
		ID: fmt.Sprintf("page_%d", n), Class: "failed", Width: max(0, size[0]), Height: max(0, size[1]), Number: n,
	}, about)
}

func (d *altoDocument) write(p altoPage, about string) error {
	if about != "" {
		p.Comment = pageRemark(p.Number, about)
	}
	return d.x.Encode(p)
}

func (d *altoDocument) finish() error { return d.end() }

type hocrDocument struct {
	*hocrWriter
	path string
}

func (d *hocrDocument) begin(a About) error {
	return d.hocrWriter.begin(a.Source, a.Facet, a.Pages, a.provenance())
}

func (d *hocrDocument) page(n int, rec *job.Record, about string) error {
	return d.write(newHOCRPage(rec, n), n, about)
}

func (d *hocrDocument) failed(n int, size [2]int, about string) error {
	return d.write(newHOCRSheet(job.Box{2: max(0, size[0]), 3: max(0, size[1])}, d.path, n, n), n, about)
}

func (d *hocrDocument) write(p hocrPage, n int, about string) error {
	if about != "" {
		p.Comment = pageRemark(n, about)
	}
	return d.x.Encode(p)
}

func (d *hocrDocument) finish() error { return d.end() }
