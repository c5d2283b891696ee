package vision

import "math/bits"

// A segment is a strip or a tile as samples, in rows.
type segment struct {
	pix    []byte
	stride int // bytes of a row
	bits   int
}

// decode reads the segments one after another.
func (t *tiffPage) decode(overWhite bool) (*raster, error) {
	if t.compression == tiffOldJPEG {
		return t.decodeOldJPEG()
	}
	across := (t.width + t.segmentWidth - 1) / t.segmentWidth
	down := (t.height + t.segmentHeight - 1) / t.segmentHeight
	planes := 1
	if t.planar {
		planes = t.samples
	}
	data, err := t.segments(int64(across) * int64(down) * int64(planes))
	if err != nil {
		return nil, err
	}
	if err := t.enough(data); err != nil {
		return nil, err
	}
	convert, err := t.converter(overWhite)
	if err != nil {
		return nil, err
	}
	out := newRaster(t.width, t.height)
	samples := make([]byte, t.segmentWidth*t.samples)
	parts := make([]segment, planes)
	for row := range down {
		top := row * t.segmentHeight
		rows := min(t.segmentHeight, t.height-top)
		for column := range across {
			left := column * t.segmentWidth
			width := min(t.segmentWidth, t.width-left)
			for p := range parts {
				i := (p*down+row)*across + column
				stored := rows
				if t.tiled {
					stored = t.segmentHeight
				}
				if parts[p], err = t.segment(data[i], stored, t.samples/planes); err != nil {
					return nil, err
				}
			}
			for y := range rows {
				for p, part := range parts {
					part.unpack(samples[p:], y, width*t.samples/planes, planes, t)
				}
				at := 3 * ((top+y)*t.width + left)
				convert(out.pix[at:at+3*width], samples)
			}
		}
	}
	return out, nil
}

// enough returns an error if the segments, however well compressed, can't hold the picture.
func (t *tiffPage) enough(segments [][]byte) error {
	most := map[int64]float64{ // bytes that a byte can give
		tiffPlain:    1,
		tiffPackBits: 64,   // 128 of two
		tiffLZW:      4096, // the longest string there is, of a code of at least 9 bits
		tiffDeflate:  deflateRatio, tiffOldDeflate: deflateRatio,
		tiffJPEG: 512 * float64(t.samples),                         // a bit for a block of 64
		fax3:     float64(t.width) + 1, fax4: float64(t.width) + 1, // a bit for a row
	}[t.compression]
	bytes := 0.0
	for _, s := range segments {
		bytes += float64(len(s))
	}
	need := float64(t.width) * float64(t.height) * float64(t.samples*t.bits) / 8
	if t.photometric == tiffYCbCr && t.subX > 1 {
		need /= 3 // chroma may be next to nothing
	}
	if bytes*most < need {
		return formatErrorf("truncated: %.0f bytes can't hold %d × %d pixels", bytes, t.width, t.height)
	}
	return nil
}

// segments returns the bytes of so many segments.
func (t *tiffPage) segments(n int64) ([][]byte, error) {
	offsetTag, countTag, name := uint16(tagStripOffsets), uint16(tagStripByteCounts), "strip"
	if t.tiled {
		offsetTag, countTag, name = tagTileOffsets, tagTileByteCounts, "tile"
		if t.numbers(offsetTag, 1) == nil {
			offsetTag, countTag = tagStripOffsets, tagStripByteCounts
		}
	}
	size := int64(len(t.data))
	if n > size { // each has an offset
		return nil, formatErrorf("truncated: %d bytes can't hold %d %ss", size, n, name)
	}
	offsets, counts := t.numbers(offsetTag, int(n)), t.numbers(countTag, int(n))
	if int64(len(offsets)) < n {
		return nil, formatErrorf("%d %ss, of %d", len(offsets), name, n)
	}
	out := make([][]byte, n)
	for i, at := range offsets {
		if at > size {
			return nil, formatErrorf("truncated: %s %d begins at byte %d, and the file ends at %d", name, i, at, size)
		}
		count := size - at // as libtiff has it for want of a number
		if i < len(counts) && counts[i] != 0 {
			count = counts[i]
		}
		if count > size-at {
			return nil, formatErrorf("truncated: %s %d has %d bytes at byte %d, and the file ends at %d", name, i, count, at, size)
		}
		out[i] = t.data[at : at+count]
	}
	return out, nil
}

// segment decompresses a segment of so many rows of pixels with so many samples.
func (t *tiffPage) segment(data []byte, rows, samples int) (segment, error) {
	if t.compression == tiffJPEG {
		return t.jpegSegment(data, rows, samples)
	}
	if t.photometric == tiffYCbCr && t.subX*t.subY > 1 {
		return t.subsampled(data, rows)
	}
	s := segment{stride: (t.segmentWidth*samples*t.bits + 7) / 8, bits: t.bits}
	var err error
	if s.pix, err = t.decompress(data, s.stride, rows); err != nil {
		return s, err
	}
	if t.predictor {
		for y := range rows {
			t.sum(s.pix[y*s.stride:][:s.stride], samples)
		}
	}
	return s, nil
}

// sum replaces differences from the pixel to the left (TIFF 6.0, section 14).
func (t *tiffPage) sum(row []byte, samples int) {
	if t.bits == 8 {
		for i := samples; i < len(row); i++ {
			row[i] += row[i-samples]
		}
		return
	}
	for i := 2 * samples; i < len(row); i += 2 {
		t.order.PutUint16(row[i:], t.order.Uint16(row[i:])+t.order.Uint16(row[i-2*samples:]))
	}
}

// subsampled reads YCbCr where some pixels share a sample of chroma: for each square its luma, then Cb and Cr (section 21).
// Chroma is repeated, as libtiff does.
func (t *tiffPage) subsampled(data []byte, rows int) (segment, error) {
	across, down := (t.segmentWidth+t.subX-1)/t.subX, (rows+t.subY-1)/t.subY
	unit := t.subX*t.subY + 2
	raw, err := t.decompress(data, across*unit, down)
	if err != nil {
		return segment{}, err
	}
	s := segment{pix: make([]byte, 3*t.segmentWidth*rows), stride: 3 * t.segmentWidth, bits: 8}
	for y := range rows {
		line := raw[y/t.subY*across*unit:]
		for x := range t.segmentWidth {
			u := line[x/t.subX*unit:][:unit]
			p := s.pix[y*s.stride+3*x:][:3]
			p[0], p[1], p[2] = u[y%t.subY*t.subX+x%t.subX], u[unit-2], u[unit-1]
		}
	}
	return s, nil
}

// unpack puts n samples of row y into dst, step apart: 8 bits each, where white is 255; for a palette as they are. Of 16
// bits the high ones count.
func (s segment) unpack(dst []byte, y, n, step int, t *tiffPage) {
	row := s.pix[y*s.stride:][:s.stride]
	switch s.bits {
	case 8:
		for i := range n {
			dst[i*step] = row[i]
		}
	case 16:
		high := 0
		if t.order.Uint16([]byte{0, 1}) != 1 { // little-endian
			high = 1
		}
		for i := range n {
			dst[i*step] = row[2*i+high]
		}
	default:
		scale := byte(255 / (1<<s.bits - 1))
		if t.photometric == tiffPalette {
			scale = 1
		}
		for i := range n {
			at := i * s.bits
			v := row[at/8] << (at % 8) >> (8 - s.bits)
			dst[i*step] = v * scale
		}
	}
}

// converter returns what fills a row, RGB, from samples side by side.
func (t *tiffPage) converter(overWhite bool) (func(row, samples []byte), error) {
	colour, err := t.colour()
	if err != nil {
		return nil, err
	}
	if t.alpha == 0 || t.alpha == unassociated && !overWhite {
		return colour, nil
	}
	rgba := make([]byte, 4*t.segmentWidth)
	alphaAt := t.colours()
	return func(row, samples []byte) {
		colour(row, samples)
		for i := range len(row) / 3 {
			copy(rgba[4*i:4*i+3], row[3*i:])
			rgba[4*i+3] = samples[i*t.samples+alphaAt]
		}
		if t.alpha == associated {
			expandPremultiplied(row, rgba, 1, overWhite)
		} else {
			expandRGBA(row, rgba, 1, overWhite)
		}
	}, nil
}

// colour returns the conversion of colours, without alpha.
func (t *tiffPage) colour() (func(row, samples []byte), error) {
	n := t.samples
	switch t.photometric {
	case whiteIsZero:
		return func(row, samples []byte) {
			for i, j := 0, 0; i < len(row); i, j = i+3, j+n {
				v := 255 - samples[j]
				row[i], row[i+1], row[i+2] = v, v, v
			}
		}, nil
	case blackIsZero:
		return func(row, samples []byte) { expandGrey(row, samples, n) }, nil
	case tiffPalette:
		table, err := t.palette()
		return func(row, samples []byte) {
			for i, j := 0, 0; i < len(row); i, j = i+3, j+n {
				copy(row[i:i+3], table[samples[j]][:])
			}
		}, err
	case tiffCMYK:
		return func(row, samples []byte) {
			for i, j := 0, 0; i < len(row); i, j = i+3, j+n {
				k := 255 - int(samples[j+3])
				for c := range 3 {
					x := int(samples[j+c])*k + 128
					row[i+c] = byte(max(k-(x>>8+x)>>8, 0))
				}
			}
		}, nil
	case tiffYCbCr:
		if t.compression == tiffJPEG && !t.planar { // the segments are RGB already
			break
		}
		y, cb, cr := make([]byte, t.segmentWidth), make([]byte, t.segmentWidth), make([]byte, t.segmentWidth)
		return func(row, samples []byte) {
			w := len(row) / 3
			for i := range w {
				y[i], cb[i], cr[i] = samples[n*i], samples[n*i+1], samples[n*i+2]
			}
			convertYCbCr(row, y[:w], cb[:w], cr[:w])
		}, nil
	}
	return func(row, samples []byte) {
		for i, j := 0, 0; i < len(row); i, j = i+3, j+n {
			copy(row[i:i+3], samples[j:j+3])
		}
	}, nil
}

// palette returns the colours of the map, first all reds, then greens and blues, in 16 bits of which the high ones count.
func (t *tiffPage) palette() (table [256][3]byte, err error) {
	n := 1 << t.bits
	values := t.numbers(tagColorMap, 3*n)
	if len(values) < 3*n {
		return table, formatErrorf("a palette of %d numbers, of %d", len(values), 3*n)
	}
	for i := range n {
		for c := range 3 {
			table[i][c] = byte(values[c*n+i] >> 8)
		}
	}
	return table, nil
}

// reverseBits returns a copy of data, where in each byte the lowest bit is the first.
func reverseBits(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[i] = bits.Reverse8(b)
	}
	return out
}
