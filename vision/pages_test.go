package vision

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// testdata/formats holds a file of each kind of TIFF, GIF and PNM, and the pixels of its pages as Pillow reads them; where JPEG is inside,
// 1 value in 1000 may differ by more than 2 levels. fixtures/make/formats.py makes them.
func TestFormats(t *testing.T) {
	for _, path := range formatFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			references, err := filepath.Glob(path + ".*.png")
			if err != nil || len(references) == 0 {
				t.Fatalf("no references: %v", err)
			}
			f, err := Open(readFile(t, path), DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if f.Count() != len(references) {
				t.Fatalf("%d pages, want %d", f.Count(), len(references))
			}
			for n := 1; n <= f.Count(); n++ {
				m, err := f.Decode(n)
				if err != nil {
					t.Fatalf("page %d: %v", n, err)
				}
				d := compare(t, m, readRGB(t, fmt.Sprintf("%s.%d.png", path, n)))
				if strings.Contains(path, "jpeg") {
					d.over0 = max(d.over2-d.values/1000, 0)
				}
				if d.over0 > 0 || m.Pages != f.Count() {
					t.Errorf("page %d: %d of %d values differ, %d by more than 2, at most by %d", n, d.over0, d.values, d.over2, d.most)
				}
			}
		})
	}
}

func formatFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/formats/*.[tgp][ipgb][ffm]")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	return files
}

// wantKnown checks that an error is of one of the two kinds.
func wantKnown(t *testing.T, what string, err error) {
	t.Helper()
	var format FormatError
	var unsupported UnsupportedError
	if !errors.As(err, &format) && !errors.As(err, &unsupported) {
		t.Errorf("%s: %v", what, err)
	}
}
