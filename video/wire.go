package video

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// What this process and the decoder say to each other. A message is a byte of kind, a length of four bytes, and so many
// bytes; integers are little endian. The decoder begins with a hello. Then each request is answered by the messages
// of its kind and closed by done or failed.
//
//	request   answers before done
//	open      info
//	index     ticks…              what index.go keeps, in the order of time
//	frames    frame…              one for each tick that was asked for, in that order
//	cuts      ticks…              where a scene changes
//	sound     track, samples…
//
// Notes, which become warnings, come between, and so do signs of life while an answer takes long. The version changes with anything here.
const protocolVersion = 1

type kind byte

const (
	kindHello   kind = 'h' // JSON: hello
	kindRequest kind = 'q' // JSON: request
	kindInfo    kind = 'i' // JSON: Info
	kindTicks   kind = 'x' // 8 bytes each: tick · 2, plus 1 if a keyframe
	kindFrame   kind = 'f' // frameHeader, RGB
	kindTrack   kind = 'a' // JSON: soundHeader
	kindSamples kind = 's' // float32 each, channels interleaved
	kindNote    kind = 'w' // text
	kindAlive   kind = 'p' // empty
	kindFailed  kind = 'e' // JSON: failure
	kindDone    kind = 'd' // empty
)

// Most bytes of a message. What the other side claims beyond these is never allocated.
const (
	maxText    = 1 << 20
	maxRequest = 64 << 20 // 4 million ticks in JSON
	maxTicks   = 8 << 16
	maxSamples = 1 << 20

	headerSize      = 5
	frameHeaderSize = 8 + 4 + 4 + 4
)

type hello struct {
	Version int             `json:"version"`
	FFmpeg  string          `json:"ffmpeg"` // version of libavformat and libavcodec
	Sandbox json.RawMessage `json:"sandbox"`
}

type request struct {
	Op    string `json:"op"`
	Track int    `json:"track"`

	Threads   int     `json:"threads,omitempty"`   // open
	Pixels    int64   `json:"pixels,omitempty"`    // open
	Frames    int     `json:"frames,omitempty"`    // index: at most
	Ticks     []int64 `json:"ticks,omitempty"`     // frames, ascending
	Threshold float64 `json:"threshold,omitempty"` // cuts
}

// failure is an error that the other side reports. It wraps the error that the kind says.
type failure struct {
	Kind string `json:"kind"` // format, unsupported or decoder
	Text string `json:"text"`
}

func (f failure) Error() string { return f.Text }

func (f failure) Unwrap() error {
	switch f.Kind {
	case "format":
		return FormatError(f.Text)
	case "unsupported":
		return UnsupportedError(f.Text)
	}
	return DecoderError(f.Text)
}

func failureOf(err error) failure {
	var (
		format      FormatError
		unsupported UnsupportedError
	)
	switch {
	case errors.As(err, &format):
		return failure{"format", err.Error()}
	case errors.As(err, &unsupported):
		return failure{"unsupported", err.Error()}
	}
	return failure{"decoder", err.Error()}
}

type soundHeader struct {
	Rate     int     `json:"rate"`
	Channels int     `json:"channels"`
	Start    float64 `json:"start"`
}

// writer writes messages. It is for one goroutine.
type writer struct {
	w   io.Writer
	buf []byte
}

// send writes one message whose bytes are parts, put together.
func (w *writer) send(k kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	w.buf = append(w.buf[:0], byte(k))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(n))
	for _, p := range parts {
		if len(w.buf)+len(p) > 64<<10 { // long ones go out as they are
			if _, err := w.w.Write(w.buf); err != nil {
				return err
			}
			if _, err := w.w.Write(p); err != nil {
				return err
			}
			w.buf = w.buf[:0]
			continue
		}
		w.buf = append(w.buf, p...)
	}
	_, err := w.w.Write(w.buf)
	return err
}

func (w *writer) sendJSON(k kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.send(k, b)
}

// A reader reads messages of a side that it does not trust.
type reader struct {
	r         io.Reader
	maxPixels int64  // of a frame
	begin     func() // called before each message, unless nil
}

// peer is the client's end of a conversation.
type peer struct {
	r reader
	w writer
}

// ask sends a request and calls each with every message of the answer but notes, done and failed; notes go to note. What
// the other side says has failed is the error, a failure. Any other error ends the conversation.
func (p *peer) ask(q request, note func(string), each func(kind, []byte) error) error {
	if err := p.w.sendJSON(kindRequest, q); err != nil {
		return err
	}
	for {
		k, body, err := p.r.next()
		if err != nil {
			return err
		}
		switch k {
		case kindAlive:
		case kindNote:
			note(string(body))
		case kindDone:
			return nil
		case kindFailed:
			var f failure
			if err := readJSON(body, &f); err != nil {
				return err
			}
			return f
		default:
			if err := each(k, body); err != nil {
				return err
			}
		}
	}
}

// A message that breaks the rules is an error of this type: the other side is not what it should be.
type protocolError string

func (e protocolError) Error() string { return string(e) }

func protocolErrorf(format string, args ...any) error {
	return protocolError(fmt.Sprintf(format, args...))
}

// next reads a message. At the end, between two messages, the error is io.EOF.
func (r *reader) next() (kind, []byte, error) {
	if r.begin != nil {
		r.begin()
	}
	var head [headerSize]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, err
	}
	k, n := kind(head[0]), int64(binary.LittleEndian.Uint32(head[1:]))
	most := int64(maxText)
	switch k {
	case kindHello, kindInfo, kindTrack, kindNote, kindFailed:
	case kindRequest:
		most = maxRequest
	case kindTicks:
		most = maxTicks
	case kindSamples:
		most = maxSamples
	case kindFrame:
		most = frameHeaderSize + 3*r.maxPixels
	case kindDone, kindAlive:
		most = 0
	default:
		return 0, nil, protocolErrorf("a message of kind %#x", byte(k))
	}
	if n > most {
		return 0, nil, protocolErrorf("a message of kind %q with %d bytes, more than %d", k, n, most)
	}
	body, err := readBody(r.r, int(n))
	return k, body, err
}

// readBody reads n bytes. A long body is allocated as it comes, so that a claim costs no more than four times what
// stands behind it.
func readBody(r io.Reader, n int) ([]byte, error) {
	const piece = 1 << 20
	body := make([]byte, min(n, piece))
	for at := 0; ; {
		m, err := io.ReadFull(r, body[at:])
		at += m
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case at == n:
			return body, nil
		}
		longer := make([]byte, min(n, 4*at))
		copy(longer, body)
		body = longer
	}
}

func readJSON(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return protocolErrorf("%v", err)
	}
	if d.More() {
		return protocolError("text after JSON")
	}
	return nil
}

type frameHeader struct {
	tick          int64
	width, height int
	orientation   int
}

func (h frameHeader) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(h.tick))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.width))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.height))
	return binary.LittleEndian.AppendUint32(b, uint32(h.orientation))
}

// readFrame takes a frame message apart. The pixels share memory with body.
func readFrame(body []byte) (h frameHeader, pix []byte, err error) {
	if len(body) < frameHeaderSize {
		return h, nil, protocolErrorf("a frame of %d bytes", len(body))
	}
	w, height, o := binary.LittleEndian.Uint32(body[8:]), binary.LittleEndian.Uint32(body[12:]), binary.LittleEndian.Uint32(body[16:])
	pix = body[frameHeaderSize:]
	if w == 0 || height == 0 || w > math.MaxInt32 || height > math.MaxInt32 || uint64(w)*uint64(height) != uint64(len(pix))/3 || len(pix)%3 != 0 {
		return h, nil, protocolErrorf("a frame of %d × %d pixels in %d bytes", w, height, len(pix))
	}
	if o < 1 || o > 8 {
		return h, nil, protocolErrorf("a frame of orientation %d", o)
	}
	return frameHeader{int64(binary.LittleEndian.Uint64(body)), int(w), int(height), int(o)}, pix, nil
}

// Ticks lie within ±maxTick, so that sums of two and the shift below stay within an int64.
const maxTick = 1 << 61

func appendTick(b []byte, tick int64, key bool) []byte {
	v := uint64(tick) << 1
	if key {
		v |= 1
	}
	return binary.LittleEndian.AppendUint64(b, v)
}

// readTicks calls yield for each tick of a message.
func readTicks(body []byte, yield func(tick int64, key bool) error) error {
	if len(body)%8 != 0 {
		return protocolErrorf("ticks in %d bytes", len(body))
	}
	for ; len(body) > 0; body = body[8:] {
		v := binary.LittleEndian.Uint64(body)
		tick := int64(v) >> 1
		if tick > maxTick || tick < -maxTick {
			return protocolErrorf("a tick of %d", tick)
		}
		if err := yield(tick, v&1 == 1); err != nil {
			return err
		}
	}
	return nil
}
