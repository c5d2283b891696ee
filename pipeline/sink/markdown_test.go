package sink

import (
	"regexp"
	"strings"
	"testing"

	"facet/pipeline/job"
)

func TestPageMarkdownDocument(t *testing.T) {
	golden(t, "page.md", document(t, WritePageMarkdown, pages()["page"]))
	golden(t, "blank.md", document(t, WritePageMarkdown, pages()["blank"]))
}

// body is what stands below the front matter, which has a line for each name.
func body(t *testing.T, document string) string {
	t.Helper()
	about, text, ok := strings.Cut(strings.TrimPrefix(document, "---\n"), "\n---\n")
	if !ok {
		t.Fatalf("no front matter in %q", document)
	}
	for line := range strings.Lines(about) {
		if !frontMatter.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("front matter has %q", line)
		}
	}
	return text
}

var frontMatter = regexp.MustCompile(`^[a-z_0-9]+: (true|[0-9.]+|"([^"\\]|\\.)*")$`)

// Text stays text (CommonMark 0.31, sections 4 and 5).
func TestPageMarkdownEscapes(t *testing.T) {
	for text, want := range map[string]string{
		"plain text":      "plain text",
		"- item":          `\- item`,
		"+ item":          `\+ item`,
		"* item":          `\* item`,
		"1. first":        `1\. first`,
		"12) twelfth":     `12\) twelfth`,
		"1.5 is a number": `1\.5 is a number`,
		"2026":            "2026",
		"# heading":       `\# heading`,
		"===":             `\===`,
		"---":             `\---`,
		"> said":          `\> said`,
		"    code":        "code",
		"~~~":             `\~~~`,
		"```":             "\\`\\`\\`",
		"| a | b |":       `\| a | b |`,
		":--|--:":         `\:--|--:`,
		"[a](b) <i>&amp;": `\[a\](b) &lt;i>&amp;amp;`,
		"a  \nb":          "a\nb",
		"a\n\n\n- b":      "a\n\n\\- b",
		`end\`:            `end\\`,
		"---\nx: y\n---":  "\\---\nx: y\n\\---",
		"\u202eab\x1b[0m": `\\u202eab\\x1b\[0m`,
	} {
		rec := &job.Record{Text: text}
		if got := body(t, string(document(t, WritePageMarkdown, rec))); got != "\n"+want+"\n" {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	for name, rec := range pages() {
		text := body(t, string(document(t, WritePageMarkdown, rec)))
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && commands(r) }) || strings.Contains(text, "<") {
			t.Errorf("%s: %q", name, text)
		}
	}
}
