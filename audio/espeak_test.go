package audio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// sentences are told by espeak-ng; long and short, with commas that make it pause within.
var sentences = strings.Split(`The committee will meet again on Tuesday to discuss the proposal.
It was first made in the spring, and nobody objected.
Yes.
Please pay one thousand two hundred and forty nine euros within thirty days.
The answer is forty two.
After a long walk through the hills, over two bridges and past the old mill, they reached the station just as the last train of the day was leaving.
Who was that?
She sells sea shells, he said, but I have never seen one.
A fast, quiet, inexpensive and remarkably small machine.
Stop.
In the year nineteen hundred and eleven, six ships left the harbour; five of them came back, and of the sixth nothing was ever heard.
I don't know.`, "\n")

// Ten minutes of speech with pauses of 0.4 to 3 s: 95 % of cuts fall where nothing is said for 0.15 s, between sentences or at a
// comma, and nothing that is said is lost. When something is said is known from each sentence by itself.
func TestCutEspeak(t *testing.T) {
	if os.Getenv("FACET_FULL") == "" {
		t.Skip("FACET_FULL is not set")
	}
	program, err := exec.LookPath("espeak-ng")
	if err != nil {
		t.Skip("espeak-ng is not installed: ", err)
	}
	rng := rand.New(rand.NewPCG(10, 10))
	said := map[string][]float32{}
	speak := func(voice, sentence string, speed int) []float32 {
		key := fmt.Sprint(voice, speed, sentence)
		if said[key] == nil {
			out, err := exec.Command(program, "-v", voice, "-s", fmt.Sprint(speed), "--stdout", sentence).Output()
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(sentence, bytes.NewReader(out))
			if err != nil {
				t.Fatal(err)
			}
			pcm, _, err := ReadMono(s, 16000, Mix, 1e6)
			if err != nil {
				t.Fatal(err)
			}
			said[key] = trim(pcm)
		}
		return said[key]
	}
	script := newScene(3).silence(1.5)
	voices := []string{"en-us", "en-gb", "en-us+f3", "en-us+m7"}
	for script.seconds() < 600 {
		pcm := speak(voices[rng.IntN(len(voices))], sentences[rng.IntN(len(sentences))], 140+20*rng.IntN(3))
		for _, s := range phrases(pcm) {
			script.spoken = append(script.spoken, s.shift(script.seconds()))
		}
		script.pcm = append(script.pcm, pcm...)
		script.silence(0.4 + 2.6*rng.Float64()*rng.Float64())
	}
	clean := script.pcm
	for _, noise := range []float64{0, 0.001, 0.01} {
		script.pcm = append([]float32(nil), clean...)
		script.noise(noise)
		for name, c := range map[string]Cut{"30 s": Segments(30 * time.Second), "15 s": Segments(15 * time.Second), "subtitles": Subtitles()} {
			pieces := cut(c, script.pcm, 4096)
			checkPieces(t, c, script.pcm, pieces)
			t.Logf("noise of %g, %s:", noise, name)
			reportCuts(t, script.spoken, pieces, 0.95)
			lost := 0.0
			for _, s := range script.spoken {
				heard := 0.0
				for _, p := range pieces {
					heard += max(0, min(s.End, p.End)-max(s.Start, p.Start))
				}
				lost = max(lost, s.End-s.Start-heard)
			}
			t.Logf("at most %.3f s of a sentence is in no piece", lost)
			if lost > 0.05 {
				t.Errorf("%.3f s of a sentence is in no piece", lost)
			}
		}
	}
}

const soft = 0.003 // espeak-ng is digitally silent where it says nothing; resampling rings a little

// trim takes away what is silent before and after a sentence.
func trim(pcm []float32) []float32 {
	s := phrases(pcm)
	return pcm[int(s[0].Start*16000):int(s[len(s)-1].End*16000)]
}

// phrases returns what is said without a pause of 0.15 s.
func phrases(pcm []float32) (spans []Span) {
	last := -1 << 30
	for i, v := range pcm {
		if v < soft && v > -soft {
			continue
		}
		at := float64(i) / 16000
		if i-last > 0.15*16000 {
			spans = append(spans, Span{at, at})
		}
		last = i
		spans[len(spans)-1].End = at + 1.0/16000
	}
	return spans
}
