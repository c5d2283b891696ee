package vision

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"slices"
	"testing"
	"time"

	"facet/fixtures"
)

// entry is one of a TIFF directory, with a long as its value.
type entry struct {
	tag   uint16
	value uint32
}

// tiffOf returns a little-endian TIFF whose pages have these entries and nothing behind them; data follows.
func tiffOf(data []byte, pages ...[]entry) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("II*\x00"), 8)
	for i, p := range pages {
		b = le.AppendUint16(b, uint16(len(p)))
		for _, e := range p {
			b = le.AppendUint16(b, e.tag)
			b = le.AppendUint16(b, ifdLong)
			b = le.AppendUint32(b, 1)
			b = le.AppendUint32(b, e.value)
		}
		next := uint32(len(b) + 4)
		if i == len(pages)-1 {
			next = 0
		}
		b = le.AppendUint32(b, next)
	}
	return append(b, data...)
}

// A chain of directories without end, a ring of them, and one that points into nothing.
func TestChains(t *testing.T) {
	page := []entry{{tagWidth, 1}, {tagLength, 1}, {tagBitsPerSample, 8}, {tagPhotometric, 1}, {tagStripOffsets, 8}, {tagStripByteCounts, 1}}
	long := tiffOf(nil, slices.Repeat([][]entry{page}, 100_000)...)
	began := time.Now()
	_, err := Open(long, DecodeOptions{})
	wantError[UnsupportedError](t, err, "more pages than the limit of 10000")
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	f, err := Open(long, DecodeOptions{Limits: Limits{Pages: -1}})
	if err != nil || f.Count() != 100_000 {
		t.Errorf("%v", err)
	}
	if m, err := f.Decode(99_999); err != nil || m.Pix[0] != byte(len(page)) {
		t.Errorf("%v, %v", m, err)
	}
	// Thumbnails and masks are no pages, and count for the limit all the same.
	small := slices.Concat(page, []entry{{tagNewSubfileType, 1}})
	f, err = Open(tiffOf(nil, page, small, page), DecodeOptions{})
	if err != nil || f.Count() != 2 {
		t.Errorf("%v", err)
	}
	_, err = Open(tiffOf(nil, slices.Repeat([][]entry{small}, 20_000)...), DecodeOptions{})
	wantError[UnsupportedError](t, err, "more pages")

	ring := tiffOf(nil, page, page, page)
	binary.LittleEndian.PutUint32(ring[len(ring)-4:], 8)
	if f, err := Open(ring, DecodeOptions{}); err != nil || f.Count() != 3 {
		t.Errorf("a ring: %v", err)
	}
	binary.LittleEndian.PutUint32(ring[len(ring)-4:], 1<<31)
	if f, err := Open(ring, DecodeOptions{}); err != nil || f.Count() != 3 {
		t.Errorf("into nothing: %v", err)
	}
	frames := giffed(t, 40)
	_, err = Open(frames, DecodeOptions{Limits: Limits{Pages: 39}})
	wantError[UnsupportedError](t, err, "more frames than the limit of 39")
}

// giffed returns a GIF of n frames.
func giffed(t *testing.T, n int) []byte {
	t.Helper()
	data := readFile(t, "testdata/formats/frames1.gif")
	f, err := openGIF(data, n)
	if err != nil {
		t.Fatal(err)
	}
	g := f.(*gifPages)
	last := g.frames[len(g.frames)-1].descriptor
	one := bytes.TrimSuffix(data[last:], []byte{';'})
	return slices.Concat(data[:last], bytes.Repeat(one, n-len(g.frames)+1), []byte{';'})
}

// Pages that claim what the file does not hold are refused before anything of that size is allocated, and their neighbours are read.
func TestTIFFClaims(t *testing.T) {
	good := []entry{{tagWidth, 1}, {tagLength, 1}, {tagBitsPerSample, 8}, {tagPhotometric, 1}, {tagStripOffsets, 8}, {tagStripByteCounts, 1}}
	with := func(more ...entry) []entry {
		e := slices.Clone(good)
		for _, m := range more {
			if i := slices.IndexFunc(e, func(x entry) bool { return x.tag == m.tag }); i >= 0 {
				e[i] = m
				continue
			}
			e = append(e, m)
		}
		return e
	}
	large := []entry{{tagWidth, 13000}, {tagLength, 13000}}
	for name, page := range map[string][]entry{
		"plain":        with(large...),
		"far":          with(entry{tagStripOffsets, 1 << 30}),
		"long":         with(entry{tagStripByteCounts, 1 << 30}),
		"deflate":      with(append(large, entry{tagCompression, tiffDeflate})...),
		"LZW":          with(append(large, entry{tagCompression, tiffLZW})...),
		"PackBits":     with(append(large, entry{tagCompression, tiffPackBits})...),
		"many strips":  with(append(large, entry{tagRowsPerStrip, 1}, entry{tagCompression, tiffLZW})...),
		"no strips":    with(append(large, entry{tagStripOffsets, 0})...),
		"rows":         with(entry{tagRowsPerStrip, 0}),
		"large tiles":  with(entry{tagTileWidth, 1 << 20}, entry{tagTileLength, 1 << 20}),
		"tiles of 0":   with(entry{tagTileWidth, 0}, entry{tagTileLength, 16}),
		"JPEG":         with(entry{tagCompression, tiffJPEG}),
		"fax of bytes": with(entry{tagCompression, fax4}),
		"no palette":   with(entry{tagPhotometric, tiffPalette}),
		"few samples":  with(entry{tagPhotometric, tiffRGB}),
	} {
		f, err := Open(tiffOf(nil, good, page, good), DecodeOptions{})
		if err != nil || f.Count() != 3 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n := allocated(func() { _, err = f.Decode(2) })
		wantError[FormatError](t, err)
		if n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
		for _, n := range []int{1, 3} {
			if _, err := f.Decode(n); err != nil {
				t.Errorf("%s: page %d: %v", name, n, err)
			}
		}
	}
}

// Frames in any order are those in their order, and one that is broken does not spoil the next file.
func TestFramesInAnyOrder(t *testing.T) {
	for _, name := range []string{"frames1.gif", "frames2.gif", "frames3.gif", "clear2.gif"} {
		data := readFile(t, "testdata/formats/"+name)
		inOrder, err := Open(data, DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var want []*Image
		for n := range inOrder.Count() {
			m, err := inOrder.Decode(n + 1)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, m)
		}
		anyhow, err := Open(data, DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{3, 1, 4, 4, 2} {
			m, err := anyhow.Decode(n)
			if err != nil || !bytes.Equal(m.Pix, want[n-1].Pix) {
				t.Errorf("%s, frame %d: %v", name, n, err)
			}
		}
		cut, err := Open(data[:len(data)-100], DecodeOptions{}) // in the last frame
		if err != nil {
			t.Fatal(err)
		}
		for n := range cut.Count() - 1 {
			if m, err := cut.Decode(n + 1); err != nil || !bytes.Equal(m.Pix, want[n].Pix) {
				t.Errorf("%s, cut, frame %d: %v", name, n+1, err)
			}
		}
		_, err = cut.Decode(cut.Count())
		wantError[FormatError](t, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a page past the last is read")
		}
	}()
	f, _ := Open(readFile(t, fixtures.Path("golden/decode/bilevel.png")), DecodeOptions{})
	f.Decode(2)
}

// Every file of testdata/formats, cut anywhere and with bytes changed, is an error of a known kind or a picture.
func TestDamagedFormats(t *testing.T) {
	for _, path := range formatFiles(t) {
		data := readFile(t, path)
		for i := range 40 {
			damaged := bytes.Clone(data)
			if i%2 == 0 {
				damaged = damaged[:len(data)*i/40]
			} else {
				for j := range 3 {
					damaged[(i*7919+j*104729)%len(data)] ^= byte(1 + 29*i)
				}
			}
			f, err := Open(damaged, DecodeOptions{Limits: Limits{Pixels: 1 << 20, Side: 1 << 12}})
			for n := 1; err == nil && n <= min(f.Count(), 5); n++ {
				m, e := f.Decode(n)
				if e != nil {
					wantKnown(t, fmt.Sprint(path, i), e)
				} else if len(m.Pix) != 3*m.Width*m.Height {
					t.Errorf("%s, %d: %v", path, i, image.Pt(m.Width, m.Height))
				}
			}
			if err != nil {
				wantKnown(t, fmt.Sprint(path, i), err)
			}
		}
	}
}

// Text that begins like a file of the Netpbm family is text; and what lies at the end of a head is.
func TestPNMByName(t *testing.T) {
	for head, want := range map[string]bool{
		"P5 12 7 255\nabc":                     true,
		"P6\n# made\n3 4\n":                    true,
		"P4\n8\n9\n":                           true,
		"P1#\n1 1 1":                           true,
		"P7\nWIDTH 4\n":                        true,
		"P6\n# a comment longer than the head": true,
		"P1 meeting at 3 pm with all":          false,
		"P5 12":                                false,
		"P5 2024 report, all pages":            false,
		"P8 1 1":                               false,
		"P7 is a prime":                        false,
		"P2\nPage two\n":                       false,
		"P3":                                   false,
	} {
		if got := Sniff([]byte(head)[:min(len(head), 32)]) == "image/x-portable-anymap"; got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
	for text, words := range map[string]string{
		"P5 0 7 255\nabc":         "a size of 0 × 7",
		"P5 2 2 255\nabc":         "truncated",
		"P5 2 2 70000\nabcd":      "samples up to 70000",
		"P2 2 2 9\n1 2 3 x":       "no sample up to 9",
		"P2 2 2 9\n1 2 3 10":      "no sample up to 9",
		"P1 2 2\n1 0 2 0":         "no sample up to 1",
		"P2 2 2 9\n1 2 3      ":   "truncated",
		"P6 100000 100000 255\na": "",
	} {
		_, err := Decode([]byte(text), DecodeOptions{})
		if words == "" {
			wantError[UnsupportedError](t, err, "more than the limit")
			continue
		}
		wantError[FormatError](t, err, words)
	}
	for text, want := range map[string][]byte{
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x0a\x14\x1e\x00": {10, 20, 30},
		"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\nENDHDR\n\x01\x00":       {255, 255, 255, 0, 0, 0},
		"P7\n# grey\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 65535\nENDHDR\n\x80\x80\x00\x00":           {128, 128, 128},
	} {
		if m := mustDecode(t, []byte(text), DecodeOptions{}); !bytes.Equal(m.Pix, want) {
			t.Errorf("%q: %v, want %v", text, m.Pix, want)
		}
		if m := mustDecode(t, []byte(text), DecodeOptions{AlphaOverWhite: true}); bytes.Contains([]byte(text), []byte("DEPTH 1")) != bytes.Equal(m.Pix, want) {
			t.Errorf("%q over white: %v", text, m.Pix)
		}
	}
}
