// Package audio turns recordings into what a model hears: log-mel spectrograms, for an audio tower, or frames of samples.
//
//	r                                          a file or a pipe
//	 1. Open, Watch      wav.go pcm.go watch.go  → Stream: interleaved float32, any rate, any number of channels
//	 2. Channels         channels.go mono.go     → mono: the average, one channel, or each by itself
//	 3. Resampler        resample.go             → the model's rate; windowed sinc, no delay
//	 4. Pieces, Cutter   cut.go level.go         → pieces of at most 30 s, cut in pauses; silence is left out
//	 5. Extractor        mel.go                  → [frames, mel bins]: Hann, FFT, triangles, logarithm; or the samples
//	 6. Piece.Cues       cue.go                  what was said in a piece, spread over its time
//
// Sound flows through steps 1 to 4 in blocks: of a recording of hours no more lies in memory than the piece that grows
// and the 20 s ahead that it takes to know where it ends. What comes out is the same however a file or a pipe hands
// out its bytes. Times are counted in samples from the recording's first.
//
// Formats other than WAV are decoded by package video, which hands over a stream of samples as well. The package knows no model.
// What it must know of one arrives in a [Spec].
package audio
