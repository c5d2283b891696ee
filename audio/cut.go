package audio

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A Cut says how recordings are cut into pieces. The zero value is that of Segments(30 * time.Second).
type Cut struct {
	Max   time.Duration // no piece is longer
	Min   time.Duration // no piece ends in a pause before this, if more follows within Gap
	Pause time.Duration // a piece that has Min ends in the first pause of this length; 0: only when Max is near
	Gap   time.Duration // silence of this length ends any piece and is left out
	Pad   time.Duration // silence kept before and after what is heard
}

// Segments cuts into pieces as long as a model hears at once, or shorter: few and long ones, for their context. max is 5 to
// 30 s on the command line.
func Segments(max time.Duration) Cut {
	return Cut{Max: max, Gap: 2 * time.Second, Pad: 300 * time.Millisecond}
}

// Subtitles cuts in pauses into pieces of 2 to 12 s, so that their times are good. What stands alone may be shorter.
func Subtitles() Cut {
	return Cut{
		Max: 12 * time.Second, Min: 2 * time.Second, Pause: 400 * time.Millisecond,
		Gap: 2 * time.Second, Pad: 200 * time.Millisecond,
	}
}

// A Piece is a stretch of a recording, with everything that is heard in it. Pieces of one channel follow each other and
// don't overlap; between them lies silence, or nothing.
type Piece struct {
	Span              // from PCM's first sample to the end of its last
	Heard   Span      // the part between its first and its last sound: what a segment or a subtitle should show
	Channel int       // 0 if all channels were mixed, otherwise the channel's number from 1 on
	First   int64     // sample, counted from the recording's first, that PCM begins with
	PCM     []float32 // mono, at the rate that was asked for; the receiver's own
	Pauses  []Span    // of 0.15 s and more within the piece, in order
	Severed bool      // sound goes on where the piece ends: no pause was near
}

// A Span is a stretch of time, in seconds on the recording's clock.
type Span struct{ Start, End float64 }

func (s Span) shift(by float64) Span { return Span{s.Start + by, s.End + by} }

// place says where a piece is from. start is the time of the recording's first sample.
func (p *Piece) place(channel int, start float64) {
	p.Channel = channel
	p.Span, p.Heard = p.Span.shift(start), p.Heard.shift(start)
	for i, s := range p.Pauses {
		p.Pauses[i] = s.shift(start)
	}
}

// A Cutter cuts a recording into pieces as its samples come. The pieces depend on the recording alone, not on how it
// is handed over. It holds up to 20 s of sound besides the piece that is growing. Not safe for concurrent use.
//
// A piece begins with a sound of 50 ms and more. It ends where silence of Gap follows, or in a pause as Cut says,
// or, before it is longer than Max, in the middle of the longest pause of its last third, or of the third before if there is only
// a gap between words; if there is none at all, where it is quietest. level.go says what sound, pause and silence are.
type Cutter struct {
	rate, hop int
	max, min  int // of a piece, in hops like all that follows
	pause     int // 0: any will do, when Max is near
	gap, pad  int

	meter meter
	pcm   series[float32]
	at    int // where the last piece ended: none begins before
	scan  int // what lies between is silent
}

const (
	shortestSound = 5   // hops: what is shorter, once smoothed, is a click
	shortestPause = 10  // hops: shorter ones are not looked for when Max is near
	goodPause     = 25  // hops: without one in the last third of Max, one in the second third will do
	shownPause    = 15  // hops of those that a Piece tells
	shortestRest  = 200 // hops that a piece leaves to the next, if the sound ends soon
)

// NewCutter returns a Cutter for mono samples of a rate in Hz. It panics if the rate is outside 4,000 to 384,000 Hz, or
// the lengths of c contradict each other.
func NewCutter(rate int, c Cut) *Cutter {
	if c == (Cut{}) {
		c = Segments(30 * time.Second)
	}
	if rate < minSampleRate || rate > maxSampleRate || c.Max < time.Second || c.Min < 0 || c.Min > c.Max/2 || c.Pause < 0 ||
		c.Gap < 100*time.Millisecond || c.Pad < 0 || c.Pad > c.Gap/2 || c.Pad > c.Max/4 {
		panic(fmt.Sprintf("audio: NewCutter of %d Hz with %+v", rate, c))
	}
	hops := func(d time.Duration) int { return int(d * levelsPerSecond / time.Second) }
	hop := rate / levelsPerSecond
	return &Cutter{
		rate: rate, hop: hop,
		max: int(c.Max.Seconds() * float64(rate) / float64(hop)), min: hops(c.Min), pause: hops(c.Pause), gap: hops(c.Gap), pad: hops(c.Pad),
		meter: meter{hop: hop},
	}
}

// Cut takes the next samples and returns the pieces that are complete by then. pcm is not kept.
func (c *Cutter) Cut(pcm []float32) (pieces []Piece) {
	for len(pcm) > 0 { // in small blocks, so that little is held twice
		n := min(len(pcm), c.rate)
		c.pcm.append(pcm[:n]...)
		before := c.meter.classes.end()
		c.meter.write(pcm[:n])
		pcm = pcm[n:]
		if c.meter.classes.end() > before {
			pieces = c.take(pieces, false)
		}
	}
	return pieces
}

// Flush returns the pieces that end with the recording. The Cutter can't be used after it.
func (c *Cutter) Flush() []Piece {
	c.meter.flush()
	return c.take(nil, true)
}

// take appends the pieces that are settled.
func (c *Cutter) take(pieces []Piece, ended bool) []Piece {
	for {
		p, ok := c.next(ended)
		if !ok {
			break
		}
		pieces = append(pieces, p)
	}
	keep := max(c.at, c.scan-c.pad)
	c.pcm.forget(min(keep*c.hop, c.pcm.end()))
	c.meter.forget(keep)
	return pieces
}

// next returns the next piece if it is settled.
func (c *Cutter) next(ended bool) (Piece, bool) {
	known := c.meter.classes.end()
	sound, ok := c.findSound(known, ended)
	if !ok {
		return Piece{}, false
	}
	start := max(c.at, sound-c.pad)
	limit := start + c.max // where the piece must have ended

	// What lies past the horizon must not matter, since how much of it is known depends on how samples come.
	horizon := min(limit+shortestRest+c.gap, known)
	end, whole := c.findEnd(sound, horizon, ended && horizon == known)
	if !whole && horizon == known && !ended {
		return Piece{}, false
	}
	if c.pause > 0 {
		if p, ok := c.firstPause(start+c.min, min(limit, end)); ok {
			return c.piece(start, p), true
		}
	}
	if whole && end <= limit {
		return c.piece(start, min(end+c.pad, limit, known)), true
	}
	first, last := start+c.max*2/3, limit
	if whole {
		last = max(min(limit, end-shortestRest), first+2*shortestPause)
	}
	at, length := c.longestPause(first, last)
	if length < goodPause {
		if earlier, l := c.longestPause(start+c.max/3, last); l >= goodPause {
			at, length = earlier, l
		}
	}
	if length >= shortestPause {
		return c.piece(start, at), true
	}
	p := c.piece(start, c.quietest(first, last))
	p.Severed = true
	return p, true
}

// findSound returns where the next sound begins, at c.scan or later, and moves c.scan there or to the end of what is silent.
func (c *Cutter) findSound(known int, ended bool) (int, bool) {
	for i := c.scan; i < known; {
		if c.class(i) == silent {
			i++
			c.scan = i
			continue
		}
		j := c.run(i, known, silent)
		if j-i >= shortestSound {
			return i, true
		}
		if j == known && !ended {
			return 0, false // it may go on
		}
		i = j
		c.scan = i
	}
	return 0, false
}

// pauses calls f with the pauses between two places until it returns false. Those that go beyond are clipped.
func (c *Cutter) pauses(from, to int, f func(begin, end int) bool) {
	for i := from; i < to; {
		if i = c.run(i, to, quiet); i == to {
			return
		}
		begin := i
		for i < to && c.class(i) <= quiet {
			i++
		}
		if !f(begin, i) {
			return
		}
	}
}

// firstPause returns the middle of the first pause that is long enough to end a piece.
func (c *Cutter) firstPause(from, to int) (at int, ok bool) {
	c.pauses(from, to, func(begin, end int) bool {
		at, ok = (begin+end)/2, end-begin >= c.pause
		return !ok
	})
	return at, ok
}

// longestPause returns the middle of the longest pause, the last of equal ones, and its length.
func (c *Cutter) longestPause(from, to int) (at, length int) {
	c.pauses(from, to, func(begin, end int) bool {
		if end-begin >= length {
			at, length = (begin+end)/2, end-begin
		}
		return true
	})
	return at, length
}

// quietest returns where the mean level over a tenth of a second is lowest, the last such place.
func (c *Cutter) quietest(from, to int) int {
	const around = 5
	best, lowest := to, float32(math.MaxFloat32)
	for i := from + around; i < to-around; i++ {
		var sum float32
		for _, level := range c.meter.levels.slice(i-around, i+around+1) {
			sum += level
		}
		if sum <= lowest {
			best, lowest = i, sum
		}
	}
	return best
}

// piece returns the piece from start on that a cut ends, without the silence before the cut but for a pad. What follows begins
// at the cut.
func (c *Cutter) piece(start, cut int) Piece {
	end := cut
	for end > start && c.class(end-1) == silent {
		end--
	}
	from, to := start, end // of what sounds
	for from < to && c.class(from) <= quiet {
		from++
	}
	for to > from && c.class(to-1) <= quiet {
		to--
	}
	p := Piece{First: int64(start) * int64(c.hop)}
	p.Heard = Span{c.seconds(from), c.seconds(to)}
	if from == to { // merely quiet: loud noise between two cuts
		p.Heard = Span{c.seconds(start), c.seconds(end)}
	}
	c.pauses(from, to, func(from, to int) bool {
		if to-from >= shownPause {
			p.Pauses = append(p.Pauses, Span{c.seconds(from), c.seconds(to)})
		}
		return true
	})
	stop := min(cut, end+c.pad)
	p.PCM = slices.Clone(c.pcm.slice(start*c.hop, min(stop*c.hop, c.pcm.end())))
	p.Span = Span{c.seconds(start), float64(p.First+int64(len(p.PCM))) / float64(c.rate)}
	p.Heard.End = min(p.Heard.End, p.End)
	c.at, c.scan = cut, cut
	return p
}

func (c *Cutter) seconds(hops int) float64 { return float64(hops*c.hop) / float64(c.rate) }

func (c *Cutter) class(i int) class { return c.meter.classes.at(i) }

// run returns the end of what begins at i and is above a class, before end.
func (c *Cutter) run(i, end int, below class) int {
	for i < end && c.class(i) > below {
		i++
	}
	return i
}

// findEnd returns where sound that begins at i ends before silence of a gap or the recording's end, and whether that happens
// before the horizon; if not, the horizon.
func (c *Cutter) findEnd(i, horizon int, ended bool) (end int, whole bool) {
	for end = i; i < horizon; {
		j := c.run(i, horizon, silent)
		if j-i >= shortestSound || j == horizon && j > i && !ended {
			end = j
		}
		i = j
		for i < horizon && c.class(i) == silent {
			i++
		}
		if i-end >= c.gap {
			return end, true
		}
	}
	if ended {
		return end, true
	}
	return horizon, false
}
