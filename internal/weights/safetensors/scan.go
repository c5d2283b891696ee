package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
)

// maxDepth is how deep values may nest where the content is free (RFC 8259, 9).
const maxDepth = 64

// scanner reads JSON that has a known form, from left to right and in place.
//
// encoding/json is not used for it because it keeps the last of two equal keys
// silently, turns whole numbers into floats or wraps them in interfaces, and holds a
// value in memory before it can be judged. Here a limit is applied before the copy.
// The text must be valid UTF-8. Errors are FormatErrors that give the byte.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(format string, args ...any) error {
	return broken("byte %d: %s", s.i, fmt.Sprintf(format, args...))
}

// peek skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// found describes the next byte for an error.
func (s *scanner) found() string {
	if s.peek() == 0 && s.i >= len(s.b) {
		return "the end"
	}
	return fmt.Sprintf("%q", s.b[s.i])
}

// take reads the byte c.
func (s *scanner) take(c byte) error {
	if s.peek() != c || s.i >= len(s.b) {
		return s.fail("want %q, found %s", c, s.found())
	}
	s.i++
	return nil
}

// list reads what stands between open and close, separated by commas.
func (s *scanner) list(open, close byte, item func() error) error {
	if err := s.take(open); err != nil {
		return err
	}
	if s.peek() == close {
		s.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case close:
			s.i++
			return nil
		default:
			return s.fail("want ',' or %q, found %s", close, s.found())
		}
	}
}

// object reads an object and calls value before each value, with its key. A key of
// more than maxKey bytes, one that was there before, and more than maxKeys are errors.
func (s *scanner) object(maxKey int, value func(key string) error) error {
	keys := map[string]bool{}
	return s.list('{', '}', func() error {
		s.peek()
		at := s.i
		key, err := s.text(maxKey)
		if err != nil {
			return err
		}
		if keys[key] {
			s.i = at
			return s.fail("key %s is there twice", quoted(key))
		}
		if len(keys) == maxKeys {
			return s.fail("more than %d keys", maxKeys)
		}
		keys[key] = true
		if err := s.take(':'); err != nil {
			return err
		}
		return value(key)
	})
}

// text reads a string of at most limit bytes between the quotes.
func (s *scanner) text(limit int) (string, error) {
	raw, err := s.rawString()
	if err != nil {
		return "", err
	}
	inner := raw[1 : len(raw)-1]
	if len(inner) > limit {
		s.i -= len(raw)
		return "", s.fail("string of more than %d bytes", limit)
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var t string
	if err := json.Unmarshal(raw, &t); err != nil { // rawString has checked the syntax
		return "", s.fail("%v", err)
	}
	return t, nil
}

// rawString reads a string and returns it as it stands, quotes included.
func (s *scanner) rawString() ([]byte, error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	start, escaped := s.i-1, false
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c < 0x20:
			return nil, s.fail("control character %#02x in a string", c)
		case c == '\\':
			escaped = true
			s.i++
		case c == '"':
			s.i++
			raw := s.b[start:s.i]
			if escaped && !json.Valid(raw) {
				s.i = start
				return nil, s.fail("string with a wrong escape")
			}
			return raw, nil
		}
	}
	s.i = len(s.b)
	return nil, s.fail("string without an end")
}

// numbers reads an array of at most limit whole numbers of 0 or more.
func (s *scanner) numbers(limit int) ([]uint64, error) {
	var v []uint64
	err := s.list('[', ']', func() error {
		if len(v) == limit {
			return s.fail("more than %d numbers", limit)
		}
		n, err := s.number()
		v = append(v, n)
		return err
	})
	return v, err
}

// number reads a whole number of 0 or more that fits 64 bits.
func (s *scanner) number() (uint64, error) {
	s.peek()
	start, n := s.i, uint64(0)
	for ; s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9'; s.i++ {
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(s.b[s.i]-'0'), 0)
		if hi != 0 || carry != 0 {
			s.i = start
			return 0, s.fail("number does not fit 64 bits")
		}
		n = sum
	}
	digits := s.i - start
	if digits == 0 || s.i < len(s.b) && bytes.IndexByte([]byte(".eE"), s.b[s.i]) >= 0 {
		return 0, s.fail("want a whole number of 0 or more, found %s", s.found())
	}
	if digits > 1 && s.b[start] == '0' {
		s.i = start
		return 0, s.fail("number with a leading zero")
	}
	return n, nil
}

// skip reads any value, to a depth of maxDepth, and drops it.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail("nested more than %d deep", maxDepth)
	}
	switch s.peek() {
	case '{':
		return s.object(maxName, func(string) error { return s.skip(depth + 1) })
	case '[':
		return s.list('[', ']', func() error { return s.skip(depth + 1) })
	case '"':
		_, err := s.rawString()
		return err
	}
	start := s.i
	for s.i < len(s.b) && bytes.IndexByte([]byte(" \t\n\r,]}"), s.b[s.i]) < 0 {
		s.i++
	}
	if !json.Valid(s.b[start:s.i]) { // a number, true, false or null
		s.i = start
		return s.fail("want a value, found %s", s.found())
	}
	return nil
}
