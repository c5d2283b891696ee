package audio

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync/atomic"
)

// WAV: a RIFF file of chunks, of which "fmt " says what the samples are and "data" holds them (Multimedia Programming
// Interface and Data Specifications 1.0, 1991; WAVE_FORMAT_EXTENSIBLE: Microsoft's mmreg.h; RF64 and BW64 with sizes
// past 4 GiB: EBU Tech 3306, ITU-R BS.2088). Read are PCM of 1 to 32 bits, float of 32 and 64 bits, A-law and µ-law, with
// 1 to 256 channels. One reader for all of them is shorter than a library's reader for some and ours for the rest.
//
// What writers get wrong, and what is made of it:
//
//	a length of all ones, 0x7FFFF000 and thereabouts, or 0     written to a pipe: the sound ends where the file does
//	a length past the file's end                               cut off: what is there, with a warning
//	a length without the multiples of 4 GiB                    they are added again, with a warning
//	no pad byte after a chunk of odd length                    the next chunk is found all the same
//
// What is wrong with the samples themselves is found by [Watch].

// A wav is the sound of a WAV file.
type wav struct {
	name    string
	r       *bufio.Reader
	at      int64 // bytes read so far, from where Open began
	size    int64 // of what Open was given, from where it stood; -1 if unknown
	info    Info
	samples sampleFormat
	left    int64 // bytes of sound still to come; math.MaxInt64 if only the end of the file can tell
	claimed bool  // whether the header says how many they are

	raw      []byte       // what Read decodes from
	position atomic.Int64 // samples of each channel
	warnings []string
}

const readAhead = 64 << 10 // bytes

func openWAV(name string, r io.Reader) (*wav, error) {
	w := &wav{name: name, r: bufio.NewReaderSize(r, readAhead), size: sizeOf(r)}
	head, err := w.r.Peek(36)
	if len(head) == 0 && err == io.EOF {
		return nil, FormatError("the file is empty")
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch mediaType := Sniff(head); mediaType {
	case "audio/wav":
	case "":
		return nil, FormatError("not a WAV file")
	default:
		return nil, unsupportedErrorf("%s is not WAV", mediaType)
	}
	if err := w.header(); err != nil {
		return nil, err
	}
	return w, nil
}

// sizeOf returns how many bytes r holds from where it stands, -1 if it can't tell.
func sizeOf(r io.Reader) int64 {
	s, ok := r.(io.Seeker)
	if !ok {
		return -1
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	end, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return -1
	}
	if _, err := s.Seek(at, io.SeekStart); err != nil || end <= at {
		return -1
	}
	return end - at
}

// header reads up to the first sample.
func (w *wav) header() error {
	var riff [12]byte
	if err := w.read(riff[:], "RIFF header"); err != nil {
		return err
	}
	var (
		form           = string(riff[:4])
		riffSize       = binary.LittleEndian.Uint32(riff[4:])
		large    int64 = -1 // size of the data chunk by the ds64 chunk
		known    bool
	)
	for {
		begin := w.at
		var h [8]byte
		if n, err := io.ReadFull(w.r, h[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
			return formatErrorf("truncated: the file ends at byte %d, before its data chunk", begin+int64(n))
		} else if err != nil {
			return err
		}
		w.at += 8
		id, size := string(h[:4]), int64(binary.LittleEndian.Uint32(h[4:]))
		place := fmt.Sprintf("%s chunk at byte %d", chunkName(id), begin)
		if id == "data" {
			if !known {
				return fmt.Errorf("%s: %w", place, FormatError("it stands before the fmt chunk"))
			}
			return w.data(form, int64(riffSize), size, large)
		}
		if w.size >= 0 && size > w.size-w.at {
			return fmt.Errorf("%s: %w", place, formatErrorf("it claims %d bytes, and the file ends at byte %d", size, w.size))
		}
		var body [40]byte
		n := min(size, int64(len(body)))
		if id == "fmt " || id == "ds64" {
			if err := w.read(body[:n], place); err != nil {
				return err
			}
			size -= n
		}
		switch {
		case id == "fmt " && known:
			return fmt.Errorf("%s: %w", place, FormatError("a second one"))
		case id == "fmt ":
			known = true
			if err := w.format(body[:n]); err != nil {
				return fmt.Errorf("%s: %w", place, err)
			}
		case id == "ds64":
			if n < 24 {
				return fmt.Errorf("%s: %w", place, formatErrorf("%d bytes are too few", n))
			}
			if u := binary.LittleEndian.Uint64(body[8:]); u < 1<<62 {
				large = int64(u)
			}
		}
		if err := w.skip(size, place); err != nil {
			return err
		}
	}
}

// chunkName writes a chunk's name so that it can stand in an error.
func chunkName(id string) string {
	if !fourCC([]byte(id)) {
		return fmt.Sprintf("%q", id)
	}
	return strings.TrimSpace(id)
}

// fourCC reports whether b can be the name of a chunk: printable ASCII, and not blank.
func fourCC(b []byte) bool {
	return len(b) == 4 && b[0] > ' ' && !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' })
}

// read fills b; the file ending before is a FormatError.
func (w *wav) read(b []byte, place string) error {
	n, err := io.ReadFull(w.r, b)
	w.at += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%s: %w", place, formatErrorf("truncated: the file ends at byte %d", w.at))
	}
	return err
}

// skip passes over the rest of a chunk and its pad byte, if it has one. Chunks of odd length must, and some don't.
func (w *wav) skip(size int64, place string) error {
	odd := size&1 == 1 // what was read of the chunk is even
	for size > 0 {
		n, err := w.r.Discard(int(min(size, 1<<30)))
		w.at += int64(n)
		size -= int64(n)
		if err == io.EOF {
			return fmt.Errorf("%s: %w", place, formatErrorf("truncated: the file ends at byte %d", w.at))
		}
		if err != nil {
			return err
		}
	}
	if !odd {
		return nil
	}
	next, _ := w.r.Peek(5)
	if len(next) >= 4 && next[0] != 0 && fourCC(next[:4]) && !fourCC(next[1:]) {
		return nil // the pad byte was forgotten
	}
	n, err := w.r.Discard(1)
	w.at += int64(n)
	if err == io.EOF {
		err = nil // reading the next chunk says so
	}
	return err
}

// The format tags of mmreg.h that are read, and the rest of the GUID that holds one of them in WAVE_FORMAT_EXTENSIBLE.
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagALaw       = 0x0006
	tagMuLaw      = 0x0007
	tagExtensible = 0xfffe
	mediaSubtype  = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
)

// tagNames are the kinds most likely met that are not read.
var tagNames = map[uint16]string{
	0x0002: "Microsoft ADPCM", 0x0011: "IMA ADPCM", 0x0014: "G.723 ADPCM", 0x0022: "TrueSpeech", 0x0031: "GSM 6.10",
	0x0040: "G.721 ADPCM", 0x0045: "G.726 ADPCM", 0x0050: "MPEG", 0x0055: "MP3", 0x0069: "IMA ADPCM (Xbox)", 0x00ff: "AAC", 0x0161: "WMA",
	0x1610: "AAC", 0x2000: "AC-3", 0xa109: "Speex", 0xf1ac: "FLAC",
}

// format reads the body of the fmt chunk.
func (w *wav) format(b []byte) error {
	if len(b) < 16 {
		return formatErrorf("%d bytes are too few", len(b))
	}
	le := binary.LittleEndian
	var (
		tag      = le.Uint16(b)
		channels = int(le.Uint16(b[2:]))
		rate     = le.Uint32(b[4:])
		block    = int(le.Uint16(b[12:]))
		bits     = int(le.Uint16(b[14:]))
	)
	if tag == tagExtensible {
		switch {
		case len(b) < 40:
			return formatErrorf("%d bytes are too few for WAVE_FORMAT_EXTENSIBLE", len(b))
		case string(b[26:40]) != mediaSubtype:
			return unsupportedErrorf("samples of the kind %x are not supported", b[24:40])
		}
		tag = le.Uint16(b[24:])
	}
	w.info = Info{MediaType: "audio/wav", Channels: channels, SampleRate: int(min(rate, math.MaxInt32)), Samples: -1}
	if err := w.info.Check(); err != nil {
		return err
	}
	if block == 0 || block%channels != 0 {
		return formatErrorf("%d channels in blocks of %d bytes", channels, block)
	}
	width := block / channels
	var ok bool
	switch tag {
	case tagPCM:
		if bits < 1 || (bits+7)/8 > width {
			return formatErrorf("PCM of %d bits in %d bytes", bits, width)
		}
		w.samples, ok = pcmFormat(width)
	case tagFloat:
		if bits != 8*width {
			return formatErrorf("float of %d bits in %d bytes", bits, width)
		}
		w.samples, ok = floatFormat(width)
	case tagALaw:
		w.samples, ok = aLawFormat, width == 1
	case tagMuLaw:
		w.samples, ok = muLawFormat, width == 1
	default:
		if name := tagNames[tag]; name != "" {
			return unsupportedErrorf("%s inside WAV is not supported", name)
		}
		return unsupportedErrorf("samples of the kind 0x%04x are not supported", tag)
	}
	if !ok {
		return unsupportedErrorf("samples of the kind 0x%04x with %d bits in %d bytes are not supported", tag, bits, width)
	}
	w.info.Codec = w.samples.codec
	return nil
}

// data finds out how long the sound is, of which w.at is the first byte. claim is the size in the chunk's header, and large
// that of ds64 or -1.
func (w *wav) data(form string, riffSize, claim, large int64) error {
	const allOnes = 1<<32 - 1
	rest := int64(-1)
	if w.size >= 0 {
		rest = w.size - w.at
	}
	if form != "RIFF" && claim == allOnes && large >= 0 {
		claim = large
	}
	// sox writes 0x7FFFF000 and a little to a pipe, arecord 0x80000000, others all ones.
	toEnd := claim == allOnes || 0x7fff0000 <= claim && claim <= 0x80000000
	switch {
	case toEnd && (rest < 0 || claim > rest):
		w.left = math.MaxInt64
	case claim == 0 && (riffSize+8 <= w.at || riffSize == allOnes): // a complete header would at least count itself
		w.left = math.MaxInt64
		if rest > 0 {
			w.warn("the header was never completed: everything from byte %d on is taken as sound", w.at)
		}
	case rest >= 0 && claim > rest:
		w.warn("truncated: the data chunk claims %d bytes from byte %d on, and the file ends at byte %d", claim, w.at, w.size)
		w.left = rest
	case form == "RIFF" && rest-claim >= 1<<32:
		w.warn("the data chunk claims %d bytes, but the file is longer by more than that can count: taken as %d bytes", claim, claim+(rest-claim)>>32<<32)
		w.left, w.claimed = claim+(rest-claim)>>32<<32, true
	default:
		w.left, w.claimed = claim, true
	}
	if w.left == math.MaxInt64 && rest >= 0 {
		w.left = rest
	}
	block := w.block()
	if w.left != math.MaxInt64 {
		w.left -= w.left % block
		w.info.Samples = w.left / block
	}
	w.raw = make([]byte, max(readAhead-readAhead%block, block))
	return nil
}

// block returns the bytes of one sample of every channel.
func (w *wav) block() int64 { return int64(w.info.Channels * w.samples.width) }

func (w *wav) warn(format string, args ...any) {
	w.warnings = append(w.warnings, fmt.Sprintf(format, args...))
}

func (w *wav) Info() Info { return w.info }

func (w *wav) Position() int64 { return w.position.Load() }

func (w *wav) Warnings() []string {
	list := slices.Clone(w.warnings)
	if w.left == 0 && w.position.Load() == 0 {
		list = append(list, "the recording has no samples")
	}
	return list
}

func (w *wav) Read(dst []float32) (int, error) {
	channels, block := int64(w.info.Channels), w.block()
	if int64(len(dst)) < channels {
		panic(fmt.Sprintf("audio: Read of %d channels into %d values", channels, len(dst)))
	}
	n := min(int64(len(dst))/channels*block, int64(len(w.raw)), w.left)
	if n == 0 {
		return 0, io.EOF
	}
	got, err := io.ReadFull(w.r, w.raw[:n])
	w.at += int64(got)
	w.left -= int64(got)
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		if w.claimed {
			w.warn("truncated: %d more bytes of sound are claimed, and the file ends at byte %d", w.left, w.at)
		}
		w.left = 0
	case err != nil:
		return 0, fmt.Errorf("audio: %s: data chunk: byte %d: %w", w.name, w.at, err)
	}
	samples := int64(got) / block
	if samples == 0 {
		return 0, io.EOF
	}
	values := int(samples * channels)
	w.samples.decode(dst[:values], w.raw)
	w.position.Add(samples)
	return values, nil
}
