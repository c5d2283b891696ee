package vision

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"facet/fixtures"
)

// TestPillow compares Decode and Resize with Pillow on random pictures in every encoding that Pillow can write.
// FACET_PILLOW names a Python interpreter that has Pillow and numpy; without it the test is skipped. FACET_PILLOW_SEED and
// FACET_PILLOW_COUNT choose the pictures.
func TestPillow(t *testing.T) {
	python := os.Getenv("FACET_PILLOW")
	if python == "" {
		t.Skip("FACET_PILLOW is not set")
	}
	dir := t.TempDir()
	count, seed := envOr("FACET_PILLOW_COUNT", "40"), envOr("FACET_PILLOW_SEED", "1")
	if out, err := exec.Command(python, fixtures.Path("make/pillow_judge.py"), dir, seed, count).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	references, err := filepath.Glob(filepath.Join(dir, "*.ppm"))
	if err != nil || len(references) == 0 {
		t.Fatalf("the judge wrote nothing: %v", err)
	}
	resized := regexp.MustCompile(`\.(\d+)x(\d+)$`)
	kinds := map[string]difference{} // sums over the pictures
	refused := map[string]int{}
	for _, reference := range references {
		path := strings.TrimSuffix(reference, ".ppm")
		var w, h int
		if m := resized.FindStringSubmatch(path); m != nil {
			fmt.Sscan(m[1]+" "+m[2], &w, &h)
			path = strings.TrimSuffix(path, m[0])
		}
		_, kind, _ := strings.Cut(filepath.Base(path), "_")
		m, err := Decode(readFile(t, path), DecodeOptions{})
		var unsupported UnsupportedError
		if errors.As(err, &unsupported) {
			refused[kind+": "+string(unsupported)]++
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
			continue
		}
		if w > 0 {
			m, kind = m.Resize(w, h), "resize"
		}
		want := readPPM(t, reference)
		if m.Width != want.Width || m.Height != want.Height {
			t.Errorf("%s: %d × %d pixels, want %d × %d", filepath.Base(path), m.Width, m.Height, want.Width, want.Height)
			continue
		}
		d := compare(t, m, want)
		if d.over0 > 0 && !strings.HasSuffix(path, ".jpg") {
			t.Errorf("%s: %d of %d values differ, at most by %d", filepath.Base(reference), d.over0, d.values, d.most)
		}
		k := kinds[kind]
		kinds[kind] = difference{k.values + d.values, k.over0 + d.over0, k.over1 + d.over1, k.over2 + d.over2, max(k.most, d.most)}
	}
	for kind, d := range kinds {
		if !strings.HasSuffix(kind, ".jpg") {
			continue
		}
		t.Logf("%s: of %d values %d differ, %d by more than 1, %d by more than 2, at most by %d", kind, d.values, d.over0, d.over1, d.over2, d.most)
		if d.over2*1000 > d.values {
			t.Errorf("%s: %d of %d values differ by more than 2 levels", kind, d.over2, d.values)
		}
	}
	for what, n := range refused {
		t.Logf("refused %d × %s", n, what)
	}
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func readPPM(t *testing.T, path string) *Image {
	t.Helper()
	r := bytes.NewReader(readFile(t, path))
	m := &Image{}
	if _, err := fmt.Fscanf(r, "P6\n%d %d\n255\n", &m.Width, &m.Height); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m.Pix, _ = io.ReadAll(r)
	return m
}
