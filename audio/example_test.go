package audio_test

import (
	"fmt"
	"log"
	"os"

	"facet/audio"
	"facet/fixtures"
)

// A recording becomes pieces, and each piece the spectrogram that an audio tower reads.
func Example() {
	f, err := os.Open(fixtures.Path("golden/media/say0_44k_stereo24.wav"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	recording, err := audio.Open("say0_44k_stereo24.wav", f)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d Hz, %d channels, %s\n", recording.Info().SampleRate, recording.Info().Channels, recording.Info().Codec)

	spec := audio.Spec{ // of the checkpoint's processor config
		SampleRate: 16000, FrameLength: 320, HopLength: 160, FFTLength: 512, MelBins: 128,
		MaxFrequency: 8000, MelFloor: 0.001, MaxSamples: 480000,
	}
	extractor := audio.NewExtractor(spec)
	for piece, err := range audio.Pieces(recording, spec.SampleRate, audio.Mix, audio.Cut{}) {
		if err != nil {
			log.Fatal(err)
		}
		mel := extractor.Features(piece.PCM)
		fmt.Printf("%.2f to %.2f s: %d × %d mel frames, %d soft tokens\n", piece.Start, piece.End, mel.Frames, mel.Width, spec.SoftTokens(mel.Samples))
		for _, cue := range piece.Cues([]string{"The answer is", "forty two."}) {
			fmt.Printf("%.1f to %.1f s: %s\n", cue.Start, cue.End, cue.Text)
		}
	}
	// Output:
	// 44100 Hz, 2 channels, pcm_s24le
	// 0.00 to 1.81 s: 181 × 128 mel frames, 45 soft tokens
	// 0.0 to 0.9 s: The answer is
	// 0.9 to 1.5 s: forty two.
}
