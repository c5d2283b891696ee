package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"facet/pipeline/job"
)

// isManifest tells a list of inputs by its ending. The errors.jsonl of a run is one.
func isManifest(path string) bool {
	ext := filepath.Ext(path)
	return strings.EqualFold(ext, ".jsonl") || strings.EqualFold(ext, ".csv")
}

// maxEntry is the longest entry of a manifest, in bytes: a question may have 64 KiB and
// JSON may write a byte as six.
const maxEntry = 1 << 20

// manifest lists the entries of one.
func (s *Sources) manifest(path string) error {
	f, err := openRegular(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	entries := 0
	add := func(line int, e job.Entry) {
		entries++
		s.add(e.Path, listed{entry: &entry{
			id: e.ID, page: e.Page, job: e.Job, options: s.shared(e.Options), manifest: path, line: line,
		}})
	}
	if err := readLines(f, add); err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	if entries == 0 {
		return fmt.Errorf("%s: no entries in this manifest", path)
	}
	return nil
}

func readLines(r io.Reader, add func(line int, e job.Entry)) error {
	n := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, err := job.ParseEntry(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		add(n, e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%d: %w", n+1, tooLong(err))
	}
	return nil
}

func tooLong(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("longer than %d bytes", maxEntry)
	}
	return bare(err)
}
