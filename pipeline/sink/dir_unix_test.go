//go:build unix

package sink

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe stays what it is and is written directly.
func TestCreateOnPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0) // with a writer of its own, so that neither end waits
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "x")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("the pipe is now %v, %v", info, err)
	}
	got := make([]byte, 1)
	if _, err := io.ReadFull(r, got); err != nil || got[0] != 'x' {
		t.Errorf("read %q, %v", got, err)
	}
}
