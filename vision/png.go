package vision

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"image/png"
	"io"
)

// Chunk layout (PNG 3rd edition, 5.3): length, type, data, checksum.
const (
	pngSignature = 8
	pngChunk     = 4 + 4 + 4 // bytes of a chunk without its data
	pngIHDR      = 13
)

// deflateRatio bounds how far deflate can expand: 258 bytes from two bits.
const deflateRatio = 1032

func pngHeader(data []byte) (header, error) {
	if len(data) < pngSignature+pngChunk+pngIHDR {
		return header{}, formatErrorf("truncated: the file ends at byte %d, inside its header", len(data))
	}
	if string(data[12:16]) != "IHDR" {
		return header{}, formatErrorf("the first chunk is %q, not IHDR", data[12:16])
	}
	ihdr := data[pngSignature+8:][:pngIHDR]
	w, h := int64(binary.BigEndian.Uint32(ihdr)), int64(binary.BigEndian.Uint32(ihdr[4:]))
	if w < 1 || h < 1 || w > 1<<31-1 || h > 1<<31-1 {
		return header{}, formatErrorf("a size of %d × %d pixels", w, h)
	}
	out := header{width: int(w), height: int(h)}
	samples := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[ihdr[9]] // by colour type; the decoder refuses others
	out.least = float64(w*samples*int64(ihdr[8])/8+1) * float64(h) / deflateRatio
	exif, xmp := pngMetadata(data)
	out.orientation = orientation(exif, xmp)
	return out, nil
}

// pngMetadata finds the EXIF block and the XMP packet. Both may stand after the pixels. A
// broken chunk ends the search: the decoder will report it if it matters.
func pngMetadata(data []byte) (exif, xmp []byte) {
	const xmpKeyword = "XML:com.adobe.xmp\x00"
	for p := data[pngSignature:]; len(p) >= pngChunk; {
		n := int64(binary.BigEndian.Uint32(p))
		if n > int64(len(p)-pngChunk) {
			break
		}
		body := p[8 : 8+n]
		switch kind := string(p[4:8]); {
		case kind == "eXIf":
			exif = body
		case kind == "iTXt" && bytes.HasPrefix(body, []byte(xmpKeyword)):
			xmp = body
		case (kind == "zTXt" || kind == "tEXt") && exif == nil:
			exif = rawProfile(kind, body)
		}
		p = p[pngChunk+n:]
	}
	return exif, xmp
}

// rawProfile reads the EXIF block that ImageMagick writes as text: a keyword, a name and a length on lines of their
// own, then hexadecimal digits. It returns nil for any other text.
func rawProfile(kind string, body []byte) []byte {
	const keyword = "Raw profile type exif\x00"
	if !bytes.HasPrefix(body, []byte(keyword)) {
		return nil
	}
	text := body[len(keyword):]
	if kind == "zTXt" {
		if len(text) < 1 {
			return nil
		}
		z, err := zlib.NewReader(bytes.NewReader(text[1:])) // after the method's number
		if err != nil {
			return nil
		}
		const most = 1 << 20 // hexadecimal; EXIF blocks elsewhere are at most 64 KiB
		if text, err = io.ReadAll(io.LimitReader(z, most)); err != nil {
			return nil
		}
	}
	lines := bytes.SplitN(text, []byte("\n"), 4)
	if len(lines) < 4 {
		return nil
	}
	digits := bytes.Join(bytes.Fields(lines[3]), nil)
	exif := make([]byte, len(digits)/2)
	if _, err := hex.Decode(exif, digits[:2*len(exif)]); err != nil {
		return nil
	}
	return exif
}

func decodePNG(data []byte, overWhite bool) (*raster, error) {
	r := bytes.NewReader(data)
	m, err := png.Decode(r)
	if err != nil {
		return nil, libraryError(err, r.Size()-int64(r.Len()))
	}
	return flatten(m, overWhite), nil
}
