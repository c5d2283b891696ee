package video

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"

	"facet/internal/child"
)

// What this process and the decoder say to each other, in messages of package internal/child. Integers are little endian.
//
//	request   answers before done
//	open      info
//	index     ticks…              what index.go keeps, in the order of time
//	frames    frame…              one for each tick that was asked for, in that order
//	cuts      ticks…              where a scene changes
//	sound     track, samples…
//
// The version changes with anything here.
const protocolVersion = 1

type kind = child.Kind

const (
	kindInfo    kind = 'i' // JSON: Info
	kindTicks   kind = 'x' // 8 bytes each: tick · 2, plus 1 if a keyframe
	kindFrame   kind = 'f' // frameHeader, RGB
	kindTrack   kind = 'a' // JSON: soundHeader
	kindSamples kind = 's' // float32 each, channels interleaved
)

// Most bytes of a message. What the other side claims beyond these is never allocated.
const (
	maxRequest = 64 << 20 // 4 million ticks in JSON
	maxTicks   = 8 << 16
	maxSamples = 1 << 20

	frameHeaderSize = 8 + 4 + 4 + 4
)

// most returns the limits of messages where frames have so many pixels at most.
func most(pixels int64) func(kind) (int64, bool) {
	return func(k kind) (int64, bool) {
		switch k {
		case kindInfo, kindTrack:
			return child.MaxText, true
		case child.KindRequest:
			return maxRequest, true
		case kindTicks:
			return maxTicks, true
		case kindSamples:
			return maxSamples, true
		case kindFrame:
			return frameHeaderSize + 3*pixels, true
		}
		return 0, false
	}
}

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

// toldBy gives an error that the decoder reports the type that its kind says.
func toldBy(f child.Failure) error {
	switch f.Kind {
	case "format":
		return FormatError(f.Text)
	case "unsupported":
		return UnsupportedError(f.Text)
	}
	return DecoderError(f.Text)
}

func failureOf(err error) child.Failure {
	var (
		format      FormatError
		unsupported UnsupportedError
	)
	f := child.Failure{Kind: "decoder", Text: err.Error()}
	switch {
	case errors.As(err, &format):
		f.Kind = "format"
	case errors.As(err, &unsupported):
		f.Kind = "unsupported"
	}
	return f
}

type soundHeader struct {
	Rate     int     `json:"rate"`
	Channels int     `json:"channels"`
	Start    float64 `json:"start"`
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
		return h, nil, child.ProtocolErrorf("a frame of %d bytes", len(body))
	}
	w, height, o := binary.LittleEndian.Uint32(body[8:]), binary.LittleEndian.Uint32(body[12:]), binary.LittleEndian.Uint32(body[16:])
	pix = body[frameHeaderSize:]
	if w == 0 || height == 0 || w > math.MaxInt32 || height > math.MaxInt32 || uint64(w)*uint64(height) != uint64(len(pix))/3 || len(pix)%3 != 0 {
		return h, nil, child.ProtocolErrorf("a frame of %d × %d pixels in %d bytes", w, height, len(pix))
	}
	if o < 1 || o > 8 {
		return h, nil, child.ProtocolErrorf("a frame of orientation %d", o)
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
		return child.ProtocolErrorf("ticks in %d bytes", len(body))
	}
	for ; len(body) > 0; body = body[8:] {
		v := binary.LittleEndian.Uint64(body)
		tick := int64(v) >> 1
		if tick > maxTick || tick < -maxTick {
			return child.ProtocolErrorf("a tick of %d", tick)
		}
		if err := yield(tick, v&1 == 1); err != nil {
			return err
		}
	}
	return nil
}
