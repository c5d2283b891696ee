package audio

import (
	"bytes"
	"fmt"
	"io"
)

// FormatError says that a sound file is broken, or no sound at all.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// UnsupportedError says that a file is sound but needs what this package lacks, or is past a limit.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

func formatErrorf(format string, args ...any) error {
	return FormatError(fmt.Sprintf(format, args...))
}

func unsupportedErrorf(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

// What a recording may have. Lower rates than that of a telephone and higher ones than any converter's are
// a broken header more often than a sound.
const (
	minSampleRate = 4_000   // Hz
	maxSampleRate = 384_000 // Hz
	maxChannels   = 256
)

// A Stream is one track of sound as it is decoded, from its first sample to its last, without holes: a source that knows
// of one fills it with zeros, so that a count of samples is a time. It is for one goroutine, but for Position; whoever
// opened it closes what lies below.
type Stream interface {
	// Info says what the track is. It does not change.
	Info() Info

	// Read fills dst with the next samples, interleaved by channel, full scale being ±1. It returns how many values
	// it has written, a multiple of Info().Channels, and may stop short of len(dst). At the end it returns 0 and
	// io.EOF. It panics if dst holds less than one value a channel.
	Read(dst []float32) (int, error)

	// Position returns how many samples of each channel have been read, for a display of progress. Any goroutine may call it.
	Position() int64

	// Warnings returns what was wrong with the track and did not stop the reading. It is for when Read has returned
	// an error or the end.
	Warnings() []string
}

// Info describes a track of sound.
type Info struct {
	MediaType  string  // of the file, such as "audio/wav"
	Codec      string  // FFmpeg's name of the sample format, such as "pcm_s16le"
	SampleRate int     // Hz, 4,000 to 384,000
	Channels   int     // 1 to 256
	Samples    int64   // of each channel; -1 if only reading to the end can tell; of a pipe what its header claims
	Start      float64 // of the first sample, in seconds on the recording's clock: 0 but for the sound of a video
}

// Check returns an UnsupportedError if a recording has a sample rate or a number of channels that nothing here
// handles, and a FormatError if it has none. Every function that takes a Stream checks this first.
func (i Info) Check() error {
	switch {
	case i.Channels < 1:
		return formatErrorf("%d channels", i.Channels)
	case i.SampleRate < 1:
		return formatErrorf("a sample rate of %d Hz", i.SampleRate)
	case i.Channels > maxChannels:
		return unsupportedErrorf("%d channels are more than the limit of %d", i.Channels, maxChannels)
	case i.SampleRate < minSampleRate, i.SampleRate > maxSampleRate:
		return unsupportedErrorf("a sample rate of %d Hz is outside %d to %d Hz", i.SampleRate, minSampleRate, maxSampleRate)
	}
	return nil
}

// Sniff returns the media type of a file by its first bytes, of which it wants 400, or "" if none is known to hold
// sound. [Open] reads audio/wav; the others are named so that a caller can choose another reader, or an error say
// what it got.
func Sniff(head []byte) string {
	has := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case (has(0, "RIFF") || has(0, "RF64") || has(0, "BW64")) && has(8, "WAVE"):
		return "audio/wav"
	case has(0, "RIFX") && has(8, "WAVE"):
		return "audio/x-rifx"
	case has(0, "riff\x2e\x91\xcf\x11") && has(24, "wave"):
		return "audio/x-w64"
	case has(0, "RIFF") && has(8, "AVI "):
		return "video/x-msvideo"
	case has(0, "FORM") && (has(8, "AIFF") || has(8, "AIFC")):
		return "audio/aiff"
	case has(0, "fLaC"):
		return "audio/flac"
	case has(0, "OggS"):
		return "audio/ogg"
	case has(0, "caff\x00\x01"):
		return "audio/x-caf"
	case has(0, "#!AMR"):
		return "audio/amr"
	case has(0, ".snd"):
		return "audio/basic"
	case has(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
		return "audio/x-ms-wma"
	case has(0, "\x1a\x45\xdf\xa3") && bytes.Contains(head[:min(len(head), 64)], []byte("\x42\x82\x84webm")): // DocType
		return "video/webm"
	case has(0, "\x1a\x45\xdf\xa3"):
		return "video/x-matroska"
	case has(4, "ftypM4A"), has(4, "ftypM4B"):
		return "audio/mp4"
	case has(4, "ftypqt  "), len(head) > 4 && head[0] < ' ' && (has(4, "moov") || has(4, "mdat") || has(4, "wide")): // the others are from before ftyp
		return "video/quicktime"
	case has(4, "ftyp3g"):
		return "video/3gpp"
	case has(4, "ftyp"):
		return "video/mp4"
	case has(0, "\x00\x00\x01\xba"), has(0, "\x00\x00\x01\xb3"):
		return "video/mpeg"
	case has(0, "G") && has(188, "G") && has(376, "G"), has(4, "G") && has(196, "G") && has(388, "G"): // with times before each packet
		return "video/mp2t"
	case has(0, "FLV\x01"):
		return "video/x-flv"
	case has(0, "ID3"):
		return "audio/mpeg"
	case len(head) >= 2 && head[0] == 0xff && head[1]&0xf6 == 0xf0: // ADTS: layer 00
		return "audio/aac"
	case len(head) >= 3 && mpegAudio(head):
		return "audio/mpeg"
	}
	return ""
}

// mpegAudio reports whether a frame of MPEG audio, layer II or III, may begin with b. Layer I is met nowhere, and would
// take texts of UTF-16 with it.
func mpegAudio(b []byte) bool {
	sync := b[0] == 0xff && b[1]&0xe0 == 0xe0
	version, layer := b[1]>>3&3, b[1]>>1&3
	return sync && version != 1 && (layer == 1 || layer == 2) && b[2]>>4 != 15 && b[2]>>2&3 != 3
}

// Open reads the header of a WAV file and returns its sound. It reads r from where it stands, forwards only, so that
// a pipe will do; if r is an io.Seeker that can tell its size, lying sizes are found at once. name is used in
// errors only. See [Stream] and the kinds of WAV in wav.go.
//
// Errors wrap a [FormatError] if the file is broken or no sound, and an [UnsupportedError] if it is of a kind that
// isn't read here: FFmpeg may read it. Other errors are those of r.
func Open(name string, r io.Reader) (Stream, error) {
	w, err := openWAV(name, r)
	if err != nil {
		return nil, fmt.Errorf("audio: %s: %w", name, err)
	}
	return Watch(w), nil
}
