package pdfium

import (
	"errors"
	"math"
	"os"

	"github.com/klippa-app/go-pdfium/enums"
	pdfium_errors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/structs"

	"facet/vision"
	"facet/vision/pdf"
)

// document implements pdf.Source.
type document struct {
	r     *renderer
	ref   references.FPDF_DOCUMENT
	form  *references.FPDF_FORMHANDLE // where the document is a form: what is filled in is drawn by other means
	count int

	page   references.FPDF_PAGE // the one that is open
	number int                  // of it; 0 if none is
}

func (r *renderer) open(file *os.File, size int64, password string) (pdf.Source, error) {
	if size == 0 {
		return nil, vision.FormatError("the file is empty")
	}
	reader, size, err := asDocument(file, size)
	if err != nil {
		return nil, err
	}
	request := &requests.OpenDocument{FileReader: reader, FileReaderSize: size}
	if password != "" {
		request.Password = &password
	}
	opened, err := r.OpenDocument(request)
	switch {
	case errors.Is(err, pdfium_errors.ErrPassword) && password == "":
		return nil, vision.UnsupportedError("the document is encrypted: --password opens it")
	case errors.Is(err, pdfium_errors.ErrPassword):
		return nil, vision.UnsupportedError("the document is encrypted, and the password is wrong")
	case errors.Is(err, pdfium_errors.ErrSecurity):
		return nil, vision.UnsupportedError("the document is encrypted in a way that is not known")
	case errors.Is(err, pdfium_errors.ErrFormat), errors.Is(err, pdfium_errors.ErrFile), errors.Is(err, pdfium_errors.ErrUnknown),
		errors.Is(err, pdfium_errors.ErrSuccess), errors.Is(err, pdfium_errors.ErrPage):
		return nil, vision.FormatError("the document is broken, or no PDF")
	case err != nil:
		return nil, err
	}
	d := &document{r: r, ref: opened.Document}
	pages, err := r.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: d.ref})
	if err != nil {
		return nil, err
	}
	d.count = pages.PageCount
	return d, d.openForm()
}

func (d *document) openForm() error {
	kind, err := d.r.FPDF_GetFormType(&requests.FPDF_GetFormType{Document: d.ref})
	if err != nil || kind.FormType == enums.FPDF_FORMTYPE_NONE {
		return err
	}
	form, err := d.r.FPDFDOC_InitFormFillEnvironment(&requests.FPDFDOC_InitFormFillEnvironment{
		Document: d.ref,
		FormFillInfo: structs.FPDF_FORMFILLINFO{ // nobody fills it in here
			FFI_Invalidate:         func(references.FPDF_PAGE, float64, float64, float64, float64) {},
			FFI_SetCursor:          func(enums.FXCT) {},
			FFI_SetTimer:           func(int, func(int)) int { return 0 },
			FFI_KillTimer:          func(int) {},
			FFI_GetLocalTime:       func() structs.FPDF_SYSTEMTIME { return structs.FPDF_SYSTEMTIME{} },
			FFI_GetPage:            func(references.FPDF_DOCUMENT, int) *references.FPDF_PAGE { return nil },
			FFI_GetRotation:        func(references.FPDF_PAGE) enums.FPDF_PAGE_ROTATION { return 0 },
			FFI_ExecuteNamedAction: func(string) {},
		},
	})
	if err != nil {
		return err
	}
	d.form = &form.FormHandle
	return nil
}

func (d *document) Pages() int { return d.count }

// turn makes page n the open one.
func (d *document) turn(n int) error {
	if d.number == n {
		return nil
	}
	if d.number > 0 {
		if _, err := d.r.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: d.page}); err != nil {
			return err
		}
		d.number = 0
	}
	page, err := d.r.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: d.ref, Index: n - 1})
	if errors.Is(err, pdfium_errors.ErrPage) {
		return vision.FormatError("this page is broken")
	}
	if err != nil {
		return err
	}
	d.page, d.number = page.Page, n
	return nil
}

func (d *document) open() requests.Page { return requests.Page{ByReference: &d.page} }

func (d *document) Page(n int) (pdf.Page, error) {
	if err := d.turn(n); err != nil {
		return pdf.Page{}, err
	}
	w, err := d.r.FPDF_GetPageWidthF(&requests.FPDF_GetPageWidthF{Page: d.open()})
	if err != nil {
		return pdf.Page{}, err
	}
	h, err := d.r.FPDF_GetPageHeightF(&requests.FPDF_GetPageHeightF{Page: d.open()})
	if err != nil {
		return pdf.Page{}, err
	}
	p := pdf.Page{Number: n, Width: points(w.PageWidth), Height: points(h.PageHeight)}
	if !(p.Width > 0 && p.Height > 0) {
		return pdf.Page{}, vision.FormatError("this page has no size")
	}
	p.Picture, err = d.picture()
	return p, err
}

// points rounds a size to what a float32 says of it, a thousandth of a point.
func points(v float32) float64 { return math.Round(float64(v)*1000) / 1000 }

// mostObjects is how many parts of a page are looked at: a scan whose text was recognised has one for each word.
const mostObjects = 10_000

// picture returns the size in pixels, upright, that the open page has at the resolution of the picture that fills it. It is
// zero if there is none, or if anything that can be seen lies beside or upon it: that may be finer.
func (d *document) picture() (size [2]int, err error) {
	count, err := d.r.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: d.open()})
	if err != nil || count.Count > mostObjects {
		return size, err
	}
	box, err := d.r.FPDF_GetPageBoundingBox(&requests.FPDF_GetPageBoundingBox{Page: d.open()})
	if err != nil {
		return size, err
	}
	for i := range count.Count {
		object, err := d.r.FPDFPage_GetObject(&requests.FPDFPage_GetObject{Page: d.open(), Index: i})
		if err != nil {
			return [2]int{}, err
		}
		kind, err := d.r.FPDFPageObj_GetType(&requests.FPDFPageObj_GetType{PageObject: object.PageObject})
		if err != nil {
			return [2]int{}, err
		}
		switch kind.Type {
		case enums.FPDF_PAGEOBJ_TEXT:
			mode, err := d.r.FPDFTextObj_GetTextRenderMode(&requests.FPDFTextObj_GetTextRenderMode{PageObject: object.PageObject})
			if err != nil {
				return [2]int{}, err
			}
			if mode.TextRenderMode != enums.FPDF_TEXTRENDERMODE_INVISIBLE { // as what a recogniser adds to a scan is
				return [2]int{}, nil
			}
		case enums.FPDF_PAGEOBJ_IMAGE:
			if size != [2]int{} {
				return [2]int{}, nil
			}
			if size, err = d.fills(object.PageObject, box.Rect); err != nil || size == [2]int{} {
				return [2]int{}, err
			}
		default:
			return [2]int{}, nil
		}
	}
	if size == [2]int{} {
		return size, nil
	}
	turned, err := d.r.FPDFPage_GetRotation(&requests.FPDFPage_GetRotation{Page: d.open()})
	if err != nil {
		return [2]int{}, err
	}
	if turned.PageRotation%2 == 1 {
		size[0], size[1] = size[1], size[0]
	}
	return size, nil
}

// slack is the share of a page's side that a picture that fills it may leave free, or be finer in one direction than in the other.
const slack = 0.01

// fills returns the pixels of page at the resolution of a picture that fills it, before the page is turned; else zero.
func (d *document) fills(image references.FPDF_PAGEOBJECT, page structs.FPDF_FS_RECTF) (size [2]int, err error) {
	at, err := d.r.FPDFPageObj_GetBounds(&requests.FPDFPageObj_GetBounds{PageObject: image})
	if err != nil {
		return size, err
	}
	width, height := float64(page.Right-page.Left), float64(page.Top-page.Bottom)
	if !(float64(at.Left-page.Left) <= slack*width && float64(page.Right-at.Right) <= slack*width &&
		float64(at.Bottom-page.Bottom) <= slack*height && float64(page.Top-at.Top) <= slack*height) {
		return size, nil
	}
	m, err := d.r.FPDFPageObj_GetMatrix(&requests.FPDFPageObj_GetMatrix{PageObject: image})
	if err != nil {
		return size, err
	}
	pixels, err := d.r.FPDFImageObj_GetImagePixelSize(&requests.FPDFImageObj_GetImagePixelSize{ImageObject: image})
	if err != nil {
		return size, err
	}
	across, down := float64(pixels.Width), float64(pixels.Height)
	upright := float64(max(abs(m.Matrix.B), abs(m.Matrix.C))) <= slack*float64(min(abs(m.Matrix.A), abs(m.Matrix.D)))
	lying := float64(max(abs(m.Matrix.A), abs(m.Matrix.D))) <= slack*float64(min(abs(m.Matrix.B), abs(m.Matrix.C)))
	switch {
	case lying:
		across, down = down, across
	case !upright: // askew
		return size, nil
	}
	x, y := across/float64(at.Right-at.Left), down/float64(at.Top-at.Bottom) // pixels a point
	if !(x > 0 && y > 0 && math.Abs(x/y-1) <= slack) || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return size, nil
	}
	return [2]int{whole(x * width), whole(y * height)}, nil
}

func abs(v float32) float32 { return max(v, -v) }

// whole rounds to at least one pixel.
func whole(v float64) int { return int(max(1, min(math.Round(v), math.MaxInt32))) }
