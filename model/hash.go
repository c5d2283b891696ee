package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// SHA256 identifies the checkpoint: the hex SHA-256 over the SHA-256 sums of the files
// that make it, weights last. A file's sum takes about a second for each gigabyte; it is
// remembered in the user's cache folder until the file's size or time changes.
func (m *Model) SHA256() (string, error) { return m.hash() }

func (m *Model) hashFiles() (string, error) {
	whole := sha256.New()
	for _, name := range slices.Concat(m.beside, m.source.Files()) {
		sum, err := fileSum(name)
		if err != nil {
			return "", err
		}
		whole.Write(sum[:])
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

// rememberedBytes is the size from which on a file's sum is remembered.
const rememberedBytes = 64 << 20

// remembered is a file's sum as the user's cache folder keeps it.
type remembered struct {
	Path   string    `json:"path"`
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
	SHA256 string    `json:"sha256"`
}

// fileSum returns the SHA-256 of a file, from the cache folder if it is remembered there.
// A cache that cannot be read or written is no error: the sum is computed again.
func fileSum(path string) (sum [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sum, err
	}
	now := remembered{Size: info.Size(), Time: info.ModTime().UTC()}
	var note string
	if now.Path, err = filepath.Abs(path); err == nil && now.Size >= rememberedBytes {
		note = noteOf(now.Path)
		if was, ok := recall(note); ok && was.Path == now.Path && was.Size == now.Size && was.Time.Equal(now.Time) {
			if n, err := hex.Decode(sum[:], []byte(was.SHA256)); err == nil && n == len(sum) {
				return sum, nil
			}
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, fmt.Errorf("%s: %w", path, err)
	}
	sum = [32]byte(h.Sum(nil))
	if note != "" {
		now.SHA256 = hex.EncodeToString(sum[:])
		remember(note, now)
	}
	return sum, nil
}

// noteOf is the file in the cache folder that remembers the sum of path; "" without one.
func noteOf(path string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	name := sha256.Sum256([]byte(path))
	return filepath.Join(dir, "facet", "sha256", hex.EncodeToString(name[:16])+".json")
}

func recall(note string) (r remembered, ok bool) {
	data, err := os.ReadFile(note)
	if err != nil || json.Unmarshal(data, &r) != nil || len(r.SHA256) != 64 {
		return r, false
	}
	return r, true
}

func remember(note string, r remembered) {
	data, err := json.Marshal(r)
	if err != nil || os.MkdirAll(filepath.Dir(note), 0o700) != nil {
		return
	}
	temp := fmt.Sprintf("%s.%d", note, os.Getpid())
	if os.WriteFile(temp, data, 0o600) == nil && os.Rename(temp, note) != nil {
		os.Remove(temp)
	}
}
