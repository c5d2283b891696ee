//go:build libav

package libav

/*
#include "helper.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"math"
	"unsafe"

	"github.com/asticode/go-astiav"

	"facet/video"
)

const (
	// drift is how far the count of samples may depart from the container's times before it is set right, in seconds. Containers
	// round times, to a millisecond for instance; nobody sees lips this late.
	drift = 0.05
	// maxGap is the most silence that is put in for missing sound, in seconds in all. What claims more is broken.
	maxGap = 24 * 3600
)

// Sound implements [video.Source]. Where sound is missing between packets there is silence, and where it overlaps the
// later is cut, so that sample n is heard at start + n/rate.
func (m *Media) Sound(track int, begin func(rate, channels int, start float64) error, emit func([]float32) error) error {
	s := m.audio[track]
	c, err := m.decoder(s)
	if err != nil {
		return err
	}
	defer c.Free()
	if err := m.start(s, nil); err != nil {
		return err
	}
	l := &line{m: m, base: base(s.TimeBase()).Float(), begin: begin, emit: emit}
	bad, err := m.decode(s, c, l.add)
	if err != nil {
		return err
	}
	if l.rate == 0 {
		return video.FormatError("no sound could be decoded" + takeLog())
	}
	if bad > 0 {
		m.settings.Note(fmt.Sprintf("packets of the sound could not be decoded: %d", bad))
	}
	return nil
}

// decode gives every frame of a stream to take, from where the demuxer stands, and returns how many packets could not be decoded.
func (m *Media) decode(s *astiav.Stream, c *astiav.CodecContext, take func(*astiav.Frame) error) (bad int, err error) {
	for over := false; !over; {
		var p *astiav.Packet // none ends the stream
		switch err := m.read(s); {
		case err == io.EOF:
			over = true
		case err != nil:
			return bad, err
		default:
			p = m.packet
		}
		err := c.SendPacket(p)
		m.packet.Unref()
		if errors.Is(err, noMemory) {
			return bad, tooGreedy
		}
		if err != nil && !errors.Is(err, astiav.ErrEof) {
			bad++
		}
		for failed := 0; failed < maxFailed; {
			err := c.ReceiveFrame(m.frame)
			if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
				break
			}
			if errors.Is(err, noMemory) {
				return bad, tooGreedy
			}
			if err != nil { // of one packet: the decoder goes on
				bad++
				failed++
				continue
			}
			err = take(m.frame)
			m.frame.Unref()
			if err != nil {
				return bad, err
			}
		}
	}
	return bad, nil
}

// line lays frames of samples on the clip's clock, one after the other.
type line struct {
	m        *Media
	base     float64 // seconds a tick
	begin    func(rate, channels int, start float64) error
	emit     func([]float32) error
	rate     int
	channels int
	start    float64 // second of sample 0
	n        int64   // samples of each channel so far
	silent   float64 // seconds of silence among them
	buf      []float32
}

func (l *line) add(f *astiav.Frame) error {
	channels, n := f.ChannelLayout().NbChannels(), f.NbSamples()
	if channels < 1 || f.SampleRate() < 1 || n < 1 {
		return nil
	}
	time, known := l.time(f)
	if l.rate == 0 {
		l.rate, l.channels, l.start = f.SampleRate(), channels, time
		if err := l.begin(l.rate, l.channels, l.start); err != nil {
			return err
		}
	}
	if f.SampleRate() != l.rate || channels != l.channels {
		return video.UnsupportedError(fmt.Sprintf("the sound changes from %d Hz and %d channels to %d Hz and %d channels after %.3f s",
			l.rate, l.channels, f.SampleRate(), channels, l.start+float64(l.n)/float64(l.rate)))
	}
	l.buf = grow(l.buf, n*channels)
	if rc := C.facet_samples(frame(f), (*C.float)(unsafe.Pointer(&l.buf[0]))); rc < 0 {
		return video.UnsupportedError("samples of the kind " + f.SampleFormat().String() + " cannot be read")
	}
	samples := l.buf
	if known {
		late := time - l.start - float64(l.n)/float64(l.rate) // seconds; of a hole in the sound, or of an overlap
		switch {
		case late > drift:
			if err := l.silence(late); err != nil {
				return err
			}
		case late < -drift:
			cut := min(int(math.Round(-late*float64(l.rate))), n)
			samples = samples[cut*channels:]
		}
	}
	l.n += int64(len(samples) / channels)
	if len(samples) == 0 {
		return nil
	}
	return l.emit(samples)
}

// time returns the second on the clip's clock at which a frame begins, and whether the container knows.
func (l *line) time(f *astiav.Frame) (float64, bool) {
	tick := int64(C.facet_frame_time(frame(f)))
	if !usable(tick) {
		return 0, false
	}
	return float64(tick)*l.base - l.m.info.Origin, true
}

func (l *line) silence(seconds float64) error {
	if l.silent += seconds; l.silent > maxGap {
		return video.FormatError(fmt.Sprintf("the sound has a hole of %.0f s at %.3f s", seconds, l.start+float64(l.n)/float64(l.rate)))
	}
	zeros := make([]float32, 4096*l.channels)
	for left := int64(math.Round(seconds * float64(l.rate))); left > 0; {
		n := min(left, 4096)
		if err := l.emit(zeros[:int(n)*l.channels]); err != nil {
			return err
		}
		left -= n
		l.n += n
	}
	return nil
}

func grow(b []float32, n int) []float32 {
	if cap(b) < n {
		return make([]float32, n)
	}
	return b[:n]
}
