package vision

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
)

// A gifFrame is where a frame of a GIF file lies (GIF89a specification, sections 20 to 23).
type gifFrame struct {
	rect        image.Rectangle // on the screen
	transparent int             // index of the transparent colour, −1 if there is none
	disposal    byte            // what becomes of its place before the next frame
	descriptor  int             // offset of its image descriptor
}

const (
	gifScreen     = 13 // bytes of signature and logical screen descriptor
	gifDescriptor = 10 // bytes of an image descriptor with its introducer
	gifTableFlag  = 0x80
	gifTableBits  = 0x07

	gifRestoreBackground = 2 // disposals; 0 and 1 leave it
	gifRestorePrevious   = 3
)

// gifPages are the frames of a GIF file, as a player shows them one after another.
type gifPages struct {
	data             []byte
	width, height    int // of the screen, grown if the first frame reaches past it
	globalColorTable []byte
	frames           []gifFrame

	canvas    *gifCanvas
	overWhite bool // how the canvas was drawn
}

// openGIF walks the blocks. What comes after the first frame may be cut or broken: the frames end there.
func openGIF(data []byte, most int) (pages, error) {
	truncated := func() error {
		return formatErrorf("truncated: the file ends at byte %d, before its first frame", len(data))
	}
	if len(data) < gifScreen {
		return nil, truncated()
	}
	le := binary.LittleEndian
	g := &gifPages{data: data, width: int(le.Uint16(data[6:])), height: int(le.Uint16(data[8:]))}
	p := gifScreen
	if flags := data[10]; flags&gifTableFlag != 0 {
		n := gifTable(flags)
		if len(data) < p+n {
			return nil, truncated()
		}
		g.globalColorTable = data[p : p+n]
		p += n
	}
	frame := gifFrame{transparent: -1}
	for p+1 < len(data) {
		switch data[p] {
		case '!':
			body := p + 2
			if data[p+1] == 0xf9 && body+5 <= len(data) && data[body] >= 4 {
				frame.transparent = -1
				frame.disposal = data[body+1] >> 2 & 7
				if data[body+1]&1 != 0 {
					frame.transparent = int(data[body+4])
				}
			}
			p = gifSkip(data, body)
		case ',':
			if p+gifDescriptor > len(data) {
				p = len(data)
				continue
			}
			frame.descriptor = p
			x, y := int(le.Uint16(data[p+1:])), int(le.Uint16(data[p+3:]))
			frame.rect = image.Rect(x, y, x+int(le.Uint16(data[p+5:])), y+int(le.Uint16(data[p+7:])))
			if len(g.frames) == 0 {
				g.width, g.height = max(g.width, frame.rect.Max.X), max(g.height, frame.rect.Max.Y)
			}
			if g.frames = append(g.frames, frame); len(g.frames) > most {
				return nil, unsupportedErrorf("more frames than the limit of %d", most)
			}
			flags := data[p+9]
			if p += gifDescriptor; flags&gifTableFlag != 0 {
				p += gifTable(flags)
			}
			p = gifSkip(data, p+1) // after the size of the first code
			frame = gifFrame{transparent: -1}
		default: // the trailer, or what should not be there
			if len(g.frames) == 0 {
				return nil, formatErrorf("no block begins with %#02x, at byte %d", data[p], p)
			}
			return g, nil
		}
	}
	if len(g.frames) == 0 {
		return nil, truncated()
	}
	return g, nil
}

// gifTable returns the bytes of a colour table.
func gifTable(flags byte) int { return 3 << (flags&gifTableBits + 1) }

// gifSkip returns the offset behind a chain of sub-blocks; it may lie past the end.
func gifSkip(data []byte, p int) int {
	for p < len(data) && data[p] != 0 {
		p += 1 + int(data[p])
	}
	return p + 1
}

func (g *gifPages) count() int { return len(g.frames) }

func (g *gifPages) header(int) (header, error) {
	if g.width < 1 || g.height < 1 {
		return header{}, formatErrorf("a size of %d × %d pixels", g.width, g.height)
	}
	return header{width: g.width, height: g.height, orientation: 1}, nil
}

func (g *gifPages) decode(i int, overWhite bool) (*raster, error) {
	if g.canvas == nil || g.canvas.shown > i || g.overWhite != overWhite {
		m, err := g.first()
		if err != nil {
			return nil, err
		}
		out := flatten(m, overWhite)
		if i == 0 && len(g.frames) == 1 {
			return out, nil
		}
		g.canvas, g.overWhite = &gifCanvas{raster: out, palette: m.Palette, hidden: g.frames[0].transparent}, overWhite
	}
	for c := g.canvas; c.shown < i; {
		m, err := g.frame(c.shown + 1)
		if err != nil {
			g.canvas = nil
			return nil, err
		}
		c.dispose(g.frames[c.shown], overWhite)
		c.show(m, g.frames[c.shown+1])
	}
	out := newRaster(g.width, g.height)
	copy(out.pix, g.canvas.pix)
	return out, nil
}

// frame decodes a frame alone.
//
// The library is given a file of the screen descriptor and the frame alone. Left in, the graphic control
// extension would make it forget the colour under transparent pixels; a screen smaller than the frame, an unknown
// extension or a missing colour table would make it refuse what Pillow reads.
func (g *gifPages) frame(i int) (*image.Paletted, error) {
	f := g.frames[i]
	const slack = 1 << 20 // pixels; what lies beside the screen is not seen, but decoded
	if f.rect.Dx()*f.rect.Dy() > 2*g.width*g.height+slack {
		return nil, formatErrorf("a frame of %d × %d pixels on a screen of %d × %d", f.rect.Dx(), f.rect.Dy(), g.width, g.height)
	}
	head := append([]byte(nil), g.data[:gifScreen]...)
	binary.LittleEndian.PutUint16(head[6:], uint16(min(max(g.width, f.rect.Max.X), 0xffff)))
	binary.LittleEndian.PutUint16(head[8:], uint16(min(max(g.height, f.rect.Max.Y), 0xffff)))
	if g.globalColorTable != nil {
		head = append(head, g.globalColorTable...)
	} else {
		head[10] |= gifTableFlag | gifTableBits
		for i := range 256 {
			head = append(head, byte(i), byte(i), byte(i))
		}
	}
	r := splice(head, g.data, f.descriptor, "")
	m, err := gif.Decode(r)
	if err != nil {
		return nil, libraryError(err, r.at())
	}
	frame, ok := m.(*image.Paletted)
	if !ok || frame.Rect != f.rect {
		return nil, formatErrorf("a frame of %v, at byte %d", f.rect, f.descriptor)
	}
	return frame, nil
}

// first decodes the first frame and puts it on its screen, which is filled with the transparent colour or, without
// one, the first.
func (g *gifPages) first() (*image.Paletted, error) {
	frame, err := g.frame(0)
	if err != nil {
		return nil, err
	}
	transparent := g.frames[0].transparent
	screen := frame
	if b := image.Rect(0, 0, g.width, g.height); frame.Rect != b {
		screen = image.NewPaletted(b, frame.Palette)
		for i := range screen.Pix {
			screen.Pix[i] = byte(max(transparent, 0))
		}
		for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
			copy(screen.Pix[screen.PixOffset(frame.Rect.Min.X, y):], frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):][:frame.Rect.Dx()])
		}
	}
	if t := transparent; t >= 0 && t < len(screen.Palette) {
		c := screen.Palette[t].(color.RGBA) // opaque, so the same numbers without premultiplication
		screen.Palette[t] = color.NRGBA{c.R, c.G, c.B, 0}
	}
	return screen, nil
}

// A gifCanvas is what a player shows after a frame.
type gifCanvas struct {
	*raster
	shown   int           // the last frame on it
	palette color.Palette // of the first frame
	hidden  int           // index of its transparent colour, −1 if there is none
	before  []byte        // what lay under the last frame, for gifRestorePrevious
}

// dispose clears the place of the last frame. What is cleared shows what was there before the first frame, and the first frame
// itself, which nothing lies under, stays: so in Pillow.
func (c *gifCanvas) dispose(f gifFrame, overWhite bool) {
	place := f.rect.Intersect(image.Rect(0, 0, c.width, c.height))
	switch {
	case f.disposal == gifRestorePrevious && c.before != nil:
		copyRect(c.pix, c.before, c.width, place)
	case f.disposal == gifRestoreBackground:
		var under [3]byte
		index := max(c.hidden, 0)
		if index < len(c.palette) {
			v := color.NRGBAModel.Convert(c.palette[index]).(color.NRGBA)
			under = [3]byte{v.R, v.G, v.B}
		}
		if c.hidden >= 0 && overWhite {
			under = [3]byte{0xff, 0xff, 0xff}
		}
		for y := place.Min.Y; y < place.Max.Y; y++ {
			for x := place.Min.X; x < place.Max.X; x++ {
				copy(c.pix[3*(y*c.width+x):], under[:])
			}
		}
	}
}

// show lays a frame over the canvas.
func (c *gifCanvas) show(m *image.Paletted, f gifFrame) {
	c.before = nil
	if f.disposal == gifRestorePrevious { // never of the first frame
		c.before = append([]byte(nil), c.pix...)
	}
	var table [256][3]byte
	for i, v := range m.Palette {
		n := v.(color.RGBA)
		table[i] = [3]byte{n.R, n.G, n.B}
	}
	place := f.rect.Intersect(image.Rect(0, 0, c.width, c.height))
	for y := place.Min.Y; y < place.Max.Y; y++ {
		row := m.Pix[m.PixOffset(place.Min.X, y):][:place.Dx()]
		for i, v := range row {
			if int(v) != f.transparent {
				copy(c.pix[3*(y*c.width+place.Min.X+i):], table[v][:])
			}
		}
	}
	c.shown++
}

// copyRect copies a rectangle between two rasters of that width.
func copyRect(dst, src []byte, width int, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		from, to := 3*(y*width+r.Min.X), 3*(y*width+r.Max.X)
		copy(dst[from:to], src[from:to])
	}
}
