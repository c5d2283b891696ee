package vision

import (
	"bytes"
	"image"
	"image/jpeg"
)

// Markers of ITU-T T.81, table B.1.
const (
	jpegSOI   = 0xd8
	jpegEOI   = 0xd9
	jpegSOS   = 0xda
	jpegSOF0  = 0xc0 // baseline
	jpegSOF1  = 0xc1 // extended sequential
	jpegSOF2  = 0xc2 // progressive
	jpegDRI   = 0xdd
	jpegAPP1  = 0xe1
	jpegAPP14 = 0xee
)

// A jpegFile is what stands before the first scan.
type jpegFile struct {
	frame         byte // marker of the frame header
	width, height int
	components    int
	subsampled    bool // the second component has fewer samples than the first
	restarts      bool // there are restart markers
	transform     int  // of the Adobe segment: 0 none, 2 YCCK; −1 without such a segment
	exif, xmp     []byte
	clean         []byte // the segments without Adobe's, up to the first scan
	scan          int    // offset of the first scan's marker
}

// parseJPEG walks the segments up to the first scan.
func parseJPEG(data []byte) (*jpegFile, error) {
	f := &jpegFile{transform: -1}
	for p := 2; ; {
		// Anything between segments is skipped, as libjpeg does; a marker may have several 0xff before it.
		start := p
		for p < len(data) && data[p] != 0xff {
			p++
		}
		for p < len(data) && data[p] == 0xff {
			p++
		}
		if p >= len(data) {
			return nil, formatErrorf("truncated: the file ends at byte %d, before its first scan", len(data))
		}
		marker := data[p]
		p++
		if marker == 0 || marker == 1 || marker >= 0xd0 && marker <= jpegSOI {
			continue // these stand alone
		}
		if marker == jpegEOI {
			return nil, formatErrorf("the image ends at byte %d, before its first scan", p)
		}
		if marker == jpegSOS {
			f.scan = start
			break
		}
		if p+2 > len(data) {
			return nil, formatErrorf("truncated: the file ends at byte %d, before its first scan", len(data))
		}
		n := int(data[p])<<8 | int(data[p+1])
		if n < 2 || p+n > len(data) {
			return nil, formatErrorf("truncated: the segment at byte %d has %d bytes, and the file %d", p, n, len(data))
		}
		body := data[p+2 : p+n]
		p += n
		if err := f.segment(marker, body); err != nil {
			return nil, err
		}
		if marker != jpegAPP14 {
			f.clean = append(f.clean, data[start:p]...)
		}
	}
	if f.frame == 0 {
		return nil, formatErrorf("a scan without a frame header, at byte %d", f.scan)
	}
	return f, nil
}

func (f *jpegFile) segment(marker byte, body []byte) error {
	const exifID, xmpID = "Exif\x00\x00", "http://ns.adobe.com/xap/1.0/\x00"
	switch {
	case marker == jpegAPP1 && bytes.HasPrefix(body, []byte(exifID)):
		f.exif = append(f.exif, body[len(exifID):]...) // a long block is cut into segments
	case marker == jpegAPP1 && bytes.HasPrefix(body, []byte(xmpID)):
		f.xmp = body[len(xmpID):]
	case marker == jpegAPP14 && len(body) >= 12 && string(body[:5]) == "Adobe":
		f.transform = int(body[11])
	case marker == jpegDRI && len(body) >= 2:
		f.restarts = body[0] != 0 || body[1] != 0
	case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
		return f.frameHeader(marker, body)
	}
	return nil
}

func (f *jpegFile) frameHeader(marker byte, body []byte) error {
	switch {
	case marker == 0xc3:
		return UnsupportedError("lossless JPEG is not supported")
	case marker >= 0xc9:
		return UnsupportedError("JPEG with arithmetic coding is not supported")
	case marker > jpegSOF2:
		return UnsupportedError("hierarchical JPEG is not supported")
	case len(body) < 6 || len(body) < 6+3*int(body[5]):
		return formatErrorf("a frame header of %d bytes", len(body))
	case body[0] != 8:
		return unsupportedErrorf("JPEG with %d bits a sample is not supported", body[0])
	}
	f.frame = marker
	f.height, f.width = int(body[1])<<8|int(body[2]), int(body[3])<<8|int(body[4])
	f.components = int(body[5])
	switch {
	case f.width == 0:
		return formatErrorf("a size of %d × %d pixels", f.width, f.height)
	case f.height == 0:
		return UnsupportedError("JPEG that states its height after the first scan is not supported")
	case f.components != 1 && f.components != 3 && f.components != 4:
		return unsupportedErrorf("JPEG with %d components is not supported", f.components)
	}
	f.subsampled = f.components > 1 && body[7] != body[10]
	return nil
}

func jpegHeader(data []byte) (header, error) {
	f, err := parseJPEG(data)
	if err != nil {
		return header{}, err
	}
	blocks := ((f.width + 7) / 8) * ((f.height + 7) / 8)
	return header{
		width: f.width, height: f.height,
		orientation: orientation(f.exif, f.xmp),
		least:       float64(blocks) / 8, // each block has a code for its DC coefficient, one bit at the least
	}, nil
}

// decodeJPEG has the standard library decode the planes, and then raises chroma to full size and
// converts it as libjpeg-turbo does by default, with interpolation. The library's inverse transform rounds some
// samples the other way than libjpeg's, which shows as a level or two.
func decodeJPEG(data []byte, _ bool) (*raster, error) {
	f, err := parseJPEG(data)
	if err != nil {
		return nil, err
	}
	head := []byte{0xff, jpegSOI}
	if f.components == 4 {
		// With Adobe's transform 0 the library hands out the four planes as they are.
		head = append(head, "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"...)
		head = append(head, f.clean...)
	} else {
		head = append(head, data[2:f.scan]...)
	}
	end := ""
	if f.frame != jpegSOF2 {
		// Some scanners forget the end marker. A sequential image that lacks samples is
		// noticed without it, while a progressive one that lacks its last scans is not.
		end = "\xff\xd9"
	}
	r := splice(head, data, f.scan, end)
	m, err := jpeg.Decode(r)
	if err != nil {
		if f.frame == jpegSOF2 && f.restarts {
			// The library counts the intervals of a subsampled picture's single components wrongly, and stumbles.
			return nil, UnsupportedError("progressive JPEG with restart markers is not supported")
		}
		return nil, libraryError(err, r.at())
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return fromYCbCr(m), nil
	case *image.CMYK:
		return fromCMYK(m, f), nil
	}
	return flatten(m, false), nil
}

// fromYCbCr converts the three planes of a colour JPEG.
func fromYCbCr(m *image.YCbCr) *raster {
	out := newRaster(m.Rect.Dx(), m.Rect.Dy())
	across, down := chromaRatio(m.SubsampleRatio)
	cw, ch := (out.width+across-1)/across, (out.height+down-1)/down
	cb := newUpsampler(plane{m.Cb, m.CStride, cw, ch}, across, down)
	cr := newUpsampler(plane{m.Cr, m.CStride, cw, ch}, across, down)
	for y := range out.height {
		row := out.pix[3*out.width*y:][:3*out.width]
		convertYCbCr(row, m.Y[y*m.YStride:], cb.row(y), cr.row(y))
	}
	return out
}

func chromaRatio(r image.YCbCrSubsampleRatio) (across, down int) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	panic("vision: no rule for chroma of " + r.String())
}

// fromCMYK converts four planes, CMYK or YCCK, to RGB as Pillow does: it takes them
// for inverted, as Adobe's programs write them, and knows no colour profile.
// The library has inverted the samples once and repeated those of subsampled planes in squares of 2 × 2.
func fromCMYK(m *image.CMYK, f *jpegFile) *raster {
	out := newRaster(m.Rect.Dx(), m.Rect.Dy())
	step := 1
	if f.subsampled {
		step = 2
	}
	var middle [2]upsampler
	for i := range middle {
		p := plane{width: (out.width + step - 1) / step, height: (out.height + step - 1) / step}
		p.stride, p.pix = p.width, make([]byte, p.width*p.height)
		for y := range p.height {
			for x := range p.width {
				p.pix[y*p.stride+x] = 255 - m.Pix[step*y*m.Stride+4*step*x+1+i]
			}
		}
		middle[i] = newUpsampler(p, step, step)
	}
	first, black := make([]byte, out.width), make([]byte, out.width)
	for y := range out.height {
		row := out.pix[3*out.width*y:][:3*out.width]
		for x := range first {
			first[x], black[x] = 255-m.Pix[y*m.Stride+4*x], 255-m.Pix[y*m.Stride+4*x+3]
		}
		a, b := middle[0].row(y), middle[1].row(y)
		if f.transform > 0 {
			convertYCbCr(row, first, a, b) // YCCK: the RGB of it is the ink, not inverted
		} else {
			for x := range first {
				row[3*x], row[3*x+1], row[3*x+2] = 255-first[x], 255-a[x], 255-b[x]
			}
		}
		for i, ink := range row {
			k := int(black[i/3])
			t := int(ink)*k + 128
			row[i] = byte(max(k-(t>>8+t)>>8, 0))
		}
	}
	return out
}
