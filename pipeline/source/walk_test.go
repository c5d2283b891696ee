package source

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/pipeline/sink"
)

func TestRecursive(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"in/a.png", "in/b/c.png", "in/b/.git/x.png", "in/b/d/e.png", "in/z.png", "in/b/notes.txt"} {
		put(t, dir, name, "")
	}
	link(t, "..", filepath.Join(dir, "in/b/up"))
	link(t, ".", filepath.Join(dir, "in/here"))
	link(t, "b/d", filepath.Join(dir, "in/same"))
	link(t, "itself", filepath.Join(dir, "in/itself"))
	o := images
	o.Recursive = true
	s := open(t, o, "in/")
	expect(t, s, "in/a.png", "in/b/c.png", "in/b/d/e.png", "in/z.png")
	if diff := cmp.Diff([]string{
		"in/b/up: leads to the same folder as in/ and is not entered again",
		"in/here: leads to the same folder as in/ and is not entered again",
		"in/same: leads to the same folder as in/b/d and is not entered again",
	}, s.Warnings()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Folder() != "in" || s.Skipped() != 2 {
		t.Errorf("folder %q, %d skipped", s.Folder(), s.Skipped())
	}

	o.Limits.Depth = 2
	s = open(t, o, "in")
	if s.Len() != 4 || !slices.Contains(s.Warnings(), "in/b/d: more than 2 folders deep, not entered") { // it is met again as in/same
		t.Errorf("%d items, %q", s.Len(), s.Warnings())
	}
}

func TestFilters(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"in/a.png", "in/a.jpg", "in/new/a.png", "in/new/b.png", "in/old/a.png", "in/old/new/c.png"} {
		put(t, dir, name, "")
	}
	for _, c := range []struct{ include, exclude, want string }{
		{"", "", "a.jpg a.png new/a.png new/b.png old/a.png old/new/c.png"},
		{"*.png", "", "a.png new/a.png new/b.png old/a.png old/new/c.png"},
		{"new/*", "", "new/a.png new/b.png"},
		{"**/new/*", "", "new/a.png new/b.png old/new/c.png"},
		{"**/a.*", "", "a.jpg a.png new/a.png old/a.png"},
		{"[ab].jpg,c.*", "", "a.jpg old/new/c.png"},
		{"", "old", "a.jpg a.png new/a.png new/b.png"},
		{"", "old/*", "a.jpg a.png new/a.png new/b.png"},
		{"", "new", "a.jpg a.png old/a.png"},
		{"", "/new", "a.jpg a.png new/a.png new/b.png old/a.png old/new/c.png"},
		{"*.png", "old/**,b.*", "a.png new/a.png"},
		{"**", "**/new/**", "a.jpg a.png old/a.png"},
	} {
		o := images
		o.Recursive = true
		if c.include != "" {
			o.Include = strings.Split(c.include, ",")
		}
		if c.exclude != "" {
			o.Exclude = strings.Split(c.exclude, ",")
		}
		got := strings.ReplaceAll(strings.Join(told(t, open(t, o, "in")), " "), "in/", "")
		if got != c.want {
			t.Errorf("include %q, exclude %q:\n got %s\nwant %s", c.include, c.exclude, got, c.want)
		}
	}
	for _, o := range []Options{{Include: []string{"["}}, {Exclude: []string{""}}} {
		if _, err := Open([]string{"in"}, o); err == nil || !strings.HasSuffix(err.Error(), ": not a pattern") {
			t.Errorf("got %v", err)
		}
	}
}

// ** must not cost more than the product of the lengths.
func TestManyStars(t *testing.T) {
	pattern := strings.TrimSuffix(strings.Repeat("**/a/", 200), "/")
	name := strings.Repeat("a/", 1000) + "b"
	if matchAny([]string{pattern}, name) || !matchAny([]string{pattern}, name[:len(name)-2]) {
		t.Error("a wrong match")
	}
}

func TestGlobs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.png", "b.png", "notes.txt", "in/c.png", "in/d/e.png", "in/d/notes.txt", "in/.f.png", "[1].png", "out/d/g.png"} {
		put(t, dir, name, "")
	}
	for pattern, want := range map[string]string{
		"?.png":         "a.png b.png",
		"*.png":         "[1].png a.png b.png",
		"[1].png":       "[1].png", // a file of that name is no pattern
		"[ab]*":         "a.png b.png",
		"*/d/*.png":     "in/d/e.png out/d/g.png",
		"*/d":           "in/d/e.png out/d/g.png",
		"**/*.png":      "[1].png a.png b.png in/c.png in/d/e.png out/d/g.png",
		"in/**":         "in/c.png in/d/e.png",
		"in/**/e.png":   "in/d/e.png",
		"./in//*.png":   "in/c.png",
		"in/.*.png":     "in/.f.png",
		"not*.txt":      "notes.txt",
		dir + "/b*":     dir + "/b.png",
		"in/../?.png":   "a.png b.png",
		"**/d/e.*":      "in/d/e.png",
		"in/**/**/*.p*": "in/c.png in/d/e.png",
	} {
		if got := strings.Join(told(t, open(t, images, pattern)), " "); got != filepath.ToSlash(want) {
			t.Errorf("%s:\n got %s\nwant %s", pattern, got, want)
		}
	}
	for _, pattern := range []string{"*.gif", "nowhere/*", "a.png/*", "**/*.gif"} {
		if _, err := Open([]string{pattern}, images); err == nil || err.Error() != pattern+": no file is called so, and as a pattern it matches nothing" {
			t.Errorf("%s: got %v", pattern, err)
		}
	}
	if _, err := Open([]string{"[x"}, images); err == nil || err.Error() != `pattern "[x": not a pattern` {
		t.Errorf("got %v", err)
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "in/a.png", "")
	put(t, dir, "list.jsonl", `{"path": "b.png"}`)
	o := images
	o.Stdin = strings.NewReader("c.png\n\nin\n-\nlist.jsonl\n*.png\n d.png \nc.png\nlast\xff")
	s := open(t, o, "first.png", "-", "after.png")
	expect(t, s, "first.png", "c.png", "in/a.png", "-", "b.png", "*.png", " d.png ", "last\xff", "after.png")
	if len(s.Warnings()) != 1 {
		t.Errorf("warnings %q", s.Warnings())
	}
	o.NulNames = true
	o.Stdin = strings.NewReader("two\nlines.png\x00\x00\x1b[31mred.png\x00-i\x00c\r")
	expect(t, open(t, o, "-"), "two\nlines.png", "\x1b[31mred.png", "-i", "c\r")
	for text, want := range map[string]string{
		"\x00": "-: no names on standard input",
		"a.png\x00missing\x00" + dir + "/in/none\x00":           "",
		"a.png\x00" + filepath.Join(dir, "list.jsonl") + "\x00": "",
		strings.Repeat("x", 2<<20):                              "-:1: longer than 1048576 bytes",
	} {
		o.Stdin = strings.NewReader(text)
		if _, err := Open([]string{"-"}, o); want != fmt.Sprint(errText(err)) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
	put(t, dir, "none/a.txt", "")
	o.Stdin = strings.NewReader("a.png\x00none\x00")
	if _, err := Open([]string{"-"}, o); errText(err) != "-:2: none: no images in this folder, one other file" {
		t.Errorf("got %v", err)
	}
	o.Stdin = strings.NewReader("a.png")
	if _, err := Open([]string{"-", "-"}, o); errText(err) != "-: standard input is named twice" {
		t.Errorf("got %v", err)
	}
	if _, err := Open([]string{"-"}, images); errText(err) != "-: there is no standard input" {
		t.Errorf("got %v", err)
	}
	if _, err := Open([]string{""}, images); errText(err) != "an empty path" {
		t.Errorf("got %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLimitAndSample(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var members []entryOf
	for i := range 50 {
		put(t, dir, fmt.Sprintf("in/%02d.png", i), "")
		members = append(members, entryOf{name: fmt.Sprintf("%02d.png", i)})
	}
	put(t, dir, "a.tar", string(tarOf(t, members...)))
	all := told(t, open(t, images, "in", "a.tar"))
	if len(all) != 100 {
		t.Fatalf("%d items", len(all))
	}
	for _, c := range []struct{ limit, sample, want int }{{3, 0, 3}, {70, 0, 70}, {200, 0, 100}, {0, 10, 10}, {0, 200, 100}, {20, 5, 5}, {5, 20, 5}} {
		o := images
		o.Limit, o.Sample, o.Seed = c.limit, c.sample, 1
		s := open(t, o, "in", "a.tar")
		got := told(t, s)
		if len(got) != c.want || s.Len() != c.want {
			t.Errorf("%+v: %d items, Len %d", c, len(got), s.Len())
		}
		if s.Folder() != "" {
			t.Errorf("%+v: folder %q", c, s.Folder())
		}
		if diff := cmp.Diff(got, told(t, s)); diff != "" {
			t.Errorf("%+v: another sample the second time:\n%s", c, diff)
		}
		at := -1
		for _, path := range got { // in order, among those that Limit leaves
			i := slices.Index(all, path)
			if i <= at || c.limit > 0 && i >= c.limit {
				t.Errorf("%+v: %s at %d after %d", c, path, i, at)
			}
			at = i
		}
	}
	// Every item is chosen about as often as the others: 3,000 samples of 10 of 50.
	count := map[string]int{}
	for seed := range 3000 {
		o := images
		o.Sample, o.Seed = 10, uint64(seed)
		for _, path := range told(t, &Sources{options: o, items: listOf(50), dirs: []string{""}}) {
			count[path]++
		}
	}
	for path, n := range count { // 600 expected, and 22 their standard deviation
		if n < 490 || n > 710 {
			t.Errorf("%s: chosen %d times", path, n)
		}
	}
	if len(count) != 50 {
		t.Errorf("%d ever chosen", len(count))
	}
}

func listOf(n int) []listed {
	var list []listed
	for i := range n {
		list = append(list, listed{name: fmt.Sprint(i)})
	}
	return list
}

// Folder is sink.SharedFolder of all paths.
func TestSharedFolder(t *testing.T) {
	for _, paths := range [][]string{
		{"a/b/x.png", "a/b/y.png"}, {"a/b/x.png", "a/c/y.png"}, {"a/x.png", "b/x.png"}, {"x.png"}, {"/r/a/x.png", "/r/b.png"},
		{"./a/x.png", "a/y.png"}, {"a/b/c/d.png", "a/b/e.png", "a/b/c/f.png"}, {"a/x", "ab/x"}, {"../a/x", "../a/y"}, {},
	} {
		s, err := Open(paths, images)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.Folder(), sink.SharedFolder(paths); got != want {
			t.Errorf("%q: got %q, want %q", paths, got, want)
		}
	}
}

func TestAllEndsWithContext(t *testing.T) {
	s := open(t, images, "a", "b", "c")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range s.All(ctx) {
		n++
		cancel()
	}
	if n != 1 {
		t.Errorf("%d items after the end", n)
	}
}

// A million files fit into a small part of what the engine takes.
func TestMemory(t *testing.T) {
	const n = 50_000
	var names strings.Builder
	for i := range n {
		fmt.Fprintf(&names, "no/such/folder/with/a/long/name/%03d/page-%06d.png\n", i%500, i)
	}
	o := images
	o.Stdin = strings.NewReader(names.String())
	before := heap()
	s := open(t, o, "-")
	after := heap()
	each := float64(after-before) / n
	t.Logf("%.0f bytes an item", each)
	if each > 160 { // 48 for the entry and up to a quarter of them spare, 16 for the name, 17 to 34 of the index of identities
		t.Errorf("%.0f bytes an item", each)
	}
	if s.Len() != n {
		t.Errorf("%d items", s.Len())
	}
	runtime.KeepAlive(s)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestWarningsAreBounded(t *testing.T) {
	s := open(t, images, slices.Repeat([]string{"a.png"}, 1000)...)
	w := s.Warnings()
	if len(w) != keptWarnings+1 || w[keptWarnings] != "and 899 more warnings like these" || s.Len() != 1 {
		t.Errorf("%d warnings, the last %q", len(w), w[len(w)-1])
	}
}
