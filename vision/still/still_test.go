//go:build linux

package still_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/vision"
	"facet/vision/foreign"
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

// What comes out of a decoder is what package foreign gives in this process, page by page, errors included.
func TestSameAsInProcess(t *testing.T) {
	p := open(t, still.Options{Children: 1})
	var paths []string
	for _, pattern := range []string{"golden/decode/*", "../vision/testdata/formats/*", "../vision/foreign/testdata/*"} {
		some, err := filepath.Glob(fixtures.Path(pattern))
		if err != nil || len(some) < 20 {
			t.Fatal(pattern, len(some), err)
		}
		paths = append(paths, slices.DeleteFunc(some, func(s string) bool { return strings.HasSuffix(s, "1.png") })...)
	}
	png, err := os.ReadFile(fixtures.Path("golden/decode/grey16.png"))
	if err != nil {
		t.Fatal(err)
	}
	paths = append(paths, write(t, png[:len(png)/2]), write(t, []byte("no image")), write(t, []byte("%PDF-1.4\n")), write(t, []byte("\xff\xd8\xff and no more")))
	several, failed := 0, 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		here, broken := foreign.Open(data, p.Options().DecodeOptions)
		pic, err := p.Open(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if pic.SHA256() != sha256.Sum256(data) || pic.Bytes() != int64(len(data)) || pic.Changed() {
			t.Errorf("%s: %x, %d bytes", path, pic.SHA256(), pic.Bytes())
		}
		count, mediaType := 1, vision.Sniff(data)
		if broken == nil {
			count, mediaType = here.Count(), here.Type()
		}
		if pic.Pages() != count || pic.Type() != mediaType {
			t.Errorf("%s: %d pages of %s, want %d of %s", path, pic.Pages(), pic.Type(), count, mediaType)
		}
		for n := 1; n <= min(count, 5); n++ {
			want, wantErr := (*vision.Image)(nil), broken
			if broken == nil {
				want, wantErr = here.Decode(n)
			}
			got, err := pic.Page(t.Context(), n)
			switch {
			case wantErr != nil:
				failed++
				if err == nil || err.Error() != wantErr.Error() || errors.As(err, new(vision.FormatError)) != errors.As(wantErr, new(vision.FormatError)) {
					t.Errorf("%s, page %d: error %v, want %v", path, n, err, wantErr)
				}
			case err != nil:
				t.Errorf("%s, page %d: %v", path, n, err)
			case !reflect.DeepEqual(got, want):
				t.Errorf("%s, page %d: not the same", path, n)
			case n > 1:
				several++
			}
		}
		if _, err := pic.Page(t.Context(), count+1); err == nil {
			t.Errorf("%s: page %d of %d", path, count+1, count)
		}
		pic.Close()
	}
	if several < 5 || failed < 4 {
		t.Errorf("%d pages beyond the first, %d errors: the files tell little", several, failed)
	}
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
	// This one says that it is empty, and is not.
	if _, err := p.Open(t.Context(), "/proc/self/maps"); err == nil || err.Error() != "larger than the limit of 100 bytes" {
		t.Errorf("got %v", err)
	}
	if _, err := first(t, p, write(t, make([]byte, 100))); err == nil || err.Error() != "vision: not an image" {
		t.Errorf("got %v", err)
	}
}
