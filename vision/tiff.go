package vision

import (
	"bytes"
	"fmt"
	"image"

	"golang.org/x/image/tiff"
)

// Tags of TIFF 6.0, section 8, that decide whether the library can read a file.
const (
	tagWidth           = 256
	tagLength          = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagSamplesPerPixel = 277
	tagFillOrder       = 266
	tagPlanar          = 284
	tagT4Options       = 292
	tagExtraSamples    = 338
	tagSampleFormat    = 339
)

// Compressions that write runs of white and black, CCITT group 3 and 4.
const (
	fax3 = 3
	fax4 = 4
)

// tiffHeader reads the first directory. It refuses by name what the library would refuse with a number, or read wrongly:
// it does not look at the planar configuration nor at the options of fax group 3.
func tiffHeader(data []byte) (header, error) {
	d, err := firstIFD(data)
	if err != nil {
		return header{}, err
	}
	w, h := d.number(tagWidth, 0), d.number(tagLength, 0)
	if w < 1 || h < 1 || w > 1<<31-1 || h > 1<<31-1 {
		return header{}, formatErrorf("a size of %d × %d pixels", w, h)
	}
	if err := tiffSupported(&d); err != nil {
		return header{}, err
	}
	out := header{width: int(w), height: int(h), pages: countPages(d)}
	_, xmp := d.find(tagXMP)
	out.orientation = validOrientation(d.orientation(), xmp)
	if d.number(tagCompression, 1) == 1 {
		bits := d.number(tagBitsPerSample, 1) * d.number(tagSamplesPerPixel, 1)
		out.least = float64(w) * float64(bits) / 8 * float64(h)
	}
	return out, nil
}

// tiffSupported returns an UnsupportedError that says what in a directory the library lacks.
func tiffSupported(d *ifd) error {
	switch c := d.number(tagCompression, 1); c {
	case 1, 5, 8, 32773, 32946:
		if d.number(tagFillOrder, 1) != 1 {
			return UnsupportedError("TIFF with reversed bits outside of fax compression is not supported")
		}
	case fax4:
	case fax3:
		if d.number(tagT4Options, 0)&1 != 0 {
			return UnsupportedError("TIFF with two-dimensional fax group 3 compression is not supported")
		}
	default:
		name := map[uint32]string{
			2: "modified Huffman", 6: "old-style JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
			34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
		}[c]
		if name == "" {
			name = fmt.Sprintf("unknown (%d)", c)
		}
		return unsupportedErrorf("TIFF with %s compression is not supported", name)
	}
	samples := d.number(tagSamplesPerPixel, 1)
	bits := d.number(tagBitsPerSample, 1)
	extra := d.number(tagExtraSamples, 0)
	photometric := d.number(tagPhotometric, 0)
	switch {
	case photometric == 2 && (samples == 3 || samples == 4 && (extra == 1 || extra == 2)):
	case photometric == 0 || photometric == 1 || photometric == 3:
		if samples != 1 {
			return unsupportedErrorf("TIFF with %d samples of grey or palette a pixel is not supported", samples)
		}
	case photometric == 2:
		return unsupportedErrorf("TIFF with RGB in %d samples a pixel is not supported", samples)
	default:
		name := map[uint32]string{4: "transparency mask", 5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*"}[photometric]
		if name == "" {
			name = fmt.Sprintf("unknown (%d)", photometric)
		}
		return unsupportedErrorf("TIFF with %s colours is not supported", name)
	}
	switch {
	case bits != 1 && bits != 8 && bits != 16:
		return unsupportedErrorf("TIFF with %d bits a sample is not supported", bits)
	case samples > 1 && d.number(tagPlanar, 1) != 1:
		return UnsupportedError("TIFF with separate colour planes is not supported")
	case d.number(tagSampleFormat, 1) != 1:
		return UnsupportedError("TIFF with signed or floating-point samples is not supported")
	}
	return nil
}

// countPages follows the chain of directories, until it breaks or comes back to one it has seen.
func countPages(d ifd) int {
	pages := 1
	seen := map[int64]bool{d.at: true}
	for d.next != 0 && d.open(d.next) == nil && !seen[d.at] {
		seen[d.at] = true
		pages++
	}
	return pages
}

func decodeTIFF(data []byte, overWhite bool) (*raster, error) {
	// A bytes.Reader is an io.ReaderAt, so that the library copies strips and changes nothing in data.
	m, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, libraryError(err, int64(len(data)))
	}
	d, err := firstIFD(data)
	if err != nil {
		return nil, err
	}
	if c := d.number(tagCompression, 1); c == fax3 || c == fax4 {
		swapFax(m, d.number(tagPhotometric, 0))
	}
	return flatten(m, overWhite), nil
}

// swapFax mends m, decoded from fax runs. A white run stands for zeros, whatever the photometric interpretation
// then makes of them (TIFF 6.0, section 11), and Pillow writes such files; the library has it always white.
func swapFax(m image.Image, photometric uint32) {
	switch m := m.(type) {
	case *image.Gray:
		if photometric == 1 {
			for i, v := range m.Pix {
				m.Pix[i] = 255 - v
			}
		}
	case *image.Paletted:
		for i, v := range m.Pix {
			m.Pix[i] = v ^ 1
		}
	}
}
