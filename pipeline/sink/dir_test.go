package sink

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// files lists what lies in dir, with its content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		m[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func says(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestDirWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "out")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write("a/b/c.txt", says("one")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err = d.Write("a/b/c.txt", func(w io.Writer) error {
		io.WriteString(w, "half")
		if got := files(t, path)["a/b/c.txt"]; got != "one" {
			t.Errorf("while writing, the file holds %q", got)
		}
		return broken
	})
	if err != broken {
		t.Errorf("error %v", err)
	}
	if got := files(t, path); len(got) != 1 || got["a/b/c.txt"] != "one" {
		t.Errorf("after an error there is %q", got)
	}
	if err := d.Write("a/b/c.txt", says("two")); err != nil {
		t.Fatal(err)
	}
	if got := files(t, path); len(got) != 1 || got["a/b/c.txt"] != "two" {
		t.Errorf("at the end there is %q", got)
	}
}

// A guarded folder replaces its own files only, whenever the foreign one came.
func TestDirGuard(t *testing.T) {
	path := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put("ours.txt", "old")
	put("foreign.txt", "keep")
	if err := os.Mkdir(filepath.Join(path, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	occupied := func(want bool, name string, folder bool) {
		t.Helper()
		if got := d.Occupied(name, folder); got != want {
			t.Errorf("Occupied(%q, %v) = %v", name, folder, got)
		}
	}
	occupied(false, "foreign.txt", false) // anything may be replaced so far
	d.Guard(func(name string) bool { return name == "ours.txt" })
	occupied(true, "foreign.txt", false)
	occupied(true, "foreign.txt", true)
	occupied(true, "ours.txt", true)
	occupied(true, "folder", false)
	occupied(false, "folder", true)
	occupied(false, "ours.txt", false)
	occupied(false, "new.txt", false)
	occupied(false, "new", true)
	if runtime.GOOS != "windows" {
		for link, to := range map[string]string{"in": "folder", "out": "..", "loop": "loop"} {
			if err := os.Symlink(to, filepath.Join(path, link)); err != nil {
				t.Fatal(err)
			}
			occupied(link != "in", link, true)
			occupied(true, link, false)
			os.Remove(filepath.Join(path, link))
		}
	}
	for _, name := range []string{"ours.txt", "new.txt"} {
		if err := d.Write(name, says("ours")); err != nil {
			t.Error(err)
		}
	}
	var foreign ForeignError
	for _, name := range []string{"foreign.txt", "./foreign.txt", "folder/../foreign.txt", "new.txt"} { // made, but nobody said so
		if err := d.Write(name, says("lost")); !errors.As(err, &foreign) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	err = d.Write("late.txt", func(w io.Writer) error {
		put("late.txt", "keep")
		return says("lost")(w)
	})
	if !errors.As(err, &foreign) {
		t.Errorf("one that came later: error %v", err)
	}
	if got := files(t, path); len(got) != 4 || got["foreign.txt"] != "keep" || got["late.txt"] != "keep" || got["ours.txt"] != "ours" || got["new.txt"] != "ours" {
		t.Errorf("there is %q", got)
	}
}

// Nothing is written outside of the folder, and nothing half is left behind.
func TestDirDoesNotLeave(t *testing.T) {
	outside, path := t.TempDir(), t.TempDir()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Symlink(outside, filepath.Join(path, "link")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(path, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "a/../../x", outside + "/x", "link/x", "folder", ""} {
		if err := d.Write(name, says("x")); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if got := files(t, outside); len(got) > 0 {
		t.Errorf("outside there is %q", got)
	}
	os.Remove(filepath.Join(path, "link"))
	if got := files(t, path); len(got) > 0 {
		t.Errorf("inside there is %q", got)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.jsonl")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "line\n")
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there before Commit")
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Discard() // nothing, after Commit
	if got := files(t, dir); len(got) != 1 || got["out.jsonl"] != "line\n" {
		t.Errorf("there is %q", got)
	}
	if runtime.GOOS != "windows" {
		link := filepath.Join(dir, "link")
		if err := os.Symlink("out.jsonl", link); err != nil {
			t.Fatal(err)
		}
		if f, err = Create(link); err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, "new\n")
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); got["out.jsonl"] != "new\n" {
			t.Errorf("behind the link there is %q", got)
		}
	}
	if f, err := Create(dir); err == nil {
		f.Discard()
		t.Error("a folder was created as a file")
	}
	if f, err := Create(filepath.Join(dir, "none", "x")); err == nil {
		f.Discard()
		t.Error("a file in no folder was created")
	}
}
