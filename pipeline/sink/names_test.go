package sink

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStem(t *testing.T) {
	long := strings.Repeat("ä", 200)
	cases := []struct {
		source string
		page   int
		want   string
	}{
		{"a.png", 0, "a"},
		{"scans/2024/a.b.png", 0, "scans/2024/a.b"},
		{"./scans//a.png", 0, "scans/a"},
		{"b.pdf", 3, "b.p3"},
		{"noextension", 0, "noextension"},

		{"/etc/passwd", 0, "etc/passwd"},
		{"../../etc/passwd.png", 0, "etc/passwd"},
		{`..\..\windows\a.png`, 0, "windows/a"},
		{`C:\scans\a.png`, 0, "C_/scans/a"},
		{"a/../../b.png", 0, "a/b"},
		{"..", 0, "_"},
		{"", 0, "_"},
		{"a\x00b\x1b.png", 0, "a_b_"},
		{"a\xff.png", 0, "a_"},
		{"gnp\u202e.png", 0, "gnp_"},
		{`a:b<c>|"?*.png`, 0, "a_b_c_____"},
		{".png", 0, "_"},
		{".hidden/.a.png", 0, "_hidden/_a"},
		{"dots.../a .png", 0, "dots/a"},
		{"-rf.png", 0, "-rf"},
		{"con.png", 0, "_con"},
		{"Aux/com1.tar.png", 0, "_Aux/_com1.tar"},
		{"e\u0301.png", 0, "é"}, // composed
		{long + ".png", 0, strings.Repeat("ä", 55) + "~" + digest(long)},
	}
	for _, c := range cases {
		if got := NewNames("", ".txt").Stem(c.source, c.page); got != c.want {
			t.Errorf("Stem(%q, %d) = %q, want %q", c.source, c.page, got, c.want)
		}
	}
}

func TestSharedFolder(t *testing.T) {
	for _, c := range []struct {
		sources []string
		folder  string
		stems   []string
	}{
		{nil, "", nil},
		{[]string{"a.png"}, "", []string{"a"}},
		{[]string{"/home/x/scans/a.png"}, "home/x/scans", []string{"a"}},
		{[]string{"scans/a.png", "./scans//b.png"}, "scans", []string{"a", "b"}},
		{[]string{"scans/a.png", "scans/new/a.png"}, "scans", []string{"a", "new/a"}},
		{[]string{"one/a.png", "two/a.png"}, "", []string{"one/a", "two/a"}},
		{[]string{"../in/one/a.png", "../in/two/a.png"}, "../in", []string{"one/a", "two/a"}},
		{[]string{"scans/a.png", "scans"}, "", []string{"scans/a", "scans"}},
		{[]string{`C:\scans\a.png`, `C:\scans\b.png`}, "C:/scans", []string{"a", "b"}},
		{[]string{"scans/a.png", "scans/a.png", "scans/A.jpg"}, "scans", []string{"a", "a", "A~" + digest("0 scans/A.jpg")}},
		{[]string{"", "a.png"}, "", []string{"_", "a"}},
	} {
		got := SharedFolder(c.sources)
		if got != c.folder {
			t.Errorf("%q: shared folder %q, want %q", c.sources, got, c.folder)
		}
		n := NewNames(got, ".txt")
		for i, source := range c.sources {
			if stem := n.Stem(source, 0); stem != c.stems[i] {
				t.Errorf("%q: %s has stem %q, want %q", c.sources, source, stem, c.stems[i])
			}
		}
	}
}

// No two items share a file, on a disk that folds case either, and no file
// needs the name of a folder.
func TestStemsAreDistinct(t *testing.T) {
	sources := []string{
		"a.png", "a.jpg", "A.png", "./a.png", "../a.png", "/a.png", "b/a.png", "B/A.png", "b\\a.png",
		"c", "c.txt/x.png", "d.txt/x.png", "d", "d.txt", "E\u0301.png", "é.png", "stra\u00dfe.png", "strasse.png", "STRASSE.png",
		"con.png", "_con.png", "a?.png", "a*.png", "a_.png", strings.Repeat("x/", 3000) + "a.png", strings.Repeat("y/", 3000) + "a.png",
		strings.Repeat("z", 5000), strings.Repeat("z", 5001), "", ".", "..", "\x00", "\x01", "a~" + digest("0 A.png") + ".png",
	}
	suffixes := []string{".txt", ".png"}
	n := NewNames("", suffixes...)
	var files []string
	for _, source := range sources {
		for page := range 2 {
			stem := n.Stem(source, page)
			if again := n.Stem(source, page); again != stem {
				t.Errorf("Stem(%.40q) = %q and then %q", source, stem, again)
			}
			for _, suffix := range suffixes {
				files = append(files, stem+suffix)
			}
		}
	}
	for i, file := range files {
		for j, other := range files {
			if i != j && (strings.EqualFold(file, other) || len(other) < len(file) && strings.EqualFold(file[:len(other)+1], other+"/")) {
				t.Errorf("%.40q and %.40q are given %s and %s", sources[j/4], sources[i/4], other, file)
			}
		}
	}
}

func FuzzStem(f *testing.F) {
	f.Add("a/../b.png", 0)
	f.Add("C:\\con\\..\\\x00", 2)
	f.Fuzz(func(t *testing.T, source string, page int) {
		s := NewNames("", ".txt").Stem(source, page) + ".txt"
		if !filepath.IsLocal(s) || !utf8.ValidString(s) || path.Clean(s) != s || len(s) > maxStem+50 || strings.ContainsAny(s, "\x00\\:") {
			t.Fatalf("Stem(%q, %d) gives %q", source, page, s)
		}
		for part := range strings.SplitSeq(s, "/") {
			if len(part) > 200 || strings.HasPrefix(part, ".") || strings.HasSuffix(part, " ") {
				t.Fatalf("Stem(%q, %d) has the part %q", source, page, part)
			}
		}
	})
}
