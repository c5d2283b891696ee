// Package audio turns recordings into the log-mel spectrograms that an audio tower reads.
//
//	r                                    a file or a pipe
//	 1. Open              wav.go pcm.go  → Stream: interleaved float32, any rate, any number of channels
//	 2. Channels          channels.go    → mono: the average, one channel, or each by itself
//	 3. Resampler         resample.go    → the model's rate; windowed sinc, no delay
//	 4. Extractor.Mel     mel.go         → [frames, mel bins]: Hann, FFT, triangles, logarithm
package audio
