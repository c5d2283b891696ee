// Package pdf turns the pages of PDF documents into images.
//
//	Open          document.go   a child process opens the document: how many pages
//	 Page         document.go   a page's size in points, and that of the picture that fills it
//	 Page.At, Fit page.go       pixels for a resolution; the resolution that a number of pixels allows
//	 Render       document.go   the page as upright RGB, what its CropBox shows
//	 Text         text.go       the text that the page has, with its places
//
// Nothing of a document is read in this process. The program that runs it starts itself once more, with the hidden command
// decode, whose side is package vision/pdf/pdfium: it gets the opened file and two pipes and is shut in before it reads a
// byte (internal/sandbox). serve.go is its end of what the two say to each other.
package pdf

import (
	"cmp"
	"fmt"
	"time"

	"facet/vision"
	"facet/vision/still"
)

// DecoderError says that the decoder ended on a page or a document before it was done: it crashed, hung or used up a limit.
type DecoderError string

func (e DecoderError) Error() string { return string(e) }

// UnavailableError says that no PDF can be read on this machine, and why.
type UnavailableError string

func (e UnavailableError) Error() string { return string(e) }

func decoderErrorf(format string, args ...any) error {
	return DecoderError(fmt.Sprintf(format, args...))
}

func unavailableErrorf(format string, args ...any) error {
	return UnavailableError(fmt.Sprintf(format, args...))
}

func formatErrorf(format string, args ...any) error {
	return vision.FormatError(fmt.Sprintf(format, args...))
}

func unsupportedErrorf(format string, args ...any) error {
	return vision.UnsupportedError(fmt.Sprintf(format, args...))
}

// Options say how documents are read. The zero value suits somebody's own files.
type Options struct {
	// Password opens an encrypted document.
	Password string
	// Cache is the folder of the compiled renderer; if empty, facet/pdfium in the user's cache folder. Whoever may write
	// there chooses what the decoder runs.
	Cache string
	// Sandbox says what to do where the kernel cannot shut the decoder off from files and sockets; empty is still.Auto.
	Sandbox still.Sandbox
	Limits  Limits
}

// Limits bound what a document may take. A field of zero means that of [DefaultLimits].
type Limits struct {
	Memory int64         // bytes in which a document is parsed and drawn; the decoder's process may take half a gibibyte beside
	CPU    time.Duration // of one decoder, all its threads together; it is replaced after some pages
	Stall  time.Duration // until an answer about a page
	Pixels int64         // width times height of a page
	Pages  int           // of a document
}

// DefaultLimits: 64 million pixels are an A3 sheet at 570 dpi, and take 3 bytes each, twice where a picture of that size fills
// the page.
var DefaultLimits = Limits{
	Memory: 1 << 30,
	CPU:    time.Hour,
	Stall:  time.Minute,
	Pixels: 64 << 20,
	Pages:  1 << 20,
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	return Limits{
		Memory: cmp.Or(l.Memory, d.Memory), CPU: cmp.Or(l.CPU, d.CPU), Stall: cmp.Or(l.Stall, d.Stall),
		Pixels: cmp.Or(l.Pixels, d.Pixels), Pages: cmp.Or(l.Pages, d.Pages),
	}
}
