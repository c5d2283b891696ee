package sink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"facet/pipeline/job"
)

// WriteOverlay writes the blocks of a record as Overlay draws them, and its elements with their names and points, as a PNG whose texts say where it comes from: Software, which is facet in the version
// that the record names, or else this one; Source, the path of the page; and Comment, the settings.
func WriteOverlay(w io.Writer, page image.Image, rec *job.Record, facet string) error {
	// Pictures are written once and looked at once: time counts more than size.
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, overlaid(page, marksOf(rec))); err != nil {
		return err
	}
	data := b.Bytes()
	const head = 8 + 12 + 13 // signature; length, type and CRC of IHDR; its content
	parts := [][]byte{
		data[:head],
		pngText("Software", "facet "+PrintableLine(madeBy(rec, facet))), pngText("Source", PrintableLine(rec.Source.Path)), pngText("Comment", settings(provenance(rec))),
		data[head:],
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// pngText is an iTXt chunk, not compressed and of no language (PNG, third edition, 11.3.3.4).
func pngText(keyword, text string) []byte {
	chunk := []byte("iTXt" + keyword + "\x00\x00\x00\x00\x00" + text)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(chunk)-4))
	out = append(out, chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

// maxOverlaySide is the longest side of an overlay, in pixels: a page of text
// can be read, and a picture is quick to open.
const maxOverlaySide = 2000

// mark is a box, what stands beside it, and a point in it.
type mark struct {
	box   job.Box // the zero Box is left out
	tag   string
	point *[2]int // x, y in pixels of the page, as where to click; nil for none
}

// marksOf are the blocks of a record with their numbers from 1, and its elements with their names and points.
func marksOf(rec *job.Record) []mark {
	var marks []mark
	for i, b := range rec.Blocks {
		marks = append(marks, mark{box: b.Box, tag: strconv.Itoa(i + 1)})
	}
	for _, e := range rec.Elements {
		marks = append(marks, mark{box: e.Box, tag: shortened(PrintableLine(e.Name())), point: &e.Point})
	}
	return marks
}

// shortened is a name that fits beside its element.
func shortened(name string) string {
	const most = 24 // characters
	if r := []rune(name); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return name
}

// Overlay draws the boxes of blocks into a copy of page, the original upright
// image, each with the number of its block from 1. A page with a side over
// maxOverlaySide is scaled down. Blocks without a box are left out, and keep
// their numbers. It panics if page has no pixels.
func Overlay(page image.Image, blocks []job.Block) *image.RGBA {
	return overlaid(page, marksOf(&job.Record{Blocks: blocks}))
}

// overlaid is page with marks.
func overlaid(page image.Image, marks []mark) *image.RGBA {
	size := page.Bounds().Size()
	if size.X <= 0 || size.Y <= 0 {
		panic(fmt.Sprintf("sink: Overlay: page of %v pixels", size))
	}
	scale := min(1, float64(maxOverlaySide)/float64(max(size.X, size.Y)))
	dst := image.NewRGBA(image.Rect(0, 0, max(1, scaled(size.X, scale)), max(1, scaled(size.Y, scale))))
	if scale == 1 {
		draw.Draw(dst, dst.Rect, page, page.Bounds().Min, draw.Src)
	} else {
		draw.BiLinear.Scale(dst, dst.Rect, page, page.Bounds(), draw.Src, nil)
	}
	o := newOverlay(dst, marks, scale)
	for i, r := range o.boxes {
		if !r.Empty() {
			o.frame(r, palette[i%len(palette)])
		}
	}
	// Tags come last, so that no frame runs through one.
	for i, r := range o.boxes {
		if !r.Empty() {
			if marks[i].tag != "" {
				o.tag(r, marks[i].tag, palette[i%len(palette)])
			}
			if p := marks[i].point; p != nil {
				o.point(image.Pt(int(float64(p[0])*scale), int(float64(p[1])*scale)), palette[i%len(palette)])
			}
		}
	}
	return dst
}

func scaled(n int, scale float64) int { return int(float64(n)*scale + 0.5) }

// palette holds colours that are told apart by people with any colour vision
// and on which white numbers can be read.
var palette = []color.RGBA{
	{0x00, 0x66, 0xb3, 0xff}, // blue
	{0xb8, 0x48, 0x00, 0xff}, // orange
	{0x00, 0x73, 0x58, 0xff}, // green
	{0xa0, 0x2c, 0x72, 0xff}, // purple
	{0x7a, 0x5a, 0x00, 0xff}, // olive
	{0xc0, 0x1f, 0x3a, 0xff}, // red
}

// overlay is one picture being drawn.
type overlay struct {
	dst   *image.RGBA
	boxes []image.Rectangle // one a mark, on dst; empty for none
	tags  []image.Rectangle // drawn so far
	line  int               // width of a frame's line, in pixels
	face  font.Face
}

func newOverlay(dst *image.RGBA, marks []mark, scale float64) *overlay {
	o := &overlay{dst: dst, boxes: make([]image.Rectangle, len(marks))}
	var heights []int
	for i, b := range marks {
		if b.box == (job.Box{}) {
			continue
		}
		r := image.Rect(scaled(b.box[0], scale), scaled(b.box[1], scale), scaled(b.box[2], scale), scaled(b.box[3], scale))
		if o.boxes[i] = r.Intersect(dst.Rect); !o.boxes[i].Empty() {
			heights = append(heights, r.Dy())
		}
	}
	side := max(dst.Rect.Dx(), dst.Rect.Dy())
	o.line = max(2, side/800)
	// Numbers are as high as the text of the page at most, and readable.
	points := float64(side) / 55
	if len(heights) > 0 {
		slices.Sort(heights)
		points = min(points, 0.7*float64(heights[len(heights)/2]))
	}
	o.face = numberFace(max(12, points))
	return o
}

var numberFont = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(gobold.TTF)
	if err != nil {
		panic(err) // the font is part of the program
	}
	return f
})

// numberFace is the font for numbers at a size in pixels.
func numberFace(size float64) font.Face {
	f, err := opentype.NewFace(numberFont(), &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err) // fails for no font that was parsed
	}
	return f
}

// frame draws a line of colour c around r, with a light line on both sides
// so that it stands out on a dark page as well.
func (o *overlay) frame(r image.Rectangle, c color.RGBA) {
	light := color.RGBA{0xd0, 0xd0, 0xd0, 0xd0} // white, premultiplied: the page shows through a little
	o.ring(r.Inset(-o.line-1), 1, light)
	o.ring(r.Inset(-o.line), o.line, c)
	o.ring(r, 1, light)
}

// ring draws the outermost pixels of r, width of them.
func (o *overlay) ring(r image.Rectangle, width int, c color.RGBA) {
	if r.Dx() <= 2*width || r.Dy() <= 2*width {
		o.fill(r, c)
		return
	}
	in := r.Inset(width)
	o.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, in.Min.Y), c)
	o.fill(image.Rect(r.Min.X, in.Max.Y, r.Max.X, r.Max.Y), c)
	o.fill(image.Rect(r.Min.X, in.Min.Y, in.Min.X, in.Max.Y), c)
	o.fill(image.Rect(in.Max.X, in.Min.Y, r.Max.X, in.Max.Y), c)
}

func (o *overlay) fill(r image.Rectangle, c color.RGBA) {
	draw.Draw(o.dst, r, image.NewUniform(c), image.Point{}, draw.Over)
}

// point draws a ring with a dot in its middle around a pixel, so that the pixel itself is seen.
func (o *overlay) point(p image.Point, c color.RGBA) {
	dot := image.Rectangle{p, p.Add(image.Pt(1, 1))}
	light := color.RGBA{0xd0, 0xd0, 0xd0, 0xd0}
	o.ring(dot.Inset(-3*o.line-1), 1, light)
	o.ring(dot.Inset(-3*o.line), o.line, c)
	o.fill(dot.Inset(-o.line/2), c)
}

// tag draws a number or a name beside r.
func (o *overlay) tag(r image.Rectangle, number string, c color.RGBA) {
	m := o.face.Metrics()
	digits := m.CapHeight.Ceil() // digits of this font are as high as capitals
	pad := max(2, digits/3)
	width := font.MeasureString(o.face, number).Ceil()
	place := o.place(r, image.Pt(max(width, digits)+2*pad, digits+2*pad))
	o.tags = append(o.tags, place)

	o.fill(place.Inset(-1), color.RGBA{0xd0, 0xd0, 0xd0, 0xd0})
	o.fill(place, c)
	d := font.Drawer{Dst: o.dst, Src: image.White, Face: o.face}
	d.Dot = fixed.P(place.Min.X+(place.Dx()-width)/2, place.Min.Y+pad+digits)
	d.DrawString(number)
}

// place finds room for a tag of this size by the frame around r: the first
// place of a fixed order that is on the picture and covers neither a box nor
// another tag, or else the first that is on the picture.
func (o *overlay) place(r image.Rectangle, size image.Point) image.Rectangle {
	f := r.Inset(-o.line)
	at := func(x, y int) image.Rectangle { return image.Rectangle{Max: size}.Add(image.Pt(x, y)) }
	places := []image.Rectangle{
		at(f.Min.X-size.X, f.Min.Y),        // left of it: the margin, on most pages
		at(f.Max.X, f.Min.Y),               // right
		at(f.Min.X, f.Min.Y-size.Y),        // above
		at(f.Max.X-size.X, f.Min.Y-size.Y), //
		at(f.Min.X, f.Max.Y),               // below
		at(f.Max.X-size.X, f.Max.Y),
	}
	for _, p := range places {
		if p.In(o.dst.Rect) && !o.covers(p, r) {
			return p
		}
	}
	for _, p := range places {
		if p.In(o.dst.Rect) {
			return p
		}
	}
	// A box that fills the picture: inside its corner.
	x := max(0, min(r.Min.X, o.dst.Rect.Max.X-size.X))
	y := max(0, min(r.Min.Y, o.dst.Rect.Max.Y-size.Y))
	return at(x, y)
}

// maxCovered is how many boxes are looked at to keep tags clear of them. It
// bounds the time that a broken reply with very many boxes takes.
const maxCovered = 1000

// covers tells whether p hides a tag or another box than those that r, the
// box it belongs to, lies in.
func (o *overlay) covers(p, r image.Rectangle) bool {
	if len(o.boxes) > maxCovered {
		return false
	}
	return slices.ContainsFunc(o.tags, p.Overlaps) ||
		slices.ContainsFunc(o.boxes, func(b image.Rectangle) bool { return p.Overlaps(b) && !r.In(b) })
}
