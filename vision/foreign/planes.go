package foreign

// planes are the samples of a HEIC picture, of 8 bits.
type planes struct {
	width, height              int
	luma, cb, cr               []byte // cb and cr are nil for grey
	stride                     int
	across, down               int // pixels that share a sample of chroma: 1 or 2
	chromaStride, chromaHeight int
	nclx                       *nclx // nil: BT.601 in full range, as telephones write it, and libheif's choice
}

// Coefficients of red and blue in luma, ITU-T H.273, table 4.
var luma = map[uint16][2]float64{
	1: {0.2126, 0.0722},                  // BT.709
	4: {0.30, 0.11},                      // FCC
	5: {0.299, 0.114}, 6: {0.299, 0.114}, // BT.601
	7: {0.212, 0.087},                         // SMPTE 240M
	9: {0.2627, 0.0593}, 10: {0.2627, 0.0593}, // BT.2020
}

// identity is the matrix of pictures whose planes are green, blue and red.
const identity = 0

// rgb converts to [height, width, 3].
func (p *planes) rgb(pix []byte) {
	c := nclx{matrix: 6, full: true}
	if p.nclx != nil {
		c = *p.nclx
	}
	k, ok := luma[c.matrix]
	if !ok {
		k = luma[6]
	}
	const one = 1 << 16
	scale, chromaScale, black := 1.0, 1.0, 0
	if !c.full {
		scale, chromaScale, black = 255.0/219, 255.0/224, 16
	}
	y1 := int(scale*one + 0.5)
	rv := int(2*(1-k[0])*chromaScale*one + 0.5)
	bu := int(2*(1-k[1])*chromaScale*one + 0.5)
	gu := int(2*(1-k[1])*k[1]/(1-k[0]-k[1])*chromaScale*one + 0.5)
	gv := int(2*(1-k[0])*k[0]/(1-k[0]-k[1])*chromaScale*one + 0.5)
	u, v := make([]byte, p.width), make([]byte, p.width)
	for y := range p.height {
		row := pix[3*p.width*y:][:3*p.width]
		line := p.luma[p.stride*y:][:p.width]
		if p.cb == nil {
			for x, l := range line {
				g := clamp((y1*(int(l)-black) + one/2) >> 16)
				row[3*x], row[3*x+1], row[3*x+2] = g, g, g
			}
			continue
		}
		p.raise(u, p.cb, y)
		p.raise(v, p.cr, y)
		for x, l := range line {
			if c.matrix == identity {
				row[3*x], row[3*x+1], row[3*x+2] = v[x], l, u[x]
				continue
			}
			base := y1*(int(l)-black) + one/2
			cb, cr := int(u[x])-128, int(v[x])-128
			row[3*x] = clamp((base + rv*cr) >> 16)
			row[3*x+1] = clamp((base - gu*cb - gv*cr) >> 16)
			row[3*x+2] = clamp((base + bu*cb) >> 16)
		}
	}
}

// raise fills row with chroma of row y at full size: 3/4 of the nearest sample and 1/4 of the next, in both directions.
func (p *planes) raise(row, plane []byte, y int) {
	n := (p.width + p.across - 1) / p.across
	near, far := y, y
	if p.down == 2 {
		near = y / 2
		far = min(max(near+2*(y%2)-1, 0), p.chromaHeight-1)
	}
	a, b := plane[p.chromaStride*near:][:n], plane[p.chromaStride*far:][:n]
	if p.across == 1 {
		for x := range row {
			row[x] = byte((3*int(a[x]) + int(b[x]) + 2) >> 2)
		}
		return
	}
	for x := range row {
		i := x / 2
		j := min(max(i+2*(x%2)-1, 0), n-1)
		row[x] = byte((3*(3*int(a[i])+int(b[i])) + 3*int(a[j]) + int(b[j]) + 8) >> 4)
	}
}

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }
