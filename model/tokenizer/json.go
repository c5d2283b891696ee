package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// maxDepth is the deepest nesting of a tokenizer.json that is read. Gemma's
// files need four levels.
const maxDepth = 32

// jsonReader reads one JSON text (RFC 8259) in a single pass, value by value.
//
// encoding/json is not used for the whole file because it takes two passes
// and a million small allocations for a Gemma file, keeps the last of two
// equal keys without a word and matches keys in any letter case.
//
// The first error sticks: after it every method returns at once with a zero
// value, so callers check err when they are done.
type jsonReader struct {
	data  []byte
	pos   int
	depth int
	err   error
	buf   []byte // the last string that had escapes
}

// fail records a FormatError at the current place, unless one is recorded.
func (r *jsonReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %w", r.pos, FormatError(fmt.Sprintf(format, args...)))
	}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\n', '\r', '\t':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// expect consumes the byte c.
func (r *jsonReader) expect(c byte) bool {
	if r.err == nil && r.peek() != c {
		r.fail("not JSON: want %q", c)
	}
	if r.err != nil {
		return false
	}
	r.pos++
	return true
}

// list reads a bracketed list and calls item for each member; item must
// consume it.
func (r *jsonReader) list(open, end byte, item func()) {
	if !r.expect(open) {
		return
	}
	if r.depth++; r.depth > maxDepth {
		r.fail("nested deeper than %d", maxDepth)
	}
	for first := true; r.err == nil && r.peek() != end; first = false {
		if !first && !r.expect(',') {
			return
		}
		item()
	}
	r.expect(end)
	r.depth--
}

// array calls item for each element; item must consume it.
func (r *jsonReader) array(item func()) { r.list('[', ']', item) }

// object calls member for each key; member must consume the value. The key is
// valid until the next read. Equal keys are not noticed: see fields.
func (r *jsonReader) object(member func(key []byte)) {
	r.list('{', '}', func() {
		key := r.str()
		if r.expect(':') {
			member(key)
		}
	})
}

// fields is object for the few keys of a record: equal ones are an error.
func (r *jsonReader) fields(member func(key string)) {
	seen := make(map[string]bool)
	r.object(func(b []byte) {
		key := string(b)
		if seen[key] {
			r.fail("key %q occurs twice", key)
			return
		}
		seen[key] = true
		member(key)
	})
}

// str reads a string. The result is valid until the next one is read.
func (r *jsonReader) str() []byte {
	if !r.expect('"') {
		return nil
	}
	start := r.pos
	escaped := false
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; {
		case c == '"':
			s := r.data[start:r.pos]
			r.pos++
			if escaped {
				return r.unescape(r.data[start-1 : r.pos])
			}
			return s
		case c == '\\':
			escaped = true
			r.pos++ // the byte after it ends no string
		case c < ' ':
			r.fail("not JSON: control character in a string")
			return nil
		}
	}
	r.fail("not JSON: string without an end")
	return nil
}

func (r *jsonReader) unescape(quoted []byte) []byte {
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		r.fail("not JSON: bad escape in a string")
		return nil
	}
	r.buf = append(r.buf[:0], s...)
	return r.buf
}

// scalar reads a number, true, false or null and returns its spelling.
func (r *jsonReader) scalar() []byte {
	if r.err != nil {
		return nil
	}
	r.peek()
	start := r.pos
	for r.pos < len(r.data) && strings.IndexByte(" \n\r\t,:]}[{\"", r.data[r.pos]) < 0 {
		r.pos++
	}
	s := r.data[start:r.pos]
	if !json.Valid(s) {
		r.fail("not JSON: want a value")
		return nil
	}
	return s
}

// id reads a token id: an integer from 0 to 2³¹ − 1.
func (r *jsonReader) id() int32 {
	s := r.scalar()
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(s), 10, 31)
	if err != nil {
		r.fail("want a token id, not %.40q", s)
	}
	return int32(n)
}

// flag reads true or false.
func (r *jsonReader) flag() bool {
	s := string(r.scalar())
	if r.err == nil && s != "true" && s != "false" {
		r.fail("want true or false, not %.40q", s)
	}
	return s == "true"
}

// text reads a string or null; null is "".
func (r *jsonReader) text() string {
	if r.err == nil && r.peek() == 'n' {
		if s := r.scalar(); r.err == nil && string(s) != "null" {
			r.fail("want a string, not %.40q", s)
		}
		return ""
	}
	return string(r.str())
}

// skip reads any value and returns its bytes.
func (r *jsonReader) skip() []byte {
	if r.err != nil {
		return nil
	}
	c := r.peek()
	start := r.pos
	switch c {
	case '{':
		r.object(func([]byte) { r.skip() })
	case '[':
		r.array(func() { r.skip() })
	case '"':
		r.str()
	default:
		r.scalar()
	}
	if r.err != nil {
		return nil
	}
	return r.data[start:r.pos]
}

// end reports an error if anything but white space is left.
func (r *jsonReader) end() {
	if r.err == nil && (r.peek() != 0 || r.pos < len(r.data)) {
		r.fail("not JSON: more text after the end")
	}
}
