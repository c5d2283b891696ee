package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Call is a tool call in a reply.
type Call struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a JSON object, keys in the model's order
}

// Inside the parser a call is one string in which mark stands for the control
// token <|"|>. No text has this byte, since text is UTF-8.
const mark = "\xff"

// mercy says how a call that does not follow the syntax is treated.
type mercy int

const (
	strict mercy = iota
	repair       // accept the slips that Gemma is known for
)

// parseCall reads call:NAME{ARGUMENTS}, the syntax of the package comment.
// Strings may also stand between " or ', and a bare word that is no JSON
// literal is a string. With repair a missing last <|"|>, missing closing braces
// and superfluous ones at the end are forgiven; that is for calls which the
// model has ended, for in one that was cut off they would make up arguments.
func parseCall(s string, m mercy) (Call, error) {
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(s, "call:")
	brace := strings.IndexByte(s, '{')
	if brace < 0 {
		if m == strict {
			return Call{}, FormatError("a call without arguments")
		}
		brace, s = len(s), s+"{}"
	}
	name := strings.TrimSpace(s[:brace])
	if !isName(name) {
		return Call{}, FormatError(fmt.Sprintf("a call of %.40q", name))
	}
	p := valueParser{s: s, pos: brace, mercy: m}
	p.object()
	if p.err != nil {
		return Call{}, p.err
	}
	rest := p.s[p.pos:]
	if m == repair {
		rest = strings.TrimLeft(rest, "}] \t\n")
	}
	if rest != "" {
		return Call{}, FormatError(fmt.Sprintf("%.40q after a call", rest))
	}
	return Call{Name: name, Arguments: p.out}, nil
}

// isName says whether s can be a function's name: letters, digits and _ . : / -.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) }) < 0
}

func isNameRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.:/-", r)
}

// valueParser turns values into JSON as it goes. The first error sticks.
type valueParser struct {
	s     string
	pos   int
	mercy mercy
	open  []byte // the closers that are due, outermost first
	out   []byte
	err   error
}

func (p *valueParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = FormatError(fmt.Sprintf(format, args...) + fmt.Sprintf(" at %.20q", p.s[min(p.pos, len(p.s)):]))
	}
}

// peek skips white space and returns the next byte, or 0 at the end: no value
// begins or ends with a zero byte.
func (p *valueParser) peek() byte {
	p.pos += len(p.s[p.pos:]) - len(strings.TrimLeft(p.s[p.pos:], " \t\r\n"))
	if p.pos == len(p.s) {
		return 0
	}
	return p.s[p.pos]
}

// members reads what stands between an opener, which is next, and its closer.
func (p *valueParser) members(closer byte, item func()) {
	if p.open = append(p.open, closer); len(p.open) > maxDepth {
		p.fail("nested deeper than %d", maxDepth)
		return
	}
	p.out = append(p.out, p.s[p.pos])
	p.pos++
	for first := true; p.err == nil; first = false {
		c := p.peek()
		if c == closer {
			p.pos++
			break
		}
		if c == 0 && p.pos == len(p.s) && p.mercy == repair {
			break
		}
		if !first {
			if c != ',' {
				p.fail("want , or %c", closer)
				return
			}
			p.pos++
			if c = p.peek(); c == closer { // a comma too many
				continue
			}
			p.out = append(p.out, ',')
		}
		item()
	}
	p.out = append(p.out, closer)
	p.open = p.open[:len(p.open)-1]
}

func (p *valueParser) object() {
	keys := make(map[string]bool)
	p.members('}', func() {
		key := p.key()
		if keys[key] {
			p.fail("key %q occurs twice", key)
		}
		if p.err != nil {
			return
		}
		keys[key] = true
		p.out = append(appendString(p.out, key), ':')
		p.value()
	})
}

// key reads a key and its colon.
func (p *valueParser) key() string {
	var key string
	switch c := p.peek(); c {
	case mark[0], '"', '\'':
		key = p.quoted(":")
		if p.peek() != ':' {
			p.fail("want :")
			return ""
		}
	default:
		n := strings.IndexAny(p.s[p.pos:], ":,{}[]"+`"`)
		if n < 0 || p.s[p.pos+n] != ':' || strings.Contains(p.s[p.pos:p.pos+n], mark) {
			p.fail("want a key and :")
			return ""
		}
		key = strings.TrimSpace(p.s[p.pos : p.pos+n])
		p.pos += n
	}
	if key == "" {
		p.fail("empty key")
	}
	p.pos++
	return key
}

func (p *valueParser) value() {
	switch p.peek() {
	case '{':
		p.object()
	case '[':
		p.members(']', p.value)
	case mark[0], '"', '\'':
		if text := p.quoted(",}]"); p.err == nil {
			p.out = appendString(p.out, text)
		}
	default:
		p.bare()
	}
}

// bare reads a number, true, false, null or an unquoted word.
func (p *valueParser) bare() {
	n := strings.IndexAny(p.s[p.pos:], ",}]")
	if n < 0 {
		n = len(p.s) - p.pos
	}
	word := strings.TrimSpace(p.s[p.pos : p.pos+n])
	switch {
	case word == "" || strings.ContainsAny(word, "{[") || strings.Contains(word, mark):
		p.fail("want a value")
	case json.Valid([]byte(word)):
		p.out = append(p.out, word...)
	default:
		p.out = appendString(p.out, word)
	}
	p.pos += n
}

// quoted reads a string; after lists what may follow it. Between <|"|> tokens
// everything belongs to it. Between " or ' a quote ends it only if one of after
// or the end follows, so that "it's" needs no escape.
func (p *valueParser) quoted(after string) string {
	if p.s[p.pos] == mark[0] {
		start := p.pos + 1
		n := strings.Index(p.s[start:], mark)
		if n < 0 {
			return p.unclosed(start)
		}
		p.pos = start + n + 1
		return p.s[start : start+n]
	}
	q := p.s[p.pos]
	start := p.pos + 1
	for i := start; i < len(p.s) && p.s[i] != mark[0]; i++ {
		if p.s[i] == '\\' {
			i++
			continue
		}
		if p.s[i] != q {
			continue
		}
		rest := strings.TrimLeft(p.s[i+1:], " \t\r\n")
		if rest == "" || strings.IndexByte(after, rest[0]) >= 0 {
			p.pos = i + 1
			return unescape(p.s[start:i], q)
		}
	}
	return p.unclosed(start)
}

// unescape reads the escapes of a quoted string, if it has any and they are
// those of JSON.
func unescape(s string, q byte) string {
	if q == '\'' {
		return strings.ReplaceAll(s, `\'`, `'`)
	}
	var text string
	if json.Unmarshal([]byte(`"`+s+`"`), &text) != nil {
		return s
	}
	return text
}

// unclosed takes a string that nothing ends to be all of the rest but the
// closers that are due.
func (p *valueParser) unclosed(start int) string {
	rest := strings.TrimRightFunc(p.s[start:], unicode.IsSpace)
	if p.mercy == strict || strings.Contains(rest, mark) {
		p.fail("string without an end")
		return ""
	}
	due := slices.Clone(p.open)
	slices.Reverse(due)
	for n := len(due); n > 0; n-- { // the outer ones are those that the model forgets
		if text, ok := strings.CutSuffix(rest, string(due[:n])); ok {
			rest = text
			break
		}
	}
	p.pos = start + len(rest)
	p.s = p.s[:p.pos] + string(due) // as if all of them had been there
	return rest
}
