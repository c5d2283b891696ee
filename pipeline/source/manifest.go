package source

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"facet/internal/strictjson"
	"facet/pipeline/job"
)

// isManifest tells a list of inputs by its ending. The errors.jsonl of a run is one.
func isManifest(path string) bool {
	return isLines(path) || strings.EqualFold(filepath.Ext(path), ".csv")
}

func isLines(path string) bool { return strings.EqualFold(filepath.Ext(path), ".jsonl") }

// maxEntry is the longest entry of a manifest, in bytes: a question may have 64 KiB and
// JSON may write a byte as six. Only one that holds its file may be longer, see maxLine.
const maxEntry = 1 << 20

// parsed is what an entry of a manifest says.
type parsed struct {
	job.Entry
	data string // a data URL (RFC 2397) in place of a path
}

// manifest lists the entries of one. Paths are relative to the working directory.
func (s *Sources) manifest(path string) error {
	f, err := openRegular(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	entries := 0
	add := func(line int, offset int64, p parsed) {
		entries++
		s.entry(&entry{
			id: p.ID, customID: p.CustomID, page: p.Page, job: p.Job, options: s.shared(p.Options), manifest: path, line: line,
		}, offset, p)
	}
	if isLines(path) {
		err = readLines(newLines(f), add)
	} else {
		err = readCSV(f, add)
	}
	if err != nil {
		return fmt.Errorf("%s:%w", path, err)
	}
	if entries == 0 {
		return fmt.Errorf("%s: no entries in this manifest", path)
	}
	return nil
}

// entry puts what a manifest names into the list. An archive stands for its members, unless the entry is about a
// file that it knows.
func (s *Sources) entry(e *entry, offset int64, p parsed) {
	l := listed{entry: e}
	if p.data != "" {
		e.inline = offset + 1
		s.add(inlinePath(e.manifest, e.line, p.data), l)
		return
	}
	if e.page == 0 && e.id == "" && isArchive(p.Path) {
		info, err := os.Stat(p.Path)
		l.archive = err == nil && info.Mode().IsRegular()
	}
	s.add(p.Path, l)
}

func readLines(in *lines, add func(line int, offset int64, p parsed)) error {
	for {
		l, ok := in.next()
		if !ok {
			return nil
		}
		if l.blank() {
			continue
		}
		p, err := l.parse()
		if err != nil {
			return fmt.Errorf("%d: %w", l.number, err)
		}
		add(l.number, l.offset, p)
	}
}

func (l *rawLine) blank() bool { return l.err == nil && len(bytes.TrimSpace(l.text)) == 0 }

// parse reads a line of a manifest: an entry as job.ParseEntry knows it, or a request in OpenAI's batch format.
func (l *rawLine) parse() (parsed, error) {
	if l.err != nil {
		return parsed{}, l.err
	}
	if bytes.Contains(l.text, []byte(`"custom_id"`)) || bytes.Contains(l.text, []byte(`"body"`)) {
		var keys map[string]json.RawMessage
		if err := strictjson.Unmarshal(l.text, &keys, strictjson.AllowUnknown); err != nil {
			return parsed{}, err
		}
		if keys["path"] == nil && (keys["body"] != nil || keys["custom_id"] != nil) {
			return parseRequest(keys)
		}
	}
	return parseEntry(l.text)
}

func parseEntry(text []byte) (parsed, error) {
	if len(text) > maxEntry {
		return parsed{}, errTooLong
	}
	e, err := job.ParseEntry(text)
	if err == nil && strings.ContainsRune(e.Path, 0) {
		err = errors.New("path: a zero byte in a name")
	}
	return parsed{Entry: e}, err
}

var errTooLong = fmt.Errorf("longer than %d bytes", maxEntry)

func tooLong(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return errTooLong
	}
	return bare(err)
}
