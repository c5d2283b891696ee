package audio

import (
	"math"
	"slices"
)

// Levels are taken every 10 ms over 30 ms, in dB of full scale, as the deviation from the mean, so that an offset counts for
// nothing. Whether a level is a pause depends on the 25 s around it: speech leaves a tenth of its time to its
// background at least, be it between words.
const (
	levelsPerSecond = 100
	levelBlock      = 5 * levelsPerSecond // thresholds are found once for so many levels
	blocksAround    = 2                   // from so many blocks on each side besides
	lowestLevel     = -90.0               // dB: digital silence, and what dither leaves
)

// A class says what a level means. Only what is silent is left out; what is merely quiet, such as the pauses of a
// speaker in a car, is where to cut.
type class uint8

const (
	silent class = iota
	quiet
	sounding
)

// thresholds split levels into classes: below quiet is a pause, below silent also silence.
type thresholds struct{ silent, quiet float32 }

func (t thresholds) class(level float32) class {
	switch {
	case level < t.silent:
		return silent
	case level < t.quiet:
		return quiet
	}
	return sounding
}

// findThresholds returns the thresholds for levels in a window. It sorts them.
func findThresholds(window []float32) thresholds {
	slices.Sort(window)
	n := len(window)
	floor := window[n/10]
	loud := window[n-1-min(n/10, 15)] // what 150 ms are louder than: a word, no click
	reach := loud - floor
	if loud < -75 || loud < -45 && reach < 8 {
		// Nothing, or a steady murmur: rooms, hiss, hum. Speech is never steady for long.
		return thresholds{silent: math.MaxFloat32, quiet: math.MaxFloat32}
	}
	// A third of the way up keeps weak endings of words above the threshold when the background is loud, and 10 dB keep a
	// background that comes and goes below it when it is not.
	q := floor + min(10, reach/3)
	q = max(q, loud-50) // so far below the voice nothing is heard
	// Loud music has a floor, too, but no silence.
	return thresholds{silent: min(q, -35), quiet: q}
}

// A meter turns samples into levels and their classes. What it finds depends on the samples alone, not on how they are
// cut into blocks.
type meter struct {
	hop       int  // samples from one level to the next
	last, now sums // of the hop before the one whose level comes next, and of that one
	coming    sums // of the hop under way
	levels    series[float32]
	classes   series[class]
	sorted    []float32 // scratch of classify
}

// sums are what a deviation is worked out from.
type sums struct {
	n     int
	x, xx float64
}

// write takes the next samples.
func (m *meter) write(pcm []float32) {
	for len(pcm) > 0 {
		n := min(m.hop-m.coming.n, len(pcm))
		for _, v := range pcm[:n] {
			m.coming.x += float64(v)
			m.coming.xx += float64(v) * float64(v)
		}
		m.coming.n += n
		pcm = pcm[n:]
		if m.coming.n == m.hop {
			m.step()
			m.classify(false)
		}
	}
}

// flush finds what can be found only when no more samples come.
func (m *meter) flush() {
	if m.coming.n > 0 {
		m.step()
	}
	m.step()
	m.classify(true)
}

// step ends the hop under way and finds the level of the one before it, now that both its neighbours are known.
func (m *meter) step() {
	if m.now.n > 0 {
		n := float64(m.last.n + m.now.n + m.coming.n)
		mean := (m.last.x + m.now.x + m.coming.x) / n
		power := (m.last.xx+m.now.xx+m.coming.xx)/n - mean*mean
		level := lowestLevel
		if power > 1e-9 { // false for NaN, and for what rounding takes below 0
			level = 10 * math.Log10(power)
		}
		m.levels.append(float32(level))
	}
	m.last, m.now, m.coming = m.now, m.coming, sums{}
}

// classify finds the classes of the next blocks whose surroundings are known. At the end they are as they are.
func (m *meter) classify(ended bool) {
	for {
		begin := m.classes.end()
		end := min(begin+levelBlock, m.levels.end())
		if begin == end || !ended && m.levels.end() < begin+(1+blocksAround)*levelBlock {
			return
		}
		from := max(0, begin-blocksAround*levelBlock)
		to := min(begin+(1+blocksAround)*levelBlock, m.levels.end())
		m.sorted = append(m.sorted[:0], m.levels.slice(from, to)...)
		t := findThresholds(m.sorted)
		for _, level := range m.levels.slice(begin, end) {
			m.classes.append(t.class(level))
		}
	}
}

// forget drops what lies before a level and isn't needed for thresholds.
func (m *meter) forget(before int) {
	m.classes.forget(min(before, m.classes.end()))
	m.levels.forget(min(before, m.classes.end()-blocksAround*levelBlock))
}

// A series is the part that is still needed of a sequence that grows at its end; indices count from its beginning.
type series[T any] struct {
	items []T
	first int // index of items[0]
}

func (s *series[T]) append(v ...T) { s.items = append(s.items, v...) }

// end returns the index of what will be appended next.
func (s *series[T]) end() int { return s.first + len(s.items) }

func (s *series[T]) at(i int) T { return s.items[i-s.first] }

func (s *series[T]) slice(from, to int) []T { return s.items[from-s.first : to-s.first] }

// forget drops what lies before i, now or, so that dropping costs little, a little later.
func (s *series[T]) forget(i int) {
	if dead := i - s.first; dead > 0 && dead >= len(s.items)/8 {
		s.items = s.items[:copy(s.items, s.items[dead:])]
		s.first = i
	}
}
