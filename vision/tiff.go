package vision

import "fmt"

// Tags of TIFF 6.0, section 8, and of its supplements.
const (
	tagNewSubfileType   = 254
	tagWidth            = 256
	tagLength           = 257
	tagBitsPerSample    = 258
	tagCompression      = 259
	tagPhotometric      = 262
	tagFillOrder        = 266
	tagStripOffsets     = 273
	tagSamplesPerPixel  = 277
	tagRowsPerStrip     = 278
	tagStripByteCounts  = 279
	tagPlanar           = 284
	tagT4Options        = 292
	tagPredictor        = 317
	tagColorMap         = 320
	tagTileWidth        = 322
	tagTileLength       = 323
	tagTileOffsets      = 324
	tagTileByteCounts   = 325
	tagExtraSamples     = 338
	tagSampleFormat     = 339
	tagJPEGTables       = 347
	tagOldJPEG          = 513
	tagOldJPEGLength    = 514
	tagYCbCrSubSampling = 530
)

// Compressions.
const (
	tiffPlain      = 1
	fax3           = 3 // CCITT group 3 and 4: runs of white and black
	fax4           = 4
	tiffLZW        = 5
	tiffOldJPEG    = 6
	tiffJPEG       = 7
	tiffDeflate    = 8
	tiffPackBits   = 32773
	tiffOldDeflate = 32946
)

// Photometric interpretations: what samples mean.
const (
	whiteIsZero = 0
	blackIsZero = 1
	tiffRGB     = 2
	tiffPalette = 3
	tiffCMYK    = 5
	tiffYCbCr   = 6
)

// Kinds of an extra sample.
const (
	associated   = 1 // alpha by which the colours were multiplied
	unassociated = 2
)

// A tiffPage is what a directory says of its picture, checked.
type tiffPage struct {
	ifd
	width, height int
	bits          int // of a sample: 1, 2, 4, 8 or 16
	samples       int // of a pixel
	compression   int64
	photometric   int64
	alpha         int64 // associated, unassociated, or 0
	planar        bool  // each sample lies in segments of its own
	predictor     bool  // samples are differences
	reversed      bool  // the lowest bit of a byte comes first

	// Segments are strips or tiles, in rows; a strip is as wide as the picture.
	segmentWidth, segmentHeight int
	tiled                       bool
	subX, subY                  int // pixels of a chroma sample, where YCbCr lies as it is
}

// mostSamples is how many samples a pixel may have; what is past the colours is skipped.
const mostSamples = 8

// readTIFFPage refuses by name what is not read.
func readTIFFPage(d ifd) (*tiffPage, error) {
	t := &tiffPage{ifd: d}
	w, h := d.number(tagWidth, 0), d.number(tagLength, 0)
	if w < 1 || h < 1 || w > 1<<31-1 || h > 1<<31-1 {
		return nil, formatErrorf("a size of %d × %d pixels", w, h)
	}
	t.width, t.height = int(w), int(h)
	for _, read := range []func() error{t.readCompression, t.readSamples, t.readColours, t.readSegments} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tiffPage) readCompression() error {
	t.compression = t.number(tagCompression, tiffPlain)
	switch t.compression {
	case tiffPlain, fax4, tiffLZW, tiffOldJPEG, tiffJPEG, tiffDeflate, tiffPackBits, tiffOldDeflate:
	case fax3:
		if t.number(tagT4Options, 0)&1 != 0 {
			return UnsupportedError("TIFF with two-dimensional fax group 3 compression is not supported")
		}
	default:
		name := map[int64]string{
			2: "modified Huffman", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
			34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
		}[t.compression]
		if name == "" {
			name = fmt.Sprintf("unknown (%d)", t.compression)
		}
		return unsupportedErrorf("TIFF with %s compression is not supported", name)
	}
	t.reversed = t.number(tagFillOrder, 1) == 2
	switch t.compression {
	case tiffLZW, tiffDeflate, tiffOldDeflate:
		switch p := t.number(tagPredictor, 1); p {
		case 1:
		case 2:
			t.predictor = true
		default:
			return unsupportedErrorf("TIFF with predictor %d is not supported", p)
		}
	}
	return nil
}

func (t *tiffPage) readSamples() error {
	samples := t.number(tagSamplesPerPixel, 1)
	if samples < 1 || samples > mostSamples {
		return unsupportedErrorf("TIFF with %d samples a pixel is not supported", samples)
	}
	t.samples = int(samples)
	t.bits = int(min(t.number(tagBitsPerSample, 1), 1<<16))
	for _, b := range t.numbers(tagBitsPerSample, mostSamples) {
		if b != int64(t.bits) {
			return UnsupportedError("TIFF with samples of different sizes is not supported")
		}
	}
	switch t.bits {
	case 1, 2, 4, 8, 16:
	default:
		return unsupportedErrorf("TIFF with %d bits a sample is not supported", t.bits)
	}
	if t.number(tagSampleFormat, 1) != 1 {
		return UnsupportedError("TIFF with signed or floating-point samples is not supported")
	}
	t.planar = t.samples > 1 && t.number(tagPlanar, 1) == 2
	return nil
}

func (t *tiffPage) readColours() error {
	t.photometric = t.number(tagPhotometric, whiteIsZero)
	colours := t.colours()
	if colours == 0 {
		name := map[int64]string{4: "transparency mask", 8: "CIE L*a*b*"}[t.photometric]
		if name == "" {
			name = fmt.Sprintf("unknown (%d)", t.photometric)
		}
		return unsupportedErrorf("TIFF with %s colours is not supported", name)
	}
	if t.samples < colours {
		return formatErrorf("%d samples a pixel, of %d colours", t.samples, colours)
	}
	if t.samples > colours {
		extra := t.numbers(tagExtraSamples, 1)
		switch {
		case len(extra) == 0 && t.photometric == tiffRGB: // somebody forgot the tag
			t.alpha = unassociated
		case len(extra) > 0 && (extra[0] == associated || extra[0] == unassociated):
			t.alpha = extra[0]
		}
	}
	jpeg := t.compression == tiffJPEG || t.compression == tiffOldJPEG
	switch {
	case jpeg && t.bits != 8:
		return unsupportedErrorf("TIFF with JPEG compression and %d bits a sample is not supported", t.bits)
	case t.compression == tiffOldJPEG && t.photometric != tiffYCbCr && t.photometric != blackIsZero && t.photometric != tiffRGB:
		return UnsupportedError("TIFF with old-style JPEG compression of such colours is not supported")
	case (t.compression == fax3 || t.compression == fax4) && t.bits*t.samples != 1:
		return formatErrorf("fax compression of %d bits a pixel", t.bits*t.samples)
	case t.photometric == tiffPalette && t.bits > 8:
		return unsupportedErrorf("TIFF with a palette of %d bits is not supported", t.bits)
	case t.bits < 8 && t.samples > 1:
		return unsupportedErrorf("TIFF with %d samples of %d bits a pixel is not supported", t.samples, t.bits)
	case t.predictor && t.bits < 8:
		return unsupportedErrorf("TIFF with predictor 2 and %d bits a sample is not supported", t.bits)
	}
	if t.photometric == tiffYCbCr && !jpeg {
		return t.readSubsampling()
	}
	return nil
}

// colours returns how many samples make a pixel's colour, 0 if that is not known.
func (t *tiffPage) colours() int {
	return map[int64]int{whiteIsZero: 1, blackIsZero: 1, tiffRGB: 3, tiffPalette: 1, tiffCMYK: 4, tiffYCbCr: 3}[t.photometric]
}

func (t *tiffPage) readSubsampling() error {
	if t.bits != 8 || t.samples != 3 || t.planar {
		return UnsupportedError("TIFF with YCbCr other than three samples of 8 bits side by side is not supported")
	}
	t.subX, t.subY = 2, 2
	if v := t.numbers(tagYCbCrSubSampling, 2); len(v) == 2 {
		for _, n := range v {
			if n != 1 && n != 2 && n != 4 {
				return formatErrorf("chroma subsampled by %d × %d", v[0], v[1])
			}
		}
		t.subX, t.subY = int(v[0]), int(v[1])
	}
	if t.predictor && t.subX*t.subY > 1 {
		return UnsupportedError("TIFF with subsampled YCbCr and a predictor is not supported")
	}
	return nil
}

func (t *tiffPage) readSegments() error {
	w, h := t.number(tagTileWidth, 0), t.number(tagTileLength, 0)
	t.tiled = w != 0 || h != 0
	if !t.tiled {
		t.segmentWidth = t.width
		t.segmentHeight = int(min(t.number(tagRowsPerStrip, int64(t.height)), int64(t.height)))
		if t.segmentHeight < 1 {
			return formatErrorf("%d rows a strip", t.segmentHeight)
		}
		return nil
	}
	// A tile is larger than the picture when that is small; one that is far larger is a trap.
	const slack = 1 << 24
	if w < 1 || h < 1 || w > 1<<24 || h > 1<<24 || w*h > 4*int64(t.width)*int64(t.height)+slack {
		return formatErrorf("tiles of %d × %d pixels", w, h)
	}
	t.segmentWidth, t.segmentHeight = int(w), int(h)
	return nil
}

// header says what the page claims.
func (t *tiffPage) header() header {
	_, xmp := t.find(tagXMP)
	out := header{width: t.width, height: t.height, orientation: validOrientation(t.orientation(), xmp)}
	if t.compression == tiffPlain && t.photometric != tiffYCbCr {
		out.least = float64(t.width) * float64(t.bits*t.samples) / 8 * float64(t.height)
	}
	return out
}

// tiffPages are the pages of a TIFF file.
type tiffPages []ifd

// openTIFF follows the chain of directories, until it breaks or comes back to one it has seen. Smaller copies
// of a page and masks, which have directories as well, are no pages.
func openTIFF(data []byte, most int) (pages, error) {
	d, err := firstIFD(data)
	if err != nil {
		return nil, err
	}
	const reduced, mask = 1, 4
	all := tiffPages{d}
	seen := map[int64]bool{d.at: true}
	for d.next != 0 && d.open(d.next) == nil && !seen[d.at] {
		if seen[d.at] = true; d.number(tagNewSubfileType, 0)&(reduced|mask) == 0 {
			all = append(all, d)
		}
		if len(seen) > most {
			return nil, unsupportedErrorf("more pages than the limit of %d", most)
		}
	}
	return all, nil
}

func (p tiffPages) count() int { return len(p) }

func (p tiffPages) header(i int) (header, error) {
	t, err := readTIFFPage(p[i])
	if err != nil {
		return header{}, err
	}
	return t.header(), nil
}

func (p tiffPages) decode(i int, overWhite bool) (*raster, error) {
	t, err := readTIFFPage(p[i])
	if err != nil {
		return nil, err
	}
	return t.decode(overWhite)
}
