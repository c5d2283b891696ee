package vision

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/jpeg"
	"io"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// decompress returns so many rows of so many bytes; data is not changed, but may be returned.
func (t *tiffPage) decompress(data []byte, stride, rows int) ([]byte, error) {
	if t.reversed {
		data = reverseBits(data)
	}
	size := stride * rows
	var r io.Reader
	switch t.compression {
	case tiffPlain:
		if len(data) < size {
			return nil, formatErrorf("truncated: %d bytes of pixels, of %d", len(data), size)
		}
		return data[:size], nil
	case tiffPackBits:
		return packBits(data, size)
	case fax3, fax4:
		kind := ccitt.Group3
		if t.compression == fax4 {
			kind = ccitt.Group4
		}
		// A white run stands for zeros, whatever they mean (section 11).
		r = ccitt.NewReader(bytes.NewReader(data), ccitt.MSB, kind, t.segmentWidth, rows, &ccitt.Options{Invert: true})
	case tiffLZW:
		z := lzw.NewReader(bytes.NewReader(data), lzw.MSB, 8)
		defer z.Close()
		r = z
	default:
		z, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, t.broken(err, data)
		}
		defer z.Close()
		r = z
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, t.broken(err, data)
	}
	return out, nil
}

// broken puts an error of a decoder of data, a part of the file, into our terms.
func (t *tiffPage) broken(err error, data []byte) error {
	end := cap(t.data) - cap(data) + len(data) // if data is a piece of the file, and not a copy
	if t.reversed || end < 0 || end > len(t.data) {
		end = len(t.data)
	}
	return libraryError(err, int64(end))
}

// packBits expands runs (TIFF 6.0, section 9) to exactly so many bytes.
func packBits(data []byte, size int) ([]byte, error) {
	if size/64 > len(data) { // two bytes give at most 128
		return nil, formatErrorf("truncated: %d bytes can't hold %d of pixels", len(data), size)
	}
	out := make([]byte, 0, size)
	for len(out) < size {
		if len(data) < 2 {
			return nil, formatErrorf("truncated: %d bytes of pixels, of %d", len(out), size)
		}
		n := int(int8(data[0]))
		switch {
		case n >= 0:
			if len(data) < n+2 {
				return nil, formatErrorf("truncated: %d bytes of pixels, of %d", len(out), size)
			}
			out = append(out, data[1 : n+2][:min(n+1, size-len(out))]...)
			data = data[n+2:]
		case n == -128: // nothing
			data = data[1:]
		default:
			for range min(1-n, size-len(out)) {
				out = append(out, data[1])
			}
			data = data[2:]
		}
	}
	return out, nil
}

// jpegSegment decodes a segment that is a JPEG file, perhaps with tables that stand once for all (TIFF Technical Note 2).
// YCbCr comes out as RGB; other samples as they are.
func (t *tiffPage) jpegSegment(data []byte, rows, samples int) (segment, error) {
	s := segment{bits: 8}
	f, m, err := t.jpeg(data)
	if err != nil {
		return s, err
	}
	// The last strip may be as high as the others.
	if f.width != t.segmentWidth || f.height < rows || f.height > t.segmentHeight || f.components != samples {
		return s, formatErrorf("a JPEG of %d × %d pixels and %d components in a segment of %d × %d and %d",
			f.width, f.height, f.components, t.segmentWidth, rows, samples)
	}
	s.stride = f.width * samples
	switch m := m.(type) {
	case *image.Gray:
		s.pix, s.stride = m.Pix, m.Stride
	case *image.YCbCr:
		s.pix = fromYCbCr(m).pix
	case *image.CMYK: // inverted by the library
		s.pix, s.stride = m.Pix, m.Stride
		for i, v := range s.pix {
			s.pix[i] = 255 - v
		}
	default:
		s.pix = flatten(m, false).pix
	}
	return s, nil
}

// jpeg decodes a JPEG stream with the file's own tables before it. What its components mean says the directory, not the stream.
func (t *tiffPage) jpeg(data []byte) (*jpegFile, image.Image, error) {
	const soi, eoi = "\xff\xd8", "\xff\xd9"
	if !bytes.HasPrefix(data, []byte(soi)) {
		return nil, nil, FormatError("a segment that is no JPEG stream")
	}
	_, tables := t.find(tagJPEGTables)
	tables = bytes.TrimSuffix(bytes.TrimPrefix(tables, []byte(soi)), []byte(eoi))
	if t.compression == tiffOldJPEG {
		tables = nil
	}
	stream := bytes.Join([][]byte{[]byte(soi), tables, data[2:]}, nil)
	f, err := parseJPEG(stream)
	if err != nil {
		return nil, nil, err
	}
	if int64(f.width)*int64(f.height) > int64(t.segmentWidth)*int64(t.segmentHeight) {
		return nil, nil, formatErrorf("a JPEG of %d × %d pixels in a segment of %d × %d", f.width, f.height, t.segmentWidth, t.segmentHeight)
	}
	transform := byte(0)
	if t.photometric == tiffYCbCr {
		transform = 1
	}
	head := append([]byte(soi+"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"), transform)
	// The mark of a JFIF file would say that it is YCbCr, whatever the directory says.
	clean := bytes.ReplaceAll(f.clean, []byte("\xff\xe0\x00\x10JFIF\x00"), []byte("\xff\xe0\x00\x10none\x00"))
	r := splice(append(head, clean...), stream, f.scan, eoi)
	m, err := jpeg.Decode(r)
	if err != nil {
		return nil, nil, libraryError(err, int64(len(t.data)))
	}
	return f, m, nil
}

// decodeOldJPEG reads what TIFF 6.0, section 22, meant and writers made of it, as far as there is one whole JPEG stream.
func (t *tiffPage) decodeOldJPEG() (*raster, error) {
	at, n := t.number(tagOldJPEG, 0), t.number(tagOldJPEGLength, 0)
	size := int64(len(t.data))
	var data []byte
	switch {
	case at > 0 && at < size:
		if n == 0 || n > size-at {
			n = size - at
		}
		data = t.data[at : at+n]
	default:
		if all := t.numbers(tagStripOffsets, 2); len(all) == 1 {
			segments, err := t.segments(1)
			if err != nil {
				return nil, err
			}
			data = segments[0]
		}
	}
	t.segmentWidth, t.segmentHeight = t.width, t.height
	f, m, err := t.jpeg(data)
	if err != nil || f.width != t.width || f.height != t.height {
		return nil, UnsupportedError("TIFF with old-style JPEG compression that is no whole JPEG stream is not supported")
	}
	if m, ok := m.(*image.YCbCr); ok {
		return fromYCbCr(m), nil
	}
	return flatten(m, false), nil
}
