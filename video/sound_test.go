package video

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"facet/fixtures"
)

// openSound opens a track of a file of fixtures/video.
func openSound(t testing.TB, name string, track int) *Sound {
	t.Helper()
	s, err := OpenSound(context.Background(), fixtures.Path("video/"+name), track, options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// beep returns the seconds on the clock from which and to which a sound is loud, in steps of 5 ms.
func beep(s *Sound, mono []float32) (from, to float64) {
	step := s.Rate() / 200
	for at := 0; at+step <= len(mono); at += step {
		sum := 0.0
		for _, v := range mono[at : at+step] {
			sum += float64(v) * float64(v)
		}
		if math.Sqrt(sum/float64(step)) > 0.1 { // the beep's is 0.35
			t := s.Start() + float64(at)/float64(s.Rate())
			if to == 0 {
				from = t
			}
			to = t + 0.005
		}
	}
	return from, to
}

// Sound of every codec is where it belongs: delays of encoders, which the containers state, are not heard. The tolerance
// is two steps of 5 ms, for codecs smear an edge, and of MPEG's PES a frame of MP2 more.
func TestSoundIsOnTheClock(t *testing.T) {
	for _, c := range []struct {
		name              string
		from, length, tol float64 // seconds
	}{
		{"count.mp4", 1, 2, 0.011},
		{"count.webm", 1, 2, 0.011},
		{"count.avi", 1.066, 2, 0.011}, // AVI has no place for the delay of its MP3
		{"count.mpg", 1, 2, 0.031},
		{"edited.mp4", 0.5, 1.5, 0.011},
		{"late.mkv", 1, 2, 0.011},
		{"late.ts", 1, 2, 0.031},
		{"beep.mp3", 1, 2, 0.011},
		{"beep.m4a", 1, 2, 0.011},
		{"beep.ogg", 1, 2, 0.011},
		{"beep.opus", 1, 2, 0.011},
		{"beep.mka", 1, 2, 0.011},
		{"beep.flac", 1, 2, 0.0051},
		{"beep.wma", 1.03, 2, 0.011}, // nor has ASF for WMA's
		{"cover.m4a", 1, 2, 0.011},
		{"hole.mka", 1, 2, 0.0051},
		{"overlap.mka", 0.9, 1.9, 0.0051},
	} {
		s := openSound(t, c.name, -1)
		mono := readAll(t, s)
		from, to := beep(s, mono)
		if math.Abs(from-c.from) > c.tol || math.Abs(to-from-0.2) > 0.031 {
			t.Errorf("%s: the beep is from %.3f s to %.3f s; want it from %.3f s for 0.2 s", c.name, from, to, c.from)
		}
		if got := s.Start() + float64(len(mono))/float64(s.Rate()); math.Abs(got-c.length) > 0.14 {
			t.Errorf("%s: the sound begins at %.3f s and ends at %.3f s, want %.3f", c.name, s.Start(), got, c.length)
		}
		if w := s.Warnings(); len(w) > 0 {
			t.Errorf("%s: warnings %q", c.name, w)
		}
	}
}

// FLAC loses nothing: the samples are those that went in.
func TestSamplesAreExact(t *testing.T) {
	s := openSound(t, "beep.flac", 0)
	mono := readAll(t, s)
	if s.Rate() != 16000 || s.Channels() != 1 || len(mono) != 32000 {
		t.Fatalf("%d Hz, %d channels, %d samples", s.Rate(), s.Channels(), len(mono))
	}
	for i, v := range mono {
		want := 0.0
		if i >= 16000 && i <= 19200 {
			want = 0.5 * math.Sin(2*math.Pi*1000*float64(i)/16000)
		}
		if math.Abs(float64(v)-want) > 1.01/32768 { // encoded as 16 bits
			t.Fatalf("sample %d is %v, want %v", i, v, want)
		}
	}
}

// Pictures and sound share one clock. Frame 25 is shown when the beep begins, and where pictures are late, that much later.
func TestOneClock(t *testing.T) {
	for name, late := range map[string]float64{"count.mp4": 0, "count.webm": 0, "late.mkv": 0.4, "late.ts": 0.4} {
		c := open(t, name)
		x := indexOf(t, c)
		f := frames(t, c, x.Ticks[25:26])[0]
		s := openSound(t, name, 0)
		from, _ := beep(s, readAll(t, s))
		if got := f.Seconds - from; math.Abs(got-late) > 0.031 {
			t.Errorf("%s: frame 25 is shown %.3f s after the beep, want %.3f", name, got, late)
		}
	}
}

// The track that a player plays, and the others by number.
func TestTracks(t *testing.T) {
	for track, loud := range map[int]bool{0: true, 1: false, -1: false} {
		s := openSound(t, "tracks.mka", track)
		if _, to := beep(s, readAll(t, s)); (to > 0) != loud {
			t.Errorf("track %d: loud %v", track, to > 0)
		}
	}
	c := open(t, "tracks.mka")
	if a := c.Info().Audio; len(a) != 2 || a[0].Language != "eng" || a[1].Language != "ger" && a[1].Language != "deu" || a[0].Default || !a[1].Default {
		t.Errorf("tracks %+v", a)
	}
	_, err := OpenSound(context.Background(), fixtures.Path("video/tracks.mka"), 2, options(t))
	wantError[FormatError](t, err, "tracks.mka", "no track 3 of sound: the file has 2")
}

// Rates and numbers of channels far out.
func TestFarOutSound(t *testing.T) {
	for _, c := range []struct{ rate, channels int }{{8000, 1}, {384000, 2}, {44100, 96}} {
		path := filepath.Join(t.TempDir(), "a.wav")
		const n = 4410
		if err := os.WriteFile(path, wave(c.rate, c.channels, n), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSound(context.Background(), path, -1, options(t))
		if err != nil {
			t.Fatal(err)
		}
		if s.Rate() != c.rate || s.Channels() != c.channels {
			t.Errorf("%+v: %d Hz, %d channels", c, s.Rate(), s.Channels())
		}
		p := make([]float32, 7*c.channels)
		at := 0
		for {
			got, err := s.Read(p)
			for i, v := range p[:got] {
				if want := float32(int16(3*(at+i))) / 32768; v != want {
					t.Fatalf("%+v: sample %d is %v, want %v", c, at+i, v, want)
				}
			}
			if at += got; err != nil {
				break
			}
		}
		if at != n*c.channels {
			t.Errorf("%+v: %d samples, want %d", c, at, n*c.channels)
		}
		s.Close()
	}
}

// wave returns a WAV file of n samples of each channel: sample i of all is 3·i in 16 bits.
func wave(rate, channels, n int) []byte {
	le := func(v, size int) (b []byte) {
		for i := range size {
			b = append(b, byte(v>>(8*i)))
		}
		return b
	}
	data := []byte{}
	for i := range n * channels {
		data = append(data, le(3*i, 2)...)
	}
	b := append([]byte("RIFF"), le(36+len(data), 4)...)
	b = append(append(b, "WAVEfmt "...), le(16, 4)...)
	b = append(append(append(b, le(1, 2)...), le(channels, 2)...), le(rate, 4)...)
	b = append(append(append(b, le(2*channels*rate, 4)...), le(2*channels, 2)...), le(16, 2)...)
	return append(append(append(b, "data"...), le(len(data), 4)...), data...)
}

// Close ends a stream that nobody reads to its end.
func TestCloseSound(t *testing.T) {
	s := openSound(t, "beep.flac", 0)
	p := make([]float32, 16)
	if n, err := s.Read(p); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	s.Close()
	for range 100000 {
		if _, err := s.Read(p); err != nil {
			return
		}
	}
	t.Error("Read goes on after Close")
}

// wantError fails the test unless err is of the type E and says all of words.
func wantError[E error](t testing.TB, err error, words ...string) {
	t.Helper()
	var kind E
	if !errors.As(err, &kind) {
		t.Errorf("error %v, want a %T", err, kind)
		return
	}
	for _, w := range words {
		if !contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
