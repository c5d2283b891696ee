package audio

import "testing"

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
