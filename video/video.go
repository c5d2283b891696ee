// Package video reads films and compressed sound: upright pictures with their times, and samples, on one clock.
//
//	Open(path)                         clip.go    a child process opens the file: streams, codecs, lengths
//	 1. Clip.Index                     index.go   the time of every frame, from the container alone
//	 2. Index.Sample, At, Windows      plan.go    which frames to take
//	 3. Clip.Frames                    clip.go    those frames as RGB, one by one; nothing else is converted
//	OpenSound(path)                    sound.go   the samples of a sound track
//
// Nothing is decoded in this process. The program facet-media (cmd/facet-media), which alone is linked to FFmpeg, gets
// the opened file and two pipes and is shut in before it reads a byte (internal/sandbox). What it may not do, and what
// comes of its crash, hang or greed, is one error. wire.go is what the two say to each other; serve.go is its side.
//
// # The clock
//
// Second 0 is where the earliest picture or sound of the file begins. Times of pictures are ticks of their stream's time
// base, as in the container, and [Info.Seconds] puts them on the clock; a [Sound] says where it begins. What a
// file says about delays of codecs and about edit lists is in these times already.
package video

import (
	"fmt"
	"time"

	"facet/vision/still"
)

// FormatError says that a file is broken, holds no media, or lacks the stream that was asked for.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// UnsupportedError says that a file is sound but needs what is lacking here, or is past a limit.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// DecoderError says that the decoder ended on a file before it was done: it crashed, hung or used up a limit. It is the
// file's fault or FFmpeg's, and says nothing about the next file.
type DecoderError string

func (e DecoderError) Error() string { return string(e) }

// UnavailableError says that nothing can be decoded on this machine, and what to install.
type UnavailableError string

func (e UnavailableError) Error() string { return string(e) }

func formatErrorf(format string, args ...any) error {
	return FormatError(fmt.Sprintf(format, args...))
}

func unsupportedErrorf(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

func decoderErrorf(format string, args ...any) error {
	return DecoderError(fmt.Sprintf(format, args...))
}

// Options say how files are decoded. The zero value suits somebody's own files.
type Options struct {
	// Program is the path of facet-media; if empty, that of [FindProgram].
	Program string
	// Threads that decode; 0 means one for each CPU.
	Threads int
	// Sandbox says what to do where the kernel cannot shut the decoder off from files and sockets; empty is still.Auto.
	Sandbox still.Sandbox
	Limits  Limits
}

// Limits bound what decoding may use. A field of zero means that of [DefaultLimits].
type Limits struct {
	Memory int64         // bytes of the decoder's own
	CPU    time.Duration // of the decoder, all its threads together; 0 follows the size of the file, see cpuLimit
	Stall  time.Duration // without a word from the decoder while one is awaited
	Pixels int64         // width times height of a frame
	Frames int           // frames of a track that is indexed
}

// DefaultLimits: 8,192 × 8,192 pixels; a gibibyte holds the 17 frames that H.264 may keep at 4K three times over; a
// day and a half at 30 frames a second.
var DefaultLimits = Limits{
	Memory: 1 << 30,
	Stall:  time.Minute,
	Pixels: 8192 * 8192,
	Frames: 1 << 22,
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	if l.Memory > 0 {
		d.Memory = l.Memory
	}
	if l.CPU > 0 {
		d.CPU = l.CPU
	}
	if l.Stall > 0 {
		d.Stall = l.Stall
	}
	if l.Pixels > 0 {
		d.Pixels = l.Pixels
	}
	if l.Frames > 0 {
		d.Frames = l.Frames
	}
	return d
}

// cpuLimit returns the CPU time for a file of the given size when none is set: five minutes, and half a minute more for
// each mebibyte. An hour at 720p takes about as many minutes as it has hundreds of mebibytes, so this stops what
// turns round in a small file and no film.
func cpuLimit(size int64) time.Duration {
	return min(5*time.Minute+time.Duration(size>>20)*30*time.Second, 100*time.Hour)
}

// Info is what a container says about itself.
type Info struct {
	Format   string  `json:"format"`   // FFmpeg's name of the container, such as matroska,webm
	Duration float64 `json:"duration"` // seconds from the clock's zero to the end; -1 if the file does not say
	Origin   float64 `json:"origin"`   // what second 0 is in the container's own times, in seconds
	Video    []Video `json:"video"`    // by track number; cover pictures are not among them
	Audio    []Audio `json:"audio"`    // by track number
}

// Video describes a track of pictures.
type Video struct {
	Codec       string `json:"codec"` // FFmpeg's name, such as h264
	Width       int    `json:"width"` // as stored, before the turn
	Height      int    `json:"height"`
	Orientation int    `json:"orientation"` // as EXIF counts, 1 to 8: how frames are set upright
	Base        Base   `json:"base"`        // of its ticks
	Rate        Base   `json:"rate"`        // frames a second on average, as the container says; zero if unknown
	Frames      int64  `json:"frames"`      // as the container says; 0 if it does not
	Encrypted   bool   `json:"encrypted"`
	Language    string `json:"language"` // as the container says; often empty or und
	Default     bool   `json:"default"`  // the track that a player starts with
}

// Audio describes a track of sound.
type Audio struct {
	Codec     string `json:"codec"`
	Rate      int    `json:"rate"` // samples a second
	Channels  int    `json:"channels"`
	Encrypted bool   `json:"encrypted"`
	Language  string `json:"language"`
	Default   bool   `json:"default"`
}

// Base is a fraction: a time base in seconds a tick, or a rate.
type Base struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

// Float returns the value, 0 if the fraction has no denominator.
func (b Base) Float() float64 {
	if b.Den == 0 {
		return 0
	}
	return float64(b.Num) / float64(b.Den)
}

// Seconds returns the time on the clip's clock of a tick of a video track. It panics if there is no such track.
func (i *Info) Seconds(track int, tick int64) float64 {
	b := i.Video[track].Base
	return float64(tick)*float64(b.Num)/float64(b.Den) - i.Origin
}
