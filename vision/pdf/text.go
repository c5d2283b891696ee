package pdf

import (
	"context"
	"math"

	"facet/internal/child"
)

// A Line is one of a page's text layer: what the document itself says stands there, whether it can be seen or, as under a scan,
// not.
type Line struct {
	Text  string // words with a space between; U+FFFD for what the document gives no character
	Box   Box
	Words []Word
}

// A Word is what stands between two spaces.
type Word struct {
	Text string
	Box  Box
}

// A Box lies around ink, in points from the upper left corner of the upright page: its sides are those of [Page], so that
// x / Page.Width is its share of the page.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Scale returns the box in pixels of a page of that size, drawn in so many pixels.
func (b Box) Scale(p Page, width, height int) Box {
	x, y := float64(width)/p.Width, float64(height)/p.Height
	return Box{b.X0 * x, b.Y0 * y, b.X1 * x, b.Y1 * y}
}

// Union returns the smallest box around both. A zero Box is none.
func (b Box) Union(c Box) Box {
	if b == (Box{}) {
		return c
	}
	return Box{min(b.X0, c.X0), min(b.Y0, c.Y0), max(b.X1, c.X1), max(b.Y1, c.Y1)}
}

// MostCharacters is how many characters of a page are read; a page that has more has an error.
const MostCharacters = 200_000

// Characters returns how many characters lie in the text layer of page n, from 1, spaces left out; those without a meaning and those
// beside the page are counted as well. It looks at no boxes. Errors are those of [Document.Page].
func (d *Document) Characters(ctx context.Context, n int) (count int, err error) {
	answered := false
	err = d.ask(ctx, request{Op: "characters", Page: n}, func(k child.Kind, body []byte) error {
		if k != kindCharacters || answered {
			return child.ProtocolErrorf("a message of kind %q for a number of characters", k)
		}
		var c characters
		if err := child.ReadJSON(body, &c); err != nil {
			return err
		}
		if c.Characters < 0 {
			return child.ProtocolErrorf("%d characters", c.Characters)
		}
		count, answered = c.Characters, true
		return nil
	})
	if err == nil && !answered {
		err = d.named(decoderErrorf("page %d: the decoder answered wrongly: no number of characters", n))
	}
	return count, err
}

// Text returns the text layer of page n, from 1, in the order of the document; nothing if there is none. What lies beside the
// page is left out. Errors are those of [Document.Page], and a [vision.UnsupportedError] past MostCharacters.
func (d *Document) Text(ctx context.Context, n int) (lines []Line, err error) {
	seen := 0
	err = d.ask(ctx, request{Op: "text", Page: n}, func(k child.Kind, body []byte) error {
		if k != kindText {
			return child.ProtocolErrorf("a message of kind %q for text", k)
		}
		var some []Line
		if err := child.ReadJSON(body, &some); err != nil {
			return err
		}
		for _, l := range some {
			if seen += len(l.Text) + 1; seen > 5*MostCharacters { // of at most four bytes, and what parts them
				return child.ProtocolErrorf("more than %d bytes of text", 5*MostCharacters)
			}
			if !l.sound() {
				return child.ProtocolErrorf("a line at %+v", l.Box)
			}
		}
		lines = append(lines, some...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// sound reports whether the boxes of a line are boxes.
func (l Line) sound() bool {
	ok := func(b Box) bool {
		return b.X0 <= b.X1 && b.Y0 <= b.Y1 && b.X0 >= 0 && b.Y0 >= 0 && b.X1 <= maxPoints && b.Y1 <= maxPoints && !math.IsNaN(b.X1+b.Y1)
	}
	for _, w := range l.Words {
		if !ok(w.Box) || w.Text == "" {
			return false
		}
	}
	return ok(l.Box) && len(l.Words) > 0
}
