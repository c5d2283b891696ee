package vision

import "fmt"

// Patches is one image as a vision tower reads it.
type Patches struct {
	Columns, Rows int
	// Values is [Columns·Rows, 3·PatchSize²]: patches row by row, and in each patch the pixels row by row, red,
	// green and blue together, in [0, 1].
	Values []float32
}

// levels maps a sample to [0, 1].
var levels = func() (t [256]float32) {
	for i := range t {
		t[i] = float32(i) / 255
	}
	return t
}()

// Patches cuts m into patches. It panics if m's sides are not multiples of the patch size; sizes given by
// [Spec.Size] are.
func (s Spec) Patches(m *Image) *Patches {
	side := s.PatchSize
	if side < 1 || m.Width%side != 0 || m.Height%side != 0 {
		panic(fmt.Sprintf("vision: an image of %d × %d pixels does not divide into patches of %d", m.Width, m.Height, side))
	}
	p := &Patches{Columns: m.Width / side, Rows: m.Height / side, Values: make([]float32, len(m.Pix))}
	line := 3 * side // one row of pixels of one patch
	for y := range m.Height {
		src := m.Pix[3*m.Width*y:][:3*m.Width]
		for column := range p.Columns {
			patch := y/side*p.Columns + column
			dst := p.Values[(patch*side+y%side)*line:][:line]
			for i, v := range src[column*line:][:line] {
				dst[i] = levels[v]
			}
		}
	}
	return p
}
