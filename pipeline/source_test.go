package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/fixtures"
	"facet/pipeline/job"
)

var images = job.OCR.Media

// page is a held-out page of the nano checkpoint, by number.
func page(n string) string { return fixtures.Path("nano/heldout/ocr_" + n + ".png") }

// put writes a file below dir and the folders on the way.
func put(t *testing.T, dir, name, content string) string {
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

func paths(items []Item) []string {
	var out []string
	for _, i := range items {
		out = append(out, filepath.ToSlash(i.Path))
	}
	return out
}

func TestOpenFolder(t *testing.T) {
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

	got, err := Open([]string{"elsewhere/g.png", "scans", "missing", "elsewhere/g.png"}, images)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"elsewhere/g.png",
		"scans/B.JPG", "scans/a", "scans/b.png", "scans/dangling.png", "scans/linked",
		"missing",
		"elsewhere/g.png",
	}
	if diff := cmp.Diff(want, paths(got.Items)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Skipped != 4 { // c.txt, d, .e.png, dangling.txt
		t.Errorf("%d skipped, want 4", got.Skipped)
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
		"long.jsonl":    "long.jsonl:1: bufio.Scanner: token too long",
	} {
		s, err := Open([]string{"x.png", path}, images)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
		if len(s.Items) > 0 {
			t.Errorf("%s: items beside an error: %v", path, s.Items)
		}
	}
}

func TestOpenManifest(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "list.JSONL", `{"path": "a.png"}
{"id": "0123", "path": "b.png", "page": 2, "job": "ocr", "budget": 70, "boxes": "none", "error": "what went wrong"}`)
	got, err := Open([]string{path}, images)
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{Path: "a.png"},
		{Path: "b.png", ID: "0123", Page: 2, Job: "ocr", Options: job.Options{Budget: 70, Boxes: job.BoxesNone}},
	}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// In a folder a manifest is a file like any other.
	put(t, dir, "a.png", "")
	got, err = Open([]string{dir}, images)
	if err != nil || len(got.Items) != 1 || got.Skipped != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestOptionsOver(t *testing.T) {
	run := job.Options{Budget: 70, Boxes: job.BoxesLine, Language: "German", Prompt: "Read.", MaxTokens: 10, Temperature: 1, Seed: 2}
	if got := over(job.Options{}, run); got != run {
		t.Errorf("got %+v, want those of the run", got)
	}
	item := job.Options{Budget: 140, Boxes: job.BoxesNone, Language: "Danish", Prompt: "Say.", MaxTokens: 20, Temperature: 0.5, Seed: 3}
	if got := over(item, run); got != item {
		t.Errorf("got %+v, want those of the item", got)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "a", "12345")
	if data, err := ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	for _, c := range []struct{ path, want string }{
		{path, "larger than the limit of 4 bytes"},
		{put(t, dir, "empty", ""), "the file is empty"},
		{dir, "is a folder"},
	} {
		if _, err := ReadFile(c.path, 4); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.path, err, c.want)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "missing"), 4); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	if runtime.GOOS != "windows" {
		if _, err := ReadFile("/dev/zero", 4); err == nil || err.Error() != "not a regular file" {
			t.Errorf("got %v", err)
		}
	}
}

// A manifest that asks for subtitles does so whatever length of pieces the run has.
func TestOverSubtitles(t *testing.T) {
	a, b := job.Options{Listening: job.Listening{Subtitles: true}}, job.Options{Listening: job.Listening{Segment: 10}}
	if got := over(a, b); got != a {
		t.Errorf("got %+v", got)
	}
	if got := over(b, a); got != b {
		t.Errorf("got %+v", got)
	}
}
