// Package vision turns the bytes of an image file into the patches that a vision tower reads.
//
//	data                                  the file, whole
//	 1. Sniff, Peek       decode.go       what it is and how large, from its header; limits are checked here
//	 2. Decode, Open      png.go jpeg.go webp.go gif.go bmp.go tiff.go pnm.go → image.go
//	                                      upright RGB, the pixels that Pillow's convert("RGB") gives
//	 3. Spec.Size         resize.go       the size that fills a budget of soft tokens
//	 4. Image.Resize      resize.go       Pillow's bicubic, once
//	 5. Spec.Patches      patch.go        [patches, 3·PatchSize²] in [0, 1]
//
// Pillow is the yardstick because the reference implementation loads images through it: a model that was
// trained on its pixels loses accuracy on others, and JPEG chroma alone can differ by 96 levels of 255. Where
// versions of Pillow differ, 13.0 counts.
// Pixels are the same on every machine, with and without cgo.
//
// The package knows no model. What it must know of one arrives in a [Spec].
package vision

import "fmt"

// FormatError says that an image file is broken, or no image at all.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// UnsupportedError says that a file is sound but needs what this package lacks, or is past a limit.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

func formatErrorf(format string, args ...any) error {
	return FormatError(fmt.Sprintf(format, args...))
}

func unsupportedErrorf(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

// A Spec says how a model cuts images. Both values come from the checkpoint's vision config. A 12B, which has no tower,
// takes the square of a soft token as one patch: 48 and 1.
type Spec struct {
	PatchSize         int // side of a patch in pixels: patch_size, 16
	PoolingKernelSize int // side of the square of patches that becomes one soft token: pooling_kernel_size, 3
}

// Gemma4 is the Spec of all sizes that have a vision tower.
var Gemma4 = Spec{PatchSize: 16, PoolingKernelSize: 3}

// cell returns the side in pixels of the square that becomes one soft token.
func (s Spec) cell() int {
	if s.PatchSize < 1 || s.PoolingKernelSize < 1 {
		panic(fmt.Sprintf("vision: Spec with patches of %d pixels pooled by %d", s.PatchSize, s.PoolingKernelSize))
	}
	return s.PatchSize * s.PoolingKernelSize
}

// Prepare resizes img to fill a budget of soft tokens and cuts it into patches. It returns
// the patches and the image that the model sees; if img has the target size already, that is
// img itself. The error is that of [Spec.Size].
func Prepare(img *Image, s Spec, budget int) (*Patches, *Image, error) {
	w, h, err := s.Size(img.Width, img.Height, budget)
	if err != nil {
		return nil, nil, err
	}
	seen := img.Resize(w, h)
	return s.Patches(seen), seen, nil
}
