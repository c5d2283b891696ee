package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"unicode/utf8"
)

// A line, without its end, is
//
//	{"crc":"1a2b3c4d","kind":"record","key":"…","body":…}
//
// The CRC-32C is that of all that stands after its comma. It starts from a number that the
// header gives, another one for each journal: the lines of another journal, which a file
// system can leave in a block after a power cut, are not taken for lines of this one, and
// neither is what a body holds.
const (
	lineStart = `{"crc":"`
	lineKind  = `","kind":"` // the first two characters end the crc
	lineKey   = `","key":"`
	lineBody  = `","body":`

	crcAt  = len(lineStart)
	crcEnd = crcAt + 8
	sumAt  = crcEnd + 2 // where what is summed begins

	minLine = len(lineStart) + 8 + len(lineKind) + len(lineKey) + len(lineBody) + 2
	// MaxLine is the most bytes that a line may have, its end not counted.
	MaxLine = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

const hexDigits = "0123456789abcdef"

// putHex writes v into the eight bytes of dst.
func putHex(dst []byte, v uint32) {
	for i := range 8 {
		dst[i] = hexDigits[v>>(28-4*i)&15]
	}
}

// appendLine appends the line of e and its end to dst. It fails for what would not be one line
// of JSON that parseLine can read.
func appendLine(dst []byte, seed uint32, e Entry) ([]byte, error) {
	if !plainKind(e.Kind) {
		return dst, fmt.Errorf("journal: entry %.200q: kind %q is not a word of letters, digits, - and _", e.Key, e.Kind)
	}
	if n := minLine + len(e.Kind) + len(e.Key) + len(e.Body); n > MaxLine {
		return dst, fmt.Errorf("journal: entry %.200q: %d bytes are too many for a line, %d are the most", e.Key, n, MaxLine)
	}
	if bytes.IndexByte(e.Body, '\n') >= 0 || !json.Valid(e.Body) {
		return dst, fmt.Errorf("journal: entry %.200q: the body is not one JSON value on one line (%d bytes)", e.Key, len(e.Body))
	}
	at := len(dst)
	dst = append(dst, lineStart+"00000000"+lineKind...)
	dst = append(dst, e.Kind...)
	dst = append(dst, lineKey...)
	dst = appendKey(dst, e.Key)
	dst = append(dst, lineBody...)
	dst = append(dst, e.Body...)
	dst = append(dst, '}')
	if n := len(dst) - at; n > MaxLine {
		return dst[:at], fmt.Errorf("journal: entry %.200q: %d bytes are too many for a line, %d are the most", e.Key, n, MaxLine)
	}
	putHex(dst[at+crcAt:at+crcEnd], sum(seed, dst[at+sumAt:]))
	return append(dst, '\n'), nil
}

// parseLine reads a line without its end. ok is false if any of its bytes is not as appendLine wrote it. The body is
// part of line; kinds gives the same string for the same kind.
func parseLine(line []byte, seed uint32, kinds *interned) (e Entry, ok bool) {
	if len(line) < minLine || len(line) > MaxLine || string(line[:crcAt]) != lineStart || line[len(line)-1] != '}' ||
		string(line[crcEnd:crcEnd+len(lineKind)]) != lineKind {
		return Entry{}, false
	}
	var want [8]byte
	putHex(want[:], sum(seed, line[sumAt:]))
	if string(line[crcAt:crcEnd]) != string(want[:]) { // as text: 1A and 1a are not the same bytes
		return Entry{}, false
	}
	rest := line[crcEnd+len(lineKind) : len(line)-1]
	kind, rest, found := bytes.Cut(rest, []byte(lineKey))
	if !found {
		return Entry{}, false
	}
	end := bytes.IndexByte(rest, '"')
	for end >= 0 && escaped(rest[:end]) {
		next := bytes.IndexByte(rest[end+1:], '"')
		if next < 0 {
			return Entry{}, false
		}
		end += 1 + next
	}
	if end < 0 || !bytes.HasPrefix(rest[end:], []byte(lineBody)) {
		return Entry{}, false
	}
	if e.Key, ok = parseKey(rest[:end]); !ok {
		return Entry{}, false
	}
	e.Kind = kinds.of(kind)
	e.Body = rest[end+len(lineBody):]
	return e, true
}

// escaped reports whether what follows b in a JSON string is escaped by its last character.
func escaped(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// plainKind reports whether a kind needs no escapes.
func plainKind(kind string) bool {
	for i := range len(kind) {
		switch c := kind[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return kind != ""
}

// appendKey appends a key as the inside of a JSON string. Keys hold names of files, which may be
// any bytes: one that is not UTF-8 becomes the lone surrogate \udcXX, as in Python's
// surrogateescape (PEP 383), so that no two keys look the same.
func appendKey(dst []byte, key string) []byte {
	for i := 0; i < len(key); {
		c := key[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(key[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, '\\', 'u', 'd', 'c', hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, key[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return dst
}

// parseKey undoes appendKey, and takes nothing else.
func parseKey(b []byte) (string, bool) {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b), true
	}
	key := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			key = append(key, b[i])
			i++
			continue
		}
		switch {
		case i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\'):
			key = append(key, b[i+1])
			i += 2
		case i+6 <= len(b) && (string(b[i:i+4]) == `\u00` || string(b[i:i+4]) == `\udc`):
			c, err := strconv.ParseUint(string(b[i+4:i+6]), 16, 8)
			if err != nil {
				return "", false
			}
			key = append(key, byte(c))
			i += 6
		default:
			return "", false
		}
	}
	return string(key), true
}

// interned keeps one string for each kind, of which there are a few.
type interned struct{ known []string }

func (in *interned) of(b []byte) string {
	for _, s := range in.known {
		if s == string(b) {
			return s
		}
	}
	s := string(b)
	if len(in.known) < 16 {
		in.known = append(in.known, s)
	}
	return s
}

// valueEnd returns where the JSON object that b begins with ends, or -1. It follows braces and
// strings only.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{':
			depth++
		case '}':
			if depth--; depth <= 0 {
				return i + 1
			}
		}
	}
	return -1
}
