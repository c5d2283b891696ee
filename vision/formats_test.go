package vision

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"golang.org/x/image/tiff"

	"facet/fixtures"
)

func mustDecode(t *testing.T, data []byte, o DecodeOptions) *Image {
	t.Helper()
	m, err := Decode(data, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exifBlock returns an EXIF block with one entry, the orientation.
func exifBlock(order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	b := order.AppendUint16([]byte(mark), 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, tagOrientation)
	b = order.AppendUint16(b, ifdShort)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	return append(b, 0, 0, 0, 0, 0, 0)
}

// pngWithChunk puts a chunk after the header of a PNG, or before its end.
func pngWithChunk(data []byte, kind string, body []byte, atEnd bool) []byte {
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	chunk = append(append(chunk, kind...), body...)
	chunk = append(chunk, make([]byte, 4)...)
	binary.BigEndian.PutUint32(chunk[len(chunk)-4:], crc32.ChecksumIEEE(chunk[4:len(chunk)-4]))
	at := 33
	if atEnd {
		at = len(data) - 12
	}
	return slices.Concat(data[:at], chunk, data[at:])
}

// jpegWithSegment puts a segment after the first marker of a JPEG.
func jpegWithSegment(data []byte, marker byte, body []byte) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, marker}, uint16(len(body)+2))
	return slices.Concat(head, body, data[2:])
}

// Grey of 16 bits keeps its scale: the file holds 257 times an 8-bit picture, which is grey.jpg's source.
func TestGrey16(t *testing.T) {
	m := decodeFile(t, fixtures.Path("golden/decode/grey16.png"), DecodeOptions{})
	src, err := png.Decode(bytes.NewReader(readFile(t, fixtures.Path("golden/decode/grey16.png"))))
	if err != nil {
		t.Fatal(err)
	}
	for y := range m.Height {
		for x := range m.Width {
			want := byte(src.(*image.Gray16).Gray16At(x, y).Y / 257)
			for c := range 3 {
				if got := m.Pix[3*(y*m.Width+x)+c]; got != want {
					t.Fatalf("pixel (%d, %d) is %d, want %d", x, y, got, want)
				}
			}
		}
	}
}

func TestAlpha(t *testing.T) {
	pixels := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	for x, a := range []byte{0, 129, 255} {
		pixels.SetNRGBA(x, 0, color.NRGBA{200, 100, 0, a})
	}
	deep := image.NewNRGBA64(pixels.Rect)
	for x, a := range []uint16{0, 0x81ff, 0xffff} {
		deep.SetNRGBA64(x, 0, color.NRGBA64{0xc8ff, 0x6400, 0x00ff, a})
	}
	palette := image.NewPaletted(pixels.Rect, color.Palette{pixels.At(0, 0), pixels.At(1, 0), pixels.At(2, 0)})
	copy(palette.Pix, []byte{0, 1, 2})
	for name, m := range map[string]image.Image{"8 bits": pixels, "16 bits": deep, "palette": palette} {
		data := encodePNG(t, m)
		if got, want := mustDecode(t, data, DecodeOptions{}).Pix, []byte{200, 100, 0, 200, 100, 0, 200, 100, 0}; !bytes.Equal(got, want) {
			t.Errorf("%s, dropped: %v, want %v", name, got, want)
		}
		// 129/255 of the colour and 126/255 of white, rounded: 227.2, 176.6, 126
		if got, want := mustDecode(t, data, DecodeOptions{AlphaOverWhite: true}).Pix, []byte{255, 255, 255, 227, 177, 126, 200, 100, 0}; !bytes.Equal(got, want) {
			t.Errorf("%s, over white: %v, want %v", name, got, want)
		}
	}
}

// Over white, a transparent WebP and GIF show white where they show their hidden colour by default.
func TestAlphaOverWhite(t *testing.T) {
	palette := image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.RGBA{10, 20, 30, 255}, color.RGBA{}})
	palette.Pix[1] = 1
	var b bytes.Buffer
	if err := gif.Encode(&b, palette, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := mustDecode(t, b.Bytes(), DecodeOptions{AlphaOverWhite: true}).Pix, []byte{10, 20, 30, 255, 255, 255}; !bytes.Equal(got, want) {
		t.Errorf("GIF: %v, want %v", got, want)
	}
	dropped := decodeFile(t, fixtures.Path("golden/media/alpha.png"), DecodeOptions{})
	over := decodeFile(t, fixtures.Path("golden/media/alpha.png"), DecodeOptions{AlphaOverWhite: true})
	if bytes.Equal(dropped.Pix, over.Pix) {
		t.Error("alpha.png is the same with and without its alpha")
	}
}

// Associated alpha of TIFF is divided out, as in Pillow.
func TestPremultiplied(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 2, 1))
	copy(m.Pix, []byte{50, 25, 0, 128, 7, 8, 9, 255})
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := mustDecode(t, b.Bytes(), DecodeOptions{}).Pix, []byte{50 * 255 / 128, 25 * 255 / 128, 0, 7, 8, 9}; !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Each orientation, drawn by hand: the picture "ab / cd / ef" as EXIF asks for it.
func TestOrientation(t *testing.T) {
	stored := image.NewGray(image.Rect(0, 0, 2, 3))
	copy(stored.Pix, "abcdef")
	plain := encodePNG(t, stored)
	for orientation, want := range []string{
		1: "ab/cd/ef", 2: "ba/dc/fe", 3: "fe/dc/ba", 4: "ef/cd/ab",
		5: "ace/bdf", 6: "eca/fdb", 7: "fdb/eca", 8: "bdf/ace",
	} {
		if orientation == 0 {
			continue
		}
		data := pngWithChunk(plain, "eXIf", exifBlock(binary.LittleEndian, "II", uint16(orientation)), orientation%2 == 0)
		m := mustDecode(t, data, DecodeOptions{})
		var got []byte
		for i := 0; i < len(m.Pix); i += 3 {
			if i > 0 && i/3%m.Width == 0 {
				got = append(got, '/')
			}
			got = append(got, m.Pix[i])
		}
		if string(got) != want || m.Orientation != orientation || m.StoredWidth != 2 || m.StoredHeight != 3 {
			t.Errorf("orientation %d gives %s, stored as %d × %d, want %s", m.Orientation, got, m.StoredWidth, m.StoredHeight, want)
		}
		if w, h, format, err := Peek(data); err != nil || w != m.Width || h != m.Height || format != "image/png" {
			t.Errorf("orientation %d: Peek gives %d × %d, %s, %v", orientation, w, h, format, err)
		}
	}
}

// Where each format keeps its orientation, and what is ignored.
func TestWhereOrientationIs(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 8, 16))
	plainPNG := encodePNG(t, gray)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gray, nil); err != nil {
		t.Fatal(err)
	}
	plainJPEG := b.Bytes()
	six := exifBlock(binary.BigEndian, "MM", 6)
	withID := append([]byte("Exif\x00\x00"), six...)
	profile := fmt.Appendf([]byte("Raw profile type exif\x00"), "\nexif\n%8d\n%s\n", len(withID), hex.EncodeToString(withID))
	xmp := `<rdf:Description tiff:Orientation="6"/>`
	for name, c := range map[string]struct {
		data []byte
		want int
	}{
		"JPEG":                   {jpegWithSegment(plainJPEG, jpegAPP1, withID), 6},
		"JPEG, XMP":              {jpegWithSegment(plainJPEG, jpegAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00"+xmp)), 6},
		"PNG":                    {pngWithChunk(plainPNG, "eXIf", six, false), 6},
		"PNG, with JPEG's mark":  {pngWithChunk(plainPNG, "eXIf", withID, false), 6},
		"PNG, ImageMagick":       {pngWithChunk(plainPNG, "tEXt", profile, false), 6},
		"PNG, XMP":               {pngWithChunk(plainPNG, "iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00<tiff:Orientation>6<"), false), 6},
		"PNG, EXIF before XMP":   {pngWithChunk(pngWithChunk(plainPNG, "eXIf", exifBlock(binary.BigEndian, "MM", 1), false), "iTXt", []byte("XML:com.adobe.xmp\x00"+xmp), false), 1},
		"none":                   {plainPNG, 1},
		"out of range":           {pngWithChunk(plainPNG, "eXIf", exifBlock(binary.BigEndian, "MM", 9), false), 1},
		"cut block":              {jpegWithSegment(plainJPEG, jpegAPP1, withID[:20]), 1},
		"directory outside":      {jpegWithSegment(plainJPEG, jpegAPP1, []byte("Exif\x00\x00II*\x00\xff\xff\xff\xff")), 1},
		"no byte order":          {jpegWithSegment(plainJPEG, jpegAPP1, []byte("Exif\x00\x00XX*\x00\x08\x00\x00\x00\x00\x00")), 1},
		"hexadecimal that isn't": {pngWithChunk(plainPNG, "tEXt", []byte("Raw profile type exif\x00\nexif\n 3\nzz"), false), 1},
	} {
		m, err := Decode(c.data, DecodeOptions{})
		if err != nil || m.Orientation != c.want || (m.Width == 16) != (c.want == 6) {
			t.Errorf("%s: %+v, %v, want orientation %d", name, m, err, c.want)
		}
	}
}

// A GIF frame that doesn't cover its screen lies on the first colour, or on the transparent one if there is one.
func TestGIFScreen(t *testing.T) {
	frame := image.NewPaletted(image.Rect(1, 0, 2, 1), color.Palette{color.RGBA{1, 2, 3, 255}, color.RGBA{40, 50, 60, 255}})
	frame.Pix[0] = 1
	var b bytes.Buffer
	err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 3, Height: 1, ColorModel: frame.Palette}})
	if err != nil {
		t.Fatal(err)
	}
	m := mustDecode(t, b.Bytes(), DecodeOptions{})
	if want := []byte{1, 2, 3, 40, 50, 60, 1, 2, 3}; !bytes.Equal(m.Pix, want) {
		t.Errorf("%v, want %v", m.Pix, want)
	}
}

func TestTIFFPages(t *testing.T) {
	data := bytes.Clone(readFile(t, fixtures.Path("golden/decode/scene_lzw.tif")))
	if m := mustDecode(t, data, DecodeOptions{}); m.Pages != 1 {
		t.Errorf("%d pages, want 1", m.Pages)
	}
	d, err := firstIFD(data)
	if err != nil {
		t.Fatal(err)
	}
	start, next := d.at-2, d.at+int64(d.n)*d.entryBytes()
	second := slices.Clone(data[start:next]) // the same strips again, under the offsets of the file
	d.order.PutUint32(data[next:], uint32(len(data)))
	two := slices.Concat(data, second, []byte{0, 0, 0, 0})
	if m := mustDecode(t, two, DecodeOptions{}); m.Pages != 2 {
		t.Errorf("%d pages, want 2", m.Pages)
	}
	d.order.PutUint32(two[len(two)-4:], uint32(start)) // a circle
	if m := mustDecode(t, two, DecodeOptions{}); m.Pages != 2 {
		t.Errorf("%d pages in a circle, want 2", m.Pages)
	}
}

// What the components of JPEG in a TIFF mean says the directory, even where the stream says otherwise; and a tag whose value lies
// nowhere does not keep the picture from being read.
func TestTIFFOverJPEG(t *testing.T) {
	data := readFile(t, "testdata/formats/jpegtiles.tif")
	ycbcr := mustDecode(t, data, DecodeOptions{})
	plain := mustDecode(t, setTag(t, data, tagPhotometric, tiffRGB), DecodeOptions{})
	y, cb, cr := plain.Pix[0], plain.Pix[1], plain.Pix[2]
	row := make([]byte, 3)
	convertYCbCr(row, []byte{y}, []byte{cb}, []byte{cr})
	if !bytes.Equal(row, ycbcr.Pix[:3]) || bytes.Equal(row, plain.Pix[:3]) {
		t.Errorf("as RGB %v, which is %v, and %v", plain.Pix[:3], row, ycbcr.Pix[:3])
	}
	far := tiffOf([]byte{7}, []entry{{tagWidth, 1}, {tagLength, 1}, {tagBitsPerSample, 8}, {tagPhotometric, 1}, {tagStripOffsets, 86}, {tagXMP, 99}})
	binary.LittleEndian.PutUint32(far[len(far)-1-4-8:], 1000) // bytes of the last
	if m := mustDecode(t, far, DecodeOptions{}); m.Pix[0] != 7 {
		t.Errorf("%v", m.Pix)
	}
}

// setTag changes the value of a short or long in the first directory of a little-endian TIFF file.
func setTag(t *testing.T, data []byte, tag uint16, value uint16) []byte {
	t.Helper()
	data = bytes.Clone(data)
	d, err := firstIFD(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.n {
		if e := data[d.at+int64(i)*d.entryBytes():]; d.order.Uint16(e) == tag {
			d.order.PutUint16(e[8:], value)
			return data
		}
	}
	t.Fatalf("no tag %d", tag)
	return nil
}

func TestUnsupportedKinds(t *testing.T) {
	tif := readFile(t, fixtures.Path("golden/decode/scene_lzw.tif"))
	jpg := readFile(t, fixtures.Path("golden/decode/scene_420.jpg"))
	bmp := readFile(t, fixtures.Path("golden/decode/scene.bmp"))
	patch := func(data []byte, offset int, v ...byte) []byte {
		data = bytes.Clone(data)
		copy(data[offset:], v)
		return data
	}
	frame := bytes.Index(jpg, []byte("\xff\xc0"))
	for word, data := range map[string][]byte{
		"TIFF with JPEG XL compression":        setTag(t, tif, tagCompression, 50002),
		"TIFF with Zstandard compression":      setTag(t, tif, tagCompression, 50000),
		"TIFF with unknown (12345) compress":   setTag(t, tif, tagCompression, 12345),
		"TIFF with CIE L*a*b* colours":         setTag(t, tif, tagPhotometric, 8),
		"12 bits a sample":                     patch(jpg, frame+4, 12),
		"arithmetic coding":                    patch(jpg, frame+1, 0xc9),
		"lossless JPEG":                        patch(jpg, frame+1, 0xc3),
		"hierarchical JPEG":                    patch(jpg, frame+1, 0xc5),
		"states its height after":              patch(jpg, frame+5, 0, 0),
		"BMP with run-length compression":      patch(bmp, 30, 1),
		"BMP with 16 bits a pixel":             patch(bmp, 28, 16),
		"a BMP header of 12 bytes":             patch(bmp, 14, 12),
		"JPEG with 2 components is not supp":   patch(jpg, frame+9, 2),
		"luma/chroma subsampling ratio is not": patch(jpg, frame+11, 0x31),
		"TIFF with samples of different sizes": setTagAt(t, tif, tagBitsPerSample, 4),
		"TIFF with 9 samples a pixel is not":   setTag(t, tif, tagSamplesPerPixel, 9),
	} {
		_, err := Decode(data, DecodeOptions{})
		wantError[UnsupportedError](t, err, word)
	}
}

// setTagAt changes the first of several shorts, which lie elsewhere.
func setTagAt(t *testing.T, data []byte, tag uint16, value uint16) []byte {
	t.Helper()
	data = bytes.Clone(data)
	d, err := firstIFD(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, v := d.find(tag); len(v) > 4 {
		d.order.PutUint16(v, value)
		return data
	}
	t.Fatalf("tag %d has no several values", tag)
	return nil
}

// A WebP animation's first frame, smaller than its canvas, lies on transparent black.
func TestWebPFrameOnCanvas(t *testing.T) {
	still := readFile(t, fixtures.Path("golden/decode/red_lossless.webp"))
	want := mustDecode(t, still, DecodeOptions{})
	le := binary.LittleEndian
	chunk := func(name string, body []byte) []byte {
		return append(le.AppendUint32([]byte(name), uint32(len(body))), body...)
	}
	put24 := func(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }
	vp8x, anmf := make([]byte, vp8xBytes), make([]byte, anmfBytes)
	vp8x[0] = 2 // animation
	put24(vp8x[4:], want.Width+10-1)
	put24(vp8x[7:], want.Height+20-1)
	put24(anmf, 6/2)
	put24(anmf[3:], 4/2)
	put24(anmf[6:], want.Width-1)
	put24(anmf[9:], want.Height-1)
	body := slices.Concat([]byte("WEBP"), chunk("VP8X", vp8x), chunk("ANIM", make([]byte, 6)), chunk("ANMF", append(anmf, still[riffHeader:]...)))
	data := chunk("RIFF", body)
	m := mustDecode(t, data, DecodeOptions{})
	if m.Width != want.Width+10 || m.Height != want.Height+20 {
		t.Fatalf("%d × %d pixels, want %d × %d", m.Width, m.Height, want.Width+10, want.Height+20)
	}
	for y := range m.Height {
		for x := range m.Width {
			pixel := []byte{0, 0, 0}
			if fx, fy := x-6, y-4; fx >= 0 && fx < want.Width && fy >= 0 && fy < want.Height {
				pixel = want.Pix[3*(fy*want.Width+fx):][:3]
			}
			if got := m.Pix[3*(y*m.Width+x):][:3]; !bytes.Equal(got, pixel) {
				t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, got, pixel)
			}
		}
	}
	anmf[0] = 6 // a frame that starts at 12 and reaches past the canvas
	body = slices.Concat([]byte("WEBP"), chunk("VP8X", vp8x), chunk("ANMF", append(anmf, still[riffHeader:]...)))
	_, err := Decode(chunk("RIFF", body), DecodeOptions{})
	wantError[FormatError](t, err, "on a canvas of 60 × 60")
}

// A panic of a decoder becomes an error of the file.
func TestDecoderPanics(t *testing.T) {
	defer func(old []format) { formats = old }(formats)
	formats = []format{{"image/png", one(pngHeader, func([]byte, bool) (*raster, error) { panic("out of its depth") })}}
	_, err := Decode(readFile(t, fixtures.Path("golden/decode/bilevel.png")), DecodeOptions{})
	wantError[FormatError](t, err, "image/png", "out of its depth")
}
