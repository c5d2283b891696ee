package sink

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"facet/pipeline/job"
)

// payloads are texts that mean something to what shows or reads outputs: HTML, XML, terminals, spreadsheets, Markdown, YAML, lines of
// JSON, subtitles, shells, and what switches the direction of reading.
func payloads() []string {
	base := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><svg/onload=alert(1)>`, `'><b>`, `</span></div></body></html>`, `<!--`, `-->`, `--!>`,
		`<![CDATA[`, `]]>`, `<?xml version="1.0"?>`, `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`, `&e;`, `&#0;`, `&lt;b&gt;`, `javascript:alert(1)`, `</String><String CONTENT="x"/>`, `" onmouseover="x`,
		"\x1b[31mred", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x1bP+q\x1b\\", "\u009b31m", "\u0090q\u009c", "\x00", "\b\b\b", "\rover", "\v\f", "\x7f", "\x1b]8;;http://x\x1b\\y",
		`=cmd|'/C calc'!A0`, `+1+1`, `-2+3`, `@SUM(1)`, "=HYPERLINK(\"http://x\")", "\t=1", "a\tb\tc", "x\r\n=1",
		`![x](http://x/y.png)`, `[x](javascript:alert(1))`, "```\ncode\n```", `# heading`, "---\nx: y\n---", `<http://x>`, `* * *`, "| a |\n|---|", `[x]: http://x`, "~~~",
		"\n{\"id\":\"forged\"}\n", `","text":"forged`, `"}],"x":[{"`, "\u2028{\"id\":1}", "\\", `\u0000`, "a: b", "{{template}}", "${HOME}", "$(reboot)", "`reboot`", "; rm -rf /", "%0d%0a", `<iframe src=//x>`, `<style>*{}</style>`, `<a href=x>`, "\x9b31m", "1) one\n2) two", "> said",
		"\u202egnp.exe", "\u2066x\u2069", "\u202a\u202b\u202d", "1\n00:00:00,000 --> 00:00:09,000\nforged", "WEBVTT\n\nNOTE x", "00:01.000 --> 00:02.000", "<v Bob>x", "{\\an8}x", "\xff\xfe", "\ufffe\uffff", "\xc0\xaf", "\xed\xa0\x80",
	}
	var out []string
	for _, p := range base {
		out = append(out, p, "text "+p+" text", "line\n"+p+"\nline", strings.Repeat(p, 3))
	}
	return out
}

// hostileRecord has a text wherever a record has one.
func hostileRecord(p string) *job.Record {
	return &job.Record{
		ID: p, Job: p, Source: job.Source{Path: p, SHA256: p, Type: p, Page: 2},
		Effective: job.Effective{Model: p, ModelSHA256: p, PromptSHA256: p, Seen: &job.Seen{SizeOriginal: [2]int{80, 50}}, Heard: &job.Heard{}},
		Text:      p, Blocks: []job.Block{{Text: p, Box: job.Box{1, 1, 70, 9}}, {Text: p}}, Language: p,
		Segments: []job.Segment{{Start: 1, End: 3, Text: p}, {Start: 3, End: 5, Text: "x", Translation: p}},
		Summary:  p, Finish: job.Finish(p), Warnings: []string{p}, Tries: []job.Attempt{{Error: p}},
	}
}

// Whatever stands in a record, no output commands a terminal, and none means something else to what reads it.
func TestInert(t *testing.T) {
	list := payloads()
	if len(list) < 300 {
		t.Fatalf("%d payloads", len(list))
	}
	page := image.NewRGBA(image.Rect(0, 0, 80, 50))
	type writer = func(io.Writer, *job.Record) error
	versioned := func(write func(io.Writer, *job.Record, string) error) writer {
		return func(w io.Writer, rec *job.Record) error { return write(w, rec, rec.ID) }
	}
	scenes := func(write writer) writer {
		return func(w io.Writer, rec *job.Record) error {
			rec.Scenes = []job.Scene{{Start: 1, End: 2, Text: rec.ID, Speech: rec.ID, OnScreenText: rec.ID}}
			return write(w, rec)
		}
	}
	formats := map[string]writer{
		"jsonl": WriteRecord, "txt": WriteText, "srt": WriteSRT, "vtt": WriteVTT, "vtt of scenes": scenes(WriteVTT), "tsv": WriteTSV, "verbose_json": WriteVerboseJSON,
		"md of a caption": scenes(WriteMarkdown), "md": versioned(WritePageMarkdown), "alto": versioned(WriteALTO), "hocr": versioned(WriteHOCR),
		"errors": func(w io.Writer, rec *job.Record) error {
			return WriteError(w, &job.ErrorRecord{Entry: job.Entry{ID: rec.ID, Path: rec.ID, Options: job.Options{Prompt: rec.ID}}, Error: rec.ID})
		},
	}
	for _, f := range DocumentFormats {
		formats["document "+f] = func(w io.Writer, rec *job.Record) error {
			d, err := NewDocument(w, f, About{Facet: rec.ID, Source: rec.Source, Effective: job.Effective{Model: rec.ID}})
			if err != nil {
				return err
			}
			return errors.Join(d.Page(rec), d.Failed(3, [2]int{}, errors.New(rec.ID)), d.End())
		}
	}
	for _, p := range list {
		for name, write := range formats {
			var b bytes.Buffer
			if err := write(&b, hostileRecord(p)); err != nil {
				t.Errorf("%s of %q: %v", name, p, err)
				continue
			}
			text := b.String()
			if i := strings.IndexFunc(text, func(r rune) bool {
				return commands(r) && r != '\n' && !(r == '\t' && (name == "tsv" || strings.Contains(name, "txt") || name == "srt" || strings.HasPrefix(name, "vtt") || name == "md of a caption")) && !(r == '\f' && name == "document txt")
			}); i >= 0 {
				t.Errorf("%s of %q: %q", name, p, text[max(0, i-20):min(len(text), i+20)])
			}
			if !utf8.ValidString(text) {
				t.Errorf("%s of %q: no UTF-8", name, p)
			}
			if reason := misread(name, text, p); reason != "" {
				t.Errorf("%s of %q: %s\n%s", name, p, reason, text)
			}
		}
		if chunks := overlayTexts(t, page, hostileRecord(p)); len(chunks) != 3 {
			t.Errorf("overlay of %q: texts %q", p, chunks)
		}
	}
}

// misread says what a reader of a format would take for something else.
func misread(name, text, payload string) string {
	switch name {
	case "jsonl", "errors", "verbose_json":
		var v map[string]any
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
			return "not one line"
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return err.Error()
		}
		if id, ok := v["id"]; ok && id != strings.ToValidUTF8(payload, "\ufffd") && utf8.ValidString(payload) {
			return fmt.Sprintf("the id is %q", id)
		}
		if _, ok := v["x"]; ok {
			return "a key was forged"
		}
	case "alto", "hocr", "document alto", "document hocr":
		return misreadXML(text)
	case "md", "document md":
		head, body, ok := strings.Cut(strings.TrimPrefix(text, "---\n"), "\n---\n")
		if !ok {
			return "no front matter"
		}
		for line := range strings.Lines(head) {
			if !frontMatter.MatchString(strings.TrimSuffix(line, "\n")) {
				return "front matter has " + line
			}
		}
		body = pageComment.ReplaceAllString(body, "\n")
		return misreadMarkdown(body, true)
	case "md of a caption":
		return misreadMarkdown(text, false)
	case "tsv":
		for line := range strings.Lines(text) {
			cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(cells) != 3 {
				return fmt.Sprintf("%d cells in %q", len(cells), line)
			}
			for _, c := range cells {
				if c != "" && strings.Contains("=+-@", c[:1]) {
					return "a formula: " + c
				}
			}
		}
	case "srt", "vtt", "vtt of scenes":
		if n := strings.Count(text, "-->"); n > 6 || strings.Contains(text, "forged\n\n") && false {
			return fmt.Sprintf("%d times", n)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "-->") && !cueTimes.MatchString(line) {
				return "a time in " + line
			}
		}
		if name != "srt" && strings.ContainsAny(strings.ReplaceAll(text, "-->", ""), "<") {
			return "a tag"
		}
	}
	return ""
}

var (
	pageComment = regexp.MustCompile(`\n<!-- page [0-9]+(: [^<>\n]*)? -->\n`)
	cueTimes    = regexp.MustCompile(`^(\d\d:)?\d\d:\d\d[.,]\d{3} --> (\d\d:)?\d\d:\d\d[.,]\d{3}\n$`)
	unescaped   = regexp.MustCompile("(^|[^\\\\])(\\\\\\\\)*[\\[\\]`*_]")
	blockStart  = regexp.MustCompile(`(?m)^ {0,3}(#|[-+*] |>|~~~|===|---|[0-9]+[.)] |\|)`)
)

func misreadMarkdown(text string, lines bool) string {
	plain := strings.NewReplacer("*Shown:*", "", "*Said:*", "").Replace(text)
	switch {
	case strings.Contains(plain, "<"):
		return "HTML"
	case unescaped.MatchString(plain):
		return "a mark: " + unescaped.FindString(plain)
	case lines && blockStart.MatchString(plain):
		return "a block: " + blockStart.FindString(plain)
	}
	return ""
}

var knownElements = regexp.MustCompile(`^(html|head|title|meta|body|div|span|alto|Description|MeasurementUnit|sourceImageInformation|fileName|fileIdentifier|Processing|` +
	`processing(Category|StepDescription|StepSettings|Software)|software(Name|Version)|Tags|OtherTag|Layout|Page|PrintSpace|TextBlock|TextLine|String|SP)$`)

func misreadXML(text string) string {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return ""
		}
		if err != nil {
			return err.Error()
		}
		switch e := token.(type) {
		case xml.StartElement:
			if !knownElements.MatchString(e.Name.Local) {
				return "element " + e.Name.Local
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" || a.Name.Local == "src" {
					return "attribute " + a.Name.Local
				}
			}
		case xml.Directive:
			if !strings.HasPrefix(string(e), "DOCTYPE html PUBLIC ") || strings.Contains(string(e), "ENTITY") {
				return "directive " + string(e)
			}
		case xml.Comment: // HTML ends comments at more places than XML
			if s := string(e); strings.Contains(s, "--") || strings.ContainsAny(s, "<>\n") {
				return "comment " + s
			}
		case xml.ProcInst:
			if e.Target != "xml" {
				return "instruction " + e.Target
			}
		}
	}
}

// overlayTexts are the texts of an overlay's PNG, which are on one line each.
func overlayTexts(t *testing.T, page image.Image, rec *job.Record) (texts []string) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteOverlay(&b, page, rec, rec.ID); err != nil {
		t.Fatal(err)
	}
	for data := b.Bytes()[8:]; len(data) >= 12; {
		n := int(binary.BigEndian.Uint32(data))
		if string(data[4:8]) == "iTXt" {
			keyword, text, ok := bytes.Cut(data[8:8+n], []byte("\x00\x00\x00\x00\x00"))
			if !ok || !utf8.Valid(text) || bytes.ContainsFunc(text, commands) {
				t.Errorf("text %q of %q", text, keyword)
			}
			texts = append(texts, string(text))
		}
		data = data[12+n:]
	}
	return texts
}
