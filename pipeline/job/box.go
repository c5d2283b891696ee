package job

import (
	"fmt"
	"math"
)

// Box is a rectangle of pixels in the original upright image: x0, y0, x1, y1
// from the top left corner, x1 and y1 exclusive. A valid box has a positive
// area and lies in the image; the zero Box is none.
type Box [4]int

// Box2D is a rectangle on the model's own grid: y0, x0, y1, x1, from 0 at the
// top left to 1000 at the far edge. It is what the model said, with only
// swapped corners put right, so it may reach past the grid. The zero Box2D is
// none.
type Box2D [4]float64

const grid = 1000

// Pixels converts to pixels of an image: starts are rounded down and ends up,
// so that no pixel the model meant is lost and a positive area stays one;
// 1000 becomes the width or height, the exclusive end. What reaches past the
// image is cut off. It returns the zero Box if nothing is left, which is also
// so for an area that is not positive and numbers that are not finite. It
// panics if the size is not positive.
func (b Box2D) Pixels(width, height int) Box {
	if width <= 0 || height <= 0 {
		panic(fmt.Sprintf("job: Pixels: image of %d x %d pixels", width, height))
	}
	if !b.Finite() || !b.touches() {
		return Box{}
	}
	y0, x0, y1, x1 := max(b[0], 0), max(b[1], 0), min(b[2], grid), min(b[3], grid)
	// The product first: it is exact for whole coordinates, and its quotient
	// is then exact wherever it is whole. 0.57·100 would be rounded below 57.
	w, h := float64(width), float64(height)
	return Box{
		int(math.Floor(x0 * w / grid)), int(math.Floor(y0 * h / grid)),
		int(math.Ceil(x1 * w / grid)), int(math.Ceil(y1 * h / grid)),
	}
}

// Finite tells whether all four numbers are finite.
func (b Box2D) Finite() bool {
	for _, v := range b {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// IoU is the area shared by b and c over the area of both together, 0–1. It
// is 0 for a box without area.
func (b Box2D) IoU(c Box2D) float64 {
	shared := max(0, min(b[2], c[2])-max(b[0], c[0])) * max(0, min(b[3], c[3])-max(b[1], c[1]))
	both := b.area() + c.area() - shared
	if !(shared > 0) || math.IsInf(both, 1) {
		return 0
	}
	return shared / both
}

func (b Box2D) area() float64 { return max(0, b[2]-b[0]) * max(0, b[3]-b[1]) }

// touches tells whether a part of b with positive area lies on the grid.
func (b Box2D) touches() bool {
	return min(b[2], grid) > max(b[0], 0) && min(b[3], grid) > max(b[1], 0)
}

// inside tells whether all of b lies on the grid.
func (b Box2D) inside() bool {
	return b[0] >= 0 && b[1] >= 0 && b[2] <= grid && b[3] <= grid
}

// upright returns b with its corners in order, and whether they were.
func (b Box2D) upright() (Box2D, bool) {
	u := Box2D{min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])}
	return u, u == b
}

// box reads a box that a model wrote, with its corners in order. It is the zero Box2D if it cannot be used; notes say why, or
// what is odd about it. form tells whether it is four finite numbers.
func (v *value) box() (box Box2D, notes []string, form bool) {
	if v == nil {
		return Box2D{}, []string{"no box"}, false
	}
	said, ok := fourNumbers(v)
	if !ok {
		return Box2D{}, []string{"box is not four finite numbers: left out"}, false
	}
	box, upright := said.upright()
	if !upright {
		notes = append(notes, fmt.Sprintf("box %v had its corners swapped", said))
	}
	switch {
	case box[0] == box[2] || box[1] == box[3]:
		return Box2D{}, append(notes, fmt.Sprintf("box %v has no area: left out", said)), true
	case !box.touches():
		return Box2D{}, append(notes, fmt.Sprintf("box %v is outside the image: left out", said)), true
	case !box.inside():
		notes = append(notes, fmt.Sprintf("box %v reaches past the image: its pixels are cut to it", said))
	}
	return box, notes, true
}
