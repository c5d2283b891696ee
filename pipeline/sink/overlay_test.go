package sink

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/draw"

	"facet/pipeline/job"
)

func page(w, h int, c color.Color) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return m
}

// A frame lies around its box: the colour outside of the edge, the page
// untouched inside. On any page there is a strong edge to see.
func TestOverlayFrame(t *testing.T) {
	for _, back := range []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}, {128, 128, 128, 255}, palette[0]} {
		p := page(400, 300, back)
		m := Overlay(p, []job.Block{{Text: "x", Box: job.Box{100, 100, 200, 140}}})
		if m.Rect.Size() != p.Rect.Size() {
			t.Fatalf("size %v", m.Rect.Size())
		}
		for _, side := range []image.Point{{150, 99}, {150, 140}, {99, 130}, {200, 130}} {
			if got := m.RGBAAt(side.X, side.Y); got != palette[0] {
				t.Errorf("on %v: frame at %v is %v, want %v", back, side, got, palette[0])
			}
		}
		if got := m.RGBAAt(150, 120); got != back {
			t.Errorf("on %v: inside is %v", back, got)
		}
		strongest := 0.0
		for y := 90; y < 105; y++ {
			strongest = max(strongest, contrast(m.RGBAAt(150, y), m.RGBAAt(150, y+1)))
		}
		if strongest < 3 { // WCAG 2.2, 1.4.11: graphical objects
			t.Errorf("on %v: contrast at the frame is %.1f, want 3", back, strongest)
		}
		if p.RGBAAt(150, 99) != back {
			t.Fatal("the page was drawn on")
		}
	}
}

// White numbers can be read on every colour (WCAG 2.2, 1.4.3: 4.5 to 1).
func TestPaletteContrast(t *testing.T) {
	for _, c := range palette {
		if got := contrast(c, color.RGBA{255, 255, 255, 255}); got < 4.5 {
			t.Errorf("%v: contrast to white is %.2f, want 4.5", c, got)
		}
	}
}

// contrast is WCAG's contrast ratio, 1–21.
func contrast(a, b color.RGBA) float64 {
	light := func(c color.RGBA) float64 {
		lin := func(v uint8) float64 {
			s := float64(v) / 255
			if s <= 0.04045 {
				return s / 12.92
			}
			return math.Pow((s+0.055)/1.055, 2.4)
		}
		return 0.2126*lin(c.R) + 0.7152*lin(c.G) + 0.0722*lin(c.B)
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestOverlayScalesLargePagesDown(t *testing.T) {
	p := page(4000, 1000, color.White)
	m := Overlay(p, []job.Block{{Box: job.Box{1000, 200, 3000, 400}}})
	if m.Rect != image.Rect(0, 0, 2000, 500) {
		t.Fatalf("bounds %v", m.Rect)
	}
	if got := m.RGBAAt(1000, 99); got != palette[0] {
		t.Errorf("above the box there is %v", got)
	}
	if got := m.RGBAAt(1000, 150); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("in the box there is %v", got)
	}
	if got := Overlay(page(100000, 1, color.White), nil).Rect; got != image.Rect(0, 0, 2000, 1) {
		t.Errorf("a line of pixels becomes %v", got)
	}
}

// Tags are on the picture, and as long as there is room they cover neither a
// box nor each other.
func TestOverlayTags(t *testing.T) {
	var blocks []job.Block
	for i := range 40 { // two columns that touch, and a box around all
		x := 300 * (i % 2)
		blocks = append(blocks, job.Block{Box: job.Box{100 + x, 50 + 40*(i/2), 400 + x, 66 + 40*(i/2)}})
	}
	blocks = append(blocks, job.Block{Box: job.Box{50, 40, 750, 900}}, job.Block{}, job.Block{Box: job.Box{0, 0, 800, 950}})
	o := newOverlay(page(800, 950, color.White), marksOf(&job.Record{Blocks: blocks}), 1)
	for i, r := range o.boxes {
		if !r.Empty() {
			o.tag(r, "99", palette[i%len(palette)])
		}
	}
	if len(o.tags) != 42 {
		t.Fatalf("%d tags", len(o.tags))
	}
	for i, tag := range o.tags {
		if !tag.In(o.dst.Rect) {
			t.Errorf("tag %d at %v is not on the picture", i, tag)
		}
		if slices.ContainsFunc(o.tags[:i], tag.Overlaps) {
			t.Errorf("tag %d at %v covers another", i, tag)
		}
		for _, line := range o.boxes[:40] {
			if i < 40 && tag.Overlaps(line) {
				t.Errorf("tag %d at %v covers the line %v", i, tag, line)
			}
		}
	}
}

// A number is drawn, and it is the block's: 1 and 7, which have the same
// colour, differ. Blocks without a box count.
func TestOverlayNumbers(t *testing.T) {
	b := job.Block{Box: job.Box{50, 50, 150, 80}}
	one := Overlay(page(200, 100, color.White), []job.Block{b})
	seven := Overlay(page(200, 100, color.White), append(make([]job.Block, len(palette)), b))
	ink := func(m *image.RGBA) string {
		s := ""
		for y := 45; y < 75; y++ {
			for x := 20; x < 48; x++ {
				c := m.RGBAAt(x, y)
				s += string(" #"[min(1, c.R/200)])
			}
			s += "\n"
		}
		return s
	}
	if ink(one) == ink(seven) {
		t.Errorf("both are\n%s", ink(one))
	}
}

// Boxes from a foreign file may lie anywhere.
func TestOverlayForeignBoxes(t *testing.T) {
	const far = math.MaxInt / 4
	blocks := []job.Block{
		{Box: job.Box{-far, -far, far, far}}, {Box: job.Box{500, 500, 600, 600}}, {Box: job.Box{9, 9, 1, 1}},
		{Box: job.Box{3, 3, 3, 9}}, {Box: job.Box{far, far, far + 1, far + 1}},
	}
	for range 2 * maxCovered {
		blocks = append(blocks, job.Block{Box: job.Box{1, 1, 2, 2}})
	}
	for _, size := range []image.Point{{1, 1}, {10, 10}, {1, 500}, {300, 200}} {
		var b bytes.Buffer
		if err := WriteOverlay(&b, page(size.X, size.Y, color.White), &job.Record{Blocks: blocks}, "1"); err != nil {
			t.Fatal(err)
		}
		if m, err := png.Decode(&b); err != nil || m.Bounds().Size() != size {
			t.Errorf("%v: %v", size, err)
		}
	}
}

// The picture says where it comes from, in chunks that are whole.
func TestOverlayProvenance(t *testing.T) {
	rec := pages()["hostile"]
	data := document(t, func(w io.Writer, rec *job.Record, facet string) error {
		return WriteOverlay(w, page(100, 50, color.White), rec, facet)
	}, rec)
	texts, order := map[string]string{}, ""
	for rest := data[8:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		kind, content := string(rest[4:8]), rest[8:8+n]
		if got, want := binary.BigEndian.Uint32(rest[8+n:]), crc32.ChecksumIEEE(rest[4:8+n]); got != want {
			t.Errorf("%s: CRC %x, want %x", kind, got, want)
		}
		if kind == "iTXt" {
			parts := strings.SplitN(string(content), "\x00", 6)
			texts[parts[0]] = parts[len(parts)-1]
		}
		order += kind + " "
		rest = rest[12+n:]
	}
	want := map[string]string{
		"Software": "facet 1.2 <&>", "Source": PrintableLine(rec.Source.Path),
		"Comment": `model=</model>\u202e model_sha256=ab12 prompt_sha256=cd34 budget=70 temperature=0 seed=0 finish=stop`,
	}
	if d := cmp.Diff(want, texts); d != "" || !strings.HasPrefix(order, "IHDR iTXt iTXt iTXt IDAT ") || !strings.HasSuffix(order, "IEND ") {
		t.Errorf("chunks %s, texts, want -, got +:\n%s", order, d)
	}
}

func BenchmarkOverlay(b *testing.B) {
	p := page(2480, 3508, color.White) // A4 at 300 dots an inch
	var blocks []job.Block
	for i := range 55 {
		blocks = append(blocks, job.Block{Box: job.Box{200, 200 + 58*i, 2200, 245 + 58*i}})
	}
	for b.Loop() {
		if err := WriteOverlay(new(bytes.Buffer), p, &job.Record{Blocks: blocks}, "1"); err != nil {
			b.Fatal(err)
		}
	}
}
