package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/still"
)

// page is a page of plain text, by number.
func page(n string) string { return fixtures.Path("pages/ocr_" + n + ".png") }

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

// stills decodes images without a sandbox, which other tests look at.
func stills(t *testing.T) *still.Pool {
	t.Helper()
	pool, err := still.Open(still.Options{DecodeOptions: vision.DecodeOptions{Limits: vision.DefaultLimits}, Sandbox: "auto", Children: Decoders})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}
