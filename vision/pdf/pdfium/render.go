package pdfium

import (
	"errors"

	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"facet/vision"
)

// piece is how many bytes of pixels are handed over at once, more or less.
const piece = 256 << 10

func (d *document) Render(n, width, height int, emit func([]byte) error) error {
	if err := d.turn(n); err != nil {
		return err
	}
	made, err := d.r.FPDFBitmap_CreateEx(&requests.FPDFBitmap_CreateEx{
		Width: width, Height: height, Format: enums.FPDF_BITMAP_FORMAT_BGR, Pointer: uint64(0),
	})
	if err != nil {
		return err
	}
	bitmap := made.Bitmap
	if err := d.draw(bitmap, width, height); err != nil {
		return err
	}
	if d.r.memory.refused { // PDFium leaves out what it has no memory for
		return errors.New("out of memory")
	}
	if err := d.pixels(bitmap, width, height, emit); err != nil {
		return err
	}
	_, err = d.r.FPDFBitmap_Destroy(&requests.FPDFBitmap_Destroy{Bitmap: bitmap})
	return err
}

func (d *document) draw(bitmap references.FPDF_BITMAP, width, height int) error {
	_, err := d.r.FPDFBitmap_FillRect(&requests.FPDFBitmap_FillRect{Bitmap: bitmap, Width: width, Height: height, Color: 0xFFFFFFFF})
	if err != nil {
		return err
	}
	const flags = enums.FPDF_RENDER_FLAG_ANNOT // notes and stamps; what is filled into forms comes below
	_, err = d.r.FPDF_RenderPageBitmap(&requests.FPDF_RenderPageBitmap{Bitmap: bitmap, Page: d.open(), SizeX: width, SizeY: height, Flags: flags})
	if err != nil || d.form == nil {
		return err
	}
	_, err = d.r.FPDF_FFLDraw(&requests.FPDF_FFLDraw{FormHandle: *d.form, Bitmap: bitmap, Page: d.open(), SizeX: width, SizeY: height, Flags: flags})
	return err
}

// pixels hands the bitmap over, red first and without what pads its rows.
func (d *document) pixels(bitmap references.FPDF_BITMAP, width, height int, emit func([]byte) error) error {
	stride, err := d.r.FPDFBitmap_GetStride(&requests.FPDFBitmap_GetStride{Bitmap: bitmap})
	if err != nil {
		return err
	}
	view, err := d.r.FPDFBitmap_GetBuffer(&requests.FPDFBitmap_GetBuffer{Bitmap: bitmap}) // no copy
	if err != nil {
		return err
	}
	if stride.Stride < 3*width || len(view.Buffer) < stride.Stride*height {
		return vision.UnsupportedError("the page has too many pixels")
	}
	buf := make([]byte, 0, piece+3*width)
	for y := range height {
		row := view.Buffer[y*stride.Stride:][:3*width]
		for i := 0; i < len(row); i += 3 {
			buf = append(buf, row[i+2], row[i+1], row[i])
		}
		if len(buf) >= piece || y == height-1 {
			if err := emit(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}
