// Package foreign opens image files of every kind that facet reads, for the process that is for that alone: what package
// vision reads itself, and what takes a decoder in WebAssembly.
package foreign

import "facet/vision"

// Pages are those of an image file. They are not safe for concurrent use.
type Pages interface {
	Type() string // media type, such as image/tiff
	Count() int   // at least 1

	// Decode returns a page, from 1. Errors are those of [vision.Decode]. It panics if there is no such page.
	Decode(n int) (*vision.Image, error)
}

// Open reads what is needed to know the pages of a file. data is only read, and kept. Errors are those of [vision.Decode]; those of
// a page may come with the page.
func Open(data []byte, o vision.DecodeOptions) (Pages, error) {
	f, err := vision.Open(data, o)
	if err != nil {
		return nil, err // not f: a nil File is no nil Pages
	}
	return f, nil
}
