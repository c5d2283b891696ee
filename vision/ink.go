package vision

import (
	"fmt"
	"image"
)

// Ink tells where on a page something stands out from the ground, in cells of a few pixels. It does not know
// text from pictures. It does not change, and may be used by many goroutines.
type Ink struct {
	cell          int // side of a cell in pixels
	columns, rows int
	words         int      // of 64 cells in a row of printed
	printed       []uint64 // [rows, words] a bit for each cell
	count         int      // of bits that are set
	contrast      int      // the most by which a cell departs from what is around it, in levels of one channel
}

const (
	inkCells  = 1024 // along the longer side: a cell of an A4 page at 300 dots an inch is 4 pixels, a third of a millimetre
	inkGround = 32   // side in cells of the squares that have a ground of their own
	inkStands = 32   // levels by which a cell of ink departs from the ground: print does by over 100, pencil by 40

	// blankTile is the side in cells of the squares whose levels are compared with their mean: small enough that
	// the shade beside a book's spine changes little in one.
	blankTile = 16

	// blankContrast is the most by which a cell may depart, and the means of neighbouring squares, on an empty page.
	// Paper and scanner make 2 to 5 levels of noise in a pixel, a quarter of that in the mean of 16. A line one pixel wide
	// and a seventh as dark as print makes 9 in such a cell, a black speck of one pixel 16.
	blankContrast = 8
)

// Ink looks at the whole of m, which it reads once. It panics if Pix has another length than Width and Height ask for.
func (m *Image) Ink() *Ink {
	if len(m.Pix) != 3*m.Width*m.Height {
		panic(fmt.Sprintf("vision: Ink of %d × %d pixels in %d bytes", m.Width, m.Height, len(m.Pix)))
	}
	k := &Ink{cell: max(1, (max(m.Width, m.Height)+inkCells-1)/inkCells)}
	k.columns, k.rows = (m.Width+k.cell-1)/k.cell, (m.Height+k.cell-1)/k.cell
	k.words = (k.columns + 63) / 64
	k.printed = make([]uint64, k.rows*k.words)
	means := k.means(m)
	k.contrast = k.departure(means)
	if !k.Blank() {
		k.print(means)
	}
	return k
}

// means shrinks m to a pixel a cell: [rows, columns, 3], each the mean of the cell, rounded.
func (k *Ink) means(m *Image) []byte {
	if k.cell == 1 {
		return m.Pix
	}
	out := make([]byte, 0, 3*k.rows*k.columns)
	sums := make([]int, 3*k.columns)
	for y0 := 0; y0 < m.Height; y0 += k.cell {
		clear(sums)
		y1 := min(y0+k.cell, m.Height)
		for y := y0; y < y1; y++ {
			row := m.Pix[3*m.Width*y:][:3*m.Width]
			for i := 0; len(row) > 0; i += 3 {
				n := min(3*k.cell, len(row))
				r, g, b := 0, 0, 0
				for j := 0; j+2 < n; j += 3 {
					r, g, b = r+int(row[j]), g+int(row[j+1]), b+int(row[j+2])
				}
				sums[i], sums[i+1], sums[i+2] = sums[i]+r, sums[i+1]+g, sums[i+2]+b
				row = row[n:]
			}
		}
		for i, sum := range sums {
			n := min(k.cell, m.Width-i/3*k.cell) * (y1 - y0)
			out = append(out, byte((sum+n/2)/n))
		}
	}
	return out
}

// departure is the most by which a cell differs from the mean of its square, or a square from those left of and above
// it. So an edge counts wherever it lies, and a shade that grows slowly does not. Channels are compared one by one:
// colours of the same lightness differ.
func (k *Ink) departure(means []byte) int {
	most := 0
	tiles := (k.columns + blankTile - 1) / blankTile
	above := make([][3]int, tiles) // means of the squares last seen in each column of squares
	for y0 := 0; y0 < k.rows; y0 += blankTile {
		for t := range tiles {
			x0 := t * blankTile
			x1, y1 := min(x0+blankTile, k.columns), min(y0+blankTile, k.rows)
			var sum, low, high [3]int
			low = [3]int{255, 255, 255}
			for y := y0; y < y1; y++ {
				row := means[3*(y*k.columns+x0) : 3*(y*k.columns+x1)]
				for i := 0; i+2 < len(row); i += 3 {
					for c, v := range row[i : i+3] {
						sum[c] += int(v)
						low[c], high[c] = min(low[c], int(v)), max(high[c], int(v))
					}
				}
			}
			n := (x1 - x0) * (y1 - y0)
			for c := range sum {
				mean := (sum[c] + n/2) / n
				most = max(most, mean-low[c], high[c]-mean)
				if y0 > 0 {
					most = max(most, mean-above[t][c], above[t][c]-mean)
				}
				if t > 0 {
					most = max(most, mean-above[t-1][c], above[t-1][c]-mean)
				}
				above[t][c] = mean
			}
		}
	}
	return most
}

// print marks the cells that depart from the ground, which is the commonest lightness around: of white print on black
// it is black.
func (k *Ink) print(means []byte) {
	light := func(i int) int { // ITU-R BT.601, in 256ths
		return (77*int(means[3*i]) + 150*int(means[3*i+1]) + 29*int(means[3*i+2])) >> 8
	}
	for y0 := 0; y0 < k.rows; y0 += inkGround {
		for x0 := 0; x0 < k.columns; x0 += inkGround {
			x1, y1 := min(x0+inkGround, k.columns), min(y0+inkGround, k.rows)
			var seen [32]int // cells by lightness, 8 levels each
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					seen[light(y*k.columns+x)/8]++
				}
			}
			ground := 31 // of equals the lightest
			for i := 30; i >= 0; i-- {
				if seen[i] > seen[ground] {
					ground = i
				}
			}
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					if d := light(y*k.columns+x) - (8*ground + 4); d > inkStands || d < -inkStands {
						k.printed[y*k.words+x/64] |= 1 << (x % 64)
						k.count++
					}
				}
			}
		}
	}
}

// Blank reports whether the page is certainly empty: nowhere is there more than the noise of paper and scanner, or a
// shade that grows slowly. It is false in doubt, as of a page with specks of dust or the shadow of its edge. An evenly
// coloured page is empty whatever its colour.
func (k *Ink) Blank() bool { return k.contrast <= blankContrast }

// Within reports whether there is ink in a box, in pixels of the page.
func (k *Ink) Within(box image.Rectangle) bool {
	c := k.cells(box)
	for y := c.Min.Y; y < c.Max.Y; y++ {
		for w := c.Min.X / 64; w*64 < c.Max.X; w++ {
			set := k.printed[y*k.words+w] >> max(0, c.Min.X-64*w) << max(0, c.Min.X-64*w)
			if past := 64*(w+1) - c.Max.X; past > 0 {
				set <<= past
			}
			if set != 0 {
				return true
			}
		}
	}
	return false
}

// Outside returns the share of the ink, by area, that is in none of the boxes, from 0 to 1; 0 if there is no ink. A box
// takes in the cells that it touches.
func (k *Ink) Outside(boxes []image.Rectangle) float64 {
	if k.count == 0 {
		return 0
	}
	// How many boxes begin in a cell less how many end there, along both sides: summed up, how many a cell is in.
	stride := k.columns + 1
	in := make([]int32, stride*(k.rows+1))
	for _, b := range boxes {
		if c := k.cells(b); !c.Empty() {
			in[c.Min.Y*stride+c.Min.X]++
			in[c.Min.Y*stride+c.Max.X]--
			in[c.Max.Y*stride+c.Min.X]--
			in[c.Max.Y*stride+c.Max.X]++
		}
	}
	outside := 0
	for y := range k.rows {
		for x := range k.columns {
			i := y*stride + x
			if x > 0 {
				in[i] += in[i-1]
			}
			if y > 0 {
				in[i] += in[i-stride]
			}
			if x > 0 && y > 0 {
				in[i] -= in[i-stride-1]
			}
			if in[i] == 0 {
				outside += int(k.printed[y*k.words+x/64] >> (x % 64) & 1)
			}
		}
	}
	return float64(outside) / float64(k.count)
}

// cells gives the cells that a box touches.
func (k *Ink) cells(b image.Rectangle) image.Rectangle {
	page := image.Rect(0, 0, k.columns*k.cell, k.rows*k.cell)
	b = b.Intersect(page)
	return image.Rect(b.Min.X/k.cell, b.Min.Y/k.cell, (b.Max.X+k.cell-1)/k.cell, (b.Max.Y+k.cell-1)/k.cell)
}
