//go:build unix

package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostile is what a folder may hold to trouble who reads it. make gets the path.
type hostile struct {
	name string
	make func(t *testing.T, path string)
	// want is what ReadFile says of the item: "" if it is read, "-" if it is no item.
	want string
	// later changes the entry between listing and reading.
	later func(path string) error
}

const small = 1 << 20 // limit of ReadFile

func file(content string) func(*testing.T, string) {
	return func(t *testing.T, path string) { put(t, filepath.Dir(path), filepath.Base(path), content) }
}

func linkTo(target string) func(*testing.T, string) {
	return func(t *testing.T, path string) { link(t, target, path) }
}

func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
}

func socket(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	t.Chdir(filepath.Dir(path)) // the path of a socket may have 108 bytes
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Base(path)}); err != nil {
		t.Skip(err)
	}
}

func folderWith(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) { put(t, path, name, "x") }
}

func hostiles(content string) []hostile {
	ok := file(content)
	renamed := func(f func(path string) error) func(string) error {
		return func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return f(path)
		}
	}
	return []hostile{
		// links
		{"out.png", linkTo("../outside.png"), "", nil},
		{"dangling.png", linkTo("nowhere"), "no such file or directory", nil},
		{"dangling", linkTo("nowhere"), "-", nil},
		{"self.png", linkTo("self.png"), "too many levels of symbolic links", nil},
		{"loop1.png", linkTo("loop2.png"), "too many levels of symbolic links", nil},
		{"loop2.png", linkTo("loop1.png"), "too many levels of symbolic links", nil},
		{"up", linkTo(".."), "-", nil},
		{"here.png", linkTo("."), "-", nil},
		{"root", linkTo("/"), "-", nil},
		{"devices", linkTo("/dev/disk"), "-", nil},
		{"elsewhere", linkTo("../elsewhere"), "-", nil},
		// what is no file
		{"pipe.png", pipe, "not a regular file", nil},
		{"pipe", pipe, "-", nil},
		{"pipe.jsonl", pipe, "-", nil},
		{"pipe.tar", pipe, "-", nil},
		{"linked.png", linkTo("pipe"), "not a regular file", nil},
		{"socket.png", socket, "not a regular file", nil},
		{"socket", socket, "-", nil},
		{"null.png", linkTo("/dev/null"), "not a regular file", nil},
		{"zero.png", linkTo("/dev/zero"), "not a regular file", nil},
		{"stdin.png", linkTo("/dev/tty"), "", nil}, // not a regular file, or not there
		{"memory.png", linkTo("/proc/self/mem"), "", nil},
		{"folder.png", folderWith("a.txt"), "-", nil},
		{"x.pdf", folderWith(".hidden.png"), "-", nil},
		// sizes and rights
		{"empty.png", file(""), "the file is empty", nil},
		{"empty", file(""), "-", nil},
		{"terabyte.png", func(t *testing.T, path string) {
			file("")(t, path)
			if err := os.Truncate(path, 1<<40); err != nil {
				t.Log(err)
				file(strings.Repeat("x", small+1))(t, path)
			}
		}, "larger than the limit of 1048576 bytes", nil},
		{"unreadable.png", func(t *testing.T, path string) { ok(t, path); os.Chmod(path, 0) }, "denied?", nil},
		{"unreadable", func(t *testing.T, path string) { ok(t, path); os.Chmod(path, 0) }, "denied?", nil},
		{"locked", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(path, 0o700) })
		}, "-", nil},
		// what changes after it was listed
		{"gone.png", ok, "no such file or directory", os.Remove},
		{"piped.png", ok, "not a regular file", renamed(func(p string) error { return syscall.Mkfifo(p, 0o666) })},
		{"foldered.png", ok, "is a folder", renamed(func(p string) error { return os.Mkdir(p, 0o777) })},
		{"emptied.png", ok, "the file is empty", func(p string) error { return os.Truncate(p, 0) }},
		{"shrunk.png", ok, "", func(p string) error { return os.Truncate(p, 3) }},
		{"grown.png", ok, "", func(p string) error { return os.WriteFile(p, []byte(content+content), 0o666) }},
		{"relinked.png", ok, "not a regular file", renamed(func(p string) error { return os.Symlink("/dev/zero", p) })},
		// names
		{"two\nlines.png", ok, "", nil},
		{"return\r.png", ok, "", nil},
		{"tab\t.png", ok, "", nil},
		{"\x1b[31mred\x1b[0m.png", ok, "", nil},
		{"\x1b]0;title\x07.png", ok, "", nil},
		{"back\b\b\b.png", ok, "", nil},
		{"\x7f.png", ok, "", nil},
		{"latin\xe9.png", ok, "", nil},
		{"\xed\xa0\x80.png", ok, "", nil},
		{"\xc0\xae\xc0\xae.png", ok, "", nil},
		{"\u202egnp.exe.png", ok, "", nil},
		{"zero\u200bwidth.png", ok, "", nil},
		{"\u2028.png", ok, "", nil},
		{strings.Repeat("n", 251) + ".png", ok, "", nil},
		{strings.Repeat("ü", 125) + "n.png", ok, "", nil},
		{"-i.png", ok, "", nil},
		{"--help.png", ok, "", nil},
		{"-", ok, "", nil},
		{"..png", ok, "-", nil},
		{".png", ok, "-", nil},
		{"...png", ok, "-", nil},
		{" .png", ok, "", nil},
		{"space .png ", ok, "", nil}, // by content
		{"concat:a.png", ok, "", nil},
		{"http:a.png", ok, "", nil},
		{"file:a.png", ok, "", nil},
		{"data:image,png", ok, "", nil},
		{"C:a.png", ok, "", nil},
		{`back\slash.png`, ok, "", nil},
		{`\\server\share.png`, ok, "", nil},
		{"*.png", ok, "", nil},
		{"[a-z].png", ok, "", nil},
		{"?.png", ok, "", nil},
		{"$(reboot).png", ok, "", nil},
		{"`id`.png", ok, "", nil},
		{"; rm.png", ok, "", nil},
		{"%s%n.png", ok, "", nil},
		{"<script>.png", ok, "", nil},
		{`"'.png`, ok, "", nil},
		{"~.png", ok, "", nil},
		{"NUL.png", ok, "", nil},
		{"con", ok, "", nil},
		{"case.png", ok, "", nil},
		{"CASE.png", ok, "", nil},
		{"case.PNG", ok, "", nil},
		{"\u00e9.png", ok, "", nil},  // composed
		{"e\u0301.png", ok, "", nil}, // of two
		{"@list.png", ok, "", nil},
		{"🗎.png", ok, "", nil},
		{"page.png.txt", file("no image"), "-", nil},
		{"list.jsonl", file(`{"path": "/etc/passwd"}`), "-", nil},
		{"list.csv", file("path\n/etc/passwd\n"), "-", nil},
		{"bomb.zip", file("PK\x03\x04"), "-", nil},
		{"bomb.tar.gz", file("\x1f\x8b"), "-", nil},
	}
}

// A folder that somebody filled to do harm is listed and read, each entry with its error, and soon.
func TestHostileFolder(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "in")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	content := "\x89PNG\r\n\x1a\n and so on"
	put(t, outside, "outside.png", content)
	put(t, outside, "elsewhere/linked.png", content)
	deep := filepath.Join(dir, strings.Repeat("d/", 150))
	put(t, deep, "deep.png", content)
	table := hostiles(content)
	if len(table) < 60 {
		t.Fatalf("%d entries, want 60", len(table))
	}
	for _, h := range table {
		h.make(t, filepath.Join(dir, h.name))
	}
	// A link and its target are one file where a disk folds case.
	s := soon(t, func() *Sources {
		o := images
		o.Recursive = true
		return open(t, o, dir)
	})
	var items []Item
	soon(t, func() *Sources {
		for item, err := range s.All(t.Context()) {
			if err != nil {
				t.Errorf("%q: %v", item.Path, err)
			}
			items = append(items, item)
		}
		return s
	})
	for _, h := range table {
		path := filepath.Join(dir, h.name)
		i := slices.IndexFunc(items, func(i Item) bool { return i.Path == path })
		if (i >= 0) != (h.want != "-") {
			t.Errorf("%q: listed %v", h.name, i >= 0)
		}
		if i < 0 {
			continue
		}
		if h.later != nil {
			if err := h.later(path); err != nil {
				t.Fatal(err)
			}
		}
		var errs []error
		soon(t, func() *Sources {
			item, err := items[i].Take(t.Context())
			if err != nil || item.File != path {
				t.Errorf("%q: taken %+v, %v", h.name, item, err)
			}
			_, head := Head(path)
			_, whole := ReadFile(path, small)
			errs = []error{head, whole}
			if h.want != "larger than the limit of 1048576 bytes" { // which takes its time
				_, _, sum := Hash(t.Context(), path)
				errs = append(errs, sum)
			}
			item.Release()
			return nil
		})
		got := errText(errs[1])
		switch {
		case h.name == "stdin.png" || h.name == "memory.png": // differ between systems
			if got == "" {
				t.Errorf("%q was read", h.name)
			}
		case h.want == "denied?": // not to root
			if got != "" && !errors.Is(errs[1], fs.ErrPermission) {
				t.Errorf("%q: got %s", h.name, got)
			}
		case got != h.want:
			t.Errorf("%q: got %q, want %q", h.name, got, h.want)
		}
		for _, err := range errs {
			if err != nil && strings.Contains(err.Error(), dir) {
				t.Errorf("%q: %v names the path", h.name, err)
			}
		}
	}
	for _, item := range items {
		if item.Path == filepath.Join(dir, "elsewhere", "linked.png") {
			continue // links to folders are followed where they end
		}
		if !slices.ContainsFunc(table, func(h hostile) bool { return filepath.Join(dir, h.name) == item.Path }) {
			t.Errorf("%q: nobody made it", item.Path)
		}
	}
	warnings := strings.Join(s.Warnings(), "\n")
	for _, want := range []string{"here.png: leads to the same folder", "up: leads to the same folder as " + outside + ", which it is in,", "root: leads to the same folder as /, which", "more than 100 folders deep"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning %q among\n%s", want, warnings)
		}
	}
	if got, err := os.ReadFile(filepath.Join(outside, "outside.png")); err != nil || string(got) != content {
		t.Errorf("what is outside has changed: %v", err)
	}
}

// soon fails the test if f takes longer than 5 s.
func soon(t *testing.T, f func() *Sources) *Sources {
	t.Helper()
	done := make(chan *Sources)
	go func() { done <- f() }()
	select {
	case s := <-done:
		return s
	case <-time.After(5 * time.Second):
		t.Fatal("hangs")
		return nil
	}
}

// What the user names is not waited for either.
func TestHostilePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"p.jsonl", "p.csv", "p.tar", "p.png"} {
		pipe(t, name)
	}
	for path, want := range map[string]string{
		"p.jsonl": "p.jsonl: not a regular file",
		"p.csv":   "p.csv: not a regular file",
		"p.tar":   "",
		"p.png":   "",
	} {
		soon(t, func() *Sources {
			s, err := Open([]string{path}, images)
			if errText(err) != want {
				t.Errorf("%s: got %v, want %s", path, err, want)
			}
			if err == nil {
				expect(t, s, path)
			}
			return nil
		})
	}
	if os.Geteuid() != 0 {
		if err := os.Mkdir("locked", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Open([]string{"locked"}, images); errText(err) != "locked: permission denied" {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Hash(ctx, page("00")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
