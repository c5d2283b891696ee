package audio

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkPieces takes a minute of talk, 44.1 kHz and stereo, from WAV to mel.
func BenchmarkPieces(b *testing.B) {
	talk := resampled(newScene(1).talk(60).pcm[:60*16000], 16000, 44100)
	both := make([]int16, 0, 2*len(talk))
	for _, v := range talk {
		s := int16(max(-1, min(1, v)) * 32767)
		both = append(both, s, s)
	}
	data := riff("RIFF", fmtChunk(tagPCM, 2, 44100, 16), samples16(both...))
	e := NewExtractor(gemma)
	b.ReportAllocs()
	for b.Loop() {
		src, err := Open("talk.wav", bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		for p, err := range Pieces(src, 16000, Mix, Segments(30*time.Second)) {
			if err != nil {
				b.Fatal(err)
			}
			e.Features(p.PCM)
		}
	}
	b.ReportMetric(60*float64(b.N)/b.Elapsed().Seconds(), "s/s")
}
