package vision

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
)

// A gifFrame is where the first frame of a GIF file lies (GIF89a specification, sections 17 to 23).
type gifFrame struct {
	width, height    int // of the screen, grown if the frame reaches past it
	x, y             int // of the frame on the screen
	transparent      int // index of the transparent colour, −1 if there is none
	descriptor       int // offset of the frame's image descriptor
	globalColorTable []byte
}

const (
	gifScreen     = 13 // bytes of signature and logical screen descriptor
	gifDescriptor = 10 // bytes of an image descriptor with its introducer
	gifTableFlag  = 0x80
	gifTableBits  = 0x07
)

// findGIFFrame walks the blocks up to the first frame.
func findGIFFrame(data []byte) (f gifFrame, err error) {
	truncated := func() error {
		return formatErrorf("truncated: the file ends at byte %d, before its first frame", len(data))
	}
	if len(data) < gifScreen {
		return f, truncated()
	}
	le := binary.LittleEndian
	f.width, f.height = int(le.Uint16(data[6:])), int(le.Uint16(data[8:]))
	f.transparent = -1
	p := gifScreen
	if flags := data[10]; flags&gifTableFlag != 0 {
		n := 3 << (flags&gifTableBits + 1)
		if len(data) < p+n {
			return f, truncated()
		}
		f.globalColorTable = data[p : p+n]
		p += n
	}
	for {
		if p+1 >= len(data) {
			return f, truncated()
		}
		switch data[p] {
		case '!':
			body := p + 2
			if data[p+1] == 0xf9 && body+5 <= len(data) && data[body] >= 4 {
				f.transparent = -1
				if data[body+1]&1 != 0 {
					f.transparent = int(data[body+4])
				}
			}
			for p = body; p < len(data) && data[p] != 0; {
				p += 1 + int(data[p])
			}
			p++
		case ',':
			if p+gifDescriptor > len(data) {
				return f, truncated()
			}
			f.descriptor = p
			f.x, f.y = int(le.Uint16(data[p+1:])), int(le.Uint16(data[p+3:]))
			f.width = max(f.width, f.x+int(le.Uint16(data[p+5:])))
			f.height = max(f.height, f.y+int(le.Uint16(data[p+7:])))
			return f, nil
		default:
			return f, formatErrorf("no block begins with %#02x, at byte %d", data[p], p)
		}
	}
}

func gifHeader(data []byte) (header, error) {
	f, err := findGIFFrame(data)
	if err != nil {
		return header{}, err
	}
	if f.width < 1 || f.height < 1 {
		return header{}, formatErrorf("a size of %d × %d pixels", f.width, f.height)
	}
	return header{width: f.width, height: f.height, orientation: 1, pages: 1}, nil
}

// decodeGIF decodes the first frame and puts it on its screen, which is filled with the transparent colour or, without
// one, the first.
//
// The library is given a file of the screen descriptor and the frame alone. Left in, the graphic control
// extension would make it forget the colour under transparent pixels; a screen smaller than the frame, an unknown
// extension or a missing colour table would make it refuse what Pillow reads.
func decodeGIF(data []byte, overWhite bool) (*raster, error) {
	f, err := findGIFFrame(data)
	if err != nil {
		return nil, err
	}
	head := append([]byte(nil), data[:gifScreen]...)
	binary.LittleEndian.PutUint16(head[6:], uint16(min(f.width, 0xffff)))
	binary.LittleEndian.PutUint16(head[8:], uint16(min(f.height, 0xffff)))
	if f.globalColorTable != nil {
		head = append(head, f.globalColorTable...)
	} else {
		head[10] |= gifTableFlag | gifTableBits
		for i := range 256 {
			head = append(head, byte(i), byte(i), byte(i))
		}
	}
	r := splice(head, data, f.descriptor, "")
	m, err := gif.Decode(r)
	if err != nil {
		return nil, libraryError(err, r.at())
	}
	frame := m.(*image.Paletted)
	screen := frame
	if b := image.Rect(0, 0, f.width, f.height); frame.Rect != b {
		screen = image.NewPaletted(b, frame.Palette)
		for i := range screen.Pix {
			screen.Pix[i] = byte(max(f.transparent, 0))
		}
		for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
			copy(screen.Pix[screen.PixOffset(frame.Rect.Min.X, y):], frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):][:frame.Rect.Dx()])
		}
	}
	if t := f.transparent; t >= 0 && t < len(screen.Palette) {
		c := screen.Palette[t].(color.RGBA) // opaque, so the same numbers without premultiplication
		screen.Palette[t] = color.NRGBA{c.R, c.G, c.B, 0}
	}
	return flatten(screen, overWhite), nil
}
