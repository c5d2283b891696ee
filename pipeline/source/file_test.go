package source

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

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
