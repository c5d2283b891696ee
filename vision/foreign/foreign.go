// Package foreign opens image files of every kind that facet reads, for the process that is for that alone: what package
// vision reads itself, and what takes a decoder in WebAssembly.
//
//	Open       foreign.go   which decoder
//	 start     runtime.go   a fresh instance, bounded in memory, for the one file
//	 parse     boxes.go     HEIC and AVIF: colours and turns, which the decoders do not tell
//	 decode    decode.go    header, limits, pixels → upright RGB
//
// The decoders in wasm/ are libheif, libavif and libjxl, see wasm/README.md.
package foreign

import (
	"fmt"

	"facet/vision"
)

// Pages are those of an image file. They are not safe for concurrent use.
type Pages interface {
	Type() string // media type, such as image/tiff
	Count() int   // at least 1

	// Decode returns a page, from 1. Errors are those of [vision.Decode]. It panics if there is no such page.
	Decode(n int) (*vision.Image, error)
}

// Open reads what is needed to know the pages of a file: of those that [vision.Open] reads, and of HEIC, AVIF and JPEG XL the main or
// first image. data is only read, and kept. Errors are those of [vision.Decode]; those of a page may come with the page.
//
// The pixels of lossy files are within a few levels of those that libheif, libavif and libjxl give elsewhere. Of a transparent HEIC the colours
// count alone; of a transparent AVIF, what is fully transparent is black, or white with AlphaOverWhite.
func Open(data []byte, o vision.DecodeOptions) (Pages, error) {
	mediaType := vision.Sniff(data)
	decode := decoders[mediaType]
	if decode == nil {
		f, err := vision.Open(data, o)
		if err != nil {
			return nil, err // not f: a nil File is no nil Pages
		}
		return f, nil
	}
	if err := o.Limits.CheckBytes(int64(len(data))); err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	return &still{data, mediaType, decode, o}, nil
}

var decoders = map[string]func([]byte, vision.DecodeOptions) (*vision.Image, error){
	"image/heic": decodeHEIC,
	"image/avif": decodeAVIF,
	"image/jxl":  decodeJXL,
}

// still is a file of which one image is read.
type still struct {
	data      []byte
	mediaType string
	decode    func([]byte, vision.DecodeOptions) (*vision.Image, error)
	o         vision.DecodeOptions
}

func (s *still) Type() string { return s.mediaType }

func (s *still) Count() int { return 1 }

func (s *still) Decode(n int) (*vision.Image, error) {
	if n != 1 {
		panic(fmt.Sprintf("foreign: page %d of 1", n))
	}
	m, err := s.decode(s.data, s.o)
	if err != nil {
		return nil, fmt.Errorf("vision: %s: %w", s.mediaType, err)
	}
	m.Format, m.Pages = s.mediaType, 1
	return m, nil
}
