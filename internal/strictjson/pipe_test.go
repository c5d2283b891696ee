//go:build unix

package strictjson

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A named pipe is refused, without waiting for a writer.
func TestReadPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	refused(t, pipe, 4, "not a regular file")
}
