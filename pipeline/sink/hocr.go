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
	hocr struct {
		XMLName   xml.Name   `xml:"html"`
		Namespace string     `xml:"xmlns,attr"`
		Title     string     `xml:"head>title"`
		Meta      []hocrMeta `xml:"head>meta"`
		Page      hocrPage   `xml:"body>div"`
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
		hocrElement
		Areas []hocrArea `xml:"div"`
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
// a box has the page's and the property x_unplaced. facet is the version of the program that read the page.
func WriteHOCR(w io.Writer, rec *job.Record, facet string) error {
	s := sheetOf(rec)
	h := hocr{
		Namespace: "http://www.w3.org/1999/xhtml",
		Title:     PrintableLine(rec.Source.Path),
		Meta: []hocrMeta{
			{Equiv: "Content-Type", Content: "text/html; charset=utf-8"},
			{Name: "ocr-system", Content: "facet " + PrintableLine(facet)},
			{Name: "ocr-capabilities", Content: hocrCapabilities},
			{Name: "ocr-number-of-pages", Content: "1"},
			{Name: "facet-source-sha256", Content: PrintableLine(rec.Source.SHA256)},
		},
		Page: hocrPage{hocrElement: hocrElement{
			Class: "ocr_page", ID: "page_1",
			Title: fmt.Sprintf("%s; image %s; ppageno %d", bbox(s.box), hocrString(filepath.ToSlash(rec.Source.Path)), max(1, rec.Source.Page)-1),
		}},
	}
	for _, p := range provenance(rec) {
		h.Meta = append(h.Meta, hocrMeta{Name: "facet-" + strings.ReplaceAll(p[0], "_", "-"), Content: p[1]})
	}
	n := 0 // of the line
	for i, r := range s.regions {
		area := hocrArea{hocrElement: hocrElement{Class: "ocr_carea", ID: fmt.Sprintf("block_1_%d", i+1), Title: bbox(r.box)}}
		for _, l := range r.lines {
			n++
			area.Lines = append(area.Lines, newHOCRLine(l, n))
		}
		h.Page.Areas = append(h.Page.Areas, area)
	}
	return writeXML(w, hocrDoctype, h)
}

const hocrDoctype = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">` + "\n"

func newHOCRLine(l line, n int) hocrLine {
	confidence, place := "", "; x_estimated 1"
	if l.confidence > 0 {
		// Whole numbers, since there are readers that take no others.
		confidence = fmt.Sprintf("; x_wconf %.0f", math.Round(100*l.confidence))
	}
	out := hocrLine{hocrElement: hocrElement{Class: "ocr_line", ID: fmt.Sprintf("line_1_%d", n), Title: bbox(l.box) + confidence}}
	if l.unplaced {
		place = "; x_unplaced 1"
		out.Title += place
	}
	if l.rtl {
		out.Dir = "rtl"
	}
	for i, w := range l.words {
		out.Words = append(out.Words, hocrWord{
			hocrElement{Class: "ocrx_word", ID: fmt.Sprintf("word_1_%d_%d", n, i+1), Title: bbox(w.box) + confidence + place}, w.text,
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
