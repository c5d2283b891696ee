package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
)

var images = Options{Media: job.OCR.Media}

// page is a page of plain text, by number.
func page(n string) string { return fixtures.Path("pages/ocr_" + n + ".png") }

// put writes a file below dir and the folders on the way.
func put(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, old, path string) {
	t.Helper()
	if err := os.Symlink(old, path); err != nil {
		t.Skip(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// open is Open that must work.
func open(t *testing.T, o Options, paths ...string) *Sources {
	t.Helper()
	s, err := Open(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// told lists what All gives: paths, and errors behind theirs.
func told(t *testing.T, s *Sources) []string {
	t.Helper()
	var list []string
	for item, err := range s.All(t.Context()) {
		line := filepath.ToSlash(item.Path)
		if err != nil {
			line += ": " + err.Error()
		}
		list = append(list, line)
	}
	return list
}

func expect(t *testing.T, s *Sources, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(t, s)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Len() != len(want) {
		t.Errorf("Len %d after %d items", s.Len(), len(want))
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	png := read(t, page("00"))
	put(t, dir, "scans/b.png", png)
	put(t, dir, "scans/B.JPG", "by name alone")
	put(t, dir, "scans/a", png) // by content alone
	put(t, dir, "scans/c.txt", "no image")
	put(t, dir, "scans/d", "")
	put(t, dir, "scans/.e.png", png)
	put(t, dir, "scans/deeper/f.png", png)
	put(t, dir, "elsewhere/g.png", png)
	link(t, filepath.Join(dir, "elsewhere", "g.png"), filepath.Join(dir, "scans", "linked"))
	link(t, filepath.Join(dir, "nowhere"), filepath.Join(dir, "scans", "dangling.png"))
	link(t, filepath.Join(dir, "nowhere"), filepath.Join(dir, "scans", "dangling.txt"))
	link(t, filepath.Join(dir, "elsewhere"), filepath.Join(dir, "scans", "folder.png"))

	s := open(t, images, "elsewhere/g.png", "scans", "missing", "./elsewhere/../elsewhere/g.png")
	expect(t, s,
		"elsewhere/g.png",
		"scans/B.JPG", "scans/a", "scans/b.png", "scans/dangling.png", "scans/linked",
		"missing",
	)
	if s.Skipped() != 4 { // c.txt, d, .e.png, dangling.txt
		t.Errorf("%d skipped, want 4", s.Skipped())
	}
	if diff := cmp.Diff([]string{"./elsewhere/../elsewhere/g.png: named twice"}, s.Warnings()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for item := range s.All(t.Context()) {
		if item.Path == "elsewhere/g.png" {
			info, err := os.Stat(item.File)
			if err != nil || item.Stat != (Stat{info.Size(), info.ModTime().UnixNano()}) {
				t.Errorf("got %+v, want %v, %v", item, info, err)
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir, "one/a.txt", "")
	put(t, dir, "two/a.txt", "")
	put(t, dir, "two/b.txt", "")
	put(t, dir, "deep/er/a.png", "")
	put(t, dir, "unknown.jsonl", "{\"path\": \"a\"}\n\n{\"path\": \"b\", \"bugdet\": 70}\n")
	put(t, dir, "blank.jsonl", "\n \n")
	put(t, dir, "long.jsonl", "{\"path\": \""+strings.Repeat("a", 2<<20)+"\"}\n")
	for path, want := range map[string]string{
		"one":           "one: no images in this folder, one other file",
		"two":           "two: no images in this folder, 2 other files",
		"deep":          "deep: no images in this folder",
		"unknown.jsonl": "unknown.jsonl:3: json: unknown field \"bugdet\"",
		"blank.jsonl":   "blank.jsonl: no entries in this manifest",
		"long.jsonl":    "long.jsonl:1: longer than 1048576 bytes",
	} {
		s, err := Open([]string{"x.png", path}, images)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
		if s != nil {
			t.Errorf("%s: sources beside an error", path)
		}
	}
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "list.JSONL", `{"path": "a.png"}
{"id": "0123", "path": "b.png", "page": 2, "job": "ocr", "budget": 70, "boxes": "none", "error": "what went wrong"}`)
	s := open(t, images, path)
	var got []Item
	for item, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item)
	}
	want := []Item{
		{Path: "a.png", File: "a.png", Line: path + ":1"},
		{
			Path: "b.png", File: "b.png", ID: "0123", Page: 2, Job: "ocr", Line: path + ":2",
			Options: &job.Options{Budget: 70, Boxes: job.BoxesNone},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Item{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// In a folder a manifest is a file like any other.
	put(t, dir, "a.png", "")
	if s := open(t, images, dir); s.Len() != 1 || s.Skipped() != 1 {
		t.Errorf("%d items, %d skipped", s.Len(), s.Skipped())
	}
}
