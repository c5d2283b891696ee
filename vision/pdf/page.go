package pdf

import (
	"math"
)

// Page is what is known of a page before it is drawn. Sizes are those of the upright page: what its CropBox shows, turned as
// the document asks.
type Page struct {
	Number        int     // from 1
	Width, Height float64 // points, 72 to the inch
	// Picture is the size in pixels of the one picture that fills the page, as of a scan, upright; zero if there is none.
	Picture [2]int
}

// PointsPerInch is the unit of page sizes.
const PointsPerInch = 72

// At returns the page's size in pixels at a resolution, at least one each.
func (p Page) At(dpi float64) (width, height int) {
	return side(p.Width * dpi / PointsPerInch), side(p.Height * dpi / PointsPerInch)
}

func side(v float64) int { return int(math.Round(min(max(v, 1), math.MaxInt32))) }

// DPI returns the resolution at which the page is so many pixels wide or, of the two, high.
func (p Page) DPI(width, height int) float64 {
	if p.Width >= p.Height { // the longer side says it more finely
		return float64(width) * PointsPerInch / p.Width
	}
	return float64(height) * PointsPerInch / p.Height
}

// Fit returns the largest resolution, at most most, at which the page has no more than the given number of pixels.
func (p Page) Fit(pixels int64, most float64) float64 {
	area := p.Width * p.Height / (PointsPerInch * PointsPerInch) // square inches
	dpi := min(most, math.Sqrt(float64(pixels)/area))
	for w, h := p.At(dpi); int64(w)*int64(h) > pixels && dpi > 1e-3; w, h = p.At(dpi) {
		dpi *= 0.999 // rounding up of the sides
	}
	return dpi
}
