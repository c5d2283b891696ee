package sink

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"facet/pipeline/job"
)

// writeDocument writes a page, one that failed, a blank one, one that failed of which nothing is known, one that was asked about
// twice, one that was cut, and a hostile one. Page 5 was not asked for.
func writeDocument(t *testing.T, w *bytes.Buffer, format string) {
	t.Helper()
	p := pages()
	about := About{Facet: "1.2 <&>", Source: p["page"].Source, Effective: p["page"].Effective, Pages: 7}
	about.Source.Path = "b.pdf"
	d, err := NewDocument(w, format, about)
	if err != nil {
		t.Fatal(err)
	}
	page := func(n int, name string) {
		t.Helper()
		rec := p[name]
		rec.Source.Page = n
		if err := d.Page(rec); err != nil {
			t.Fatal(err)
		}
	}
	failed := func(n int, size [2]int, reason string) {
		t.Helper()
		if err := d.Failed(n, size, errors.New(reason)); err != nil {
			t.Fatal(err)
		}
	}
	page(1, "page")
	failed(2, [2]int{850, 1100}, "the decoder -- ended --> <b>\x1b[31m \ufffe")
	page(3, "blank")
	failed(4, [2]int{}, "no such page")
	p["plain"].Effective.Seen.Budget = 280
	p["plain"].Warnings = []string{"asked 2 times", "line 1: -->"}
	page(6, "plain")
	page(7, "cut")
	p["hostile"].Text = p["hostile"].Blocks[0].Text
	page(8, "hostile")
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
}

func wholeDocument(t *testing.T, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	writeDocument(t, &b, format)
	return b.Bytes()
}

func TestDocumentGolden(t *testing.T) {
	for _, f := range DocumentFormats {
		golden(t, "document."+f, wholeDocument(t, f))
	}
}

// In each format every page has its place, with its text and nothing else, and foreign text commands nothing.
func TestDocumentPages(t *testing.T) {
	want := []string{"Dear Sir,", "", "", "", "A title", "one two", "alert"}
	for _, f := range DocumentFormats {
		text := string(wholeDocument(t, f))
		var parts []string
		switch f {
		case "txt":
			parts = strings.Split(strings.TrimSuffix(text, "\f"), "\f")
		case "md":
			parts = strings.Split(text, "\n<!-- page ")[1:]
		case "alto":
			parts = strings.Split(text, "  <Page ")[1:]
		case "hocr":
			parts = strings.Split(text, `  <div class="ocr_page"`)[1:]
		}
		if len(parts) != len(want) {
			t.Fatalf("%s: %d pages, want %d: %q", f, len(parts), len(want), parts)
		}
		for i, p := range parts {
			first, _, _ := strings.Cut(want[i], " ")
			if !strings.Contains(p, first) || want[i] == "" && (strings.Contains(p, "TextLine") || strings.Contains(p, "ocr_line")) {
				t.Errorf("%s: page %d holds %q, want %q", f, i+1, p, want[i])
			}
			if failed := i == 1 || i == 3; strings.Contains(p, ": not read: ") != (failed && f != "txt") {
				t.Errorf("%s: page %d: %q", f, i+1, p)
			}
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\f' && commands(r) }) {
			t.Errorf("%s: commands to a terminal in %q", f, text)
		}
		if n := strings.Count(text, "ab12"); f == "txt" && n != 0 || f != "txt" && n != 1 { // the hash of the model
			t.Errorf("%s names its model %d times", f, n)
		}
		if f == "alto" || f == "hocr" {
			checkXML(t, f, text)
		}
	}
}

// checkXML checks that a document is well-formed, with ids that are unique and comments that are inert.
func checkXML(t *testing.T, name, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = true
	ids := map[string]bool{}
	comments := 0
	for {
		token, err := d.Token()
		if token == nil && err != nil {
			if err.Error() != "EOF" {
				t.Errorf("%s: %v", name, err)
			}
			break
		}
		switch e := token.(type) {
		case xml.Comment:
			comments++
		case xml.StartElement:
			for _, a := range e.Attr {
				if strings.EqualFold(a.Name.Local, "id") {
					if ids[a.Value] {
						t.Errorf("%s: id %s twice", name, a.Value)
					}
					ids[a.Value] = true
				}
			}
		}
	}
	if comments != 5 { // two failed, another budget, cut, another model
		t.Errorf("%s: %d comments", name, comments)
	}
	if !ids["page_6"] {
		t.Errorf("%s: ids %v", name, slices.Sorted(maps.Keys(ids)))
	}
}

func TestDocumentOrder(t *testing.T) {
	for _, f := range DocumentFormats {
		var b bytes.Buffer
		d, err := NewDocument(&b, f, About{})
		if err != nil {
			t.Fatal(err)
		}
		rec := &job.Record{Source: job.Source{Page: 3}}
		if err := errors.Join(d.Page(rec), d.Failed(0, [2]int{}, errors.New("x"))); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, err := range []error{d.Page(rec), d.Failed(4, [2]int{}, errors.New("x"))} {
			if err == nil || !strings.Contains(err.Error(), "after page 4") {
				t.Errorf("%s: error %v", f, err)
			}
		}
		if err := d.End(); err != nil {
			t.Error(err)
		}
	}
}

// A disk that is full is told of by every step that writes.
func TestDocumentFullDisk(t *testing.T) {
	for _, f := range DocumentFormats {
		whole := len(wholeDocument(t, f))
		for room := 0; room < whole; room += 97 {
			w := &smallDisk{room: room}
			d, err := NewDocument(w, f, About{})
			for n := 0; err == nil && n < 60; n++ {
				err = d.Page(numbered(pages()["page"], n+1))
			}
			if err == nil {
				err = d.End()
			}
			if !errors.Is(err, errFull) {
				t.Fatalf("%s with room for %d bytes: %v", f, room, err)
			}
		}
	}
}

func numbered(rec *job.Record, page int) *job.Record {
	rec.Source.Page = page
	return rec
}

var errFull = errors.New("full")

type smallDisk struct{ room int }

func (s *smallDisk) Write(p []byte) (int, error) {
	if len(p) > s.room {
		return s.room, errFull
	}
	s.room -= len(p)
	return len(p), nil
}

// A page is on the disk before the next one comes.
func TestDocumentStreams(t *testing.T) {
	for _, f := range DocumentFormats {
		var b bytes.Buffer
		d, err := NewDocument(&b, f, About{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			before := b.Len()
			if err := d.Page(numbered(pages()["page"], n+1)); err != nil {
				t.Fatal(err)
			}
			if got := b.Bytes()[before:]; !bytes.Contains(got, []byte("Dear")) {
				t.Fatalf("%s: page %d wrote %q", f, n+1, got)
			}
		}
	}
}

// Every format but plain text says which facet and model read a page, and how it was asked.
func TestProvenance(t *testing.T) {
	rec := pages()["page"]
	rec.Effective.Facet = "0.9"
	written := map[string][]byte{
		"md": document(t, WritePageMarkdown, rec), "alto": document(t, WriteALTO, rec), "hocr": document(t, WriteHOCR, rec),
		"overlay": document(t, func(w io.Writer, rec *job.Record, facet string) error {
			return WriteOverlay(w, image.NewGray(image.Rect(0, 0, 800, 500)), rec, facet)
		}, rec),
		"jsonl": document(t, func(w io.Writer, rec *job.Record, _ string) error { return WriteRecord(w, rec) }, rec),
	}
	for _, f := range []string{"md", "alto", "hocr"} {
		var b bytes.Buffer
		d, err := NewDocument(&b, f, About{Facet: "1.2", Source: rec.Source, Effective: rec.Effective, Pages: 1})
		if err == nil {
			err = errors.Join(d.Page(rec), d.End())
		}
		if err != nil {
			t.Fatal(err)
		}
		written["document "+f] = b.Bytes()
		if strings.Contains(b.String(), "page 1: ") {
			t.Errorf("%s: the page says again what the document does", f)
		}
	}
	for name, data := range written {
		for _, want := range []string{"0.9", "nano", "ab12", "cd34", "70"} { // version, model, hashes of model and question, budget
			if !bytes.Contains(data, []byte(want)) {
				t.Errorf("%s does not name %s", name, want)
			}
		}
		if bytes.Contains(data, []byte("1.2 ")) {
			t.Errorf("%s names the facet that writes it", name)
		}
	}
}
