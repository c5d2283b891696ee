package job

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A looseParser reads JSON as models write it. It takes every valid JSON text
// for what it is, and besides:
//
//   - strings with raw line breaks and control characters, with escapes JSON
//     does not know (kept as they stand), and with quotes that are not escaped
//     (a quote ends a string only where the text behind it could go on as JSON)
//   - commas that are missing or too many, a closing bracket of the wrong kind
//   - words such as NaN, None or True, as values of kind word
//   - text that ends anywhere: what was open is marked as not closed
//
// Time and memory are linear in the text: each byte is looked at a bounded
// number of times, no value is smaller than a byte, and depth and number of
// values have limits.
type looseParser struct {
	s      string
	at     int
	values int
}

const (
	maxDepth  = 32      // a list of objects with lists needs 3
	maxValues = 1 << 18 // 37,000 lines with 7 values each
)

type kind uint8

const (
	nothing kind = iota // no value here
	object
	array
	text
	number
	word // true, null, NaN, and what has no other kind
)

// value is one value of the text.
type value struct {
	kind       kind
	closed     bool    // its end was found
	start, end int     // bytes of the text it spans; of a string, what stands between the quotes
	text       string  // string: decoded, valid UTF-8; number, word: as spelled
	number     float64 // number: its value, ±Inf if that is too large
	keys       []string
	items      []value // of an object by key, of an array in order
}

// field returns the value under the last key that same says is meant, as
// encoding/json keeps the last.
func (v *value) field(same func(key string) bool) (*value, bool) {
	for i := len(v.keys) - 1; i >= 0; i-- {
		if same(v.keys[i]) {
			return &v.items[i], true
		}
	}
	return nil, false
}

// parse reads the value at p.at and leaves p.at behind it.
func (p *looseParser) parse(depth int, inArray bool) value {
	p.space()
	if p.at == len(p.s) || depth > maxDepth || p.values >= maxValues {
		p.at = len(p.s)
		return value{start: p.at, end: p.at}
	}
	p.values++
	switch p.s[p.at] {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		return p.string(func(i int) bool { return p.valueEnds(i, inArray) })
	}
	return p.scalar()
}

func (p *looseParser) array(depth int) value {
	v := value{kind: array, start: p.at}
	p.at++
	for {
		p.separators()
		if p.at == len(p.s) {
			break
		}
		if c := p.s[p.at]; c == ']' || c == '}' {
			v.closed = true
			if c == ']' {
				p.at++
			}
			break
		}
		item := p.parse(depth+1, true)
		if item.kind == nothing {
			p.skip()
			continue
		}
		v.items = append(v.items, item)
	}
	v.end = p.at
	return v
}

func (p *looseParser) object(depth int) value {
	v := value{kind: object, start: p.at}
	p.at++
	for {
		p.separators()
		if p.at == len(p.s) {
			break
		}
		c := p.s[p.at]
		if c == '}' || c == ']' || c == '{' {
			// ']' and '{' mean that the closing brace was forgotten.
			v.closed = true
			if c == '}' {
				p.at++
			}
			break
		}
		if c != '"' {
			p.skip()
			continue
		}
		key := p.string(func(int) bool { return true })
		p.space()
		if p.at == len(p.s) || p.s[p.at] != ':' {
			continue // no value: whatever it was, it was no key
		}
		p.at++
		item := p.parse(depth+1, false)
		if item.kind == nothing {
			continue
		}
		v.keys = append(v.keys, key.text)
		v.items = append(v.items, item)
	}
	v.end = p.at
	return v
}

// string reads a string from its opening quote. ends is asked for each quote
// that is not escaped, with the offset behind it.
func (p *looseParser) string(ends func(i int) bool) value {
	p.at++
	v := value{kind: text, start: p.at}
	var b strings.Builder
	for p.at < len(p.s) {
		c := p.s[p.at]
		switch {
		case c == '\\':
			p.escape(&b)
		case c == '"' && ends(p.at+1):
			v.end, v.closed, v.text = p.at, true, valid(b.String())
			p.at++
			return v
		default:
			b.WriteByte(c)
			p.at++
		}
	}
	v.end, v.text = p.at, valid(b.String())
	return v
}

// escape reads one escape sequence; one that JSON does not have stays as it
// is, as in an unescaped C:\dir.
func (p *looseParser) escape(b *strings.Builder) {
	if p.at+1 == len(p.s) {
		p.at++ // cut off inside the escape
		return
	}
	c := p.s[p.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		p.at += 2
		return
	}
	if r, ok := p.hex(p.at); ok {
		p.at += 6
		if 0xD800 <= r && r < 0xDC00 {
			if low, ok := p.hex(p.at); ok && 0xDC00 <= low && low < 0xE000 {
				p.at += 6
				r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
			}
		}
		b.WriteRune(r) // half a surrogate pair becomes U+FFFD, as in encoding/json
		return
	}
	b.WriteByte('\\')
	p.at++
}

// hex reads \uXXXX at offset i.
func (p *looseParser) hex(i int) (rune, bool) {
	if i+6 > len(p.s) || p.s[i] != '\\' || p.s[i+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(p.s[i+2:i+6], 16, 16)
	return rune(n), err == nil
}

// valueEnds tells whether a quote just before i ends a string value. In valid
// JSON it always does.
func (p *looseParser) valueEnds(i int, inArray bool) bool {
	i = p.spaceAt(i)
	if i == len(p.s) || p.s[i] == '}' || p.s[i] == ']' {
		return true
	}
	if inArray {
		return p.s[i] == ','
	}
	if p.s[i] == ',' {
		i = p.spaceAt(i + 1)
		if i == len(p.s) || p.s[i] == '}' || p.s[i] == '{' {
			return true
		}
	}
	return p.keyAt(i)
}

// keyAt tells whether a quoted key and a colon stand at i.
func (p *looseParser) keyAt(i int) bool {
	if i == len(p.s) || p.s[i] != '"' {
		return false
	}
	for i++; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '"':
			i = p.spaceAt(i + 1)
			return i == len(p.s) || p.s[i] == ':'
		}
	}
	return true // cut off inside the key
}

// scalar reads a number or a word: all up to the next separator.
func (p *looseParser) scalar() value {
	n := strings.IndexAny(p.s[p.at:], "{}[],:\" \t\r\n")
	if n < 0 {
		n = len(p.s) - p.at
	}
	if n == 0 {
		return value{start: p.at, end: p.at}
	}
	v := value{kind: word, closed: true, start: p.at, end: p.at + n, text: valid(p.s[p.at : p.at+n])}
	v.kind, v.number = numeral(v.text)
	p.at += n
	return v
}

// numeral tells a decimal number from a word. Hexadecimal, "inf", "nan" and
// digits with underscores, which strconv takes, are words.
func numeral(s string) (kind, float64) {
	if s == "" || strings.Trim(s, "+-.0123456789eE") != "" || !strings.ContainsAny(s, "0123456789") {
		return word, 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 {
		return word, 0
	}
	return number, f
}

func (p *looseParser) space() { p.at = p.spaceAt(p.at) }
func (p *looseParser) separators() {
	p.at += len(p.s[p.at:]) - len(strings.TrimLeft(p.s[p.at:], " \t\r\n,"))
}

// skip passes what can be neither value nor bracket here.
func (p *looseParser) skip() {
	if p.at < len(p.s) {
		p.at++
	}
}

func (p *looseParser) spaceAt(i int) int {
	for i < len(p.s) && (p.s[i] == ' ' || p.s[i] == '\t' || p.s[i] == '\r' || p.s[i] == '\n') {
		i++
	}
	return i
}

// valid returns s with each byte that is no UTF-8 replaced by U+FFFD.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
