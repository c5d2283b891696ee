//go:build libav

package libav

import (
	"fmt"
	"io"
	"slices"

	"github.com/asticode/go-astiav"

	"facet/video"
)

// index is what the packets of a video track say.
type index struct {
	ticks []int64
	key   []bool
	end   int64
	// rough: packets without a time of showing. Times are those of decoding then, which a decoder's guesses follow.
	rough bool
}

// Index implements [video.Source].
func (m *Media) Index(track, most int) (ticks []int64, key []bool, end int64, err error) {
	x, err := m.indexOf(track, most)
	if err != nil {
		return nil, nil, 0, err
	}
	return slices.Clone(x.ticks), slices.Clone(x.key), x.end, nil
}

func (m *Media) indexOf(track, most int) (*index, error) {
	if x := m.index[track]; x != nil {
		return x, nil
	}
	x, err := m.readIndex(m.video[track], most)
	if err != nil {
		return nil, err
	}
	m.index[track] = x
	return x, nil
}

func (m *Media) readIndex(s *astiav.Stream, most int) (*index, error) {
	if err := m.rewind(s); err != nil {
		return nil, err
	}
	type entry struct {
		pts, dts, duration int64
		key                bool
	}
	var entries []entry
	x := &index{}
	packets := int64(0)
	for {
		err := m.read(s)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		p := m.packet
		e := entry{p.Pts(), p.Dts(), p.Duration(), p.Flags().Has(astiav.PacketFlagKey)}
		discard := p.Flags().Has(astiav.PacketFlagDiscard) // an edit list cuts it off
		p.Unref()
		packets++
		if discard || !usable(e.pts) && !usable(e.dts) {
			continue
		}
		x.rough = x.rough || !usable(e.pts)
		if len(entries) == most {
			return nil, video.UnsupportedError(fmt.Sprintf("the track has more frames than the limit of %d", most))
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, video.FormatError("the track has no frames" + takeLog())
	}
	if n := s.NbFrames(); packets < n {
		m.settings.Note(fmt.Sprintf("the file is cut off: %d of %d frames are there", packets, n))
	}
	if x.rough {
		for i, e := range entries {
			if usable(e.dts) {
				entries[i].pts = e.dts
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return int(max(min(a.pts-b.pts, 1), -1)) })
	for _, e := range entries {
		if n := len(x.ticks); n > 0 && x.ticks[n-1] == e.pts {
			x.key[n-1] = x.key[n-1] || e.key
			continue
		}
		x.ticks, x.key = append(x.ticks, e.pts), append(x.key, e.key)
	}
	last := entries[len(entries)-1]
	x.end = last.pts + max(last.duration, 0)
	if n := len(x.ticks); x.end <= last.pts {
		x.end = last.pts + 1 // a length that nobody states is that of the frame before
		if n > 1 {
			x.end = last.pts + x.ticks[n-1] - x.ticks[n-2]
		}
	}
	return x, nil
}

// usable reports whether a tick is one, and far enough from the ends of an int64 to be added to.
func usable(tick int64) bool { return tick > -1<<60 && tick < 1<<60 }

// place returns the frame that begins at a tick or, if none does, the next or last.
func (x *index) place(tick int64) int {
	i, _ := slices.BinarySearch(x.ticks, tick)
	return min(i, len(x.ticks)-1)
}

// keyBefore returns the last keyframe up to frame i, or -1.
func (x *index) keyBefore(i int) int {
	for i >= 0 && !x.key[i] {
		i--
	}
	return i
}
