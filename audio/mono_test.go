package audio

import (
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Two files that sox made of the same speech, one of 16 kHz and mono, one of 44.1 kHz with 24 bits and two channels, become the
// same samples. They are compared up to 5.3 kHz: above, its filter and ours begin to fall at different places.
func TestReadMonoOfOtherRates(t *testing.T) {
	want := drain(t, open(t, "say0.wav"))
	for _, c := range []Channels{Mix, 1, 2} {
		got, more, err := ReadMono(open(t, "say0_44k_stereo24.wav"), 16000, c, 480000)
		if err != nil || more {
			t.Fatal(more, err)
		}
		if d := len(got) - len(want); d < -1 || d > 1 {
			t.Fatalf("%v: %d samples, want %d", c, len(got), len(want))
		}
		got, want := resampled(got, 16000, 12000), resampled(want, 16000, 12000)
		n := min(len(got), len(want))
		var left, power float64
		for i := range n {
			d := float64(got[i]) - float64(want[i])
			left += d * d
			power += float64(want[i]) * float64(want[i])
		}
		t.Logf("%v: difference %.1f dB", c, decibel(left/power)/2)
		if decibel(left/power)/2 > -70 {
			t.Errorf("%v: difference %.1f dB", c, decibel(left/power)/2)
		}
	}
}

// stereo is a Stream of two channels of 8 kHz that gives odd amounts at a time: a talk left, another right.
type stereo struct {
	left, right []float32
	at          int
	start       float64
}

func (s *stereo) Info() Info {
	return Info{SampleRate: 16000, Channels: 2, Samples: int64(len(s.left)), Start: s.start}
}
func (s *stereo) Position() int64    { return int64(s.at) }
func (s *stereo) Warnings() []string { return nil }

func (s *stereo) Read(dst []float32) (n int, err error) {
	for n+2 <= min(len(dst), 778) && s.at < len(s.left) {
		dst[n], dst[n+1] = s.left[s.at], s.right[s.at]
		n += 2
		s.at++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func newStereo() (src *stereo, left, right *scene) {
	left, right = newScene(1).talk(50), newScene(2).silence(9).talk(40)
	n := min(len(left.pcm), len(right.pcm))
	left.pcm, right.pcm = left.pcm[:n], right.pcm[:n]
	return &stereo{left: left.pcm, right: right.pcm, start: 3.5}, left, right
}

func collect(t *testing.T, src Stream, c Channels, cut Cut) map[int][]Piece {
	t.Helper()
	pieces := map[int][]Piece{}
	for p, err := range Pieces(src, 16000, c, cut) {
		if err != nil {
			t.Fatal(err)
		}
		pieces[p.Channel] = append(pieces[p.Channel], p)
	}
	return pieces
}

// Each channel is cut as if it were alone; the mix is cut as the average. Times are those of the recording's clock.
func TestPiecesOfChannels(t *testing.T) {
	src, left, right := newStereo()
	mix := make([]float32, len(left.pcm))
	for i := range mix {
		mix[i] = (left.pcm[i] + right.pcm[i]) / 2
	}
	c := Subtitles()
	for _, channels := range []Channels{Mix, Split, 1, 2} {
		want := map[int][]float32{}
		switch channels {
		case Mix:
			want[0] = mix
		case Split:
			want[1], want[2] = left.pcm, right.pcm
		case 1:
			want[1] = left.pcm
		case 2:
			want[2] = right.pcm
		}
		src.at = 0
		got := collect(t, src, channels, c)
		if len(got) != len(want) {
			t.Errorf("%v: %d channels, want %d", channels, len(got), len(want))
		}
		for n, pcm := range want {
			pieces := cut(c, pcm, len(pcm))
			if len(got[n]) != len(pieces) {
				t.Fatalf("%v, channel %d: %d pieces, want %d", channels, n, len(got[n]), len(pieces))
			}
			for i, p := range pieces {
				g := got[n][i]
				if g.First != p.First || !slices.Equal(g.PCM, p.PCM) || !near(g.Start, p.Start+3.5) || !near(g.End, p.End+3.5) || !near(g.Heard.Start, p.Heard.Start+3.5) {
					t.Errorf("%v, channel %d: piece %d is %v from sample %d, want %v from %d, 3.5 s later", channels, n, i, g.Span, g.First, p.Span, p.First)
				}
				for k := range p.Pauses {
					if !near(g.Pauses[k].Start, p.Pauses[k].Start+3.5) {
						t.Errorf("%v, channel %d: piece %d: pause %v", channels, n, i, g.Pauses[k])
					}
				}
			}
		}
	}
}

// A loop over pieces may be left early.
func TestPiecesStop(t *testing.T) {
	src, _, _ := newStereo()
	for range Pieces(src, 16000, Split, Subtitles()) {
		break
	}
	if src.at == len(src.left) {
		t.Error("all of it was read")
	}
}

type failing struct {
	stereo
	err error
}

func (f *failing) Read(dst []float32) (int, error) {
	if f.at > 100_000 {
		return 0, f.err
	}
	return f.stereo.Read(dst)
}

func TestPiecesErrors(t *testing.T) {
	src, _, _ := newStereo()
	broken := errors.New("the pipe is broken")
	var last error
	n := 0
	for _, err := range Pieces(&failing{*src, broken}, 16000, Mix, Cut{}) {
		last = err
		n++
	}
	if !errors.Is(last, broken) {
		t.Errorf("after %d: %v", n, last)
	}
	if _, _, err := ReadMono(&failing{*src, broken}, 16000, Mix, 1e6); !errors.Is(err, broken) {
		t.Errorf("ReadMono: %v", err)
	}
	for _, c := range []Channels{3, 97} {
		var unsupported UnsupportedError
		if _, _, err := ReadMono(src, 16000, c, 1000); !errors.As(err, &unsupported) {
			t.Errorf("channel %v of 2: %v", c, err)
		}
	}
	for _, info := range []Info{{SampleRate: 0, Channels: 1}, {SampleRate: 16000}, {SampleRate: 3999, Channels: 1}, {SampleRate: 384001, Channels: 1}, {SampleRate: 16000, Channels: 257}} {
		if _, _, err := ReadMono(silentOf(info), 16000, Mix, 1000); err == nil {
			t.Errorf("%+v: no error", info)
		}
	}
}

// silentOf is a Stream without samples.
type silentOf Info

func (s silentOf) Info() Info                  { return Info(s) }
func (s silentOf) Position() int64             { return 0 }
func (s silentOf) Warnings() []string          { return nil }
func (s silentOf) Read([]float32) (int, error) { return 0, io.EOF }

func TestReadMonoLimit(t *testing.T) {
	src, left, _ := newStereo()
	pcm, more, err := ReadMono(src, 16000, 1, 5000)
	if err != nil || !more || !slices.Equal(pcm, left.pcm[:5000]) {
		t.Errorf("%d samples, more %v, %v", len(pcm), more, err)
	}
	src.at = 0
	if _, more, err = ReadMono(src, 16000, 1, 2*blockLength); err != nil || !more {
		t.Errorf("two blocks: more %v, %v", more, err)
	}
	src.at = 0
	pcm, more, err = ReadMono(src, 16000, 1, len(left.pcm))
	if err != nil || more || !slices.Equal(pcm, left.pcm) {
		t.Errorf("%d samples, more %v, %v", len(pcm), more, err)
	}
	if pcm, more, err = ReadMono(silentOf{SampleRate: 44100, Channels: 96}, 16000, Mix, 10); err != nil || more || len(pcm) != 0 {
		t.Errorf("no samples: %d, %v, %v", len(pcm), more, err)
	}
}

// What is no number goes no further, from whatever decoder.
func TestReadMonoOfNoNumbers(t *testing.T) {
	src, _, _ := newStereo()
	src.left[100], src.left[200], src.right[300] = float32(math.NaN()), float32(math.Inf(1)), 1e30
	pcm, _, err := ReadMono(src, 8000, Mix, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range pcm {
		if !(v > -3 && v < 3) {
			t.Fatalf("sample %d is %g", i, v)
		}
	}
}

func TestParseChannels(t *testing.T) {
	for s, want := range map[string]Channels{"mix": Mix, "split": Split, "1": 1, "96": 96} {
		if got, err := ParseChannels(s); err != nil || got != want || got.String() != s {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "left", "1.5", "Mix"} {
		if got, err := ParseChannels(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

// A recording of any length takes the same memory: silence, a tone that never pauses, and one that does.
func TestCutterMemory(t *testing.T) {
	const seconds = 600
	for name, f := range map[string]func(i int) float32{
		"silence": func(int) float32 { return 0 },
		"tone":    func(i int) float32 { return 0.5 * float32(i%37) / 37 },
		"beeps":   func(i int) float32 { return 0.5 * float32(i%37) / 37 * float32(i/48000%2) },
	} {
		at := 0
		var most, base runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&base)
		src := &endless{f: f}
		c := NewCutter(16000, Segments(30*time.Second))
		heard := 0
		block := make([]float32, 16000)
		for at < seconds {
			n, _ := src.Read(block)
			for _, p := range c.Cut(block[:n]) {
				heard += len(p.PCM)
			}
			if at++; at%100 == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapAlloc > most.HeapAlloc {
					most = m
				}
			}
		}
		if grown := int64(most.HeapAlloc) - int64(base.HeapAlloc); grown > 9<<20 {
			t.Errorf("%s: %d bytes held, %d s in pieces", name, grown, heard/16000)
		}
	}
}

type endless struct {
	f  func(i int) float32
	at int
}

func (e *endless) Read(dst []float32) (int, error) {
	for i := range dst {
		dst[i] = e.f(e.at)
		e.at++
	}
	return len(dst), nil
}
