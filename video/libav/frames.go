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
	"maps"
	"math"
	"strings"
	"unsafe"

	"github.com/asticode/go-astiav"

	"facet/video"
)

// Frames implements [video.Source].
//
// Wanted frames that follow the same keyframe are a group. Of a group the packets from the keyframe to the last wanted one, in
// the order of decoding, are all that a decoder needs. So each group is: find the keyframe, feed that far, drain, flush.
// Frames between that nothing refers to are not decoded.
//
// Whoever asks for later frames next, as with a film's windows one by one, goes on where this call stopped.
func (m *Media) Frames(track int, ticks []int64, emit func(video.Picture) error) error {
	if len(ticks) == 0 {
		return nil
	}
	x, err := m.indexOf(track, math.MaxInt)
	if err != nil {
		return err
	}
	f := m.feeder
	if f == nil || f.s != m.video[track] || !f.ahead(ticks[0]) {
		if f, err = m.newFeeder(track, x); err != nil {
			return err
		}
	}
	m.feeder = nil // unless all goes well
	if err := f.run(ticks, emit); err != nil {
		f.free()
		return err
	}
	if f.bad > 0 {
		m.settings.Note(fmt.Sprintf("packets of the pictures could not be decoded: %d", f.bad))
	}
	m.feeder = f
	return nil
}

// newFeeder opens a decoder at the file's begin.
func (m *Media) newFeeder(track int, x *index) (*feeder, error) {
	s := m.video[track]
	if err := m.start(s, x); err != nil {
		return nil, err
	}
	c, err := m.decoder(s)
	if err != nil {
		return nil, err
	}
	// A decoder that begins at a keyframe which pictures before it refer to holds back the frames behind it for a while.
	c.SetFlags(astiav.NewCodecContextFlags(astiav.CodecContextFlagOutputCorrupt))
	return &feeder{
		m: m, s: s, c: c, x: x, at: -1, passed: map[int64]bool{}, early: map[int64]bool{}, skips: canSkip(s) && !x.rough,
		out: picker{x: x, most: m.settings.Pixels, orientation: m.info.Video[track].Orientation},
	}, nil
}

// canSkip reports whether a decoder's choice of frames that no other needs is sound, and where it brings anything.
func canSkip(s *astiav.Stream) bool {
	id := s.CodecParameters().CodecID()
	return id == astiav.CodecIDH264 || id == astiav.CodecIDHevc
}

// feeder gives packets to a decoder, and the frames that come to a picker.
type feeder struct {
	m      *Media
	s      *astiav.Stream
	c      *astiav.CodecContext
	x      *index
	out    picker
	wanted map[int64]bool // ticks, of all groups of this run
	until  int64          // the last of them
	early  map[int64]bool // ticks past that which the decoder has been given since it was flushed
	skips  bool

	at     int            // the place in the index of the last keyframe that a group began with; -1 before the first
	passed map[int64]bool // keyframes that the decoder has been given since it was flushed
	over   bool           // the file has ended
	bad    int            // packets that could not be decoded, in this run

	pts, dts int64 // of the packet that was fed last
}

// ahead reports whether the frame at a tick is still to come.
func (f *feeder) ahead(tick int64) bool {
	return !f.over && (f.out.last == nil || f.x.ticks[f.x.place(tick)] > f.out.tick)
}

func (f *feeder) free() {
	f.c.Free()
	f.out.free()
}

// run gives the frames at ticks.
func (f *feeder) run(ticks []int64, emit func(video.Picture) error) error {
	f.out.ticks, f.out.emit, f.wanted, f.bad = ticks, emit, map[int64]bool{}, 0
	f.until = ticks[len(ticks)-1]
	maps.DeleteFunc(f.early, func(tick int64, _ bool) bool { return tick <= f.out.tick })
	places := make([]int, len(ticks))
	for i, t := range ticks {
		places[i] = f.x.place(t)
		f.wanted[f.x.ticks[places[i]]] = true
	}
	if err := f.receive(); err != nil { // what the decoder had ready when the last call stopped
		return err
	}
	for len(places) > 0 && !f.over {
		key, n := f.x.keyBefore(places[0]), 1
		for n < len(places) && (f.x.rough || f.x.keyBefore(places[n]) == key) {
			n++
		}
		if err := f.group(key, places[:n]); err != nil {
			return err
		}
		places = places[n:]
	}
	// The decoder holds some back. What follows brings them out, and need not be decoded again if it is wanted next.
	for !f.over && !f.out.done() {
		if err := f.next(); err != nil {
			return err
		}
	}
	if f.out.done() {
		return nil
	}
	if err := f.drain(); err != nil {
		return err
	}
	return f.out.finish()
}

// next reads a packet and gives it to the decoder, or finds the file's end.
func (f *feeder) next() error {
	err := f.m.read(f.s)
	if err == io.EOF {
		f.over = true
		return nil
	}
	if err != nil {
		return err
	}
	return f.feed()
}

// group decodes the frames at places, which ascend and follow the keyframe; nil means from the file's begin.
func (f *feeder) group(key *keyframe, places []int) error {
	// Pictures before a keyframe may be stored behind it, so the group before may have given this group's keyframe already.
	if key != nil && !f.x.rough && !f.passed[key.shown] {
		if err := f.begin(key); err != nil {
			return err
		}
	}
	need := map[int64]bool{}
	for _, p := range places {
		if tick := f.x.ticks[p]; !f.passed[tick] && !f.early[tick] {
			need[tick] = true
		}
	}
	last := f.x.ticks[places[len(places)-1]]
	for (f.x.rough || len(need) > 0) && !f.over && !f.out.done() {
		if err := f.next(); err != nil {
			return err
		}
		delete(need, f.pts)
		// No packet is shown before it is decoded, so what is wanted cannot come any more.
		if !f.x.rough && usable(f.dts) && f.dts > last {
			return nil
		}
	}
	return nil
}

// begin empties the decoder, finds a keyframe and gives the decoder that.
func (f *feeder) begin(key *keyframe) error {
	if err := f.flush(); err != nil {
		return err
	}
	sought := key.place-f.at > f.m.farAhead && f.seek(key)
	f.at = key.place
	for {
		err := f.m.read(f.s)
		if err != nil && err != io.EOF {
			return err
		}
		p := f.m.packet
		here := err == nil && p.Flags().Has(astiav.PacketFlagKey) && usable(p.Pts()) && p.Pts() >= key.shown
		switch {
		case sought && (err == io.EOF || here && p.Pts() > key.shown):
			// The seek went too far. From the begin on the keyframe is found.
			p.Unref()
			if err := f.m.rewind(f.s, f.x); err != nil {
				return err
			}
			sought = false
		case err == io.EOF:
			f.over = true
			return nil
		case here:
			return f.feed()
		default:
			p.Unref()
		}
	}
}

// feed gives the packet that was read to the decoder.
func (f *feeder) feed() error {
	p := f.m.packet
	defer p.Unref()
	f.pts, f.dts = p.Pts(), p.Dts()
	if p.Flags().Has(astiav.PacketFlagKey) {
		f.passed[f.pts] = true
	}
	if f.pts > f.until { // the next run may want it
		f.early[f.pts] = true
		return f.send(p, false)
	}
	return f.send(p, f.skips && !f.wanted[f.pts])
}

// seek goes to a keyframe, or somewhere before it, and reports whether it went.
func (f *feeder) seek(key *keyframe) bool {
	tick := key.decoded // what most containers and FFmpeg's searches go by
	if strings.HasPrefix(f.m.info.Format, "matroska") {
		tick = key.shown
	}
	return f.m.format.SeekFrame(f.s.Index(), tick, astiav.NewSeekFlags(astiav.SeekFlagBackward)) == nil
}

// send gives a packet to the decoder, nil for the end, and takes the frames that are ready. Broken packets are counted.
func (f *feeder) send(p *astiav.Packet, skip bool) error {
	C.facet_decoder_skip(context(f.c), boolInt(skip))
	if err := f.c.SendPacket(p); err != nil {
		if errors.Is(err, noMemory) {
			return tooGreedy
		}
		if !errors.Is(err, astiav.ErrEof) {
			f.bad++
		}
	}
	return f.receive()
}

// receive takes the frames that are ready, as far as they are wanted.
func (f *feeder) receive() error {
	for failed := 0; !f.out.done() && failed < maxFailed; {
		switch err := f.c.ReceiveFrame(f.m.frame); {
		case errors.Is(err, astiav.ErrEagain), errors.Is(err, astiav.ErrEof):
			return nil
		case errors.Is(err, noMemory):
			return tooGreedy
		case err != nil: // of one packet: the decoder goes on
			f.bad++
			failed++
			continue
		}
		err := f.out.take(f.m.frame)
		f.m.frame.Unref()
		if err != nil {
			return err
		}
	}
	return nil
}

// drain takes the frames that the decoder holds back.
func (f *feeder) drain() error { return f.send(nil, false) }

// flush drains the decoder and makes it ready for another place in the file.
func (f *feeder) flush() error {
	if err := f.drain(); err != nil {
		return err
	}
	C.facet_decoder_flush(context(f.c))
	clear(f.passed)
	clear(f.early)
	return nil
}

func boolInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// picker gives the wanted ones of the frames that come in the order of showing.
type picker struct {
	x           *index
	ticks       []int64 // still wanted
	emit        func(video.Picture) error
	most        int64 // pixels of a frame
	orientation int   // of the track

	count  int           // of frames that came
	last   *astiav.Frame // the latest frame that came, in case no other does
	tick   int64         // of last
	scaler scaler
}

func (p *picker) done() bool { return len(p.ticks) == 0 }

// take looks at a frame: it is what every tick up to it waited for.
func (p *picker) take(f *astiav.Frame) error {
	time := int64(C.facet_frame_time(frame(f)))
	if p.x.rough {
		time = p.x.ticks[min(p.count, len(p.x.ticks)-1)]
	}
	p.count++
	if !usable(time) {
		return nil
	}
	p.tick = time
	if p.last == nil {
		p.last = astiav.AllocFrame()
	}
	p.last.Unref()
	if err := p.last.Ref(f); err != nil {
		return err
	}
	n := 0
	for n < len(p.ticks) && p.ticks[n] <= time {
		n++
	}
	return p.give(n)
}

// finish gives the last frame for what is wanted past it.
func (p *picker) finish() error {
	if p.done() {
		return nil
	}
	if p.last == nil {
		return video.FormatError("no frame could be decoded" + takeLog())
	}
	return p.give(len(p.ticks))
}

// give emits the last frame n times, for the next n ticks.
func (p *picker) give(n int) error {
	if n == 0 {
		return nil
	}
	picture, err := p.scaler.rgb(p.last, p.most)
	if err != nil {
		return err
	}
	picture.Tick, picture.Orientation = p.tick, p.orientation
	var m [9]C.int32_t
	if C.facet_frame_matrix(frame(p.last), &m[0]) != 0 {
		var matrix [9]int32
		for i, v := range m {
			matrix[i] = int32(v)
		}
		picture.Orientation = orientation(matrix)
	}
	for range n {
		if err := p.emit(picture); err != nil {
			return err
		}
	}
	p.ticks = p.ticks[n:]
	return nil
}

func (p *picker) free() {
	if p.last != nil {
		p.last.Free()
	}
	p.scaler.free()
}

// scaler makes RGB of frames, and keeps what FFmpeg needs for that as long as frames are alike.
type scaler struct {
	sws                   *C.struct_SwsContext
	width, height, format int
	pix                   []byte
}

func (s *scaler) rgb(f *astiav.Frame, most int64) (video.Picture, error) {
	w, h, format := f.Width(), f.Height(), int(f.PixelFormat())
	if w < 1 || h < 1 || int64(w)*int64(h) > most {
		return video.Picture{}, video.UnsupportedError(fmt.Sprintf("%d × %d pixels are more than the limit of %d", w, h, most))
	}
	if w != s.width || h != s.height || format != s.format {
		s.free()
		s.width, s.height, s.format, s.pix = w, h, format, make([]byte, 3*w*h)
	}
	if rc := C.facet_rgb(frame(f), &s.sws, (*C.uint8_t)(unsafe.Pointer(&s.pix[0]))); rc < 0 {
		return video.Picture{}, video.UnsupportedError("pixels of the kind " + f.PixelFormat().Name() + " cannot be made RGB: " + astiav.Error(rc).Error())
	}
	return video.Picture{Width: w, Height: h, Pix: s.pix}, nil
}

func (s *scaler) free() {
	C.sws_freeContext(s.sws)
	s.sws = nil
}
