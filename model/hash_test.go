package model

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A large file's sum is remembered until the file changes.
func TestFileSum(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "weights")
	write := func(first byte, size int, at time.Time) {
		data := make([]byte, size)
		data[0] = first
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(first byte, size int) [32]byte {
		data := make([]byte, size)
		data[0] = first
		return sha256.Sum256(data)
	}
	then := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		what  string
		first byte
		size  int
		time  time.Time
		want  [32]byte
	}{
		{"new", 1, rememberedBytes, then, sum(1, rememberedBytes)},
		{"the same by size and time is not read again", 2, rememberedBytes, then, sum(1, rememberedBytes)},
		{"another time", 2, rememberedBytes, then.Add(time.Second), sum(2, rememberedBytes)},
		{"another size", 3, rememberedBytes + 1, then.Add(time.Second), sum(3, rememberedBytes+1)},
		{"a small file is read each time", 4, 10, then, sum(4, 10)},
		{"a small file is read each time", 5, 10, then, sum(5, 10)},
	} {
		write(c.first, c.size, c.time)
		if got, err := fileSum(path); err != nil || got != c.want {
			t.Errorf("%s: %x, %v, want %x", c.what, got, err, c.want)
		}
	}
}
