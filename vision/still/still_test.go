//go:build linux

package still_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/still"
)

func open(t testing.TB, o still.Options) *still.Pool {
	t.Helper()
	p, err := still.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// first returns the first page of a file.
func first(t testing.TB, p *still.Pool, path string) (*vision.Image, error) {
	t.Helper()
	pic, err := p.Open(t.Context(), path)
	if err != nil {
		return nil, err
	}
	defer pic.Close()
	return pic.Page(t.Context(), 1)
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What comes out of a decoder is what package vision gives, errors included.
func TestSameAsInProcess(t *testing.T) {
	p := open(t, still.Options{})
	paths, err := filepath.Glob(fixtures.Path("golden/decode/*"))
	if err != nil || len(paths) < 20 {
		t.Fatal(len(paths), err)
	}
	png, err := os.ReadFile(fixtures.Path("golden/decode/grey16.png"))
	if err != nil {
		t.Fatal(err)
	}
	paths = append(paths, write(t, png[:len(png)/2]), write(t, []byte("no image")), write(t, []byte("%PDF-1.4\n")))
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := vision.Decode(data, vision.DecodeOptions{})
		pic, err := p.Open(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if pic.SHA256() != sha256.Sum256(data) || pic.Bytes() != int64(len(data)) || pic.Type() != vision.Sniff(data) || pic.Changed() {
			t.Errorf("%s: %x, %d bytes, %s", path, pic.SHA256(), pic.Bytes(), pic.Type())
		}
		got, err := pic.Page(t.Context(), 1)
		pic.Close()
		if wantErr != nil {
			if err == nil || err.Error() != wantErr.Error() || errors.As(err, new(vision.FormatError)) != errors.As(wantErr, new(vision.FormatError)) {
				t.Errorf("%s: error %v, want %v", path, err, wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s: other pixels", path)
		}
		got.Pix, want.Pix = nil, nil
		if !same(got, want) {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func same(a, b *vision.Image) bool {
	return a.Width == b.Width && a.Height == b.Height && a.Format == b.Format && a.StoredWidth == b.StoredWidth &&
		a.StoredHeight == b.StoredHeight && a.Orientation == b.Orientation && a.Pages == b.Pages
}

// What is no file to be read is refused before a decoder hears of it, in words that do not name it.
func TestRefused(t *testing.T) {
	o := still.Options{}
	o.Limits.Bytes = 100
	p := open(t, o)
	for _, c := range []struct{ path, want string }{
		{t.TempDir(), "is a folder"},
		{os.DevNull, "not a regular file"},
		{write(t, nil), "the file is empty"},
		{write(t, make([]byte, 101)), "larger than the limit of 100 bytes"},
		{filepath.Join(t.TempDir(), "gone"), "no such file or directory"},
	} {
		if _, err := p.Open(t.Context(), c.path); err == nil || strings.TrimSpace(err.Error()) != c.want {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
	}
	if _, err := first(t, p, write(t, make([]byte, 100))); err == nil || err.Error() != "vision: not an image" {
		t.Errorf("got %v", err)
	}
}
