//go:build libav

package libav

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/asticode/go-astiav"

	"facet/video"
)

// index is what the packets of a video track say.
type index struct {
	ticks []int64
	key   []bool
	end   int64
	keys  []keyframe // in the order of showing; also those that an edit list hides, which decoding begins with all the same
	first int64      // when the first packet is decoded
	// rough: some packets do not say when they are shown, as in AVI. Then frame n is the nth that a decoder gives, and is shown
	// when the nth packet is decoded, as much later as the first packet is shown after it is decoded.
	rough bool
}

// keyframe is one place to begin decoding at.
type keyframe struct {
	shown, decoded int64 // ticks
	place          int   // of the first frame in index.ticks that is not shown before it
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
	if err := m.start(s, nil); err != nil {
		return nil, err
	}
	type entry struct {
		pts, dts, duration int64
		key, hidden        bool
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
		e := entry{p.Pts(), p.Dts(), p.Duration(), p.Flags().Has(astiav.PacketFlagKey), p.Flags().Has(astiav.PacketFlagDiscard)}
		p.Unref()
		packets++
		if !usable(e.pts) && !usable(e.dts) {
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
	if n := s.NbFrames(); packets < n && strings.HasPrefix(m.info.Format, "mov") { // others count otherwise
		m.settings.Note(fmt.Sprintf("the file is cut off: %d of %d frames are there", packets, n))
	}
	if x.rough {
		delay := int64(0)
		if e := entries[0]; usable(e.pts) && usable(e.dts) {
			delay = e.pts - e.dts
		}
		for i, e := range entries {
			if usable(e.dts) {
				entries[i].pts = e.dts + delay
			}
		}
	}
	x.first = entries[0].pts
	for i, e := range entries {
		if !usable(e.dts) {
			entries[i].dts = e.pts
		}
		x.first = min(x.first, entries[i].dts)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return int(max(min(a.pts-b.pts, 1), -1)) })
	for _, e := range entries {
		if e.key {
			x.keys = append(x.keys, keyframe{e.pts, e.dts, len(x.ticks)})
		}
		if e.hidden {
			continue
		}
		if n := len(x.ticks); n > 0 && x.ticks[n-1] == e.pts {
			x.key[n-1] = x.key[n-1] || e.key
			continue
		}
		x.ticks, x.key = append(x.ticks, e.pts), append(x.key, e.key)
		x.end = e.pts + max(e.duration, 0)
	}
	if len(x.ticks) == 0 {
		return nil, video.FormatError("an edit list hides every frame of the track")
	}
	if n := len(x.ticks); x.end <= x.ticks[n-1] {
		x.end = x.ticks[n-1] + 1 // a length that nobody states is that of the frame before
		if n > 1 {
			x.end += x.ticks[n-1] - x.ticks[n-2] - 1
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

// keyBefore returns the last keyframe up to the frame at a place, the first keyframe if none stands before, or nil if the
// track has none.
func (x *index) keyBefore(place int) *keyframe {
	n, found := slices.BinarySearchFunc(x.keys, x.ticks[place], func(k keyframe, tick int64) int {
		return int(max(min(k.shown-tick, 1), -1))
	})
	switch {
	case len(x.keys) == 0:
		return nil
	case found:
		return &x.keys[n]
	}
	return &x.keys[max(n-1, 0)]
}
