package sink

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable returns s safe to show to a person: whatever could command a
// terminal or reorder what is read is replaced by its Go escape, as in \x1b
// or \u202e, and so is each byte that is no UTF-8. Line breaks and tabs stay.
func Printable(s string) string { return escape(s, false) }

// PrintableLine is Printable for what has to stay on one line, such as the
// name of a file: line breaks and tabs are escaped as well.
func PrintableLine(s string) string { return escape(s, true) }

func escape(s string, oneLine bool) string {
	var b strings.Builder
	done := 0 // s[:done] is written
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		keep := r == '\n' || r == '\t'
		if broken := r == utf8.RuneError && n == 1; broken || keep && oneLine || !keep && commands(r) {
			b.WriteString(s[done:i])
			switch {
			case broken:
				fmt.Fprintf(&b, `\x%02x`, s[i])
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\t':
				b.WriteString(`\t`)
			case r < 0x100:
				fmt.Fprintf(&b, `\x%02x`, r)
			default:
				fmt.Fprintf(&b, `\u%04x`, r)
			}
			done = i + n
		}
		i += n
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// commands tells whether r is more than a mark on the page: control
// characters (C0, DEL, C1), Unicode's line and paragraph separators, and
// those that switch the direction of reading (UAX #9, section 2), which can
// make one name look like another. Marks that Arabic and Indic spelling
// needs, the joiners, are none of these.
func commands(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r < 0xa0:
		return true
	case r == 0x2028, r == 0x2029:
		return true
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069: // embeddings, overrides; isolates
		return true
	}
	return false
}
