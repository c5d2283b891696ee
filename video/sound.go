package video

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"facet/internal/child"
)

// A Sound is the samples of one sound track, as a stream. Read and Close may be called from different goroutines; Read is
// for one.
type Sound struct {
	clip   *Clip
	track  int
	header soundHeader

	messages chan []byte   // of samples, until the end
	done     chan struct{} // closed by Close
	once     sync.Once
	ended    chan struct{} // closed when the reading goroutine is gone
	err      error         // of the track, when messages is closed
	rest     []byte
}

// OpenSound opens a track of the file of that name, -1 for the one that a player plays, and decodes it as it is read. Errors
// are those of [Open]; a file without sound is a [FormatError]. ctx ends the stream.
func OpenSound(ctx context.Context, path string, track int, o Options) (*Sound, error) {
	c, err := Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if track == -1 {
		track = c.info.DefaultAudio()
	}
	if err := c.hearable(track); err != nil {
		c.Close()
		return nil, err
	}
	s := &Sound{clip: c, track: track, messages: make(chan []byte, 4), done: make(chan struct{}), ended: make(chan struct{})}
	begun := make(chan error, 1)
	go s.pump(ctx, track, begun)
	if err := <-begun; err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// hearable returns the error for a track that is missing or encrypted.
func (c *Clip) hearable(track int) error {
	switch n := len(c.info.Audio); {
	case n == 0:
		return c.named(formatErrorf("the file has no sound"))
	case track < 0 || track >= n:
		return c.named(formatErrorf("there is no track %d of sound: the file has %d", track+1, n))
	case c.info.Audio[track].Encrypted:
		return c.named(unsupportedErrorf("sound track %d is encrypted", track+1))
	}
	return nil
}

// pump reads the child's messages until the track ends. It reports once through begun, when the header is here or never
// will be.
func (s *Sound) pump(ctx context.Context, track int, begun chan<- error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	started := false
	err := s.clip.ask(ctx, request{Op: "sound", Track: track}, func(k kind, body []byte) error {
		switch {
		case k == kindTrack && !started:
			if err := child.ReadJSON(body, &s.header); err != nil {
				return err
			}
			if h := s.header; h.Rate < 1 || h.Channels < 1 || h.Channels > maxSamples/4 || math.IsNaN(h.Start) || math.IsInf(h.Start, 0) {
				return child.ProtocolErrorf("sound of %+v", h)
			}
			started = true
			begun <- nil
		case k == kindSamples && started && len(body)%4 == 0:
			select {
			case s.messages <- body:
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return child.ProtocolErrorf("a message of kind %q with %d bytes for sound", k, len(body))
		}
		return nil
	})
	if err == nil && !started {
		err = s.clip.named(formatErrorf("sound track %d has no samples", track))
	}
	s.err = err
	if !started {
		begun <- err
	}
	close(s.messages)
	close(s.ended)
}

// Track returns the number of the track, from 0, and how many tracks of sound the file has.
func (s *Sound) Track() (number, of int) { return s.track, len(s.clip.info.Audio) }

// Rate returns the samples a second.
func (s *Sound) Rate() int { return s.header.Rate }

// Channels returns the number of channels.
func (s *Sound) Channels() int { return s.header.Channels }

// Start returns the second on the clip's clock of the first sample.
func (s *Sound) Start() float64 { return s.header.Start }

// Read fills p with the next samples, channels interleaved, full scale ±1, and returns how many it wrote, a multiple
// of Channels unless the file ends within. At the end the error is io.EOF. It panics if p does not hold one
// sample of each channel.
func (s *Sound) Read(p []float32) (int, error) {
	p = p[:len(p)/s.header.Channels*s.header.Channels]
	if len(p) == 0 {
		panic(fmt.Sprintf("video: Read of no samples of %d channels", s.header.Channels))
	}
	n := 0
	for n < len(p) {
		if len(s.rest) == 0 {
			if n > 0 && len(s.messages) == 0 && n%s.header.Channels == 0 {
				return n, nil // what is here is given without waiting for more
			}
			body, ok := <-s.messages
			switch {
			case !ok && s.err != nil:
				return n, s.err
			case !ok && n > 0:
				return n, nil
			case !ok:
				return 0, io.EOF
			}
			s.rest = body
		}
		m := min(len(p)-n, len(s.rest)/4)
		for i := range m {
			p[n+i] = math.Float32frombits(binary.LittleEndian.Uint32(s.rest[4*i:]))
		}
		n, s.rest = n+m, s.rest[4*m:]
	}
	return n, nil
}

// Warnings returns what the user should know although the track could be read. It is for when Read has returned an error
// or the end.
func (s *Sound) Warnings() []string {
	<-s.ended
	return s.clip.Warnings()
}

// Close ends the decoder and closes the file. A Read that waits returns an error.
func (s *Sound) Close() error {
	s.once.Do(func() { close(s.done) })
	<-s.ended
	return s.clip.Close()
}
