package audio

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A scene puts together a recording of 16 kHz whose content is known.
type scene struct {
	rng    *rand.Rand
	pcm    []float32
	spoken []Span // what was said, one sentence each
}

func newScene(seed uint64) *scene { return &scene{rng: rand.New(rand.NewPCG(seed, 0))} }

func (s *scene) seconds() float64 { return float64(len(s.pcm)) / 16000 }

// silence adds zeros.
func (s *scene) silence(seconds float64) *scene {
	s.pcm = append(s.pcm, make([]float32, int(seconds*16000))...)
	return s
}

// sentence adds words of 0.15 to 0.5 s, loud and soft, with 30 to 90 ms between them: harmonics of a voice that falls, hissing
// now and then.
func (s *scene) sentence(seconds, level float64) *scene {
	begin := s.seconds()
	phase := 0.0
	for s.seconds()-begin < seconds {
		n := int(16000 * min(0.15+0.35*s.rng.Float64(), max(0.1, begin+seconds-s.seconds())))
		loud := level * math.Pow(10, -8*s.rng.Float64()/20)
		hiss := s.rng.IntN(5) == 0
		for i := range n {
			envelope := math.Sqrt(math.Sin(math.Pi * (float64(i) + 0.5) / float64(n)))
			phase += (90 + 40*float64(n-i)/float64(n)) / 16000
			v := 1 - 2*math.Mod(phase, 1)
			if hiss {
				v = s.rng.NormFloat64() / 2
			}
			s.pcm = append(s.pcm, float32(loud*envelope*v*0.7))
		}
		if s.seconds()-begin < seconds-0.2 {
			s.silence(0.03 + 0.06*s.rng.Float64())
		}
	}
	s.spoken = append(s.spoken, Span{begin, s.seconds()})
	return s
}

// noise adds to all of it: white noise of this deviation.
func (s *scene) noise(deviation float64) *scene {
	for i := range s.pcm {
		s.pcm[i] += float32(deviation * s.rng.NormFloat64())
	}
	return s
}

// talk adds sentences of 1.5 to 6 s with pauses of 0.4 to 1.3 s.
func (s *scene) talk(seconds float64) *scene {
	for end := s.seconds() + seconds; s.seconds() < end; {
		s.sentence(1.5+4.5*s.rng.Float64(), 0.3)
		s.silence(0.4 + 0.9*s.rng.Float64())
	}
	return s
}

// cut hands over a recording in blocks of a length.
func cut(c Cut, pcm []float32, block int) []Piece { return cutAt(16000, c, pcm, block) }

func cutAt(rate int, c Cut, pcm []float32, block int) []Piece {
	cutter := NewCutter(rate, c)
	var pieces []Piece
	for part := range slices.Chunk(pcm, block) {
		pieces = append(pieces, cutter.Cut(part)...)
	}
	return append(pieces, cutter.Flush()...)
}

// checkPieces tests what holds for any recording: order, limits, that samples are the recording's, and that whatever sounds for
// 50 ms is in a piece, by classes found for the recording as a whole.
func checkPieces(t *testing.T, c Cut, pcm []float32, pieces []Piece) {
	t.Helper()
	checkPiecesAt(t, 16000, c, pcm, pieces)
}

func checkPiecesAt(t *testing.T, rate int, c Cut, pcm []float32, pieces []Piece) {
	t.Helper()
	hop := rate / 100
	covered := make([]bool, len(pcm))
	end := int64(0)
	for i, p := range pieces {
		stop := p.First + int64(len(p.PCM))
		if p.First < end || stop > int64(len(pcm)) || len(p.PCM) == 0 {
			t.Fatalf("piece %d holds samples %d to %d of %d; the one before ended at %d", i, p.First, stop, len(pcm), end)
		}
		end = stop
		if most := int64(c.Max.Seconds() * float64(rate)); stop-p.First > most {
			t.Fatalf("piece %d has %d samples, limit %d", i, stop-p.First, most)
		}
		for j, v := range p.PCM {
			if math.Float32bits(v) != math.Float32bits(pcm[p.First+int64(j)]) {
				t.Fatalf("piece %d: sample %d is not the recording's", i, j)
			}
			covered[p.First+int64(j)] = true
		}
		if p.Heard.Start < p.Start || p.Heard.End > p.End || p.Heard.End < p.Heard.Start {
			t.Fatalf("piece %d, %v, is heard %v", i, p.Span, p.Heard)
		}
		last := p.Heard.Start
		for _, pause := range p.Pauses {
			if pause.Start < last || pause.End < pause.Start+0.149 || pause.End > p.Heard.End {
				t.Fatalf("piece %d, heard %v: pause %v after %g", i, p.Heard, pause, last)
			}
			last = pause.End
		}
	}
	severed := map[int]bool{} // what is left of a sound after such a cut may be too short to be one
	for _, p := range pieces {
		if p.Severed {
			severed[(int(p.First)+len(p.PCM))/hop] = true
		}
	}
	levels, classes := wholeClasses(pcm, hop)
	for i := 0; i < len(classes); {
		j := i
		for j < len(classes) && (classes[j] > silent || levels[j] > -34.9) && (j == i || !severed[j]) {
			j++
		}
		if j-i >= shortestSound {
			for k := i * hop; k < min(j*hop, len(pcm)); k++ {
				if !covered[k] {
					t.Fatalf("there is sound from %.2f to %.2f s, and sample %d of it is in no piece", float64(i)/100, float64(j)/100, k)
				}
			}
		}
		i = max(j, i+1)
	}
}

// wholeClasses is the plain definition of what a meter finds.
func wholeClasses(pcm []float32, hop int) ([]float32, []class) {
	n := (len(pcm) + hop - 1) / hop
	levels := make([]float32, n)
	for i := range levels {
		around := pcm[max(0, i-1)*hop : min(len(pcm), (i+2)*hop)]
		var x, xx float64
		for _, v := range around {
			x += float64(v)
			xx += float64(v) * float64(v)
		}
		count := float64(len(around))
		levels[i] = lowestLevel
		if power := xx/count - x/count*x/count; power > 1e-9 {
			levels[i] = float32(10 * math.Log10(power))
		}
	}
	classes := make([]class, n)
	var threshold thresholds
	for i := range classes {
		if b := i / 500; i%500 == 0 {
			threshold = findThresholds(slices.Clone(levels[max(0, b-2)*500 : min(n, (b+3)*500)]))
		}
		classes[i] = threshold.class(levels[i])
	}
	return levels, classes
}

func TestMeterAgainstDefinition(t *testing.T) {
	for name, pcm := range map[string][]float32{
		"talk":    newScene(1).talk(30).silence(11.003).talk(8).noise(0.001).pcm,
		"short":   newScene(2).talk(3).noise(0.01).pcm[:40007],
		"a block": newScene(3).talk(6).pcm[:80000],
		"a hop":   {0: 1, 159: 0},
	} {
		m := meter{hop: 160}
		for part := range slices.Chunk(pcm, 1777) {
			m.write(part)
		}
		m.flush()
		levels, classes := wholeClasses(pcm, 160)
		if !slices.Equal(m.classes.items, classes) {
			t.Errorf("%s: other classes", name)
		}
		for i, level := range m.levels.items {
			if math.Abs(float64(level-levels[i])) > 1e-3 {
				t.Fatalf("%s: level %d is %g, want %g", name, i, level, levels[i])
			}
		}
	}
}

func TestCutTalk(t *testing.T) {
	for seed := range uint64(2) {
		s := newScene(seed).silence(3).talk(100).silence(20).talk(60).noise(0.001 * float64(seed))
		for _, c := range []Cut{Segments(30 * time.Second), Segments(5 * time.Second), Segments(11 * time.Second), Subtitles()} {
			pieces := cut(c, s.pcm, 4096)
			checkPieces(t, c, s.pcm, pieces)
			share := 1.0
			if c.Max < 6*time.Second {
				share = 0.6 // there are longer sentences
			}
			t.Logf("pieces of at most %v:", c.Max)
			reportCuts(t, s.spoken, pieces, share)
		}
	}
}

// reportCuts fails unless a share of cuts falls between sentences, and what is heard in a piece begins and ends with a sentence, to
// 0.15 s: noise hides how words fade.
func reportCuts(t *testing.T, spoken []Span, pieces []Piece, share float64) {
	t.Helper()
	borders, inPause := 0, 0
	var largest float64
	for _, p := range pieces {
		for k, at := range []float64{p.Span.Start, p.Span.End} {
			borders++
			inside := slices.ContainsFunc(spoken, func(s Span) bool { return at > s.Start+0.03 && at < s.End-0.03 })
			if inside {
				continue
			}
			inPause++
			nearest := math.Inf(1)
			for _, s := range spoken {
				nearest = min(nearest, math.Abs([]float64{p.Heard.Start - s.Start, p.Heard.End - s.End}[k]))
			}
			largest = max(largest, nearest)
		}
	}
	var heard, said float64
	for _, p := range pieces {
		heard += p.Span.End - p.Span.Start
	}
	for _, s := range spoken {
		said += s.End - s.Start
	}
	t.Logf("%d pieces, %d of %d borders in a pause, border error up to %.2f s; %.0f s in pieces for %.0f s said", len(pieces), inPause, borders, largest, heard, said)
	if largest > 0.15 {
		t.Errorf("what is heard in a piece begins or ends %.2f s from where it is said", largest)
	}
	if borders == 0 || float64(inPause) < share*float64(borders) {
		t.Errorf("%d of %d borders are in a pause", inPause, borders)
	}
}

func TestCutDoesNotDependOnBlocks(t *testing.T) {
	for seed := range uint64(2) {
		s := newScene(seed).talk(20).silence(7).sentence(50, 0.2).silence(21).talk(10).noise(0.001)
		for _, c := range []Cut{Segments(30 * time.Second), Segments(5 * time.Second), Subtitles()} {
			want := cut(c, s.pcm, len(s.pcm))
			checkPieces(t, c, s.pcm, want)
			for _, block := range []int{1, 160, 4099, 70001} {
				got := cut(c, s.pcm, block)
				if !slices.EqualFunc(got, want, func(a, b Piece) bool {
					return a.First == b.First && slices.Equal(a.PCM, b.PCM) && slices.Equal(a.Pauses, b.Pauses) && a.Severed == b.Severed
				}) {
					t.Errorf("seed %d, %v: other pieces in blocks of %d", seed, c.Max, block)
				}
			}
		}
	}
}

// What no one would call sound gives no piece: nothing, hum, hiss, an offset, clicks.
func TestCutNothing(t *testing.T) {
	for name, s := range map[string]*scene{
		"empty":           newScene(1),
		"one sample":      newScene(1).silence(1.0 / 16000),
		"digital silence": newScene(1).silence(70),
		"dither":          newScene(1).silence(70).noise(1.0 / 32768),
		"hiss":            newScene(1).silence(70).noise(0.003),
		"short hiss":      newScene(1).silence(0.4).noise(0.003),
		"hum":             newScene(1).silence(70).add(func(x float64) float64 { return 0.004 * math.Sin(2*math.Pi*50*x) }),
		"offset":          newScene(1).silence(70).noise(0.0001).add(func(float64) float64 { return 0.4 }),
		"clicks":          newScene(1).silence(70).noise(0.001).add(click),
	} {
		c := Segments(30 * time.Second)
		pieces := cut(c, s.pcm, 4096)
		checkPieces(t, c, s.pcm, pieces)
		for _, p := range pieces {
			t.Errorf("%s: a piece from %.2f to %.2f s", name, p.Span.Start, p.Span.End)
		}
	}
}

// click is one of 4 ms every 9 s.
func click(x float64) float64 {
	if math.Mod(x, 9) < 0.004 {
		return 0.9
	}
	return 0
}

// add adds a function of time in seconds to all of it.
func (s *scene) add(f func(x float64) float64) *scene {
	for i := range s.pcm {
		s.pcm[i] += float32(f(float64(i) / 16000))
	}
	return s
}

// Speech is found in all sorts of recordings, without a word lost.
func TestCutFindsSpeech(t *testing.T) {
	talk := func() *scene { return newScene(5).silence(4).talk(60).silence(12).sentence(0.35, 0.3).silence(9) }
	clip := func(s *scene, most float32) *scene {
		for i, v := range s.pcm {
			s.pcm[i] = max(-most, min(most, v))
		}
		return s
	}
	for name, s := range map[string]*scene{
		"clean":         talk(),
		"room":          talk().noise(0.001),
		"noisy":         talk().noise(0.01),
		"loud noise":    talk().noise(0.05),
		"offset":        talk().noise(0.0005).add(func(float64) float64 { return 0.3 }),
		"hum":           talk().noise(0.0005).add(func(x float64) float64 { return 0.02 * math.Sin(2*math.Pi*50*x) }),
		"quiet":         talk().noise(0.0005).scale(0.01),
		"quiet, clicks": talk().scale(0.01).noise(0.00001).add(click),
		"clipped":       clip(talk().noise(0.0005).scale(30), 1),
		"one word":      newScene(6).silence(30).sentence(0.3, 0.2).silence(30).noise(0.0005),
		"word at start": newScene(6).sentence(0.3, 0.2).silence(30).noise(0.0005),
		"word at end":   newScene(6).silence(30).sentence(0.3, 0.2).noise(0.0005),
		"word alone":    newScene(6).sentence(0.3, 0.2),
	} {
		for _, c := range []Cut{Segments(30 * time.Second), Subtitles()} {
			pieces := cut(c, s.pcm, 4096)
			checkPieces(t, c, s.pcm, pieces)
			for _, said := range s.spoken {
				heard := 0.0
				for _, p := range pieces {
					heard += max(0, min(said.End, p.Span.End)-max(said.Start, p.Span.Start))
				}
				if heard < said.End-said.Start-0.02 {
					t.Errorf("%s, %v: of what is said from %.2f to %.2f s, %.2f s is in pieces", name, c.Max, said.Start, said.End, heard)
				}
			}
			t.Logf("%s, %v:", name, c.Max)
			if name != "loud noise" {
				reportCuts(t, s.spoken, pieces, 1)
			}
		}
	}
}

func (s *scene) scale(by float32) *scene {
	for i := range s.pcm {
		s.pcm[i] *= by
	}
	return s
}

// Music has no pauses; all of it is kept, in pieces that follow each other.
func TestCutMusic(t *testing.T) {
	for _, loud := range []float64{0.02, 0.5} {
		s := newScene(7).silence(100).add(func(x float64) float64 {
			beat := math.Exp(-6 * math.Mod(x, 0.5))
			chord := math.Sin(2*math.Pi*220*x) + math.Sin(2*math.Pi*277.2*x) + math.Sin(2*math.Pi*329.6*x)
			return loud * (0.2*chord*(1+0.5*math.Sin(2*math.Pi*x/7)) + 0.4*beat*math.Sin(2*math.Pi*80*x))
		})
		c := Segments(30 * time.Second)
		pieces := cut(c, s.pcm, 4096)
		checkPieces(t, c, s.pcm, pieces)
		at := 0.0
		for _, p := range pieces {
			if p.Span.Start > at+0.05 {
				t.Errorf("music of %g is left out from %.2f to %.2f s", loud, at, p.Span.Start)
			}
			at = p.Span.End
		}
		if len(pieces) > 6 || at < s.seconds()-0.05 {
			t.Errorf("music of %g: %d pieces up to %.2f s of %.2f", loud, len(pieces), at, s.seconds())
		}
	}
}

// sounds is a recording of tones: from, to, from, to, …, and as many seconds in all.
func sounds(seconds float64, at ...float64) []float32 {
	s := newScene(1).silence(seconds).add(func(x float64) float64 {
		for i := 0; i < len(at); i += 2 {
			if x >= at[i] && x < at[i+1] {
				return 0.3 * math.Sin(2*math.Pi*300*x)
			}
		}
		return 0
	})
	return s.pcm
}

// What the lengths in a Cut mean, by recordings of tones and the pieces that they become.
func TestCutLengths(t *testing.T) {
	long, titles := Segments(30*time.Second), Subtitles()
	for _, c := range []struct {
		name string
		cut  Cut
		pcm  []float32
		want []Span
	}{
		{"pads", long, sounds(10, 3, 5), []Span{{2.7, 5.3}}},
		{"pads at the ends", long, sounds(5, 0.1, 4.9), []Span{{0, 5}}},
		{"less than a gap", long, sounds(20, 3, 5, 6.9, 9), []Span{{2.7, 9.3}}},
		{"a gap", long, sounds(20, 3, 5, 7.1, 9), []Span{{2.7, 5.3}, {6.8, 9.3}}},
		{"clicks in silence", long, sounds(40, 3, 5, 8, 8.01, 20, 20.02), []Span{{2.7, 5.3}}},
		{"a click after sound", long, sounds(20, 3, 5, 6, 6.01), []Span{{2.7, 5.3}}},
		{"a click before sound", long, sounds(20, 3, 3.01, 4.5, 9), []Span{{4.2, 9.3}}},
		{"just short enough", long, sounds(40, 0, 29.9), []Span{{0, 30}}},
		{"a long pause at the cut", long, sounds(60, 0, 24, 25.5, 50), []Span{{0, 24.3}, {25.2, 50.3}}},
		{"a short pause at the cut", long, sounds(60, 0, 24, 24.4, 50), []Span{{0, 24.2}, {24.2, 50.3}}},
		{"the longest pause", long, sounds(60, 0, 21, 21.4, 25, 25.5, 28, 28.3, 50), []Span{{0, 25.25}, {25.25, 50.3}}},
		{"an earlier, longer pause", long, sounds(60, 0, 12, 13, 21, 21.15, 40), []Span{{0, 12.3}, {12.7, 40.3}}},
		{"an earlier, shorter pause", long, sounds(60, 0, 12, 13, 21, 21.5, 40), []Span{{0, 21.25}, {21.25, 40.3}}},
		{"a rest", long, sounds(60, 0, 25, 25.3, 29.3, 29.8, 31), []Span{{0, 25.15}, {25.15, 31.3}}},
		{"no rest", long, sounds(60, 0, 25, 25.3, 29.3, 29.8, 36), []Span{{0, 29.55}, {29.55, 36.3}}},
		{"titles at the first pause", titles, sounds(30, 0, 4, 4.5, 7, 8, 11), []Span{{0, 4.2}, {4.3, 7.2}, {7.8, 11.2}}},
		{"titles of 2 s", titles, sounds(30, 0, 1.5, 2, 5, 5.3, 8), []Span{{0, 8.2}}},
		{"titles of 12 s", titles, sounds(30, 0, 9, 9.3, 13), []Span{{0, 9.15}, {9.15, 13.2}}},
	} {
		pieces := cut(c.cut, c.pcm, 4096)
		checkPieces(t, c.cut, c.pcm, pieces)
		ok := len(pieces) == len(c.want)
		for i := 0; ok && i < len(pieces); i++ { // levels see 10 ms to both sides
			ok = math.Abs(pieces[i].Start-c.want[i].Start) < 0.025 && math.Abs(pieces[i].End-c.want[i].End) < 0.025 && !pieces[i].Severed
		}
		if !ok {
			var got []Span
			for _, p := range pieces {
				got = append(got, p.Span)
			}
			t.Errorf("%s: got %.2f, want %.2f", c.name, got, c.want)
		}
	}
}

// Where there is no pause of a tenth of a second, the deepest dip will do.
func TestCutAtTheQuietest(t *testing.T) {
	pcm := newScene(1).silence(50).add(func(x float64) float64 {
		level := 0.3
		for dip, l := range map[float64]float64{21: 0.2, 23: 0.05, 27: 0.1} {
			if x > dip && x < dip+0.06 {
				level = l
			}
		}
		return level * math.Sin(2*math.Pi*300*x)
	}).pcm
	c := Segments(30 * time.Second)
	pieces := cut(c, pcm, 4096)
	checkPieces(t, c, pcm, pieces)
	if len(pieces) != 2 || math.Abs(pieces[0].End-23.03) > 0.06 || !pieces[0].Severed || pieces[1].Severed {
		t.Errorf("%d pieces, the first until %.2f s, severed %v", len(pieces), pieces[0].End, pieces[0].Severed)
	}
}

// A gate that closes now and then, an editor that put zeros between takes: what is 50 dB below the voice is silence all the same.
func TestCutAfterAGate(t *testing.T) {
	s := newScene(4).talk(20).silence(12).talk(20).noise(0.0002)
	for i := range s.pcm {
		if i/16000%4 == 0 && i > 20*16000 && i < 32*16000 {
			s.pcm[i] = 0
		}
	}
	c := Segments(30 * time.Second)
	pieces := cut(c, s.pcm, 4096)
	checkPieces(t, c, s.pcm, pieces)
	for _, p := range pieces {
		if p.Start > 22 && p.Start < 29 || p.End > 25 && p.End < 31 {
			t.Errorf("a piece from %.2f to %.2f s", p.Start, p.End)
		}
	}
}

// With one pause in the last third, that is where the piece ends, and sound without a pause is cut where it is quietest.
func TestCutInTheLastThird(t *testing.T) {
	tone := func(x float64) float64 {
		level := 0.3
		if x > 24 && x < 24.3 {
			level = 0.1
		}
		return level * math.Sin(2*math.Pi*300*x)
	}
	s := newScene(1).silence(45).add(tone)
	c := Segments(30 * time.Second)
	pieces := cut(c, s.pcm, 4096)
	checkPieces(t, c, s.pcm, pieces)
	if len(pieces) != 2 || pieces[0].Span.End < 24 || pieces[0].Span.End > 24.3 {
		t.Errorf("a dip at 24.0 to 24.3 s: %d pieces, the first until %.2f s", len(pieces), pieces[0].Span.End)
	}
	for i := range s.pcm {
		if x := float64(i) / 16000; x > 21.2 && x < 21.6 || x > 10 && x < 11 {
			s.pcm[i] = 0
		}
	}
	pieces = cut(c, s.pcm, 4096)
	checkPieces(t, c, s.pcm, pieces)
	if len(pieces) != 2 || pieces[0].Span.End < 21.2 || pieces[0].Span.End > 21.6 || pieces[0].Severed {
		t.Errorf("a pause at 21.2 to 21.6 s: %d pieces, the first until %.2f s", len(pieces), pieces[0].Span.End)
	}
}

// FuzzCut makes recordings of loud and soft stretches and cuts them in blocks of odd lengths.
func FuzzCut(f *testing.F) {
	f.Add([]byte{200, 9, 0, 30, 90, 40, 255, 3, 0, 200, 180, 255}, uint16(4096), uint8(0))
	f.Add([]byte{255, 255, 254, 255, 100, 100, 0, 255, 1, 1}, uint16(1), uint8(7))
	f.Add([]byte{}, uint16(3), uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, block uint16, kind uint8) {
		rng := rand.New(rand.NewPCG(1, uint64(len(script))))
		var pcm []float32
		for i := 0; i+2 <= min(len(script), 64); i += 2 {
			level := float32(math.Pow(10, -float64(255-script[i])/40))
			if script[i] == 0 {
				level = 0
			}
			for range int(script[i+1]) * 73 {
				v := level * (2*rng.Float32() - 1)
				if kind&128 != 0 && rng.IntN(1000) == 0 {
					v = math.Float32frombits(binary.LittleEndian.Uint32([]byte{script[i], kind, script[i+1], 0x7f})) // mostly no number
				}
				pcm = append(pcm, v)
			}
		}
		c := Segments(time.Duration(1+kind%30) * time.Second)
		if c.Max < 2*time.Second {
			c = Subtitles()
		}
		pieces := cutAt(4000, c, pcm, max(1, int(block)))
		if kind&128 != 0 {
			return // NaN is nobody's sample, but no reason to panic either
		}
		checkPiecesAt(t, 4000, c, pcm, pieces)
		whole := cutAt(4000, c, pcm, max(1, len(pcm)))
		if len(whole) != len(pieces) {
			t.Fatalf("%d pieces whole, %d in blocks of %d", len(whole), len(pieces), block)
		}
		for i := range whole {
			if whole[i].First != pieces[i].First || len(whole[i].PCM) != len(pieces[i].PCM) {
				t.Fatalf("piece %d: %v whole, %v in blocks of %d", i, whole[i].Span, pieces[i].Span, block)
			}
		}
	})
}
