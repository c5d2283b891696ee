package audio

import (
	"fmt"
	"strconv"
)

// Channels says which channels of a recording are heard: [Mix], [Split], or the number of one, counted from 1.
type Channels int

// Mix, the zero value, hears the average of all channels; Split hears each by itself, as a conference's tracks or both ends of a
// telephone call want.
const (
	Mix   Channels = 0
	Split Channels = -1
)

// ParseChannels reads "mix", "split" or a number from 1 on.
func ParseChannels(s string) (Channels, error) {
	switch s {
	case "mix":
		return Mix, nil
	case "split":
		return Split, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("audio: channels %q: must be mix, split or a number from 1 on", s)
	}
	return Channels(n), nil
}

func (c Channels) String() string {
	switch c {
	case Mix:
		return "mix"
	case Split:
		return "split"
	}
	return strconv.Itoa(int(c))
}

// tracks returns the number of mono tracks that c makes of n channels.
func (c Channels) tracks(n int) (int, error) {
	switch {
	case c == Split:
		return n, nil
	case int(c) > n:
		return 0, unsupportedErrorf("channel %d is wanted, and the recording has %d", int(c), n)
	case c < Split:
		panic(fmt.Sprintf("audio: Channels of %d", int(c)))
	}
	return 1, nil
}

// pick writes track t, counted from 0, of interleaved samples of n channels. dst holds one value for each n of src.
func (c Channels) pick(dst, src []float32, n, t int) {
	if len(dst)*n != len(src) {
		panic(fmt.Sprintf("audio: %d values of %d channels into %d", len(src), n, len(dst)))
	}
	if c == Mix && n > 1 {
		for i := range dst {
			var sum float64
			for _, v := range src[i*n : i*n+n] {
				sum += float64(v)
			}
			dst[i] = float32(sum / float64(n))
		}
		return
	}
	from := t
	if c > 0 {
		from = int(c) - 1
	}
	for i := range dst {
		dst[i] = src[i*n+from]
	}
}

// number returns the channel that track t holds, counted from 1, or 0 for all of them.
func (c Channels) number(t int) int {
	if c == Split {
		return t + 1
	}
	return int(c)
}
