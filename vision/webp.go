package vision

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// A webpFile is the chunks of a WebP file that count here (RFC 9649, section 2): those of its only or first frame.
type webpFile struct {
	width, height int    // of the canvas
	x, y          int    // of the frame on it
	bitstream     []byte // the chunk VP8 or VP8L, with its header
	alpha         []byte // the chunk ALPH, with its header; nil without one
	exif, xmp     []byte
}

const (
	riffHeader   = 12 // "RIFF", size, "WEBP"
	riffChunk    = 8  // name, size
	vp8xBytes    = 10
	anmfBytes    = 16
	vp8MinBytes  = 10
	vp8lMinBytes = 5
)

// parseWebP walks the chunks, all of them, since metadata stands last.
func parseWebP(data []byte) (*webpFile, error) {
	if len(data) < riffHeader {
		return nil, formatErrorf("truncated: the file ends at byte %d, inside its header", len(data))
	}
	size := int64(binary.LittleEndian.Uint32(data[4:])) + riffChunk
	if size > int64(len(data)) {
		return nil, formatErrorf("truncated: the file has %d bytes, and says %d", len(data), size)
	}
	f := &webpFile{}
	if err := f.chunks(data[:size], riffHeader, false); err != nil {
		return nil, err
	}
	if f.bitstream == nil {
		return nil, FormatError("no image in the file")
	}
	w, h, err := frameSize(f.bitstream)
	if err != nil {
		return nil, err
	}
	if f.width == 0 {
		f.width, f.height = w, h
	}
	if f.x+w > f.width || f.y+h > f.height {
		return nil, formatErrorf("a frame of %d × %d pixels at (%d, %d) on a canvas of %d × %d", w, h, f.x, f.y, f.width, f.height)
	}
	return f, nil
}

// chunks reads the chunks in data from offset on; inFrame says that they are those of a frame of an animation.
func (f *webpFile) chunks(data []byte, offset int, inFrame bool) error {
	for offset+riffChunk <= len(data) {
		n := int64(binary.LittleEndian.Uint32(data[offset+4:]))
		end := int64(offset) + riffChunk + n
		if end > int64(len(data)) {
			return formatErrorf("truncated: the chunk at byte %d has %d bytes, and the file ends at %d", offset, n, len(data))
		}
		whole := data[offset:end]
		body := whole[riffChunk:]
		switch name := string(whole[:4]); {
		case name == "VP8X" && !inFrame && f.width == 0:
			if n < vp8xBytes {
				return formatErrorf("a VP8X chunk of %d bytes, at byte %d", n, offset)
			}
			f.width, f.height = uint24(body[4:])+1, uint24(body[7:])+1
		case name == "ANMF" && !inFrame && f.bitstream == nil:
			if n < anmfBytes {
				return formatErrorf("a frame of %d bytes, at byte %d", n, offset)
			}
			f.x, f.y = 2*uint24(body), 2*uint24(body[3:])
			if err := f.chunks(data[:end], offset+riffChunk+anmfBytes, true); err != nil {
				return err
			}
		case name == "ALPH" && f.bitstream == nil:
			f.alpha = whole
		case (name == "VP8 " || name == "VP8L") && f.bitstream == nil:
			f.bitstream = whole
		case name == "EXIF":
			f.exif = body
		case name == "XMP ":
			f.xmp = body
		}
		offset = int(end + n&1)
	}
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// frameSize reads a frame's size from its bitstream: RFC 6386, section 9.1, and RFC 9649, section 3.4.
func frameSize(chunk []byte) (w, h int, err error) {
	body := chunk[riffChunk:]
	switch {
	case chunk[3] == ' ' && len(body) >= vp8MinBytes && string(body[3:6]) == "\x9d\x01\x2a":
		w, h = int(binary.LittleEndian.Uint16(body[6:]))&0x3fff, int(binary.LittleEndian.Uint16(body[8:]))&0x3fff
	case chunk[3] == 'L' && len(body) >= vp8lMinBytes && body[0] == 0x2f:
		bits := binary.LittleEndian.Uint32(body[1:])
		w, h = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
	default:
		return 0, 0, formatErrorf("no key frame in the chunk %q", chunk[:4])
	}
	if w < 1 || h < 1 {
		return 0, 0, formatErrorf("a frame of %d × %d pixels", w, h)
	}
	return w, h, nil
}

func webpHeader(data []byte) (header, error) {
	f, err := parseWebP(data)
	if err != nil {
		return header{}, err
	}
	return header{width: f.width, height: f.height, orientation: orientation(f.exif, f.xmp)}, nil
}

// decodeWebP decodes the first frame and puts it on its canvas, which is transparent black.
//
// The bitstreams are read by x/image: VP8 planes and VP8L pixels are defined to the bit, so that
// it gives those of libwebp, which Pillow uses; what differs between readers is only how chroma is raised and converted,
// and for that chroma.go follows libwebp. Bindings to libwebp were not taken: the one tried loads the system's library
// where there is one, and gives lossless images with their chroma halved.
func decodeWebP(data []byte, overWhite bool) (*raster, error) {
	f, err := parseWebP(data)
	if err != nil {
		return nil, err
	}
	m, err := webp.Decode(f.still(overWhite))
	if err != nil {
		return nil, libraryError(err, int64(len(data)))
	}
	var frame *raster
	switch m := m.(type) {
	case *image.YCbCr:
		frame = fromVP8(m, nil, 0)
	case *image.NYCbCrA:
		frame = fromVP8(&m.YCbCr, m.A, m.AStride)
	default:
		frame = flatten(m, overWhite)
	}
	if frame.width == f.width && frame.height == f.height {
		return frame, nil
	}
	out := newRaster(f.width, f.height)
	if overWhite {
		for i := range out.pix {
			out.pix[i] = 0xff
		}
	}
	for y := range frame.height {
		copy(out.pix[3*((f.y+y)*f.width+f.x):], frame.pix[3*frame.width*y:][:3*frame.width])
	}
	return out, nil
}

// still returns a file that holds the frame alone, with its alpha if that is wanted.
func (f *webpFile) still(withAlpha bool) io.Reader {
	var parts []io.Reader
	length := len("WEBP")
	add := func(chunk []byte) {
		parts = append(parts, bytes.NewReader(chunk))
		length += len(chunk)
		if len(chunk)%2 == 1 {
			parts = append(parts, bytes.NewReader([]byte{0}))
			length++
		}
	}
	if withAlpha && f.alpha != nil {
		w, h, _ := frameSize(f.bitstream) // parseWebP has checked it
		w, h = w-1, h-1
		const hasAlpha = 1 << 4
		add([]byte{'V', 'P', '8', 'X', vp8xBytes, 0, 0, 0, hasAlpha, 0, 0, 0,
			byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
		add(f.alpha)
	}
	add(f.bitstream)
	head := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(length))
	head = append(head, "WEBP"...)
	return io.MultiReader(append([]io.Reader{bytes.NewReader(head)}, parts...)...)
}

// fromVP8 converts the planes of a lossy frame; with alpha, over white.
func fromVP8(m *image.YCbCr, alpha []byte, alphaStride int) *raster {
	out := newRaster(m.Rect.Dx(), m.Rect.Dy())
	cw, ch := (out.width+1)/2, (out.height+1)/2
	u := webpUpsampler{plane{m.Cb, m.CStride, cw, ch}, make([]byte, 2*cw)}
	v := webpUpsampler{plane{m.Cr, m.CStride, cw, ch}, make([]byte, 2*cw)}
	for y := range out.height {
		row := out.pix[3*out.width*y:][:3*out.width]
		convertWebP(row, m.Y[y*m.YStride:], u.row(y), v.row(y))
		if alpha == nil {
			continue
		}
		for i, c := range row {
			row[i] = blendWhite(c, alpha[y*alphaStride+i/3])
		}
	}
	return out
}
