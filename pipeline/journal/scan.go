package journal

import (
	"bytes"
	"io"
)

// What a scanner found.
type shape int

const (
	whole shape = iota // a line that has its end
	tail               // what stands after the last end of a line
	part               // of something without an end that is too long for a line
)

// scanner reads a file line by line. It allocates what the longest line needs, and never more than
// a line may have.
type scanner struct {
	file   io.ReaderAt
	path   string
	size   int64 // bytes of the file to be read
	shrink bool  // a file that became shorter meanwhile ends there

	buf   []byte
	from  int   // the rest of what was read is buf[from:]
	at    int64 // of buf[from] in the file
	lines int64 // ends of lines before it
}

// span is a piece of the file; text is good until the next call.
type span struct {
	text   []byte // without the line's end
	offset int64
	line   int64 // number of the line, from 1
	shape  shape
}

const (
	firstBuffer = 1 << 20
	// overlap is kept of what is too long, in case that a line begins at its end.
	overlap = len(lineStart) - 1
)

// next returns io.EOF at the end of the file, and every other error as one that names the place.
func (s *scanner) next() (span, error) {
	searched := 0
	for {
		rest := s.buf[s.from:]
		if i := bytes.IndexByte(rest[searched:], '\n'); i >= 0 {
			return s.take(searched+i, 1, whole), nil
		}
		searched = len(rest)
		if len(rest) > MaxLine {
			n := len(rest) - overlap
			if i := bytes.LastIndex(rest, []byte(lineStart)); i > 0 {
				n = i
			}
			return s.take(n, 0, part), nil
		}
		n, err := s.fill()
		if err != nil {
			return span{}, err
		}
		if n == 0 {
			if len(s.buf) == s.from {
				return span{}, io.EOF
			}
			return s.take(len(s.buf)-s.from, 0, tail), nil
		}
	}
}

// take hands out the next n bytes and passes over end more.
func (s *scanner) take(n, end int, sh shape) span {
	sp := span{text: s.buf[s.from : s.from+n : s.from+n], offset: s.at, line: s.lines + 1, shape: sh}
	s.from += n + end
	s.at += int64(n + end)
	s.lines += int64(end)
	return sp
}

// fill reads on and returns how many bytes there were, 0 at the end of the file.
func (s *scanner) fill() (int, error) {
	have := len(s.buf) - s.from
	at := s.at + int64(have)
	left := s.size - at
	if left <= 0 {
		return 0, nil
	}
	copy(s.buf, s.buf[s.from:])
	s.buf, s.from = s.buf[:have], 0
	if have == cap(s.buf) {
		grown := make([]byte, have, min(int64(max(2*have, firstBuffer)), MaxLine+firstBuffer, int64(have)+left))
		copy(grown, s.buf)
		s.buf = grown
	}
	want := int(min(int64(cap(s.buf)-have), left))
	n, err := s.file.ReadAt(s.buf[have:have+want], at)
	s.buf = s.buf[:have+n]
	switch {
	case n == want:
		return n, nil
	case err == io.EOF && s.shrink:
		s.size = at + int64(n)
		return n, nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, failedAt(s.path, "reading", at+int64(n), s.lines+1, err)
}
