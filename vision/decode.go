package vision

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"image/jpeg"
	"image/png"

	"golang.org/x/image/bmp"
)

// Limits are what a file may claim before it is decoded. A field of zero means that of [DefaultLimits],
// a negative one no limit.
type Limits struct {
	Bytes  int64 // of the file
	Pixels int64 // width times height
	Side   int   // the longer side, in pixels
	Pages  int   // of a TIFF file, and frames of a GIF
}

// DefaultLimits suit somebody's own scans. 178,956,970 pixels (an A0 sheet at 300 dpi has 140 million) is where
// Pillow refuses an image; 65,535 is the longest side a JPEG file can have; 10,000 pages are a thick book. A decoded image takes 3 bytes
// a pixel, and decoding it up to 12 more, so a service should set the limits lower.
var DefaultLimits = Limits{Bytes: 256 << 20, Pixels: 178_956_970, Side: 65_535, Pages: 10_000}

// orDefault returns l with its zero fields filled in.
func (l Limits) orDefault() Limits {
	return Limits{
		Bytes:  cmp.Or(l.Bytes, DefaultLimits.Bytes),
		Pixels: cmp.Or(l.Pixels, DefaultLimits.Pixels),
		Side:   cmp.Or(l.Side, DefaultLimits.Side),
		Pages:  cmp.Or(l.Pages, DefaultLimits.Pages),
	}
}

// check returns an UnsupportedError if an image of this size is past a limit.
func (l Limits) check(width, height int) error {
	if n := int64(width) * int64(height); l.Pixels > 0 && n > l.Pixels {
		return unsupportedErrorf("%d × %d pixels are more than the limit of %d", width, height, l.Pixels)
	}
	if n := max(width, height); l.Side > 0 && n > l.Side {
		return unsupportedErrorf("a side of %d pixels is longer than the limit of %d", n, l.Side)
	}
	return nil
}

// Check returns an [UnsupportedError] if an image of this size is past a limit.
func (l Limits) Check(width, height int) error { return l.orDefault().check(width, height) }

// CheckBytes returns an [UnsupportedError] if a file of this size is past the limit.
func (l Limits) CheckBytes(n int64) error {
	if most := l.orDefault().Bytes; most > 0 && n > most {
		return unsupportedErrorf("%d bytes are more than the limit of %d", n, most)
	}
	return nil
}

// DecodeOptions say how a file is decoded. The zero value reads as the reference does, within DefaultLimits.
type DecodeOptions struct {
	Limits         Limits
	AlphaOverWhite bool // lay transparent images over white, where the default drops alpha as the reference does
}

// A format is one kind of file that Decode reads.
type format struct {
	mediaType string
	open      func(data []byte, most int) (pages, error) // most pages; what is more is an error
}

// pages are the images of a file, counted from 0.
type pages interface {
	count() int // at least 1
	header(i int) (header, error)
	decode(i int, overWhite bool) (*raster, error) // header has said that there is no error
}

// A header is what a file claims about an image. Reading it allocates nothing of the image's size.
type header struct {
	width, height int     // as stored; both at least 1 and at most 2³¹ − 1
	orientation   int     // 1 to 8
	least         float64 // bytes that any complete file of this size and kind has; 0 if nothing can be said. It can be past int64
}

// single is a file with one image.
type single struct {
	data       []byte
	readHeader func(data []byte) (header, error)
	readPixels func(data []byte, overWhite bool) (*raster, error)
}

func (s single) count() int                 { return 1 }
func (s single) header(int) (header, error) { return s.readHeader(s.data) }
func (s single) decode(_ int, overWhite bool) (*raster, error) {
	return s.readPixels(s.data, overWhite)
}

// one makes a way to open files that have one image.
func one(readHeader func([]byte) (header, error), readPixels func([]byte, bool) (*raster, error)) func([]byte, int) (pages, error) {
	return func(data []byte, _ int) (pages, error) { return single{data, readHeader, readPixels}, nil }
}

var formats = []format{
	{"image/png", one(pngHeader, decodePNG)},
	{"image/jpeg", one(jpegHeader, decodeJPEG)},
	{"image/gif", openGIF},
	{"image/webp", one(webpHeader, decodeWebP)},
	{"image/tiff", openTIFF},
	{"image/bmp", one(bmpHeader, decodeBMP)},
	{"image/x-portable-anymap", one(pnmHeader, decodePNM)},
}

// Sniff returns the media type of a file by its first bytes, of which it wants 32, or "" if it is no image.
// Besides the types that [Decode] reads it knows image/heic, image/avif, image/jxl, image/jp2 and
// application/pdf, so that an error can name them.
func Sniff(head []byte) string {
	has := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case has(0, "\x89PNG\r\n\x1a\n"):
		return "image/png"
	case has(0, "\xff\xd8\xff"):
		return "image/jpeg"
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return "image/gif"
	case has(0, "RIFF") && has(8, "WEBPVP8"):
		return "image/webp"
	case has(0, "II*\x00"), has(0, "MM\x00*"), has(0, "II+\x00"), has(0, "MM\x00+"):
		return "image/tiff"
	case has(0, "BM") && has(6, "\x00\x00\x00\x00"): // two letters alone begin many a text
		return "image/bmp"
	case isPNM(head):
		return "image/x-portable-anymap"
	case has(0, "%PDF-"):
		return "application/pdf"
	case has(0, "\xff\x0a"), has(4, "JXL \r\n\x87\n"):
		return "image/jxl"
	case has(4, "jP  \r\n\x87\n"), has(0, "\xff\x4f\xff\x51"):
		return "image/jp2"
	case has(4, "ftypavif"), has(4, "ftypavis"), has(4, "ftypmif1") && bytes.Contains(head, []byte("avif")):
		return "image/avif"
	}
	for _, brand := range []string{"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"} {
		if has(4, "ftyp"+brand) {
			return "image/heic"
		}
	}
	return ""
}

// sniff returns how to read data, or an error that says why it can't be read.
func sniff(data []byte) (format, error) {
	if len(data) == 0 {
		return format{}, FormatError("the file is empty")
	}
	mediaType := Sniff(data)
	for _, f := range formats {
		if f.mediaType == mediaType {
			return f, nil
		}
	}
	if mediaType == "" {
		return format{}, FormatError("not an image")
	}
	_, name, _ := strings.Cut(mediaType, "/")
	return format{}, unsupportedErrorf("%s is not supported yet", strings.ToUpper(name))
}

// Peek returns the upright size and the media type of an image from its header; of several pages, the first's. It decodes no pixels, and it
// applies no limits; what it accepts may still fail to decode. Errors are those of [Decode].
func Peek(data []byte) (width, height int, mediaType string, err error) {
	f, err := sniff(data)
	if err != nil {
		return 0, 0, "", fmt.Errorf("vision: %w", err)
	}
	defer recoverFormat(f.mediaType, &err)
	p, err := f.open(data, math.MaxInt)
	if err != nil {
		return 0, 0, f.mediaType, fmt.Errorf("vision: %s: %w", f.mediaType, err)
	}
	h, err := p.header(0)
	if err != nil {
		return 0, 0, f.mediaType, fmt.Errorf("vision: %s: %w", f.mediaType, err)
	}
	width, height = h.width, h.height
	if h.orientation >= 5 {
		width, height = height, width
	}
	return width, height, f.mediaType, nil
}

// Decode reads an image file: PNG, JPEG, GIF (its first frame, on its screen), WebP (its first frame), TIFF (its first
// page), BMP or PNM, told apart by their first bytes. The pixels are those that Pillow's exif_transpose and convert("RGB") give,
// JPEG within two levels; see [DecodeOptions] for transparency. data is only read, and not kept.
//
// Errors wrap a [FormatError] if the file is broken or no image, and an [UnsupportedError] if it is of a kind that
// isn't read or past o.Limits, which are checked before anything of the image's size is allocated.
func Decode(data []byte, o DecodeOptions) (*Image, error) {
	f, err := Open(data, o)
	if err != nil {
		return nil, err
	}
	return f.Decode(1)
}

// A File is an image file of which each page is decoded alone: those of TIFF, but not smaller copies and masks; the frames of
// GIF, as a player shows them; the only or first image of other formats. It is not safe for concurrent use.
type File struct {
	data      []byte
	mediaType string
	o         DecodeOptions
	pages     pages
}

// Open finds the pages of a file that [Decode] reads, and keeps data. Errors are those of Decode; a page that is broken or past the
// limits of an image is an error of its own.
func Open(data []byte, o DecodeOptions) (file *File, err error) {
	o.Limits = o.Limits.orDefault()
	if err := o.Limits.CheckBytes(int64(len(data))); err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	f, err := sniff(data)
	if err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	defer recoverFormat(f.mediaType, &err)
	most := o.Limits.Pages
	if most < 0 {
		most = math.MaxInt
	}
	p, err := f.open(data, most)
	if err != nil {
		return nil, fmt.Errorf("vision: %s: %w", f.mediaType, err)
	}
	return &File{data, f.mediaType, o, p}, nil
}

// Type returns the media type, such as image/tiff.
func (f *File) Type() string { return f.mediaType }

// Count returns the number of pages, at least 1.
func (f *File) Count() int { return f.pages.count() }

// Decode returns page n, from 1. It is fastest in order: a frame of GIF needs those before it. Errors are those of the function [Decode].
// It panics if there is no such page.
func (f *File) Decode(n int) (m *Image, err error) {
	if n < 1 || n > f.Count() {
		panic(fmt.Sprintf("vision: page %d of %d", n, f.Count()))
	}
	defer recoverFormat(f.mediaType, &err)
	if m, err = f.decode(n); err != nil {
		return nil, fmt.Errorf("vision: %s: %w", f.mediaType, err)
	}
	return m, nil
}

func (f *File) decode(n int) (*Image, error) {
	h, err := f.pages.header(n - 1)
	if err != nil {
		return nil, err
	}
	if err := f.o.Limits.check(h.width, h.height); err != nil {
		return nil, err
	}
	if n := len(f.data); float64(n) < h.least {
		return nil, formatErrorf("truncated: %d bytes can't hold %d × %d pixels", n, h.width, h.height)
	}
	r, err := f.pages.decode(n-1, f.o.AlphaOverWhite)
	if err != nil {
		return nil, err
	}
	r = r.upright(h.orientation)
	return &Image{
		Width: r.width, Height: r.height, Pix: r.pix,
		Format:      f.mediaType,
		StoredWidth: h.width, StoredHeight: h.height,
		Orientation: h.orientation, Pages: f.Count(),
	}, nil
}

// recoverFormat turns a panic into a FormatError. The decoders below are others' code fed with foreign bytes, and
// a bad file must not end a run over a million of them.
func recoverFormat(mediaType string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("vision: %s: %w", mediaType, formatErrorf("the decoder failed: %v", p))
	}
}

// libraryError puts an error of a decoder of the standard library's kind into our terms. at is how far the
// decoder had read, in bytes from the file's start; decoders read ahead, so it is a little past the place.
func libraryError(err error, at int64) error {
	var (
		jpegUnsupported jpeg.UnsupportedError
		pngUnsupported  png.UnsupportedError
	)
	switch {
	case errors.As(err, &jpegUnsupported):
		return UnsupportedError(jpegUnsupported + " is not supported")
	case errors.As(err, &pngUnsupported):
		return UnsupportedError(pngUnsupported + " is not supported")
	case errors.Is(err, bmp.ErrUnsupported):
		return UnsupportedError("a BMP of this kind is not supported")
	}
	// Some decoders format the error away instead of wrapping it.
	if errors.Is(err, io.EOF) || strings.HasSuffix(err.Error(), "EOF") || strings.Contains(err.Error(), "not enough") {
		return formatErrorf("truncated: the file ends at byte %d, before the image is complete", at)
	}
	text := err.Error()
	for _, prefix := range []string{"png: ", "gif: ", "bmp: ", "tiff: ", "webp: ", "vp8: ", "vp8l: ", "invalid JPEG format: ", "invalid format: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return formatErrorf("%s, near byte %d", text, at)
}

// A section reads a file put together from pieces of another, and knows how far in that other it is.
type section struct {
	io.Reader
	rest *bytes.Reader // the piece that ends where the file ends
	size int
}

// splice returns a reader of head, then data from offset on, then tail.
func splice(head, data []byte, offset int, tail string) *section {
	rest := bytes.NewReader(data[offset:])
	return &section{
		Reader: io.MultiReader(bytes.NewReader(head), rest, strings.NewReader(tail)),
		rest:   rest,
		size:   len(data),
	}
}

// at returns the offset in the original file up to which it has been read.
func (s *section) at() int64 { return int64(s.size - s.rest.Len()) }
