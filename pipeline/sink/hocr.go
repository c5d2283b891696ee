package sink

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"facet/pipeline/job"
)

// The elements of hOCR 1.2 that are written, as XHTML. The title of an element holds its properties.
type (
	hocrHead struct {
		XMLName xml.Name   `xml:"head"`
		Title   string     `xml:"title"`
		Meta    []hocrMeta `xml:"meta"`
	}
	hocrMeta struct {
		Equiv   string `xml:"http-equiv,attr,omitempty"`
		Name    string `xml:"name,attr,omitempty"`
		Content string `xml:"content,attr"`
	}
	hocrElement struct {
		Class string `xml:"class,attr"`
		ID    string `xml:"id,attr"`
		Dir   string `xml:"dir,attr,omitempty"`
		Title string `xml:"title,attr"`
	}
	hocrPage struct {
		XMLName xml.Name `xml:"div"`
		hocrElement
		Comment xmlComment `xml:",comment"`
		Areas   []hocrArea `xml:"div"`
	}
	hocrArea struct {
		hocrElement
		Lines []hocrLine `xml:"span"`
	}
	hocrLine struct {
		hocrElement
		Words []hocrWord `xml:"span"`
	}
	hocrWord struct {
		hocrElement
		Text string `xml:",chardata"`
	}
)

// hocrCapabilities are all elements and properties that may be in a document, as it has to say.
const hocrCapabilities = "ocr_page ocr_carea ocr_line ocrx_word ocrp_wconf ocrp_dir"

// WriteHOCR writes a page that was read as an hOCR 1.2 document in XHTML, in pixels of the upright image. Lines
// that stand close together are an ocr_carea. The boxes of words are those of their lines divided by the widths of
// letters and have the property x_estimated; a word's x_wconf, in percent, is the confidence of its line. A line without
// a box has the page's and the property x_unplaced. facet is the version
// of this program, for a record that does not say which one read the page.
func WriteHOCR(w io.Writer, rec *job.Record, facet string) error {
	h := newHOCRWriter(w)
	if err := h.begin(rec.Source, madeBy(rec, facet), 1, provenance(rec)); err != nil {
		return err
	}
	if err := h.x.Encode(newHOCRPage(rec, 1)); err != nil {
		return err
	}
	return h.end()
}

// hocrWriter writes a document page by page.
type hocrWriter struct{ xmlWriter }

func newHOCRWriter(w io.Writer) *hocrWriter { return &hocrWriter{newXMLWriter(w)} }

// begin writes the head; pages is 0 if their number is not known.
func (h *hocrWriter) begin(source job.Source, facet string, pages int, provenance [][2]string) error {
	if err := h.open(hocrDoctype, xml.StartElement{Name: xml.Name{Local: "html"}, Attr: attrs("xmlns", "http://www.w3.org/1999/xhtml")}); err != nil {
		return err
	}
	head := hocrHead{Title: PrintableLine(source.Path), Meta: []hocrMeta{
		{Equiv: "Content-Type", Content: "text/html; charset=utf-8"},
		{Name: "ocr-system", Content: "facet " + PrintableLine(facet)},
		{Name: "ocr-capabilities", Content: hocrCapabilities},
	}}
	if pages > 0 {
		head.Meta = append(head.Meta, hocrMeta{Name: "ocr-number-of-pages", Content: fmt.Sprint(pages)})
	}
	head.Meta = append(head.Meta, hocrMeta{Name: "facet-source-sha256", Content: PrintableLine(source.SHA256)})
	for _, p := range provenance {
		head.Meta = append(head.Meta, hocrMeta{Name: "facet-" + strings.ReplaceAll(p[0], "_", "-"), Content: p[1]})
	}
	if err := h.x.Encode(head); err != nil {
		return err
	}
	return h.push(xml.StartElement{Name: xml.Name{Local: "body"}})
}

// newHOCRPage is a page that was read; number is in its ids.
func newHOCRPage(rec *job.Record, number int) hocrPage {
	s := sheetOf(rec)
	page := newHOCRSheet(s.box, rec.Source.Path, max(1, rec.Source.Page), number)
	n := 0 // of the line
	for i, r := range s.regions {
		area := hocrArea{hocrElement: hocrElement{Class: "ocr_carea", ID: fmt.Sprintf("block_%d_%d", number, i+1), Title: bbox(r.box)}}
		for _, l := range r.lines {
			n++
			area.Lines = append(area.Lines, newHOCRLine(l, fmt.Sprintf("%d_%d", number, n)))
		}
		page.Areas = append(page.Areas, area)
	}
	return page
}

// newHOCRSheet is a page without text.
func newHOCRSheet(box job.Box, path string, page, number int) hocrPage {
	return hocrPage{hocrElement: hocrElement{
		Class: "ocr_page", ID: fmt.Sprintf("page_%d", number),
		Title: fmt.Sprintf("%s; image %s; ppageno %d", bbox(box), hocrString(filepath.ToSlash(path)), page-1),
	}}
}

const hocrDoctype = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">` + "\n"

func newHOCRLine(l line, number string) hocrLine {
	confidence, place := "", "; x_estimated 1"
	if l.confidence > 0 {
		// Whole numbers, since there are readers that take no others.
		confidence = fmt.Sprintf("; x_wconf %.0f", math.Round(100*l.confidence))
	}
	out := hocrLine{hocrElement: hocrElement{Class: "ocr_line", ID: "line_" + number, Title: bbox(l.box) + confidence}}
	if l.unplaced {
		place = "; x_unplaced 1"
		out.Title += place
	}
	if l.rtl {
		out.Dir = "rtl"
	}
	for i, w := range l.words {
		out.Words = append(out.Words, hocrWord{
			hocrElement{Class: "ocrx_word", ID: fmt.Sprintf("word_%s_%d", number, i+1), Title: bbox(w.box) + confidence + place}, w.text,
		})
	}
	return out
}

func bbox(b job.Box) string { return fmt.Sprintf("bbox %d %d %d %d", b[0], b[1], b[2], b[3]) }

// hocrString puts a path between quotes, which properties have no escape for: what would end it, or a property
// where a reader does not know of quotes, is written as in a URL.
func hocrString(s string) string {
	return `"` + strings.NewReplacer(`"`, "%22", ";", "%3B", "\n", "%0A", "\t", "%09").Replace(Printable(s)) + `"`
}
