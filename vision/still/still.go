// Package still turns image files into images without reading a byte of them in this process.
//
//	Open         pool.go      a pool of decoders: this program once more, with the hidden command decode image
//	 Open        picture.go   a file is handed to one of them, and what was handed over is hashed
//	 Page        picture.go   its pages, as package vision decodes them
//	Serve        serve.go     the decoder's end, which package vision/still/decoder makes a process of
//
// The bytes go through a pipe, not the opened file: the hash is then of what the decoder got and of nothing else, whatever is
// done to the file meanwhile; the decoder needs no file at all; and a decoder takes one file after another, which the
// number of a file cannot do after it is shut in (internal/sandbox). wire.go is what the two say to each other.
//
// A decoder that a file crashes, hangs or exhausts is one error of that file. Decoders are replaced after such an error and
// after a hundred files.
package still

import (
	"cmp"
	"fmt"
	"runtime"
	"time"

	"facet/vision"
)

// Sandbox says what to do where the kernel cannot shut a decoder off from files and sockets. Empty is Auto.
type Sandbox string

// The values of a Sandbox.
const (
	Require Sandbox = "require" // decode nothing
	Auto    Sandbox = "auto"    // go on with what there is
	Off     Sandbox = "off"     // never shut it off, limit memory and time alone
)

// DecoderError says that the decoder ended on a file before it was done: it crashed, hung or used up a limit.
type DecoderError string

func (e DecoderError) Error() string { return string(e) }

// UnavailableError says that no image can be decoded on this machine, and why.
type UnavailableError string

func (e UnavailableError) Error() string { return string(e) }

func unavailableErrorf(format string, args ...any) error {
	return UnavailableError(fmt.Sprintf("vision: "+format, args...))
}

// Options say how images are read. The zero value suits somebody's own files.
type Options struct {
	vision.DecodeOptions
	Sandbox  Sandbox
	Children int           // most decoders at once; 0 is one for each CPU, at most four
	Memory   int64         // bytes of a decoder; 0 follows from the limit of pixels, see memory
	CPU      time.Duration // of a decoder, which is replaced when it is used up; 0 is a minute. No file gets more
	Stall    time.Duration // until an answer; 0 is two minutes
}

const (
	defaultCPU   = time.Minute
	defaultStall = 2 * time.Minute
	mostChildren = 4
	// bytesPerPixel is what decoding takes at most: 3 for the result, and four samples of 16 bits with their neighbours in
	// the decoders of others. baseMemory is for the program, the file, and small images.
	bytesPerPixel = 15
	baseMemory    = 512 << 20
	// mostMemory is for those who set no limit of pixels.
	mostMemory = 16 << 30
)

func (o Options) orDefault() Options {
	d := vision.DefaultLimits
	o.Limits.Bytes = cmp.Or(o.Limits.Bytes, d.Bytes)
	o.Limits.Pixels = cmp.Or(o.Limits.Pixels, d.Pixels)
	o.Limits.Side = cmp.Or(o.Limits.Side, d.Side)
	o.Limits.Pages = cmp.Or(o.Limits.Pages, d.Pages)
	o.Sandbox = cmp.Or(o.Sandbox, Auto)
	o.Children = cmp.Or(o.Children, min(runtime.GOMAXPROCS(0), mostChildren))
	o.Memory = cmp.Or(o.Memory, memory(o.Limits.Pixels))
	o.CPU = cmp.Or(o.CPU, defaultCPU)
	o.Stall = cmp.Or(o.Stall, defaultStall)
	return o
}

// memory returns the bytes that a decoder may take where images have so many pixels at most: about 3 GiB by default. Most
// images need a fortieth of that.
func memory(pixels int64) int64 {
	if pixels < 0 || pixels > (mostMemory-baseMemory)/bytesPerPixel {
		return mostMemory
	}
	return baseMemory + bytesPerPixel*pixels
}
