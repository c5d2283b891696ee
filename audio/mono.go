package audio

import (
	"fmt"
	"io"
	"iter"
)

// A mono reads a Stream as mono tracks at one rate.
type mono struct {
	src        Stream
	info       Info
	channels   Channels
	resamplers []*Resampler // one a track
	block      []float32    // interleaved, of the source
	track      []float32    // one track of it
	out        []float32    // that, resampled
	ended      bool
}

// blockLength is how many samples of each channel are read at once: with a tenth of a second and less between what
// several tracks are told, they keep step.
const blockLength = 4096

// newMono returns the tracks of src, and an error if src has none or not the wanted ones.
func newMono(src Stream, rate int, c Channels) (*mono, error) {
	info := src.Info()
	if err := info.Check(); err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	tracks, err := c.tracks(info.Channels)
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	m := &mono{
		src: Watch(src), info: info, channels: c,
		resamplers: make([]*Resampler, tracks),
		block:      make([]float32, blockLength*info.Channels),
		track:      make([]float32, blockLength),
	}
	m.resamplers[0] = NewResampler(info.SampleRate, rate)
	for t := 1; t < tracks; t++ {
		m.resamplers[t] = m.resamplers[0].sibling()
	}
	return m, nil
}

// next reads a block and hands on what it adds to each track, in their order. The slice lives until take returns. At the
// end it hands on what remains, and from then on returns io.EOF.
func (m *mono) next(take func(track int, pcm []float32)) error {
	if m.ended {
		return io.EOF
	}
	n, err := m.fill()
	if err != nil && err != io.EOF {
		return err
	}
	m.ended = err == io.EOF
	samples := n / m.info.Channels
	for t, r := range m.resamplers {
		one := m.track[:samples]
		m.channels.pick(one, m.block[:n], m.info.Channels, t)
		m.out = r.Resample(m.out[:0], one)
		if m.ended {
			m.out = r.Flush(m.out)
		}
		take(t, m.out)
	}
	return nil
}

// fill reads a whole block if there is one, so that blocks don't depend on how much a Stream gives at a time.
func (m *mono) fill() (n int, err error) {
	for n < len(m.block) && err == nil {
		var k int
		k, err = m.src.Read(m.block[n:])
		n += k
	}
	return n, err
}

// ReadMono reads a whole recording as mono samples at a rate in Hz, up to limit of them; more says that there were more. c
// is Mix or one channel; ReadMono panics if it is Split. Errors are those of src, a [FormatError] or [UnsupportedError] of
// [Info.Check], and an UnsupportedError if the recording lacks the channel.
func ReadMono(src Stream, rate int, c Channels, limit int) (pcm []float32, more bool, err error) {
	if c == Split {
		panic("audio: ReadMono of each channel by itself")
	}
	m, err := newMono(src, rate, c)
	if err != nil {
		return nil, false, err
	}
	for err == nil && len(pcm) <= limit {
		err = m.next(func(_ int, out []float32) { pcm = append(pcm, out...) })
	}
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if len(pcm) > limit {
		return pcm[:limit], true, nil
	}
	return pcm, false, nil
}

// Pieces reads a recording and cuts it, each of its tracks by itself. The pieces of one channel come in order; where channels
// are split, those of several come as they end. It holds about 4 MB of sound a track. An error ends it; errors are
// those of [ReadMono].
func Pieces(src Stream, rate int, c Channels, cut Cut) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		m, err := newMono(src, rate, c)
		if err != nil {
			yield(Piece{}, err)
			return
		}
		cutters := make([]*Cutter, len(m.resamplers))
		for t := range cutters {
			cutters[t] = NewCutter(rate, cut)
		}
		for {
			var ready []Piece
			err := m.next(func(track int, pcm []float32) {
				pieces := cutters[track].Cut(pcm)
				if m.ended {
					pieces = append(pieces, cutters[track].Flush()...)
				}
				for i := range pieces {
					pieces[i].place(c.number(track), m.info.Start)
				}
				ready = append(ready, pieces...)
			})
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Piece{}, err)
				return
			}
			for _, p := range ready {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}
