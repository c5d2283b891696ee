package vision

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/image/bmp"
)

// bmpHeader reads the file header and the BITMAPINFOHEADER, and names the kinds that the library
// refuses without a reason.
func bmpHeader(data []byte) (header, error) {
	const fileHeader, infoHeader = 14, 40
	if len(data) < fileHeader+infoHeader {
		return header{}, formatErrorf("truncated: the file ends at byte %d, inside its header", len(data))
	}
	le := binary.LittleEndian
	if n := le.Uint32(data[14:]); n < infoHeader {
		return header{}, unsupportedErrorf("a BMP header of %d bytes is not supported", n)
	}
	w, h := int64(int32(le.Uint32(data[18:]))), int64(int32(le.Uint32(data[22:])))
	h = max(h, -h) // negative: rows run from the top
	if w < 1 || h < 1 || h > 1<<31-1 {
		return header{}, formatErrorf("a size of %d × %d pixels", w, h)
	}
	bits, compression := int64(le.Uint16(data[28:])), le.Uint32(data[30:])
	switch compression {
	case 1, 2:
		return header{}, UnsupportedError("BMP with run-length compression is not supported")
	case 4, 5:
		return header{}, UnsupportedError("JPEG or PNG inside BMP is not supported")
	}
	switch bits {
	case 1, 2, 4, 8, 24, 32:
	default:
		return header{}, unsupportedErrorf("BMP with %d bits a pixel is not supported", bits)
	}
	row := (w*bits + 31) / 32 * 4
	return header{width: int(w), height: int(h), orientation: 1, least: fileHeader + infoHeader + float64(row)*float64(h)}, nil
}

func decodeBMP(data []byte, overWhite bool) (*raster, error) {
	r := bytes.NewReader(data)
	m, err := bmp.Decode(r)
	if err != nil {
		return nil, libraryError(err, r.Size()-int64(r.Len()))
	}
	return flatten(m, overWhite), nil
}
