package vision

import (
	"fmt"
	"math"
)

// Budgets lists the numbers of soft tokens that the released models were trained with, smallest first.
var Budgets = []int{70, 140, 280, 560, 1120}

// Size returns the size in pixels to which an upright image is resized so that it fills a
// budget of soft tokens: the largest multiple of a soft token's side, in both directions, that keeps
// the aspect ratio up to rounding down. Small images are scaled up. An image too long and thin
// becomes one row or column. Any budget is computed, whether listed in [Budgets] or not.
//
// The rule is not idempotent: the target of a target may be another size.
//
// Errors: a width, height or budget below 1, and a budget too small for a single soft token.
// Source: transformers, image_processing_gemma4.
func (s Spec) Size(width, height, budget int) (w, h int, err error) {
	cell := s.cell()
	if width < 1 || height < 1 || budget < 1 {
		return 0, 0, fmt.Errorf("vision: an image of %d × %d pixels does not fit a budget of %d soft tokens", width, height, budget)
	}
	area := float64(budget) * float64(cell) * float64(cell)
	f := math.Sqrt(area / (float64(width) * float64(height)))
	w = int(f*float64(width)/float64(cell)) * cell
	h = int(f*float64(height)/float64(cell)) * cell
	switch {
	case w == 0 && h == 0:
		return 0, 0, fmt.Errorf("vision: a budget of %d soft tokens is too small for an image of %d × %d pixels", budget, width, height)
	case h == 0:
		return min(width/height, budget) * cell, cell, nil
	case w == 0:
		return cell, min(height/width, budget) * cell, nil
	}
	return w, h, nil
}

// SoftTokens returns how many soft tokens an image of a size given by [Spec.Size] becomes.
func (s Spec) SoftTokens(width, height int) int {
	cell := s.cell()
	return (width / cell) * (height / cell)
}

// AutoBudget chooses a budget by the image's size: the smallest of [Budgets] in [least, most] whose
// target has at least factor times the width and the height of the image, and the largest in that range
// if none has. A factor of 1 asks that nothing be lost; 0.5 allows the sides to be halved.
// It panics if no budget lies in the range, and on a width or height below 1.
func (s Spec) AutoBudget(width, height int, least, most int, factor float64) int {
	best := 0
	for _, b := range Budgets {
		if b < least || b > most {
			continue
		}
		best = b
		w, h, err := s.Size(width, height, b)
		if err != nil {
			panic(err.Error())
		}
		if float64(w) >= factor*float64(width) && float64(h) >= factor*float64(height) {
			break
		}
	}
	if best == 0 {
		panic(fmt.Sprintf("vision: AutoBudget: no budget from %d to %d", least, most))
	}
	return best
}

// Resize returns m at w × h pixels, or m itself if it has that size. The pixels are those of
// Pillow's Image.resize with BICUBIC, bit for bit: a cubic kernel with a = −0.5, widened by the scale
// when the image shrinks; a pass along rows and one along columns; weights in 22-bit fixed point; and
// rounding to 8 bits after each pass. The imaging package was tried: it rounds floating-point sums, which differs by one
// level in up to 0.01 % of the values, and is no faster. So these loops are our own.
//
// Everything else but the size is copied from m. It panics on a side below 1.
func (m *Image) Resize(w, h int) *Image {
	if w < 1 || h < 1 {
		panic(fmt.Sprintf("vision: Resize to %d × %d pixels", w, h))
	}
	if w == m.Width && h == m.Height {
		return m
	}
	out := *m
	rows := func() {
		if w != out.Width {
			out.Pix = resizeRows(out.Pix, out.Width, out.Height, newWeights(out.Width, w))
			out.Width = w
		}
	}
	columns := func() {
		if h != out.Height {
			out.Pix = resizeColumns(out.Pix, 3*out.Width, newWeights(out.Height, h))
			out.Height = h
		}
	}
	if columnsFirst(m.Width, m.Height, w, h) {
		columns()
		rows()
	} else {
		rows()
		columns()
	}
	return &out
}

// columnsFirst reports whether Pillow makes the pass along columns first, which the rounding between the passes makes
// visible: since version 13.0, if the height loses more than twice what the width loses. That is so for
// pictures over twice as high as wide when they shrink. Older versions always began with the rows. The
// rule was found by trying 1,500 sizes.
func columnsFirst(width, height, w, h int) bool {
	return h < height && height-h > 2*(width-w)
}

// fixedBits is the number of binary places of a weight: 32 bits less 8 of the sample and 2 for sign and overshoot.
const fixedBits = 32 - 8 - 2

// weights holds, for each output sample of one direction, the run of input samples it is made of.
type weights struct {
	first []int   // [out] index of the run's first input sample
	count []int   // [out] length of the run
	taps  int     // longest run
	fixed []int32 // [out, taps] weights in units of 2^−fixedBits
}

// newWeights returns the weights from in to out samples. The explicit conversions keep a compiler from
// fusing a product and a sum, which could change a weight's last bit on some processors.
func newWeights(in, out int) *weights {
	scale := float64(in) / float64(out)
	spread := max(scale, 1)
	support := 2 * spread // a cubic reaches two samples to either side
	taps := 2*int(math.Ceil(support)) + 1
	w := &weights{
		first: make([]int, out),
		count: make([]int, out),
		taps:  taps,
		fixed: make([]int32, out*taps),
	}
	inverse := 1 / spread
	real := make([]float64, taps)
	for o := range out {
		centre := float64((float64(o) + 0.5) * scale)
		lo := max(int(centre-support+0.5), 0)
		hi := min(int(centre+support+0.5), in)
		sum := 0.0
		for i := range hi - lo {
			real[i] = cubic(float64((float64(i+lo) - centre + 0.5) * inverse))
			sum += real[i]
		}
		w.first[o], w.count[o] = lo, hi-lo
		for i := range hi - lo {
			w.fixed[o*taps+i] = int32(math.Round(real[i] / sum * (1 << fixedBits)))
		}
	}
	return w
}

// cubic is Keys' convolution kernel with a = −0.5.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		t := float64((a+2)*x) - (a + 3)
		return float64(float64(t*x)*x) + 1
	case x < 2:
		t := float64((x-5)*x) + 8
		return (float64(t*x) - 4) * a
	}
	return 0
}

// resizeRows resizes each of rows rows of RGB pixels from width to the weights' number of pixels.
func resizeRows(src []byte, width, rows int, w *weights) []byte {
	out := len(w.first)
	dst := make([]byte, 3*out*rows)
	for y := range rows {
		from := src[3*width*y : 3*width*(y+1)]
		to := dst[3*out*y : 3*out*(y+1)]
		for o, first := range w.first {
			n := w.count[o]
			k := w.fixed[o*w.taps:][:n]
			p := from[3*first:][:3*n]
			r, g, b := int32(half), int32(half), int32(half)
			for _, k := range k {
				r += int32(p[0]) * k
				g += int32(p[1]) * k
				b += int32(p[2]) * k
				p = p[3:]
			}
			q := to[3*o:][:3]
			q[0], q[1], q[2] = fixedToByte(r), fixedToByte(g), fixedToByte(b)
		}
	}
	return dst
}

// resizeColumns resizes columns of stride bytes a row; the three channels need no telling apart. It goes
// through each input row once and in order, which is many times faster than walking down columns.
func resizeColumns(src []byte, stride int, w *weights) []byte {
	dst := make([]byte, stride*len(w.first))
	sum := make([]int32, stride)
	for o, first := range w.first {
		for i := range sum {
			sum[i] = half
		}
		for t, k := range w.fixed[o*w.taps:][:w.count[o]] {
			row := src[stride*(first+t):][:len(sum)]
			for i, v := range row {
				sum[i] += int32(v) * k
			}
		}
		to := dst[stride*o:][:len(sum)]
		for i, v := range sum {
			to[i] = fixedToByte(v)
		}
	}
	return dst
}

// half is one half in the fixed point of the sums, so that the shift rounds.
const half = 1 << (fixedBits - 1)

func fixedToByte(v int32) byte {
	return byte(min(max(v>>fixedBits, 0), 255))
}
