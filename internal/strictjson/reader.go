// Package strictjson reads JSON (RFC 8259) from files that others wrote, so that what is
// read has one meaning.
//
// encoding/json keeps the last of two equal keys without a word, stops reading where the
// value ends, and holds a value in memory before it can be judged. Here a key that is
// there twice, text after the value, bytes that are not UTF-8 and nesting beyond
// [MaxDepth] are errors, and every error gives the byte. There are two ways in:
//
//   - a [Reader] goes through a value of known form from left to right, in place, for
//     headers and vocabularies;
//   - [Unmarshal] checks a value as a whole and leaves the rest to encoding/json, for
//     configurations.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// Limits on what a text can make its reader do. The files that are read nest six deep,
// and the largest object whose keys are compared has a few thousand.
const (
	MaxDepth = 64      // arrays and objects inside one another
	MaxKeys  = 100_000 // of one object; [Reader.Entries] does not count

	// NoLimit is for strings as long as the text allows.
	NoLimit = math.MaxInt
)

// Error says what is wrong with a text, and where.
type Error struct {
	Offset int // in bytes from the start
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Reader reads one JSON text, value by value. The caller says what must come next:
//
//	r.Object(func(key string) {
//		switch key {
//		case "shape":
//			r.Array(func() { shape = append(shape, r.Uint64()) })
//		default:
//			r.Skip()
//		}
//	})
//	r.End()
//	return r.Err()
//
// The first error sticks: after it no method reads and no callback is called, and what
// is returned is zero, so that it is enough to look at Err at the end.
//
// A Reader is for one goroutine.
type Reader struct {
	data  []byte
	pos   int
	depth int
	fold  bool // keys that differ in letter case only are equal
	err   error
	buf   []byte // the last string that had escapes
}

// NewReader returns a Reader of data, which it keeps and does not change. Text that is
// not UTF-8 is an error from the start.
func NewReader(data []byte) *Reader {
	r := &Reader{data: data}
	if !utf8.Valid(data) { // fast; where is another question
		for c, n := utf8.DecodeRune(data); c != utf8.RuneError || n > 1; c, n = utf8.DecodeRune(data[r.pos:]) {
			r.pos += n
		}
		r.Fail("not UTF-8")
	}
	return r
}

// From returns a Reader of the same text that begins at the value at offset.
func (r *Reader) From(offset int) *Reader { return &Reader{data: r.data, pos: offset} }

// Err returns the first error: an [*Error], what Stop was given, or either behind its
// places.
func (r *Reader) Err() error { return r.err }

// Offset returns where the next read begins, in bytes.
func (r *Reader) Offset() int { return r.pos }

// Fail records an error at the present place, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{r.pos, fmt.Sprintf(format, args...)}
	}
}

// Stop records err, if it is one and the first.
func (r *Reader) Stop(err error) {
	if r.err == nil {
		r.err = err
	}
}

// In puts a place in front of the error, if there is one. Called when a value has been
// read, it names that value, since nothing is read after an error.
func (r *Reader) In(place string) {
	if r.err != nil {
		r.err = fmt.Errorf("%s: %w", place, r.err)
	}
}

// Peek skips white space and returns the byte that follows, or 0 at the end.
func (r *Reader) Peek() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// found describes what stands at the present place, for an error.
func (r *Reader) found() string {
	if r.pos >= len(r.data) {
		return "the end"
	}
	c, _ := utf8.DecodeRune(r.data[r.pos:])
	return fmt.Sprintf("%q", c)
}

// expect reads the byte c, which is not 0.
func (r *Reader) expect(c byte) bool {
	if r.err == nil && r.Peek() != c {
		r.Fail("want %q, found %s", c, r.found())
	}
	if r.err != nil {
		return false
	}
	r.pos++
	return true
}

// list reads what stands between open and end, separated by commas.
func (r *Reader) list(open, end byte, item func()) {
	if !r.expect(open) {
		return
	}
	if r.depth++; r.depth > MaxDepth {
		r.Fail("nested more than %d deep", MaxDepth)
		return
	}
	if r.Peek() == end {
		r.pos++
		r.depth--
		return
	}
	for r.err == nil {
		item()
		if r.err != nil {
			return
		}
		switch r.Peek() {
		case ',':
			r.pos++
		case end:
			r.pos++
			r.depth--
			return
		default:
			r.Fail("want ',' or %q, found %s", end, r.found())
		}
	}
}

// Array reads an array and calls item for each element, which item must read.
func (r *Reader) Array(item func()) { r.list('[', ']', item) }

// Object reads an object and calls member before each value, which member must read. A
// key that is there twice and more than MaxKeys of them are errors.
func (r *Reader) Object(member func(key string)) {
	seen := map[string]bool{}
	r.list('{', '}', func() {
		r.Peek()
		at := r.pos
		key := r.Text(NoLimit)
		name := key
		if r.fold {
			name = strings.ToLower(strings.ToUpper(key))
		}
		switch {
		case r.err != nil:
		case seen[name]:
			r.pos = at
			r.Fail("key %s is there twice", abridged(key))
		case len(seen) == MaxKeys:
			r.pos = at
			r.Fail("more than %d keys", MaxKeys)
		default:
			seen[name] = true
			if r.expect(':') {
				member(key)
			}
		}
	})
}

// Entries is Object without the look-out for equal keys, for tables with a million of
// them whose reader keeps a map anyway, and counts. The key is valid until the next read.
func (r *Reader) Entries(member func(key []byte)) {
	r.list('{', '}', func() {
		key := r.Bytes(NoLimit)
		if r.expect(':') {
			member(key)
		}
	})
}

// Text reads a string of at most limit bytes between the quotes, as they stand there.
// Half of a surrogate pair (\ud800) is read as U+FFFD.
func (r *Reader) Text(limit int) string { return string(r.Bytes(limit)) }

// Bytes is Text in place: the result is valid until the next read and must not be
// changed.
func (r *Reader) Bytes(limit int) []byte {
	raw, escaped := r.quoted()
	if r.err != nil {
		return nil
	}
	if len(raw)-2 > limit {
		r.pos -= len(raw)
		r.Fail("string of more than %d bytes", limit)
		return nil
	}
	if !escaped {
		return raw[1 : len(raw)-1]
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		r.pos -= len(raw)
		r.Fail("string with a wrong escape")
		return nil
	}
	r.buf = append(r.buf[:0], s...)
	return r.buf
}

// quoted reads a string and returns it with its quotes. Its escapes, if there are any,
// have not been checked.
func (r *Reader) quoted() (raw []byte, escaped bool) {
	if !r.expect('"') {
		return nil, false
	}
	start := r.pos - 1
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return r.data[start:r.pos], escaped
		case c == '\\':
			escaped = true
			r.pos++ // the byte after it ends no string
		case c < ' ':
			r.Fail("control character %#02x in a string", c)
			return nil, false
		}
	}
	r.pos = len(r.data) // a backslash at the end leads past it
	r.Fail("string without an end")
	return nil, false
}

// Uint64 reads a whole number of 0 or more that fits 64 bits, without fraction or
// exponent.
func (r *Reader) Uint64() uint64 {
	if r.err != nil {
		return 0
	}
	r.Peek()
	start, n := r.pos, uint64(0)
	for ; r.pos < len(r.data) && '0' <= r.data[r.pos] && r.data[r.pos] <= '9'; r.pos++ {
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(r.data[r.pos]-'0'), 0)
		if hi != 0 || carry != 0 {
			r.pos = start
			r.Fail("number does not fit 64 bits")
			return 0
		}
		n = sum
	}
	digits := r.pos - start
	switch {
	case digits == 0, r.pos < len(r.data) && strings.IndexByte(".eE", r.data[r.pos]) >= 0:
		r.Fail("want a whole number of 0 or more, found %s", r.found())
		return 0
	case digits > 1 && r.data[start] == '0':
		r.pos = start
		r.Fail("number with a leading zero")
		return 0
	}
	return n
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	if r.literal("true") {
		return true
	}
	if !r.literal("false") {
		r.Fail("want true or false, found %s", r.found())
	}
	return false
}

// Null reads null, if that is what follows, and reports whether it was.
func (r *Reader) Null() bool { return r.literal("null") }

func (r *Reader) literal(word string) bool {
	if r.err != nil {
		return false
	}
	r.Peek()
	if !bytes.HasPrefix(r.data[r.pos:], []byte(word)) {
		return false
	}
	r.pos += len(word)
	return true
}

// Raw reads any value and returns it as it stands in the text.
func (r *Reader) Raw() []byte {
	r.Peek()
	start := r.pos
	r.Skip()
	if r.err != nil {
		return nil
	}
	return r.data[start:r.pos]
}

// Skip reads any value and drops it.
func (r *Reader) Skip() {
	if r.err != nil {
		return
	}
	switch c := r.Peek(); {
	case c == '{':
		r.Object(func(string) { r.Skip() })
	case c == '[':
		r.Array(r.Skip)
	case c == '"':
		if raw, escaped := r.quoted(); escaped && !json.Valid(raw) {
			r.pos -= len(raw)
			r.Fail("string with a wrong escape")
		}
	case c == '-' || '0' <= c && c <= '9':
		r.number()
	case !r.literal("true") && !r.literal("false") && !r.literal("null"):
		r.Fail("want a value, found %s", r.found())
	}
}

func (r *Reader) number() {
	end := r.pos
	for end < len(r.data) && strings.IndexByte("+-.0123456789Ee", r.data[end]) >= 0 {
		end++
	}
	if s := r.data[r.pos:end]; !json.Valid(s) {
		r.Fail("%s is no number", abridged(string(s)))
		return
	}
	r.pos = end
}

// End reports an error if anything but white space is left.
func (r *Reader) End() {
	if r.err == nil && (r.Peek() != 0 || r.pos < len(r.data)) {
		r.Fail("%s after the end", r.found())
	}
}

// abridged quotes part of the text for an error, cut where it is longer than any name
// that a person would read.
func abridged(s string) string {
	const limit = 120
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return fmt.Sprintf("%q", s)
}
