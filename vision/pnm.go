package vision

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// A pnmFile is the header of a file of the Netpbm family: P1 to P6 (pbm, pgm, ppm: plain and raw) and P7 (pam).
type pnmFile struct {
	kind          byte // '1' to '7'
	width, height int
	depth         int // samples of a pixel: 1 grey, 2 with alpha, 3 RGB, 4 with alpha
	most          int // the sample that is white
	pixels        int // offset of the first
}

// mostPNM is the largest number that a header may have.
const mostPNM = 1<<31 - 1

// isPNM reports whether a file begins as one: a letter and a digit alone begin many a text, so the size must follow.
func isPNM(head []byte) bool {
	if len(head) < 3 || head[0] != 'P' || head[1] < '1' || head[1] > '7' {
		return false
	}
	if head[1] == '7' {
		return bytes.HasPrefix(head[2:], []byte("\n#")) || bytes.HasPrefix(head[2:], []byte("\nWIDTH ")) || bytes.HasPrefix(head[2:], []byte("\nHEIGHT ")) ||
			bytes.HasPrefix(head[2:], []byte("\nDEPTH ")) || bytes.HasPrefix(head[2:], []byte("\nMAXVAL ")) || bytes.HasPrefix(head[2:], []byte("\nTUPLTYPE "))
	}
	t := pnmTokens{head, 2}
	for range 2 {
		_, ok, cut := t.number()
		if cut && t.at > len("P5 1 ") {
			return true // the head ends in the middle of what was right so far
		}
		if !ok {
			return false
		}
	}
	return true
}

// pnmTokens reads numbers parted by white space and comments.
type pnmTokens struct {
	data []byte
	at   int
}

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

// number reads a number that white space stands before and after. cut says that the data ends before it is complete.
func (t *pnmTokens) number() (n int, ok, cut bool) {
	space := false
	for t.at < len(t.data) && (isSpace(t.data[t.at]) || t.data[t.at] == '#') {
		space = true
		if t.data[t.at] == '#' {
			for t.at < len(t.data) && t.data[t.at] != '\n' && t.data[t.at] != '\r' {
				t.at++
			}
			continue
		}
		t.at++
	}
	start := t.at
	for t.at < len(t.data) && t.data[t.at] >= '0' && t.data[t.at] <= '9' && n <= mostPNM {
		n = 10*n + int(t.data[t.at]-'0')
		t.at++
	}
	if t.at == len(t.data) {
		return 0, false, space
	}
	return n, space && t.at > start && n <= mostPNM && (isSpace(t.data[t.at]) || t.data[t.at] == '#'), false
}

func parsePNM(data []byte) (f pnmFile, err error) {
	f.kind, f.depth, f.most = data[1], 1, 1
	if f.kind == '7' {
		err = f.pam(data)
	} else {
		err = f.pnm(data)
	}
	switch {
	case err != nil:
		return f, err
	case f.width < 1 || f.height < 1:
		return f, formatErrorf("a size of %d × %d pixels", f.width, f.height)
	case f.most < 1 || f.most > math.MaxUint16:
		return f, formatErrorf("samples up to %d", f.most)
	case f.depth < 1 || f.depth > 4:
		return f, unsupportedErrorf("PAM with %d samples a pixel is not supported", f.depth)
	}
	return f, nil
}

func (f *pnmFile) pnm(data []byte) error {
	fields := []*int{&f.width, &f.height, &f.most}
	if f.bitmap() {
		fields = fields[:2]
	}
	if f.kind == '3' || f.kind == '6' {
		f.depth = 3
	}
	t := pnmTokens{data, 2}
	for _, v := range fields {
		n, ok, cut := t.number()
		if cut {
			return formatErrorf("truncated: the file ends at byte %d, inside its header", len(data))
		}
		if !ok {
			return formatErrorf("no number in the header, at byte %d", t.at)
		}
		*v = n
	}
	f.pixels = t.at + 1 // one white space
	return nil
}

func (f *pnmFile) pam(data []byte) error {
	for at := len("P7\n"); ; {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			return formatErrorf("truncated: the file ends at byte %d, inside its header", len(data))
		}
		line := string(data[at : at+min(end, 80)])
		at += end + 1
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		field := map[string]*int{"WIDTH": &f.width, "HEIGHT": &f.height, "DEPTH": &f.depth, "MAXVAL": &f.most}[key]
		switch {
		case key == "ENDHDR":
			f.pixels = at
			return nil
		case field != nil:
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 0 || n > mostPNM {
				return formatErrorf("the header has a line %q", line)
			}
			*field = n
		case key != "" && key[0] != '#' && key != "TUPLTYPE":
			return formatErrorf("the header has a line %q", line)
		}
	}
}

func (f *pnmFile) bitmap() bool { return f.kind == '1' || f.kind == '4' }

// rowBytes returns the bytes of a row of a raw file.
func (f *pnmFile) rowBytes() int {
	switch {
	case f.kind == '4':
		return (f.width + 7) / 8
	case f.most > 255:
		return 2 * f.depth * f.width
	}
	return f.depth * f.width
}

func pnmHeader(data []byte) (header, error) {
	f, err := parsePNM(data)
	if err != nil {
		return header{}, err
	}
	h := header{width: f.width, height: f.height, orientation: 1}
	switch f.kind {
	case '1': // a digit each
		h.least = float64(f.pixels) + float64(f.width)*float64(f.height)
	case '2', '3': // with a space between
		h.least = float64(f.pixels) + 2*float64(f.width)*float64(f.height)*float64(f.depth) - 1
	default:
		h.least = float64(f.pixels) + float64(f.rowBytes())*float64(f.height)
	}
	return h, nil
}

func decodePNM(data []byte, overWhite bool) (*raster, error) {
	f, err := parsePNM(data)
	if err != nil {
		return nil, err
	}
	scale := make([]byte, f.most+1)
	for v := range scale {
		scale[v] = byte(math.RoundToEven(float64(v) * 255 / float64(f.most)))
	}
	next := f.raw(data)
	if f.kind <= '3' {
		next = f.plain(data)
	}
	out := newRaster(f.width, f.height)
	samples := make([]byte, f.depth*f.width)
	rgba := make([]byte, 4*f.width)
	for y := range f.height {
		for i := range samples {
			v, err := next(i, y)
			if err != nil {
				return nil, err
			}
			samples[i] = scale[min(v, f.most)]
		}
		row := out.pix[3*f.width*y:][:3*f.width]
		switch f.depth {
		case 1, 2:
			expandGrey(row, samples, f.depth)
		case 3:
			copy(row, samples)
		case 4:
			expandRGBA(row, samples, 1, overWhite)
		}
		if f.depth == 2 && overWhite {
			for i := range f.width {
				g := samples[2*i]
				copy(rgba[4*i:], []byte{g, g, g, samples[2*i+1]})
			}
			expandRGBA(row, rgba, 1, true)
		}
	}
	return out, nil
}

// raw returns what reads sample i of row y from bytes; pnmHeader has said that they are there.
func (f *pnmFile) raw(data []byte) func(i, y int) (int, error) {
	n := f.rowBytes()
	return func(i, y int) (int, error) {
		row := data[f.pixels+y*n:]
		switch {
		case f.kind == '4':
			return 1 - int(row[i/8]>>(7-i%8)&1), nil // 1 is black
		case f.most > 255:
			return int(row[2*i])<<8 | int(row[2*i+1]), nil
		}
		return int(row[i]), nil
	}
}

// plain returns what reads the next sample from text.
func (f *pnmFile) plain(data []byte) func(i, y int) (int, error) {
	at := f.pixels - 1
	return func(int, int) (int, error) {
		for at < len(data) && (isSpace(data[at]) || data[at] == '#') {
			if data[at] == '#' {
				for at < len(data) && data[at] != '\n' && data[at] != '\r' {
					at++
				}
				continue
			}
			at++
		}
		if at >= len(data) {
			return 0, formatErrorf("truncated: the file ends at byte %d, before the image is complete", len(data))
		}
		v, start := 0, at
		for at < len(data) && data[at] >= '0' && data[at] <= '9' && v <= f.most {
			v = 10*v + int(data[at]-'0')
			if at++; f.kind == '1' { // digits may stand without space
				break
			}
		}
		if at == start || v > f.most {
			return 0, formatErrorf("no sample up to %d, at byte %d", f.most, start)
		}
		if f.kind == '1' {
			v = 1 - v
		}
		return v, nil
	}
}
