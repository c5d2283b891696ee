package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"facet/fixtures"
	"facet/internal/weights/safetensors"
)

// Every kind of WAV gives the samples that libsndfile reads, bit for bit, from a file and from a pipe that gives a byte at a time.
func TestWAVGolden(t *testing.T) {
	src, err := safetensors.Open(fixtures.Path("golden/wav/samples.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	paths, err := filepath.Glob(fixtures.Path("golden/wav/*.wav"))
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".wav")
		t.Run(name, func(t *testing.T) {
			tensor, ok := src.Tensor(name)
			rate, ok2 := src.Tensor(name + ".rate")
			if !ok || !ok2 {
				t.Fatal("no reference")
			}
			want := values(t, tensor)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for kind, r := range map[string]io.Reader{
				"file": bytes.NewReader(data),
				"pipe": iotest.OneByteReader(io.MultiReader(bytes.NewReader(data))),
			} {
				s, err := Open(name, r)
				if err != nil {
					t.Fatal(err)
				}
				info := s.Info()
				if info.Channels != tensor.Shape[1] || float64(info.SampleRate) != values(t, rate)[0] {
					t.Errorf("%s: %d channels, %d Hz; want %d, %g", kind, info.Channels, info.SampleRate, tensor.Shape[1], values(t, rate)[0])
				}
				if name == "sox_pipe" && kind == "pipe" {
					if info.Samples != -1 {
						t.Errorf("%s: %d samples are known", kind, info.Samples)
					}
				} else if info.Samples != int64(tensor.Shape[0]) {
					t.Errorf("%s: %d samples, want %d", kind, info.Samples, tensor.Shape[0])
				}
				got := drain(t, s)
				if len(got) != len(want) {
					t.Fatalf("%s: %d values, want %d", kind, len(got), len(want))
				}
				for i, v := range got {
					if float64(v) != want[i] {
						t.Fatalf("%s: value %d: got %g, want %g", kind, i, v, want[i])
					}
				}
				if w := s.Warnings(); len(w) > 0 {
					t.Errorf("%s: %q", kind, w)
				}
				if s.Position() != int64(tensor.Shape[0]) {
					t.Errorf("%s: position %d at the end of %d samples", kind, s.Position(), tensor.Shape[0])
				}
			}
		})
	}
}

// A chunk is part of a file that a test makes.
type chunk struct {
	id   string
	size int64 // what its header claims; −1 for what it is
	body []byte
}

// riff puts chunks together, with pad bytes.
func riff(form string, chunks ...chunk) []byte {
	b := []byte(form + "\x00\x00\x00\x00WAVE")
	for _, c := range chunks {
		if c.size < 0 {
			c.size = int64(len(c.body))
		}
		b = append(b, c.id...)
		b = binary.LittleEndian.AppendUint32(b, uint32(c.size))
		b = append(b, c.body...)
		if len(c.body)%2 == 1 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// fmtChunk is a fmt chunk of 16 bytes.
func fmtChunk(tag, channels, rate, bits int) chunk {
	return fmtBlock(tag, channels, rate, bits, channels*((bits+7)/8))
}

func fmtBlock(tag, channels, rate, bits, block int) chunk {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*block))
	b = binary.LittleEndian.AppendUint16(b, uint16(block))
	return chunk{"fmt ", -1, binary.LittleEndian.AppendUint16(b, uint16(bits))}
}

func samples16(v ...int16) chunk {
	var b []byte
	for _, s := range v {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return chunk{"data", -1, b}
}

// read opens data as a file, or as a pipe, and reads it to its end.
func read(data []byte, pipe bool) (Stream, []float32, error) {
	var r io.Reader = bytes.NewReader(data)
	if pipe {
		r = io.MultiReader(r)
	}
	s, err := Open("t.wav", r)
	if err != nil {
		return nil, nil, err
	}
	buf := make([]float32, 1024*s.Info().Channels)
	var all []float32
	for {
		n, err := s.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return s, all, nil
		}
		if err != nil {
			return s, all, err
		}
	}
}

// What is wrong with the length of the sound costs a warning at most.
func TestWAVLengths(t *testing.T) {
	mono := fmtChunk(tagPCM, 1, 16000, 16)
	four := []float32{0, 0.25, -0.5, 1 - 0x1p-15}
	body := samples16(0, 8192, -16384, 32767).body
	unfinished := riff("RIFF", mono, chunk{"data", 0, body})
	binary.LittleEndian.PutUint32(unfinished[4:], 36)
	gstreamer := riff("RIFF", mono, chunk{"data", 0, body})
	binary.LittleEndian.PutUint32(gstreamer[4:], 0)
	ffmpeg := riff("RIFF", mono, chunk{"LIST", -1, []byte("INFOISFT")}, chunk{"data", 1<<32 - 1, body})
	binary.LittleEndian.PutUint32(ffmpeg[4:], 1<<32-1)
	ds64 := binary.LittleEndian.AppendUint64(nil, 100)
	ds64 = binary.LittleEndian.AppendUint64(ds64, 8)
	ds64 = append(ds64, make([]byte, 12)...)
	longDS64 := slices.Concat(ds64[:8], []byte{0, 0, 0, 0, 0, 1, 0, 0}, ds64[16:])

	for _, c := range []struct {
		name       string
		data       []byte
		want       []float32
		file, pipe string // part of the warning, for each way to read
		samples    int64  // claimed when read as a pipe
	}{
		{"plain", riff("RIFF", mono, samples16(0, 8192, -16384, 32767)), four, "", "", 4},
		{"chunks around", riff("RIFF", chunk{"junk", -1, make([]byte, 17)}, mono, chunk{"fact", -1, make([]byte, 4)},
			samples16(0, 8192, -16384, 32767), chunk{"LIST", -1, []byte("INFO")}), four, "", "", 4},
		{"odd chunk without pad", slices.Concat(riff("RIFF"), []byte("bext\x03\x00\x00\x00abc"), riff("RIFF", mono, samples16(0, 8192, -16384, 32767))[12:]), four, "", "", 4},
		{"all ones", ffmpeg, four, "", "", -1},
		{"zeros in a pipe", gstreamer, four, "never completed", "", -1},
		{"never completed", unfinished, four, "never completed", "", -1},
		{"arecord", riff("RIFF", mono, chunk{"data", 0x80000000, body}), four, "", "", -1},
		{"truncated", riff("RIFF", mono, chunk{"data", 400, body}), four, "claims 400 bytes from byte 44 on, and the file ends at byte 52", "392 more bytes", 200},
		{"half a sample more", riff("RIFF", mono, chunk{"data", -1, append(slices.Clone(body), 7)}), four, "", "", 4},
		{"RF64", riff("RF64", chunk{"ds64", -1, ds64}, mono, chunk{"data", 1<<32 - 1, body}), four, "", "", 4},
		{"BW64", riff("BW64", chunk{"ds64", -1, ds64}, mono, chunk{"data", 1<<32 - 1, body}), four, "", "", 4},
		{"RF64 of 2^40 bytes", riff("RF64", chunk{"ds64", -1, longDS64}, mono, chunk{"data", 1<<32 - 1, body}), four, "claims 1099511627776", "more bytes", 1 << 39},
		{"RF64 without ds64", riff("RF64", mono, chunk{"data", 1<<32 - 1, body}), four, "", "", -1},
		{"empty", riff("RIFF", mono, chunk{"data", -1, nil}), nil, "no samples", "no samples", -1},
		{"empty and more", riff("RIFF", mono, chunk{"data", -1, nil}, chunk{"LIST", -1, []byte("INFO")}), nil, "no samples", "no samples", 0},
	} {
		for _, pipe := range []bool{false, true} {
			s, got, err := read(c.data, pipe)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, pipe %v: got %v, want %v", c.name, pipe, got, c.want)
			}
			samples, warning := int64(len(c.want)), c.file
			if pipe {
				samples, warning = c.samples, c.pipe
			}
			if n := s.Info().Samples; n != samples {
				t.Errorf("%s, pipe %v: %d samples, want %d", c.name, pipe, n, samples)
			}
			if w := strings.Join(s.Warnings(), "; "); warning == "" && w != "" || !strings.Contains(w, warning) {
				t.Errorf("%s, pipe %v: warnings %q, want %q", c.name, pipe, w, warning)
			}
		}
	}
}

// A file of more than 4 GiB whose lengths have lost their multiples of it is read whole.
func TestWAVLengthWithoutItsUpperBits(t *testing.T) {
	head := riff("RIFF", fmtChunk(tagPCM, 1, 16000, 16), chunk{"data", 1000, nil})
	s, err := Open("t.wav", &sparse{head: head, size: int64(len(head)) + 2<<32 + 1000 + 44})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Info().Samples, int64(2<<32+1000)/2; got != want {
		t.Errorf("%d samples, want %d", got, want)
	}
	if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "taken as 8589935592 bytes") {
		t.Errorf("%q", w)
	}
}

// A sparse is a file that begins with head and goes on with zeros.
type sparse struct {
	head     []byte
	at, size int64
}

func (s *sparse) Read(b []byte) (int, error) {
	n := int(min(int64(len(b)), s.size-s.at))
	if n == 0 {
		return 0, io.EOF
	}
	clear(b[:n])
	if s.at < int64(len(s.head)) {
		copy(b[:n], s.head[s.at:])
	}
	s.at += int64(n)
	return n, nil
}

func (s *sparse) Seek(offset int64, whence int) (int64, error) {
	s.at = offset + []int64{0, s.at, s.size}[whence]
	return s.at, nil
}

func wantError[Kind error](t *testing.T, err error, parts ...string) {
	t.Helper()
	var kind Kind
	if !errors.As(err, &kind) {
		t.Errorf("got %v, want a %T", err, kind)
		return
	}
	for _, p := range append(parts, "audio: t.wav: ") {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
}

func TestWAVBroken(t *testing.T) {
	mono := fmtChunk(tagPCM, 1, 16000, 16)
	two := samples16(1, 2)
	for name, c := range map[string]struct {
		data  []byte
		parts []string
	}{
		"empty file":      {nil, []string{"the file is empty"}},
		"text":            {[]byte("this is a text, and quite a long one for a text"), []string{"not a WAV file"}},
		"four bytes":      {[]byte("RIFF"), []string{"not a WAV file"}},
		"another RIFF":    {[]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), []string{"not a WAV file"}},
		"header only":     {riff("RIFF"), []string{"truncated", "byte 12", "before its data chunk"}},
		"no data":         {riff("RIFF", mono), []string{"truncated", "byte 36"}},
		"half a header":   {riff("RIFF", mono)[:40-8], []string{"fmt chunk at byte 12", "claims 16 bytes", "ends at byte 32"}},
		"data first":      {riff("RIFF", two, mono), []string{"data chunk at byte 12", "before the fmt chunk"}},
		"two fmt chunks":  {riff("RIFF", mono, mono, two), []string{"fmt chunk at byte 36", "second"}},
		"short fmt":       {riff("RIFF", chunk{"fmt ", -1, make([]byte, 14)}, two), []string{"fmt chunk at byte 12", "14 bytes"}},
		"huge fmt":        {riff("RIFF", chunk{"fmt ", 1 << 31, mono.body}, two), []string{"fmt chunk at byte 12", "claims 2147483648 bytes"}},
		"lying chunk":     {riff("RIFF", mono, chunk{"LIST", 99999, []byte("INFO")}, two), []string{"LIST chunk at byte 36", "claims 99999 bytes"}},
		"odd name":        {riff("RIFF", mono, chunk{"\x00\xff\n\x01", 99999, nil}, two), []string{`"\x00\xff\n\x01" chunk at byte 36`}},
		"no channels":     {riff("RIFF", fmtBlock(tagPCM, 0, 16000, 16, 2), two), []string{"fmt chunk at byte 12", "0 channels"}},
		"no rate":         {riff("RIFF", fmtChunk(tagPCM, 1, 0, 16), two), []string{"0 Hz"}},
		"no block":        {riff("RIFF", fmtBlock(tagPCM, 2, 16000, 16, 0), two), []string{"2 channels in blocks of 0 bytes"}},
		"uneven block":    {riff("RIFF", fmtBlock(tagPCM, 2, 16000, 16, 5), two), []string{"2 channels in blocks of 5 bytes"}},
		"no bits":         {riff("RIFF", fmtBlock(tagPCM, 1, 16000, 0, 2), two), []string{"PCM of 0 bits in 2 bytes"}},
		"too many bits":   {riff("RIFF", fmtBlock(tagPCM, 1, 16000, 24, 2), two), []string{"PCM of 24 bits in 2 bytes"}},
		"float of 16":     {riff("RIFF", fmtBlock(tagFloat, 1, 16000, 32, 2), two), []string{"float of 32 bits in 2 bytes"}},
		"half extensible": {riff("RIFF", chunk{"fmt ", -1, append(fmtChunk(tagExtensible, 1, 16000, 16).body, make([]byte, 8)...)}, two), []string{"24 bytes are too few"}},
		"short ds64":      {riff("RF64", chunk{"ds64", -1, make([]byte, 8)}, mono, two), []string{"ds64 chunk at byte 12", "8 bytes are too few"}},
	} {
		_, _, err := read(c.data, false)
		t.Run(name, func(t *testing.T) { wantError[FormatError](t, err, c.parts...) })
		if _, _, err := read(c.data, true); err == nil {
			t.Errorf("%s: no error from a pipe", name)
		}
	}
}

func TestWAVUnsupported(t *testing.T) {
	two := samples16(1, 2)
	guid := append(fmtChunk(tagExtensible, 1, 16000, 16).body, make([]byte, 24)...)
	for name, c := range map[string]struct {
		data  []byte
		parts []string
	}{
		"ADPCM":        {riff("RIFF", fmtBlock(2, 1, 16000, 4, 256), two), []string{"fmt chunk at byte 12", "Microsoft ADPCM"}},
		"MP3":          {riff("RIFF", fmtBlock(0x55, 1, 16000, 16, 1), two), []string{"MP3 inside WAV"}},
		"unknown":      {riff("RIFF", fmtChunk(0x1234, 1, 16000, 16), two), []string{"0x1234"}},
		"GUID":         {riff("RIFF", chunk{"fmt ", -1, guid}, two), []string{"samples of the kind 0000"}},
		"float of 16":  {riff("RIFF", fmtChunk(tagFloat, 1, 16000, 16), two), []string{"16 bits in 2 bytes"}},
		"PCM of 64":    {riff("RIFF", fmtChunk(tagPCM, 1, 16000, 64), two), []string{"64 bits in 8 bytes"}},
		"A-law of 16":  {riff("RIFF", fmtChunk(tagALaw, 1, 16000, 16), two), []string{"0x0006 with 16 bits"}},
		"257 channels": {riff("RIFF", fmtChunk(tagPCM, 257, 16000, 16), two), []string{"257 channels"}},
		"1 Hz":         {riff("RIFF", fmtChunk(tagPCM, 1, 1, 16), two), []string{"1 Hz"}},
		"400 kHz":      {riff("RIFF", fmtChunk(tagPCM, 1, 400000, 16), two), []string{"400000 Hz"}},
		"4 GHz":        {riff("RIFF", fmtChunk(tagPCM, 1, 1<<32-1, 16), two), []string{"Hz"}},
		"FLAC":         {[]byte("fLaC\x00\x00\x00\x22"), []string{"audio/flac is not WAV"}},
		"RIFX":         {[]byte("RIFX\x00\x00\x00\x00WAVEfmt "), []string{"audio/x-rifx"}},
	} {
		_, _, err := read(c.data, false)
		t.Run(name, func(t *testing.T) { wantError[UnsupportedError](t, err, c.parts...) })
	}
}

// Integers of fewer bits than their bytes hold lie at the upper end.
func TestWAVOddBits(t *testing.T) {
	_, got, err := read(riff("RIFF", fmtBlock(tagPCM, 1, 16000, 20, 3), chunk{"data", -1, []byte{0, 0, 0x40, 0xf0, 0xff, 0x7f}}), false)
	if err != nil || !slices.Equal(got, []float32{0.5, 1 - 0x1p-19}) {
		t.Errorf("20 bits in 3 bytes: %v, %v", got, err)
	}
	_, got, err = read(riff("RIFF", fmtBlock(tagPCM, 1, 16000, 24, 4), chunk{"data", -1, []byte{0, 0, 0, 0xc0}}), false)
	if err != nil || !slices.Equal(got, []float32{-0.5}) {
		t.Errorf("24 bits in 4 bytes: %v, %v", got, err)
	}
}

// What is no number becomes silence, and is counted; what is louder than full scale stays.
func TestWAVNoNumbers(t *testing.T) {
	var b32, b64 []byte
	for _, v := range []float64{0.5, math.NaN(), math.Inf(1), math.Inf(-1), 1e30, -4, -32767, 0.25} {
		b32 = binary.LittleEndian.AppendUint32(b32, math.Float32bits(float32(v)))
		b64 = binary.LittleEndian.AppendUint64(b64, math.Float64bits(v))
	}
	want := []float32{0.5, 0, 0, 0, 0, -4, -32767, 0.25}
	for bits, body := range map[int][]byte{32: b32, 64: b64} {
		s, got, err := read(riff("RIFF", fmtChunk(tagFloat, 1, 16000, bits), chunk{"data", -1, body}), false)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("float of %d bits: %v, %v", bits, got, err)
		}
		if w := s.Warnings(); len(w) != 2 || !strings.HasPrefix(w[0], "4 samples are no number") || !strings.Contains(w[1], "3.277e+04 times full scale") {
			t.Errorf("float of %d bits: %q", bits, w)
		}
	}
}

// A file cut anywhere is an error or gives the first of its samples, from a file and a pipe.
func TestWAVTruncated(t *testing.T) {
	for _, name := range []string{"s16", "extensible_s24", "rf64_s24", "f32"} {
		data, err := os.ReadFile(fixtures.Path("golden/wav/" + name + ".wav"))
		if err != nil {
			t.Fatal(err)
		}
		_, whole, err := read(data, false)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(data) {
			for _, pipe := range []bool{false, true} {
				s, got, err := read(data[:n], pipe)
				if err != nil {
					wantError[FormatError](t, err)
					continue
				}
				if len(got) > len(whole) || !slices.Equal(got, whole[:len(got)]) {
					t.Fatalf("%s: the first %d bytes give something else", name, n)
				}
				if len(got) < len(whole) && len(s.Warnings()) == 0 && n < len(data)-16 {
					t.Errorf("%s: the first %d bytes give %d of %d values without a warning", name, n, len(got), len(whole))
				}
			}
		}
	}
}

// What stands in a file decides nothing about memory.
func TestWAVMemoryBound(t *testing.T) {
	const most = 1 << 20
	for name, data := range map[string][]byte{
		"256 channels":   riff("RIFF", fmtChunk(tagFloat, 256, 384000, 64), chunk{"data", 0x7ff00000, make([]byte, 4096)}),
		"huge fact":      riff("RIFF", fmtChunk(tagPCM, 1, 16000, 16), chunk{"fact", 0x7ff00000, nil}),
		"huge last":      riff("RIFF", fmtChunk(tagPCM, 1, 16000, 16), samples16(1, 2), chunk{"LIST", 0x7ff00000, nil}),
		"65535 channels": riff("RIFF", fmtBlock(tagPCM, 65535, 16000, 8, 65535), chunk{"data", -1, nil}),
	} {
		for _, pipe := range []bool{false, true} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			read(data, pipe)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > most+4*256*1024 { // read's own buffer
				t.Errorf("%s, pipe %v: %d bytes allocated", name, pipe, n)
			}
		}
	}
}

// An error of the reader is passed on, with the place.
func TestWAVReadError(t *testing.T) {
	broken := errors.New("the disk is broken")
	data := riff("RIFF", fmtChunk(tagPCM, 1, 16000, 16), chunk{"data", 4000, make([]byte, 100)})
	for n := range len(data) {
		s, err := Open("t.wav", io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
		if err == nil {
			_, err = s.Read(make([]float32, 500))
		}
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "audio: t.wav: ") {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]string{
		"":                                     "",
		"RIFF\x00\x00\x00\x00WAVEfmt ":         "audio/wav",
		"RF64\xff\xff\xff\xffWAVEds64":         "audio/wav",
		"RIFF\x00\x00\x00\x00AVI LIST":         "video/x-msvideo",
		"FORM\x00\x00\x00\x00AIFFCOMM":         "audio/aiff",
		"OggS\x00\x02":                         "audio/ogg",
		"ID3\x04\x00":                          "audio/mpeg",
		"\xff\xfb\x90\x64":                     "audio/mpeg",
		"\xff\xf1\x50\x80":                     "audio/aac",
		"\xff\xfe\x00\x68":                     "", // a text of UTF-16
		"\xff\xd8\xff\xe0":                     "", // JPEG
		"\x00\x00\x00\x20ftypM4A ":             "audio/mp4",
		"\x00\x00\x00\x20ftypisom":             "video/mp4",
		"\x00\x00\x00\x14ftypqt  ":             "video/quicktime",
		"\x00\x00\x00\x08wide\x00":             "video/quicktime",
		"\x00\x00\x00\x18ftyp3gp5":             "video/3gpp",
		"\x1a\x45\xdf\xa3":                     "video/x-matroska",
		"\x1a\x45\xdf\xa3\x8b\x42\x82\x84webm": "video/webm",
		"\x00\x00\x01\xba!":                    "video/mpeg",
		"FLV\x01\x05":                          "video/x-flv",
		strings.Repeat("G"+strings.Repeat("\xff", 187), 3):          "video/mp2t",
		"time" + strings.Repeat("G"+strings.Repeat("\xff", 191), 3): "video/mp2t",
		strings.Repeat("Good morning. ", 40):                        "",
		"Citywide news":                                             "",
		"#EXTM3U\n":                                                 "",
		"\x89PNG\r\n\x1a\n\x00\x00\x00\r":                           "",
	} {
		if got := Sniff([]byte(head)); got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
}

// FuzzOpen feeds files made of the golden ones: no panic, known kinds of error, values that are numbers, as many as claimed, and
// the same from a pipe.
func FuzzOpen(f *testing.F) {
	paths, _ := filepath.Glob(fixtures.Path("golden/wav/*.wav"))
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data[:min(len(data), 400)])
		}
	}
	f.Add(riff("RIFF", fmtChunk(tagPCM, 1, 16000, 16), chunk{"data", 0, []byte{1, 2}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, values, err := read(data, false)
		_, piped, pipeErr := read(data, true)
		if err == nil && pipeErr == nil && len(piped) < len(values) {
			t.Fatalf("%d values from a file, %d from a pipe", len(values), len(piped))
		}
		if err != nil {
			var broken FormatError
			var unsupported UnsupportedError
			if !errors.As(err, &broken) && !errors.As(err, &unsupported) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		info := s.Info()
		if info.Check() != nil || info.Samples < 0 || int64(len(values)) != info.Samples*int64(info.Channels) || s.Position() != info.Samples {
			t.Fatalf("%d values, position %d, %+v", len(values), s.Position(), info)
		}
		for _, v := range values {
			if _, no := finite(v); no {
				t.Fatalf("a sample of %g", v)
			}
		}
	})
}
