package pdfium

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"facet/vision"
	"facet/vision/pdf"
)

// withText calls do with the text layer of a page and its length, which counts the spaces and line ends that PDFium adds.
func (d *document) withText(n int, do func(layer references.FPDF_TEXTPAGE, count int) error) error {
	if err := d.turn(n); err != nil {
		return err
	}
	layer, err := d.r.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: d.open()})
	if err != nil {
		return err
	}
	count, err := d.r.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: layer.TextPage})
	switch {
	case err != nil:
	case count.Count > pdf.MostCharacters:
		err = vision.UnsupportedError(fmt.Sprintf("a text layer of more than %d characters", pdf.MostCharacters))
	default:
		err = do(layer.TextPage, count.Count)
	}
	if _, e := d.r.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: layer.TextPage}); err == nil {
		err = e
	}
	return err
}

// Characters implements pdf.Source.
func (d *document) Characters(n int) (total int, err error) {
	err = d.withText(n, func(layer references.FPDF_TEXTPAGE, count int) error {
		for i := range count {
			r, err := d.character(layer, i)
			if err != nil {
				return err
			}
			if r >= 0 && !unicode.IsSpace(r) {
				total++
			}
		}
		return nil
	})
	return total, err
}

// Text implements pdf.Source.
func (d *document) Text(n int, emit func(pdf.Line) error) error {
	return d.withText(n, func(layer references.FPDF_TEXTPAGE, count int) error {
		place, err := d.place()
		if err != nil {
			return err
		}
		w := &lines{emit: emit}
		var high rune // the first half of a character of two
		for i := range count {
			r, err := d.character(layer, i)
			if err != nil {
				return err
			}
			switch {
			case utf16.IsSurrogate(r) && high == 0:
				high = r
				continue
			case high != 0:
				r = utf16.DecodeRune(high, r)
				high = 0
			}
			switch {
			case r < 0:
			case r == '\n' || r == '\r':
				err = w.endLine()
			case unicode.IsSpace(r):
				w.endWord()
			default:
				box, err := d.r.FPDFText_GetCharBox(&requests.FPDFText_GetCharBox{TextPage: layer, Index: i})
				if err != nil {
					continue // it has no place
				}
				if at, ok := place.box(box.Left, box.Bottom, box.Right, box.Top); ok {
					w.add(r, at)
				}
			}
			if err == nil && len(w.line.Words) >= mostWords {
				err = w.endLine()
			}
			if err != nil {
				return err
			}
		}
		return w.endLine()
	})
}

// mostWords is how many words a line may have, so that it fits into a message; what is longer is cut.
const mostWords = 1000

// What PDFium gives for a hyphen that parts a word at the end of a line, and for what is no character.
const (
	lineHyphen   = 0x02
	noncharacter = 0xfffe
)

// character returns a character, −1 for what is none.
func (d *document) character(layer references.FPDF_TEXTPAGE, i int) (rune, error) {
	c, err := d.r.FPDFText_GetUnicode(&requests.FPDFText_GetUnicode{TextPage: layer, Index: i})
	if err != nil {
		return -1, err
	}
	switch r := rune(c.Unicode); {
	case r == lineHyphen:
		return '-', nil
	case r == 0: // something is drawn there, but nobody knows what it means
		return unicode.ReplacementChar, nil
	case r == '\n' || r == '\r' || r == '\t':
		return r, nil
	case r < ' ' || r == noncharacter || r > unicode.MaxRune:
		return -1, nil
	default:
		wrong, err := d.r.FPDFText_HasUnicodeMapError(&requests.FPDFText_HasUnicodeMapError{TextPage: layer, Index: i})
		if err == nil && wrong.HasUnicodeMapError {
			return unicode.ReplacementChar, nil
		}
		return r, nil
	}
}

// lines puts characters together.
type lines struct {
	emit  func(pdf.Line) error
	line  pdf.Line
	word  strings.Builder
	wordB pdf.Box
}

func (w *lines) add(r rune, at pdf.Box) {
	w.word.WriteRune(r)
	w.wordB = w.wordB.Union(at)
}

func (w *lines) endWord() {
	if w.word.Len() == 0 {
		return
	}
	w.line.Words = append(w.line.Words, pdf.Word{Text: w.word.String(), Box: w.wordB})
	w.line.Box = w.line.Box.Union(w.wordB)
	w.word.Reset()
	w.wordB = pdf.Box{}
}

func (w *lines) endLine() error {
	w.endWord()
	if len(w.line.Words) == 0 {
		return nil
	}
	texts := make([]string, len(w.line.Words))
	for i, word := range w.line.Words {
		texts[i] = word.Text
	}
	w.line.Text = strings.Join(texts, " ")
	line := w.line
	w.line = pdf.Line{}
	return w.emit(line)
}

// A placement turns the coordinates of a page, from its lower left corner up, into those of the upright page.
type placement struct {
	left, top     float64
	width, height float64 // before it is turned
	turns         int     // quarter turns, clockwise
	sx, sy        float64 // points of the upright page for a unit
	page          pdf.Box // the upright page
}

func (d *document) place() (p placement, err error) {
	box, err := d.r.FPDF_GetPageBoundingBox(&requests.FPDF_GetPageBoundingBox{Page: d.open()})
	if err != nil {
		return p, err
	}
	turned, err := d.r.FPDFPage_GetRotation(&requests.FPDFPage_GetRotation{Page: d.open()})
	if err != nil {
		return p, err
	}
	w, err := d.r.FPDF_GetPageWidthF(&requests.FPDF_GetPageWidthF{Page: d.open()})
	if err != nil {
		return p, err
	}
	h, err := d.r.FPDF_GetPageHeightF(&requests.FPDF_GetPageHeightF{Page: d.open()})
	if err != nil {
		return p, err
	}
	r := box.Rect
	p = placement{
		left: float64(r.Left), top: float64(r.Top),
		width: float64(r.Right - r.Left), height: float64(r.Top - r.Bottom),
		turns: int(turned.PageRotation) & 3,
		page:  pdf.Box{X1: points(w.PageWidth), Y1: points(h.PageHeight)},
	}
	if !(p.width > 0 && p.height > 0) {
		return p, vision.FormatError("this page has no size")
	}
	p.sx, p.sy = p.page.X1/p.width, p.page.Y1/p.height
	if p.turns%2 == 1 {
		p.sx, p.sy = p.page.X1/p.height, p.page.Y1/p.width
	}
	return p, nil
}

// box places a box, as far as it lies on the page; ok is false if nothing of it does.
func (p placement) box(left, bottom, right, top float64) (b pdf.Box, ok bool) {
	x0, y0 := p.point(left, top)
	x1, y1 := p.point(right, bottom)
	b = pdf.Box{
		X0: max(min(x0, x1), 0), Y0: max(min(y0, y1), 0),
		X1: min(max(x0, x1), p.page.X1), Y1: min(max(y0, y1), p.page.Y1),
	}
	return b, b.X0 <= b.X1 && b.Y0 <= b.Y1
}

func (p placement) point(x, y float64) (float64, float64) {
	u, v := x-p.left, p.top-y
	switch p.turns {
	case 1:
		u, v = p.height-v, u
	case 2:
		u, v = p.width-u, p.height-v
	case 3:
		u, v = v, p.width-u
	}
	return u * p.sx, v * p.sy
}
