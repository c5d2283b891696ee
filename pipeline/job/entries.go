package job

import (
	"encoding/json"
	"regexp"
	"strings"
)

// entry is one object of a reply's list: a line and its box.
type entry struct {
	text, box *value // nil where there is none
	role      *value // of an element of an interface
}

// hasText tells whether there is text to keep. A number may be printed as
// one; null and true were not read from the page.
func (e entry) hasText() bool {
	return e.text != nil && e.text.text != "" && (e.text.kind == text || e.text.kind == number)
}

// closed tells whether both values are whole, so that an object whose closing
// brace is missing has lost nothing.
func (e entry) closed() bool {
	return e.text != nil && e.text.closed && e.box != nil && e.box.closed
}

// entries is what findEntries found.
type entries struct {
	list    bool    // a list in the form asked for, or the start of one
	valid   bool    // it is valid JSON
	entries []entry // complete ones
	strange int     // objects in it that have neither text nor box
	prose   string  // what stands around it, code fences excepted
}

// findEntries looks for JSON in a reply: usually all of it or a code fence in
// it, but also several lists, a single object, one object a line, a list in
// an object, each with prose around it.
func findEntries(s string) entries {
	found := entries{valid: true}
	var prose []string
	p := looseParser{s: s}
	from := 0 // what stands before is used or counted as prose
	for {
		i := jsonStart(s, p.at)
		if i < 0 {
			break
		}
		p.at = i
		v := p.parse(0, true)
		// A list cut off before its first entry is told from brackets in
		// prose by standing at the start.
		strange := found.strange
		if !found.collect(&v) && (v.closed || found.list || trimFence(s[:i]) != "") {
			found.strange = strange // it is part of the prose
			continue
		}
		found.list = true
		found.valid = found.valid && v.closed && json.Valid([]byte(s[v.start:v.end]))
		prose = append(prose, trimFence(s[from:i]))
		from = v.end
	}
	if !found.list {
		switch strings.Join(strings.Fields(unfence(s)), "") {
		case "[]", "{}": // nothing to read
			found.list = true
		}
		return found
	}
	prose = append(prose, trimFence(s[from:]))
	found.prose = strings.TrimSpace(strings.Join(prose, " "))
	if strings.Trim(found.prose, " ,[]{}") == "" {
		found.prose = "" // left over from repairs
	}
	return found
}

// pieces tells whether what stands around a list is what is left of objects whose ends or beginnings could not be found.
func (f *entries) pieces() bool { return pieceOfJSON.MatchString(f.prose) }

var pieceOfJSON = regexp.MustCompile(`[{}]|":|\["|"\]|^\[`)

// collect adds the entries in v and below and tells whether there are any,
// complete or not.
func (f *entries) collect(v *value) bool {
	if v.kind == object {
		e := entry{}
		if t, ok := v.field(isTextKey); ok {
			e.text = t
		} else if t, ok := v.field(isLabelKey); ok {
			e.text = t
		}
		e.box, _ = v.field(isBoxKey)
		e.role, _ = v.field(isRoleKey)
		if e.box != nil || e.text != nil && e.text.kind == text {
			if v.closed || e.closed() {
				f.entries = append(f.entries, e)
			}
			return true
		}
	}
	some := false
	for i := range v.items {
		some = f.collect(&v.items[i]) || some
	}
	if v.kind == object && v.closed && !some {
		f.strange++
	}
	return some
}

func isTextKey(k string) bool  { return strings.EqualFold(k, "text") }
func isRoleKey(k string) bool  { return strings.EqualFold(k, "role") }
func isLabelKey(k string) bool { return strings.EqualFold(k, "label") }

// isBoxKey takes spellings of box_2d only. Keys such as bbox are other
// models' words for other orders and units.
func isBoxKey(k string) bool {
	return strings.EqualFold(strings.ReplaceAll(k, "_", ""), "box2d")
}

// jsonStart returns the offset, from at on, of the next list of objects or
// object with keys, or -1.
func jsonStart(s string, at int) int {
	for at < len(s) {
		i := strings.IndexAny(s[at:], "[{")
		if i < 0 {
			return -1
		}
		at += i
		next := strings.TrimLeft(s[at+1:], " \t\r\n")
		if next != "" && (s[at] == '[' && next[0] == '{' || s[at] == '{' && next[0] == '"') {
			return at
		}
		at++
	}
	return -1
}

// fourNumbers reads a box: a list of four, the same in a further list or in a
// string, or an object that names the sides.
func fourNumbers(v *value) (b Box2D, ok bool) {
	for v.kind == array && len(v.items) == 1 {
		v = &v.items[0]
	}
	switch v.kind {
	case text:
		p := looseParser{s: strings.Trim(v.text, "[]() ")}
		list := value{kind: array}
		for p.separators(); p.at < len(p.s) && len(list.items) <= 4; p.separators() {
			x := p.scalar()
			if x.kind != number {
				return b, false
			}
			list.items = append(list.items, x)
		}
		v = &list
	case object:
		v = v.sides()
	}
	if v.kind != array || len(v.items) != 4 {
		return b, false
	}
	for i, x := range v.items {
		if x.kind == text { // a number as a string
			x.kind, x.number = numeral(strings.TrimSpace(x.text))
		}
		if x.kind != number {
			return b, false
		}
		b[i] = x.number
	}
	return b, b.Finite()
}

// sides lists the sides of a box given by name, in the order of Box2D.
func (v *value) sides() *value {
	for _, names := range [][4]string{{"y0", "x0", "y1", "x1"}, {"y1", "x1", "y2", "x2"}, {"ymin", "xmin", "ymax", "xmax"}} {
		list := value{kind: array}
		for _, name := range names {
			side, ok := v.field(func(k string) bool { return strings.EqualFold(strings.ReplaceAll(k, "_", ""), name) })
			if ok {
				list.items = append(list.items, *side)
			}
		}
		if len(list.items) == 4 {
			return &list
		}
	}
	return v
}

// trimFence takes space and fence marks from the ends of s.
func trimFence(s string) string {
	s = strings.TrimSpace(s)
	for _, mark := range []string{"```json", "```JSON", "```"} {
		s = strings.TrimSpace(strings.TrimSuffix(s, mark))
		s = strings.TrimSpace(strings.TrimPrefix(s, mark))
	}
	return s
}
