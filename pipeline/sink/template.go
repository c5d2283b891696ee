package sink

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Template is the form of the names of outputs: text with fields in braces.
//
//	{dir}    the folders of the item below the one that all items are in
//	{name}   the name of the item's file
//	{stem}   that name without its extension
//	{ext}    the extension without its dot
//	{page}   the number of the page in a document, from 1; nothing for what is no page
//	{page4}  the same in four digits at least
//	{p}      ".p" and {page4}; nothing for what is no page
//	{id}     the id of the item's record
//	{job}    the name of the job
//	{n}      the number of the item in the run, from 1
//
// Slashes part folders; one that an empty field leaves at the start or beside another is dropped. The
// suffix of the format comes behind it all. The zero Template is DefaultTemplate.
type Template struct{ parts []templatePart }

// templatePart is a piece of text, or a field.
type templatePart struct {
	text  string
	field bool
}

// The usual names: the item's own and, of a page, its number. A name that keeps its extension tells a.png
// from a.jpg; sidecars, which other programs look for by the stem of the image, have none.
var (
	DefaultTemplate = mustTemplate("{dir}/{name}{p}")
	SidecarTemplate = mustTemplate("{dir}/{stem}{p}")
)

// Named is what the name of an output is made of.
type Named struct {
	Source string // path of the item, as it was given; of a member of an archive the archive's and the member's
	Page   int    // from 1; 0 for what is no page of a document, as for the document itself
	ID     string
	Job    string
	N      int // number of the item in the run, from 1
}

var templateFields = []string{"dir", "name", "stem", "ext", "page", "page4", "p", "id", "job", "n"}

const maxTemplate = 200 // bytes; names have to have room beside it

// ParseTemplate reads a template. Its error says which of the rules it breaks: fields are known, one of them tells
// items apart, and no name leads out of the folder or is changed by what file systems refuse.
func ParseTemplate(s string) (Template, error) {
	t, err := parseTemplate(s)
	if err != nil {
		return Template{}, fmt.Errorf("name %.60q: %w", s, err)
	}
	return t, nil
}

func parseTemplate(s string) (t Template, err error) {
	if len(s) > maxTemplate {
		return t, fmt.Errorf("%d bytes: at most %d", len(s), maxTemplate)
	}
	telling := false
	for rest := s; rest != ""; {
		text, after, open := strings.Cut(rest, "{")
		if text != "" {
			t.parts = append(t.parts, templatePart{text: text})
		}
		if strings.Contains(text, "}") {
			return t, errors.New("} without {")
		}
		if !open {
			break
		}
		field, after, closed := strings.Cut(after, "}")
		if !closed {
			return t, errors.New("{ without }")
		}
		if !slices.Contains(templateFields, field) {
			return t, fmt.Errorf("no field {%s}: want some of {%s}", field, strings.Join(templateFields, "} {"))
		}
		t.parts = append(t.parts, templatePart{field, true})
		telling = telling || slices.Contains([]string{"name", "stem", "id", "n"}, field)
		rest = after
	}
	if !telling {
		return t, errors.New("all items would have one name: want {name}, {stem}, {id} or {n} in it")
	}
	return t, t.checkText()
}

// checkText refuses text that would be written differently than it stands there.
func (t Template) checkText() error {
	var plain strings.Builder // with a letter in place of each field
	for _, p := range t.parts {
		if p.field {
			plain.WriteString("x")
		} else {
			plain.WriteString(p.text)
		}
	}
	if strings.HasPrefix(plain.String(), "/") {
		return errors.New("it begins with a slash: names are below the output folder")
	}
	for part := range strings.SplitSeq(plain.String(), "/") {
		switch {
		case part == "..":
			return errors.New("it leads out of the output folder")
		case part == "" || safePart(part) != part:
			return fmt.Errorf("%.40q is no name on every system", part)
		}
	}
	return nil
}

func mustTemplate(s string) Template {
	t, err := ParseTemplate(s)
	if err != nil {
		panic(err)
	}
	return t
}

// expand gives the parts of the name of an item, each safe, at least one. folders are those of the item, without
// the shared ones, and its file's name is apart from them.
func (t Template) expand(it Named, folders []string, name string) []string {
	if t.parts == nil {
		t = DefaultTemplate
	}
	ext := path.Ext(name)
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case !p.field:
			b.WriteString(p.text)
			continue
		case p.text == "dir":
			for i, f := range folders {
				if i > 0 {
					b.WriteByte('/')
				}
				b.WriteString(oneName(f))
			}
			continue
		case p.text == "name":
			b.WriteString(oneName(name))
		case p.text == "stem":
			b.WriteString(oneName(strings.TrimSuffix(name, ext)))
		case p.text == "ext":
			b.WriteString(oneName(strings.TrimPrefix(ext, ".")))
		case p.text == "id":
			b.WriteString(oneName(it.ID))
		case p.text == "job":
			b.WriteString(oneName(it.Job))
		case p.text == "n":
			fmt.Fprint(&b, it.N)
		case it.Page <= 0: // what follows is of pages
		case p.text == "p":
			fmt.Fprintf(&b, ".p%04d", it.Page)
		case p.text == "page4":
			fmt.Fprintf(&b, "%04d", it.Page)
		default:
			fmt.Fprint(&b, it.Page)
		}
	}
	var safe []string
	for part := range strings.SplitSeq(b.String(), "/") {
		if part != "" {
			safe = append(safe, safePart(part))
		}
	}
	if len(safe) == 0 || strings.HasSuffix(b.String(), "/") { // fields were empty: the file still needs a name
		safe = append(safe, safePart(""))
	}
	return safe
}

// oneName keeps a value from becoming folders.
func oneName(s string) string { return strings.NewReplacer("/", "_", `\`, "_").Replace(s) }
