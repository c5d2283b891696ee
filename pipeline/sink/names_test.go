package sink

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStem(t *testing.T) {
	long := strings.Repeat("ä", 200) + ".png"
	cases := []struct {
		source string
		page   int
		want   string
	}{
		{"a.png", 0, "a.png"},
		{"scans/2024/a.b.png", 0, "scans/2024/a.b.png"},
		{"./scans//a.png", 0, "scans/a.png"},
		{"b.pdf", 3, "b.pdf.p0003"},
		{"b.pdf", 12345, "b.pdf.p12345"},
		{"b.pdf", 0, "b.pdf"},
		{"b.pdf", -1, "b.pdf"},
		{"a.tar/x.png", 0, "a.tar/x.png"},
		{"noextension", 0, "noextension"},

		{"/etc/passwd", 0, "etc/passwd"},
		{"../../etc/passwd.png", 0, "etc/passwd.png"},
		{`..\..\windows\a.png`, 0, "windows/a.png"},
		{`C:\scans\a.png`, 0, "C_/scans/a.png"},
		{"a/../../b.png", 0, "a/b.png"},
		{"..", 0, "_"},
		{"", 0, "_"},
		{"a\x00b\x1b.png", 0, "a_b_.png"},
		{"a\xff.png", 0, "a_.png"},
		{"gnp\u202e.png", 0, "gnp_.png"},
		{`a:b<c>|"?*.png`, 0, "a_b_c_____.png"},
		{".png", 0, "_png"},
		{".hidden/.a.png", 0, "_hidden/_a.png"},
		{"dots.../a .png", 0, "dots/a .png"},
		{"a.png. ", 0, "a.png"},
		{"-rf.png", 0, "-rf.png"},
		{"con.png", 0, "_con.png"},
		{"Aux/com1.tar.png", 0, "_Aux/_com1.tar.png"},
		{"e\u0301.png", 0, "é.png"}, // composed
		{long, 0, strings.Repeat("ä", 55) + "~" + digest(long)},
	}
	for _, c := range cases {
		if got := NewNames(NameOptions{}).Stem(Template{}, Named{Source: c.source, Page: c.page}, ".txt"); got != c.want {
			t.Errorf("Stem(%q, %d) = %q, want %q", c.source, c.page, got, c.want)
		}
	}
}

func TestTemplate(t *testing.T) {
	page := Named{Source: "scans/new/b.x.pdf", Page: 7, ID: "3f2a.p7", Job: "ocr", N: 12}
	image := Named{Source: "scans/a.png", ID: "../e\\vil", Job: "ocr", N: 3}
	bare := Named{Source: "scans/README", N: 1}
	for _, c := range []struct {
		template string
		item     Named
		want     string
	}{
		{"{dir}/{name}{p}", page, "new/b.x.pdf.p0007"},
		{"{dir}/{stem}{p}", page, "new/b.x.p0007"},
		{"{stem}-{page}", page, "b.x-7"},
		{"{stem}-{page4}.{ext}", page, "b.x-0007.pdf"},
		{"{job}/{n}/{id}", page, "ocr/12/3f2a.p7"},
		{"{stem}/{page}", page, "b.x/7"},
		{"{name}/{page4}", image, "a.png/_"},
		{"{dir}/{name}{p}", image, "a.png"},
		{"{id}", image, "_._e_vil"},
		{"all {job}/{dir}/{stem}.{ext}", image, "all ocr/a.png"},
		{"{dir}/{stem}.{ext}", bare, "README"},
	} {
		tm, err := ParseTemplate(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		if got := NewNames(NameOptions{Shared: "scans"}).Stem(tm, c.item, ".txt"); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.template, c.item.Source, got, c.want)
		}
	}
	for template, want := range map[string]string{
		"":                               "all items would have one name",
		"{dir}/{page4}":                  "all items would have one name",
		"{name":                          "{ without }",
		"name}":                          "} without {",
		"{name}}":                        "} without {",
		"{{name}}":                       "no field {{name}",
		"{file}":                         "no field {file}: want some of {dir} {name} {stem} {ext} {page} {page4} {p} {id} {job} {n}",
		"/tmp/{name}":                    "begins with a slash",
		"../{name}":                      "leads out",
		"a/../{name}":                    "leads out",
		"{name}/..":                      "leads out",
		"a//{name}":                      `"" is no name`,
		"{name}/":                        `"" is no name`,
		"./{name}":                       `"." is no name`,
		".hidden/{name}":                 `".hidden" is no name on every system`,
		"con/{name}":                     `"con" is no name on every system`,
		`C:\{name}`:                      "is no name on every system",
		"{name}\x1b[31m":                 "is no name on every system",
		"{name} ":                        "is no name on every system",
		"{name}\xff":                     "is no name on every system",
		"{n}" + strings.Repeat("x", 198): "201 bytes: at most 200",
	} {
		if _, err := ParseTemplate(template); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "name ") {
			t.Errorf("%q: error %v, want %q", template, err, want)
		}
	}
}

// What has a place already keeps it: files of the run, and what others put there.
func TestStemKeepsOff(t *testing.T) {
	there := map[string]bool{"a.png.txt": true, "dir": true}
	n := NewNames(NameOptions{
		Reserved: []string{"run.json", "Records.jsonl"},
		Occupied: func(name string, folder bool) bool { return there[name] },
	})
	mark := func(source string) string { return "~" + digest("0 "+source) }
	for _, c := range []struct{ source, suffix, want string }{
		{"a.png", ".txt", "a.png" + mark("a.png")},
		{"a.png", ".md", "a.png"},
		{"dir/b.png", ".txt", "b.png" + mark("dir/b.png")},
		{"run", ".json", "run" + mark("run")},
		{"RUN", ".JSON", "RUN" + mark("RUN")},
		{"records", ".jsonl", "records" + mark("records")},
		{"run.json/x", ".json", "x" + mark("run.json/x")},
		{"a.png", ".txt", "a.png" + mark("a.png")},
	} {
		if got := n.Stem(Template{}, Named{Source: c.source}, c.suffix); got != c.want {
			t.Errorf("%s%s: %q, want %q", c.source, c.suffix, got, c.want)
		}
	}
	// Formats of one item share a name, also where that of one of them is taken.
	if got, want := n.Stem(Template{}, Named{Source: "a.png"}, ".hocr", ".txt"), "a.png"+mark("a.png"); got != want {
		t.Errorf("of two formats %q, want %q", got, want)
	}
	// Other templates take places of the same folder.
	n.Stem(Template{}, Named{Source: "c"}, ".txt")
	if got, want := n.Stem(SidecarTemplate, Named{Source: "c.png"}, ".txt"), "c"+mark("c.png"); got != want {
		t.Errorf("of two templates %q, want %q", got, want)
	}
}

func TestSharedFolder(t *testing.T) {
	for _, c := range []struct {
		sources []string
		folder  string
		stems   []string
	}{
		{nil, "", nil},
		{[]string{"a.png"}, "", []string{"a.png"}},
		{[]string{"/home/x/scans/a.png"}, "home/x/scans", []string{"a.png"}},
		{[]string{"scans/a.png", "./scans//b.png"}, "scans", []string{"a.png", "b.png"}},
		{[]string{"scans/a.png", "scans/new/a.png"}, "scans", []string{"a.png", "new/a.png"}},
		{[]string{"one/a.png", "two/a.png"}, "", []string{"one/a.png", "two/a.png"}},
		{[]string{"../in/one/a.png", "../in/two/a.png"}, "../in", []string{"one/a.png", "two/a.png"}},
		{[]string{"scans/a.png", "scans"}, "", []string{"scans/a.png", "scans"}},
		{[]string{`C:\scans\a.png`, `C:\scans\b.png`}, "C:/scans", []string{"a.png", "b.png"}},
		{[]string{"scans/a.png", "scans/a.png", "scans/a.jpg", "scans/A.jpg"}, "scans", []string{"a.png", "a.png", "a.jpg", "A.jpg~" + digest("0 scans/A.jpg")}},
		{[]string{"", "a.png"}, "", []string{"_", "a.png"}},
	} {
		got := SharedFolder(c.sources)
		if got != c.folder {
			t.Errorf("%q: shared folder %q, want %q", c.sources, got, c.folder)
		}
		n := NewNames(NameOptions{Shared: got})
		for i, source := range c.sources {
			if stem := n.Stem(Template{}, Named{Source: source}, ".txt"); stem != c.stems[i] {
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
	for _, tm := range []Template{DefaultTemplate, SidecarTemplate, mustTemplate("{stem}")} {
		testDistinct(t, tm, sources, suffixes)
	}
}

func testDistinct(t *testing.T, tm Template, sources, suffixes []string) {
	n := NewNames(NameOptions{})
	var files []string
	for _, source := range sources {
		for page := range 2 {
			stem := n.Stem(tm, Named{Source: source, Page: page}, suffixes...)
			if again := n.Stem(tm, Named{Source: source, Page: page}, suffixes...); again != stem {
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
		s := NewNames(NameOptions{}).Stem(Template{}, Named{Source: source, Page: page}, ".txt") + ".txt"
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
