package video

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"

	"facet/internal/child"
)

// A Source is one file in the decoder's process; package video/libav has it. Errors are of the types of this package.
// What a callback returns as an error comes back as the method's.
type Source interface {
	Info() *Info
	// Index returns what an [Index] holds: ascending ticks, each once, which of them are keyframes, and where the last
	// frame ends. A track of more than most frames is an UnsupportedError.
	Index(track, most int) (ticks []int64, key []bool, end int64, err error)
	// Frames gives the frame that begins at each of the ticks, which are ascending, or where there is none the first that
	// begins later; past the last frame, the last.
	Frames(track int, ticks []int64, emit func(Picture) error) error
	// Cuts gives the first tick of each scene but the first: where the share of change (0 to 1) from one frame to the next is
	// above threshold.
	Cuts(track int, threshold float64, emit func(tick int64) error) error
	// Sound gives a track's samples, channels interleaved, after its rate in Hz, its channels and the second at which it begins.
	Sound(track int, begin func(rate, channels int, start float64) error, emit func([]float32) error) error
}

// A Picture is a decoded frame as it is stored: Pix is [Height, Width, 3] red, green, blue, and may be used again when the
// callback that it was given to returns. Orientation, as EXIF counts, says how it is set upright.
type Picture struct {
	Tick          int64
	Width, Height int
	Orientation   int
	Pix           []byte
}

// Settings are what a [Source] is opened with.
type Settings struct {
	Threads int          // 0 means one for each CPU
	Pixels  int64        // most pixels of a frame
	Note    func(string) // takes what the user should know and what is no error
	Alive   func()       // to be called about once a second while nothing else is
}

// Serve is the decoder's side: it answers the requests of one client from in to out, until in ends. sandbox is how the
// process is confined, as JSON, and version that of the decoding library, for the client's report. Serve returns nil at the
// end of in; it does not wait then for what is under way, so the caller should end the process.
func Serve(in io.Reader, out io.Writer, version string, sandbox json.RawMessage, open func(Settings) (Source, error)) error {
	s := &server{w: &child.Writer{W: out}, open: open}
	if err := s.w.SendJSON(child.KindHello, hello{protocolVersion, version, sandbox}); err != nil {
		return err
	}
	return child.Serve(&child.Reader{R: in, Most: most(0)}, s.answer)
}

type server struct {
	w      *child.Writer
	open   func(Settings) (Source, error)
	source Source
}

// answer sends the messages of one request. Its error is one of the pipe.
func (s *server) answer(q request) error {
	var broken error // of the pipe: the source gives it back, mixed with its own
	send := func(k kind, parts ...[]byte) error {
		if err := s.w.Send(k, parts...); err != nil {
			broken = err
		}
		return broken
	}
	sendJSON := func(k kind, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return send(k, b)
	}
	err := s.run(q, send, sendJSON)
	switch {
	case broken != nil:
		return broken
	case err != nil:
		return sendJSON(child.KindFailed, failureOf(err))
	}
	return send(child.KindDone)
}

func (s *server) run(q request, send func(kind, ...[]byte) error, sendJSON func(kind, any) error) error {
	if q.Op == "open" {
		source, err := s.open(Settings{
			Threads: q.Threads, Pixels: q.Pixels,
			Note:  func(text string) { send(child.KindNote, clip(text)) },
			Alive: func() { send(child.KindAlive) },
		})
		if err != nil {
			return err
		}
		s.source = source
		return sendJSON(kindInfo, source.Info())
	}
	if s.source == nil {
		return errors.New("no file is open")
	}
	if tracks := s.tracks(q.Op); q.Track < 0 || q.Track >= tracks {
		return formatErrorf("there is no track %d among %d", q.Track, tracks)
	}
	switch q.Op {
	case "index":
		ticks, key, end, err := s.source.Index(q.Track, q.Frames)
		if err != nil {
			return err
		}
		return sendTicks(append(ticks, end), append(key, false), send)
	case "frames":
		return s.source.Frames(q.Track, q.Ticks, func(p Picture) error {
			h := frameHeader{p.Tick, p.Width, p.Height, p.Orientation}
			return send(kindFrame, h.append(nil), p.Pix)
		})
	case "cuts":
		return s.source.Cuts(q.Track, q.Threshold, func(tick int64) error {
			return send(kindTicks, appendTick(nil, tick, false))
		})
	case "sound":
		begin := func(rate, channels int, start float64) error {
			return sendJSON(kindTrack, soundHeader{rate, channels, start})
		}
		return s.source.Sound(q.Track, begin, func(samples []float32) error { return sendSamples(samples, send) })
	}
	return errors.New("unknown request " + q.Op)
}

// tracks returns how many tracks there are of what op asks for.
func (s *server) tracks(op string) int {
	if op == "sound" {
		return len(s.source.Info().Audio)
	}
	return len(s.source.Info().Video)
}

// clip bounds a text that may hold what a file says.
func clip(text string) []byte { return []byte(text[:min(len(text), 4096)]) }

func sendTicks(ticks []int64, key []bool, send func(kind, ...[]byte) error) error {
	for len(ticks) > 0 {
		n := min(len(ticks), maxTicks/8)
		b := make([]byte, 0, 8*n)
		for i, tick := range ticks[:n] {
			b = appendTick(b, tick, key[i])
		}
		if err := send(kindTicks, b); err != nil {
			return err
		}
		ticks, key = ticks[n:], key[n:]
	}
	return nil
}

func sendSamples(samples []float32, send func(kind, ...[]byte) error) error {
	for len(samples) > 0 {
		n := min(len(samples), maxSamples/4)
		b := make([]byte, 0, 4*n)
		for _, v := range samples[:n] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if err := send(kindSamples, b); err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}
