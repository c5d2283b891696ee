package vision

import (
	"fmt"
	"image"
	"image/color"
)

// An Image is an upright picture in memory. It is not changed by any function of this package, so one Image
// may be read by many goroutines.
type Image struct {
	Width, Height int
	Pix           []byte // [Height, Width, 3] red, green, blue

	Format                    string // media type of the file it came from, such as image/png
	StoredWidth, StoredHeight int    // size in the file, before it was set upright
	Orientation               int    // EXIF orientation, 1 to 8, that was applied; 1 if the file gives none
	Pages                     int    // how many the file has; more than 1 for TIFF and GIF only
}

// NRGBA returns a copy of m as an opaque image of the standard library, to be drawn on or written as PNG.
func (m *Image) NRGBA() *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, m.Width, m.Height))
	for i, j := 0, 0; i < len(m.Pix); i, j = i+3, j+4 {
		copy(out.Pix[j:j+3], m.Pix[i:i+3])
		out.Pix[j+3] = 0xff
	}
	return out
}

// Upright returns m turned as EXIF's orientation asks, for pictures that do not come from [Decode], such as the
// frames of a video; 1 returns m itself. What is turned already is turned further, and Orientation tells of the last turn.
// It panics if orientation is not from 1 to 8, or if Pix has another length than Width and Height ask for.
func (m *Image) Upright(orientation int) *Image {
	if orientation < 1 || orientation > 8 || len(m.Pix) != 3*m.Width*m.Height {
		panic(fmt.Sprintf("vision: Upright(%d) of %d × %d pixels in %d bytes", orientation, m.Width, m.Height, len(m.Pix)))
	}
	if orientation == 1 {
		return m
	}
	out := *m
	r := (&raster{width: m.Width, height: m.Height, pix: m.Pix}).upright(orientation)
	out.Width, out.Height, out.Pix, out.Orientation = r.width, r.height, r.pix, orientation
	return &out
}

// A raster is decoded pixels as they lie in the file, before they are set upright.
type raster struct {
	width, height int
	pix           []byte // [height, width, 3]
}

func newRaster(width, height int) *raster {
	return &raster{width: width, height: height, pix: make([]byte, 3*width*height)}
}

// flatten turns what a decoder of the standard library's kind gives into RGB. Alpha is dropped, so that a
// transparent pixel shows the colour stored under it, as in Pillow's convert("RGB"); or the
// image is laid over white. Of 16-bit samples the high byte counts. Pillow does that for colour, while it
// clips grey at 255 and so turns such scans white; here grey is read like colour.
func flatten(src image.Image, overWhite bool) *raster {
	b := src.Bounds()
	out := newRaster(b.Dx(), b.Dy())
	for y := range out.height {
		row := out.pix[3*out.width*y:][:3*out.width]
		switch src := src.(type) {
		case *image.Gray:
			expandGrey(row, src.Pix[y*src.Stride:], 1)
		case *image.Gray16:
			expandGrey(row, src.Pix[y*src.Stride:], 2)
		case *image.Paletted:
			expandPalette(row, src.Pix[y*src.Stride:], src.Palette, overWhite)
		case *image.NRGBA:
			expandRGBA(row, src.Pix[y*src.Stride:], 1, overWhite)
		case *image.NRGBA64:
			expandRGBA(row, src.Pix[y*src.Stride:], 2, overWhite)
		case *image.RGBA:
			expandPremultiplied(row, src.Pix[y*src.Stride:], 1, overWhite)
		case *image.RGBA64:
			expandPremultiplied(row, src.Pix[y*src.Stride:], 2, overWhite)
		default:
			panic(fmt.Sprintf("vision: no rule for %T", src))
		}
	}
	return out
}

// The expand functions fill row, RGB, from samples of the given number of bytes, high byte first.

func expandGrey(row, src []byte, bytes int) {
	for i, j := 0, 0; i < len(row); i, j = i+3, j+bytes {
		row[i], row[i+1], row[i+2] = src[j], src[j], src[j]
	}
}

func expandPalette(row, src []byte, palette color.Palette, overWhite bool) {
	var table [256][3]byte // indices past the palette are black, as in Pillow
	for i, c := range palette {
		n := color.NRGBAModel.Convert(c).(color.NRGBA) // exact: palettes hold NRGBA, or are opaque
		table[i] = [3]byte{n.R, n.G, n.B}
		if overWhite {
			for k, v := range table[i] {
				table[i][k] = blendWhite(v, n.A)
			}
		}
	}
	for i := 0; i < len(row); i += 3 {
		copy(row[i:i+3], table[src[i/3]][:])
	}
}

func expandRGBA(row, src []byte, bytes int, overWhite bool) {
	for i, j := 0, 0; i < len(row); i, j = i+3, j+4*bytes {
		p, q := row[i:i+3], src[j:j+4*bytes]
		p[0], p[1], p[2] = q[0], q[bytes], q[2*bytes]
		if a := q[3*bytes]; overWhite && a != 0xff {
			p[0], p[1], p[2] = blendWhite(p[0], a), blendWhite(p[1], a), blendWhite(p[2], a)
		}
	}
}

// expandPremultiplied reads samples that were multiplied by alpha: opaque ones, and those of TIFF's
// associated alpha, which Pillow divides, rounding down.
func expandPremultiplied(row, src []byte, bytes int, overWhite bool) {
	for i, j := 0, 0; i < len(row); i, j = i+3, j+4*bytes {
		p, q := row[i:i+3], src[j:j+4*bytes]
		a := q[3*bytes]
		for k := range p {
			v := q[k*bytes]
			switch {
			case a == 0xff:
			case overWhite:
				v = byte(min(int(v)+255-int(a), 255))
			case a == 0:
				v = 0
			default:
				v = byte(min(int(v)*255/int(a), 255))
			}
			p[k] = v
		}
	}
}

// blendWhite returns v over white with opacity a, rounded.
func blendWhite(v, a byte) byte {
	return byte((int(v)*int(a) + 255*(255-int(a)) + 127) / 255)
}

// upright returns the pixels of r turned as EXIF's orientation tag asks; 1 returns r itself.
//
// Orientation names where the stored first row and first column belong (TIFF 6.0, tag 274): 1 top and left, 2 top
// right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.
func (r *raster) upright(orientation int) *raster {
	w, h := r.width, r.height
	// Of the stored pixel that output (x, y) shows: where (0, 0) lies, and the step for x and for y, in pixels.
	var start, dx, dy int
	switch orientation {
	case 2:
		start, dx, dy = w-1, -1, w
	case 3:
		start, dx, dy = w*h-1, -1, -w
	case 4:
		start, dx, dy = w*(h-1), 1, -w
	case 5:
		start, dx, dy = 0, w, 1
	case 6:
		start, dx, dy = w*(h-1), -w, 1
	case 7:
		start, dx, dy = w*h-1, -w, -1
	case 8:
		start, dx, dy = w-1, w, -1
	default:
		return r
	}
	if orientation >= 5 {
		w, h = h, w
	}
	out := newRaster(w, h)
	const block = 64 // squares this wide keep both sides in the cache when rows become columns
	for y0 := 0; y0 < h; y0 += block {
		for x0 := 0; x0 < w; x0 += block {
			for y := y0; y < min(y0+block, h); y++ {
				from := 3 * (start + x0*dx + y*dy)
				to := out.pix[3*(y*w+x0) : 3*(y*w+min(x0+block, w))]
				for i := 0; i < len(to); i += 3 {
					copy(to[i:i+3], r.pix[from:from+3])
					from += 3 * dx
				}
			}
		}
	}
	return out
}
