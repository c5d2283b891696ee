package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// rawLine is a line of a manifest, without its end.
type rawLine struct {
	text   []byte
	number int   // from 1
	offset int64 // of its first byte
	err    error // why it could not be read as a whole
}

// lines reads a manifest line by line. It goes on after a line that is too long.
type lines struct {
	r      *bufio.Reader
	number int
	offset int64
	ended  bool
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next is false at the end. After an error of the reader, which belongs to the line that
// it hit, comes the end.
func (l *lines) next() (rawLine, bool) {
	if l.ended {
		return rawLine{}, false
	}
	l.number++
	line := rawLine{number: l.number, offset: l.offset}
	for {
		part, err := l.r.ReadSlice('\n')
		l.offset += int64(len(part))
		switch {
		case line.err != nil:
		case len(line.text)+len(part) > maxLine:
			line.text, line.err = nil, fmt.Errorf("longer than %d bytes", maxLine)
		default:
			line.text = append(line.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			l.ended = true
			if len(line.text) == 0 && line.err == nil {
				return rawLine{}, false
			}
		case err != nil:
			l.ended = true
			line.err = bare(err)
		}
		if l.number == 1 {
			line.text, line.err = unmarked(line.text, line.err)
		}
		line.text = bytes.TrimRight(line.text, "\r\n")
		return line, true
	}
}

// maxLine is the longest line of a manifest, in bytes: one with a picture of 32 MiB in base64 in it.
const maxLine = 44 << 20

// unmarked takes the mark from the start of a text that says that it is UTF-8, and refuses others.
func unmarked(text []byte, err error) ([]byte, error) {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		text = text[3:]
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return nil, errors.New("UTF-16: manifests are UTF-8")
	}
	return text, err
}
