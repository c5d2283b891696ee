package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// wantError checks that an error is of type E and says each of the words.
func wantError[E error](t *testing.T, err error, words ...string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Errorf("got error %v (%T), want one of type %T", err, err, e)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestNotAnImage(t *testing.T) {
	for text, words := range map[string][]string{
		"":                                {"empty"},
		"Dear Sir,\nplease find enclosed": {"not an image"},
		"BMW is a make of motor car":      {"not an image"},
	} {
		_, err := Decode([]byte(text), DecodeOptions{})
		wantError[FormatError](t, err, words...)
		_, _, _, err = Peek([]byte(text))
		wantError[FormatError](t, err, words...)
	}
}

func TestUnsupportedByName(t *testing.T) {
	for head, name := range map[string]string{
		"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00": "HEIC",
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00": "HEIC",
		"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00": "AVIF",
		"\xff\x0a\xfa\x1f":                         "JXL",
		"\x00\x00\x00\x0cJXL \r\n\x87\n":           "JXL",
		"\x00\x00\x00\x0cjP  \r\n\x87\n":           "JP2",
		"%PDF-1.7\n":                               "PDF",
	} {
		_, err := Decode([]byte(head), DecodeOptions{})
		wantError[UnsupportedError](t, err, name+" is not supported")
	}
}

// pngClaiming returns a PNG header that claims a size, and nothing else.
func pngClaiming(width, height uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	ihdr = append(ihdr, 8, 2, 0, 0, 0)
	data := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(ihdr))
}

// allocated returns the bytes that f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// What a header claims is checked before anything of that size is allocated.
func TestLimits(t *testing.T) {
	jpeg := readFile(t, goldenFiles(t, "decode/scene_420.jpg")[0])
	for _, c := range []struct {
		name   string
		data   []byte
		limits Limits
		words  []string
	}{
		{"60,000 × 60,000", pngClaiming(60000, 60000), DefaultLimits, []string{"60000 × 60000", "178956970"}},
		{"largest PNG", pngClaiming(1<<31-1, 1<<31-1), DefaultLimits, []string{"more than the limit"}},
		{"long side", pngClaiming(70000, 1), DefaultLimits, []string{"side of 70000", "65535"}},
		{"bytes", jpeg, Limits{Bytes: 1000}, []string{fmt.Sprint(len(jpeg)), "1000"}},
		{"pixels", jpeg, Limits{Pixels: 63*47 - 1}, []string{"63 × 47", "2960"}},
		{"side", jpeg, Limits{Side: 62}, []string{"63", "62"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if n := allocated(func() { _, err = Decode(c.data, DecodeOptions{Limits: c.limits}) }); n > 64<<10 {
				t.Errorf("%d bytes were allocated", n)
			}
			wantError[UnsupportedError](t, err, c.words...)
		})
	}
	for name, limits := range map[string]Limits{"default": {}, "none": {Bytes: -1, Pixels: -1, Side: -1}} {
		_, err := Decode(pngClaiming(60000, 60000), DecodeOptions{Limits: limits})
		if name == "default" {
			wantError[UnsupportedError](t, err, "178956970")
		} else {
			wantError[FormatError](t, err, "truncated") // it comes as far as the next check
		}
	}
	if _, err := Decode(jpeg, DecodeOptions{Limits: Limits{Bytes: int64(len(jpeg)), Pixels: 63 * 47, Side: 63}}); err != nil {
		t.Errorf("at its limits: %v", err)
	}
}

// A header within the limits whose file is too short for it is refused as well, without allocating the image. 13,000
// pixels squared are 500 MB of RGB.
func TestClaimsPastTheFile(t *testing.T) {
	jpeg := bytes.Clone(readFile(t, goldenFiles(t, "decode/scene_420prog.jpg")[0]))
	frame := bytes.Index(jpeg, []byte("\xff\xc2"))
	binary.BigEndian.PutUint16(jpeg[frame+5:], 13000)
	binary.BigEndian.PutUint16(jpeg[frame+7:], 13000)
	bmp := bytes.Clone(readFile(t, goldenFiles(t, "decode/scene.bmp")[0]))
	binary.LittleEndian.PutUint32(bmp[18:], 13000)
	binary.LittleEndian.PutUint32(bmp[22:], 13000)
	for name, data := range map[string][]byte{"png": pngClaiming(13000, 13000), "jpeg": jpeg, "bmp": bmp} {
		var err error
		if n := allocated(func() { _, err = Decode(data, DecodeOptions{}) }); n > 64<<10 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
		wantError[FormatError](t, err, "truncated", "13000 × 13000")
	}
}

// A file cut anywhere is an error that says so, or was complete before the cut: never a panic, never a picture with a piece
// missing.
func TestTruncated(t *testing.T) {
	for _, path := range goldenFiles(t, "decode/*") {
		if strings.HasSuffix(path, ".rgb.png") {
			continue
		}
		name := filepath.Base(path)
		data := readFile(t, path)
		whole := decodeFile(t, path, DecodeOptions{})
		complete := 0
		for n := 16; n < len(data); n += 1 + len(data)/29 {
			m, err := Decode(data[:n], DecodeOptions{})
			if err == nil {
				complete++
				if !bytes.Equal(m.Pix, whole.Pix) {
					t.Errorf("%s: the first %d of %d bytes decode to something else", name, n, len(data))
				}
				continue
			}
			wantError[FormatError](t, err)
		}
		if complete > 3 {
			t.Errorf("%s: %d cut files decoded", name, complete)
		}
		_, err := Decode(data[:len(data)*2/3], DecodeOptions{})
		wantError[FormatError](t, err, "vision: image/")
	}
}

// A sequential JPEG without its end marker is whole; Pillow reads it too.
func TestMissingEndOfImage(t *testing.T) {
	path := goldenFiles(t, "decode/scene_420.jpg")[0]
	data := readFile(t, path)
	m, err := Decode(data[:len(data)-2], DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Pix, decodeFile(t, path, DecodeOptions{}).Pix) {
		t.Error("other pixels than with the marker")
	}
}

func TestTruncatedNamesThePlace(t *testing.T) {
	data := readFile(t, goldenFiles(t, "decode/exif6.png")[0])
	_, err := Decode(data[:3000], DecodeOptions{})
	wantError[FormatError](t, err, "image/png", "truncated", "byte 3000")
}

// Decoding allocates no more than the documented multiple of the picture, whatever the file.
func TestMemoryBound(t *testing.T) {
	const fixed = 4 << 20 // tables, buffers and what the decoders read ahead
	for _, path := range goldenFiles(t, "media/*") {
		data, err := os.ReadFile(path)
		if err != nil || Sniff(data) == "" { // sound, a film, or the folder of its frames
			continue
		}
		w, h, _, err := Peek(data)
		if err != nil {
			t.Fatal(err)
		}
		most := int64(w*h)*(3+3+12) + fixed // result, before it was set upright, decoder
		if n := allocated(func() { Decode(data, DecodeOptions{}) }); n > most {
			t.Errorf("%s: %d × %d pixels took %d bytes, more than %d", filepath.Base(path), w, h, n, most)
		}
	}
}

// FuzzDecode feeds files made of the golden ones: no panic, a known kind of error, and a picture that is consistent.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"decode/*", "media/*"} {
		for _, path := range goldenFiles(f, pattern) {
			if data, err := os.ReadFile(path); err == nil && len(data) < 12<<10 && !strings.HasSuffix(path, ".rgb.png") {
				f.Add(data)
			}
		}
	}
	formats, _ := filepath.Glob("testdata/formats/*.*[fm]")
	for _, path := range formats {
		if data := readFile(f, path); len(data) < 20<<10 {
			f.Add(data)
		}
	}
	f.Add(pngClaiming(60000, 60000))
	limits := Limits{Bytes: 1 << 20, Pixels: 1 << 18, Side: 1 << 12}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := DecodeOptions{Limits: limits, AlphaOverWhite: len(data)%2 == 0}
		if file, err := Open(data, o); err == nil {
			for n := min(file.Count(), 3); n > 1; n-- {
				file.Decode(n)
			}
		}
		m, err := Decode(data, o)
		if err != nil {
			var broken FormatError
			var unsupported UnsupportedError
			if !errors.As(err, &broken) && !errors.As(err, &unsupported) {
				t.Fatalf("an error of another kind: %v", err)
			}
			if strings.Contains(err.Error(), "the decoder failed") {
				t.Logf("recovered: %v", err)
			}
			return
		}
		if m.Width < 1 || m.Height < 1 || len(m.Pix) != 3*m.Width*m.Height || m.Orientation < 1 || m.Orientation > 8 {
			t.Fatalf("%d × %d pixels in %d bytes, orientation %d", m.Width, m.Height, len(m.Pix), m.Orientation)
		}
		w, h, format, err := Peek(data)
		if err != nil || w != m.Width || h != m.Height || format != m.Format {
			t.Fatalf("Peek says %d × %d %s, %v; Decode %d × %d %s", w, h, format, err, m.Width, m.Height, m.Format)
		}
	})
}
