package sink

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"facet/pipeline/job"
)

func TestHOCRDocument(t *testing.T) {
	golden(t, "page.hocr", document(t, WriteHOCR, pages()["page"]))
}

// hocrNode is any element.
type hocrNode struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []hocrNode `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (n *hocrNode) attr(name string) string {
	i := slices.IndexFunc(n.Attrs, func(a xml.Attr) bool { return a.Name.Local == name })
	if i < 0 {
		return ""
	}
	return n.Attrs[i].Value
}

// properties reads a title by the grammar of hOCR 1.2, section 2.4, as far as its values are used here.
func (n *hocrNode) properties(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for rest := n.attr("title"); rest != ""; {
		m := hocrProperty.FindStringSubmatch(rest)
		if m == nil || found[m[1]] != "" {
			t.Fatalf("title %q: not properties from %q on", n.attr("title"), rest)
		}
		found[m[1]], rest = m[2], rest[len(m[0]):]
	}
	return found
}

var hocrProperty = regexp.MustCompile(`^([a-z][a-z0-9_]*)((?: (?:-?[0-9]+(?:\.[0-9]+)?|"[^";]*"))+)(?:; |$)`)

// readHOCR checks what hOCR 1.2 asks for: one ocr-system and one ocr-capabilities that lists all there is, pages, areas and lines
// with a box, and ids that are unique; and that boxes lie in those around them. It returns the meta elements and all words.
func readHOCR(t *testing.T, data []byte) (meta map[string][]string, words []string) {
	t.Helper()
	var root hocrNode
	d := xml.NewDecoder(strings.NewReader(string(data)))
	d.Strict = true
	if err := d.Decode(&root); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	ids := map[string]bool{}
	meta = map[string][]string{}
	var used []string
	levels := []string{"", "ocr_page", "ocr_carea", "ocr_line", "ocrx_word"}
	var walk func(n *hocrNode, level int, around job.Box)
	walk = func(n *hocrNode, level int, around job.Box) {
		if n.XMLName.Space != "http://www.w3.org/1999/xhtml" {
			t.Errorf("element %v", n.XMLName)
		}
		if n.XMLName.Local == "meta" && n.attr("name") != "" {
			meta[n.attr("name")] = append(meta[n.attr("name")], n.attr("content"))
		}
		if n.attr("dir") != "" {
			used = append(used, "ocrp_dir")
		}
		if class := n.attr("class"); class != "" {
			level++
			if level >= len(levels) || class != levels[level] {
				t.Fatalf("%s at level %d", class, level)
			}
			used = append(used, class)
			if id := n.attr("id"); id == "" || ids[id] {
				t.Errorf("id %q is missing or there twice", id)
			} else {
				ids[id] = true
			}
			p := n.properties(t)
			var b job.Box
			if _, err := fmt.Sscan(p["bbox"], &b[0], &b[1], &b[2], &b[3]); err != nil {
				t.Fatalf("%s: %v", n.attr("title"), err)
			}
			if level > 1 && (!hasArea(b) || !inside(b, around)) {
				t.Errorf("%s in %v", n.attr("title"), around)
			}
			around = b
			if c := p["x_wconf"]; c != "" {
				used = append(used, "ocrp_wconf")
				var percent int
				if _, err := fmt.Sscan(c, &percent); err != nil || percent < 0 || percent > 100 {
					t.Errorf("x_wconf %s", c)
				}
			}
			if class == "ocrx_word" {
				words = append(words, n.Text)
				if p["x_estimated"] == p["x_unplaced"] {
					t.Errorf("%s: not marked as one of estimated and unplaced", n.attr("title"))
				}
			}
		}
		for i := range n.Children {
			walk(&n.Children[i], level, around)
		}
	}
	walk(&root, 0, job.Box{})
	if len(meta["ocr-system"]) != 1 || len(meta["ocr-capabilities"]) != 1 || meta["ocr-system"][0] != "facet 1.2 <&>" {
		t.Fatalf("meta %q", meta)
	}
	for _, c := range used {
		if !slices.Contains(strings.Fields(meta["ocr-capabilities"][0]), c) {
			t.Errorf("%s is no capability", c)
		}
	}
	if !slices.Contains(used, "ocr_page") {
		t.Error("no page")
	}
	return meta, words
}

// All words are there, and what made them.
func TestHOCRStructure(t *testing.T) {
	for name, rec := range pages() {
		t.Run(name, func(t *testing.T) {
			data := document(t, WriteHOCR, rec)
			meta, words := readHOCR(t, data)
			if rec.Effective.Model == "nano" && (meta["facet-model-sha256"][0] != "ab12" || meta["facet-prompt-sha256"][0] != "cd34") {
				t.Errorf("meta %q", meta)
			}
			if got, want := strings.Join(words, " "), allWords(rec); got != want {
				t.Errorf("words %q, want %q", got, want)
			}
			if strings.ContainsFunc(string(data), func(r rune) bool { return r != '\n' && commands(r) }) {
				t.Errorf("commands to a terminal in %q", data)
			}
		})
	}
}

func TestHOCRPages(t *testing.T) {
	data := wholeDocument(t, "hocr")
	meta, words := readHOCR(t, data)
	if !slices.Equal(meta["ocr-number-of-pages"], []string{"7"}) || len(words) < 20 {
		t.Errorf("%q, %q", meta, words)
	}
	if n := strings.Count(string(data), `class="ocr_page"`); n != 7 {
		t.Errorf("%d pages", n)
	}
}
