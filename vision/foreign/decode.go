package foreign

import (
	"bytes"
	"fmt"
	"math"

	"facet/vision"
)

// refused is all that is known when a decoder gives up: they do not say why.
func refused(library string) error {
	return vision.FormatError("broken, cut off, or of a kind that " + library + " does not read")
}

// What libheif says of its pixels (heif.h).
const (
	heifYCbCr      = 0
	heifRGB        = 1
	heifMonochrome = 2

	heif420 = 1
	heif422 = 2
	heif444 = 3

	heifAlign = 16 // bytes of a row are a multiple of it,
	heifLeast = 64 // and there is room for so many pixels
)

func decodeHEIC(data []byte, o vision.DecodeOptions) (*vision.Image, error) {
	in, err := start("heif")
	if err != nil {
		return nil, err
	}
	defer in.close()
	// The library looks no further if the main brand is one of those that promise less than it can.
	named := bytes.Clone(data)
	copy(named[8:], "heic")
	src, err := in.put(named)
	if err != nil {
		return nil, err
	}
	about, err := in.room(4 * 5)
	if err != nil {
		return nil, err
	}
	decode := func(headerOnly, out uint64) error {
		ok, err := in.call("decode", src, uint64(len(data)), headerOnly, about, about+4, about+8, about+12, about+16, out)
		if err == nil && ok == 0 {
			err = refused("libheif")
		}
		return err
	}
	if err := decode(1, 0); err != nil {
		return nil, err
	}
	width, height, colours, chroma := in.word(about, 0), in.word(about, 1), in.word(about, 2), in.word(about, 3)
	if err := checkSize(o.Limits, width, height); err != nil {
		return nil, err
	}
	p := planes{width: width, height: height, across: 1, down: 1, stride: heifStride(width, 1), nclx: readProperties(data).nclx}
	size := p.stride * height
	switch {
	case colours == heifRGB:
		size = heifStride(width, 4) * height
	case colours == heifMonochrome:
	case colours == heifYCbCr && chroma >= heif420 && chroma <= heif444:
		if chroma != heif444 {
			p.across = 2
		}
		if chroma == heif420 {
			p.down = 2
		}
		p.chromaStride, p.chromaHeight = heifStride((width+p.across-1)/p.across, 1), (height+p.down-1)/p.down
		size += 2 * p.chromaStride * p.chromaHeight
	default:
		return nil, vision.UnsupportedError(fmt.Sprintf("HEIC with colours of kind %d and chroma of kind %d is not supported", colours, chroma))
	}
	out, err := in.room(size)
	if err != nil {
		return nil, err
	}
	if err := decode(0, out); err != nil {
		return nil, err
	}
	pix, err := in.view(out, size)
	if err != nil {
		return nil, err
	}
	m := newImage(width, height)
	switch colours {
	case heifRGB:
		for y := range height {
			fromRGBA(m.Pix[3*width*y:][:3*width], pix[heifStride(width, 4)*y:], 1, 0, straight, o.AlphaOverWhite)
		}
	default:
		n := p.stride * height
		p.luma = pix[:n]
		if colours == heifYCbCr {
			c := p.chromaStride * p.chromaHeight
			p.cb, p.cr = pix[n:n+c], pix[n+c:n+2*c]
		}
		p.rgb(m.Pix)
	}
	return m, nil
}

// heifStride returns the bytes of a row of so many pixels.
func heifStride(width, samples int) int {
	return (max(width, heifLeast)*samples + heifAlign - 1) / heifAlign * heifAlign
}

// decodeAVIF reads the primary item, or the first frame. libavif leaves turning to us.
func decodeAVIF(data []byte, o vision.DecodeOptions) (*vision.Image, error) {
	m, err := decodeRGBA("avif", "libavif", data, o, func(depth int) (int, int) {
		if depth > 8 {
			return 2, 1 // little-endian
		}
		return 1, 0
	}, multiplied)
	if err != nil {
		return nil, err
	}
	p := readProperties(data)
	if p.turns > 0 {
		m = m.Upright([]int{1, 8, 3, 6}[p.turns])
	}
	if p.mirror > 0 {
		turned := m.Orientation
		m = m.Upright(p.mirror)
		m.Orientation = combined[[2]int{turned, p.mirror}]
	}
	return m, nil
}

// combined is the one orientation that a turn and then a mirror make.
var combined = map[[2]int]int{
	{1, 2}: 2, {1, 4}: 4, {8, 2}: 7, {8, 4}: 5, {3, 2}: 4, {3, 4}: 2, {6, 2}: 5, {6, 4}: 7,
}

// decodeJXL reads the first frame, which libjxl has set upright.
func decodeJXL(data []byte, o vision.DecodeOptions) (*vision.Image, error) {
	return decodeRGBA("jxl", "libjxl", data, o, func(depth int) (int, int) {
		if depth == 16 {
			return 2, 0 // big-endian
		}
		return 1, 0
	}, straight)
}

// decodeRGBA runs the decoders whose pixels have four samples. layout gives the bytes of a sample and which of them is the high one.
func decodeRGBA(name, library string, data []byte, o vision.DecodeOptions, layout func(depth int) (bytes, high int), a alpha) (*vision.Image, error) {
	in, err := start(name)
	if err != nil {
		return nil, err
	}
	defer in.close()
	src, err := in.put(data)
	if err != nil {
		return nil, err
	}
	const delays = 64 << 10 // times of frames, which nobody asked for
	about, err := in.room(4*4 + delays)
	if err != nil {
		return nil, err
	}
	decode := func(headerOnly, out uint64) error {
		const all = 0
		ok, err := in.call("decode", src, uint64(len(data)), headerOnly, all, about, about+4, about+8, about+12, about+16, out)
		if err == nil && ok == 0 {
			err = refused(library)
		}
		return err
	}
	if err := decode(1, 0); err != nil {
		return nil, err
	}
	width, height, depth := in.word(about, 0), in.word(about, 1), in.word(about, 2)
	if err := checkSize(o.Limits, width, height); err != nil {
		return nil, err
	}
	sample, high := layout(depth)
	stride := 4 * width * sample
	out, err := in.room(stride * height)
	if err != nil {
		return nil, err
	}
	// A picture that libavif gives up is told from others by its time alone, which stays as it was.
	shown := about + 16
	in.module.Memory().WriteUint64Le(uint32(shown), math.MaxUint64) // no number
	if err := decode(0, out); err != nil {
		return nil, err
	}
	if v, _ := in.module.Memory().ReadUint64Le(uint32(shown)); v == math.MaxUint64 && name == "avif" {
		return nil, refused(library)
	}
	pix, err := in.view(out, stride*height)
	if err != nil {
		return nil, err
	}
	m := newImage(width, height)
	for y := range height {
		fromRGBA(m.Pix[3*width*y:][:3*width], pix[stride*y:], sample, high, a, o.AlphaOverWhite)
	}
	return m, nil
}

func checkSize(l vision.Limits, width, height int) error {
	if width < 1 || height < 1 || width > 1<<31-1 || height > 1<<31-1 {
		return vision.FormatError(fmt.Sprintf("a size of %d × %d pixels", width, height))
	}
	return l.Check(width, height)
}

func newImage(width, height int) *vision.Image {
	return &vision.Image{
		Width: width, Height: height, Pix: make([]byte, 3*width*height),
		StoredWidth: width, StoredHeight: height, Orientation: 1,
	}
}

// alpha says whether colours were multiplied by it.
type alpha bool

const (
	straight   alpha = false
	multiplied alpha = true
)

// fromRGBA fills row, RGB, from samples of that many bytes of which one is the high one.
func fromRGBA(row, src []byte, bytes, high int, kind alpha, overWhite bool) {
	src = src[high:]
	for i, j := 0, 0; i < len(row); i, j = i+3, j+4*bytes {
		a := int(src[j+3*bytes:][0])
		for c := range 3 {
			v := int(src[j+c*bytes])
			switch {
			case a == 255:
			case kind == multiplied && overWhite:
				v = min(v+255-a, 255)
			case kind == multiplied && a == 0:
				v = 0
			case kind == multiplied:
				v = min((v*255+a/2)/a, 255)
			case overWhite:
				v = (v*a + 255*(255-a) + 127) / 255
			}
			row[i+c] = byte(v)
		}
	}
}
