package sink

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"facet/pipeline/job"
)

// countWriter counts calls of Write.
type countWriter struct {
	bytes.Buffer
	calls int
}

func (w *countWriter) Write(p []byte) (int, error) {
	w.calls++
	return w.Buffer.Write(p)
}

func TestOneWriteALine(t *testing.T) {
	var w countWriter
	for i := range 3 {
		if err := WriteRecord(&w, &job.Record{ID: "a\nb", Text: strings.Repeat("x\n", 100000)}); err != nil {
			t.Fatal(err)
		}
		if w.calls != 2*i+1 {
			t.Fatalf("record %d: %d writes so far", i, w.calls)
		}
		if err := WriteError(&w, &job.ErrorRecord{Entry: job.Entry{Path: "a\nb"}, Error: "c\nd"}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.String(), "\n"); n != w.calls || w.calls != 2*i+2 {
			t.Fatalf("%d writes, %d lines", w.calls, n)
		}
	}
}

func TestWriteText(t *testing.T) {
	for text, want := range map[string]string{
		"":              "",
		"a":             "a\n",
		"a\nb\n":        "a\nb\n",
		"\x1b[31mred\t": "\\x1b[31mred\t\n",
	} {
		var b bytes.Buffer
		if err := WriteText(&b, &job.Record{Text: text}); err != nil || b.String() != want {
			t.Errorf("%q: got %q, want %q, %v", text, b.String(), want, err)
		}
	}
}

func TestPrintable(t *testing.T) {
	cases := []struct{ in, many, one string }{
		{"plain ä 漢 😀", "plain ä 漢 😀", "plain ä 漢 😀"},
		{"a\tb\nc", "a\tb\nc", `a\tb\nc`},
		{"\x1b]0;title\x07", `\x1b]0;title\x07`, `\x1b]0;title\x07`},
		{"a\rb\x00\x7f\u009b2J", `a\x0db\x00\x7f\x9b2J`, `a\x0db\x00\x7f\x9b2J`},
		{"evil\u202egnp.exe", `evil\u202egnp.exe`, `evil\u202egnp.exe`},
		{"a\u2066b\u2028c", `a\u2066b\u2028c`, `a\u2066b\u2028c`},
		{"می\u200cخواهم", "می\u200cخواهم", "می\u200cخواهم"}, // a joiner is spelling
		{"a\xff\xc3", `a\xff\xc3`, `a\xff\xc3`},
		{"\ufffd", "\ufffd", "\ufffd"},
	}
	for _, c := range cases {
		if got := Printable(c.in); got != c.many {
			t.Errorf("Printable(%q) = %q, want %q", c.in, got, c.many)
		}
		if got := PrintableLine(c.in); got != c.one {
			t.Errorf("PrintableLine(%q) = %q, want %q", c.in, got, c.one)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		p := PrintableLine(s)
		if !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return commands(r) || r == '\n' || r == '\t' }) {
			t.Fatalf("%q became %q", s, p)
		}
		if PrintableLine(p) != p {
			t.Fatalf("%q is not printable", p)
		}
	})
}
