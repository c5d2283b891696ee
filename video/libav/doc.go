// Package libav decodes media files with FFmpeg's libraries, through go-astiav. It is linked into the program facet-media and
// nothing else; what it gives is package video's [video.Source].
//
//	Open      open.go     one open file as the only input; containers and codecs from a list
//	 1. Index   index.go    packets, not decoded: when each frame is shown
//	 2. Frames  frames.go   from keyframe to the last wanted frame behind it; only wanted frames become RGB
//	 3. Cuts    cuts.go     the filter select, on every frame
//	 4. Sound   sound.go    frames of samples, put on the clip's clock
//
// helper.c has what go-astiav v0.16.0 lacks: flushing a decoder, colours, samples, and a log that cannot overflow.
//
// Everything but this file is behind the build tag libav, which make sets where FFmpeg's headers are found, so that
// go build ./... works where they are not.
package libav
