// Package journal keeps what a run has finished: one file that only grows, and from which
// everything else that the run writes can be made.
//
//	Create   a header says which run it is; on the disk under its name, or not at all
//	Append   lines → one write → one sync; what Append returned from is never lost
//	Entry    a line is read again by its place
//	Open     after a crash: every line is read and checked, damage is set apart, and it goes on
//	Read     the same for onlookers; changes nothing (OpenRead: and Entry afterwards)
//
// A line is JSON with a checksum (line.go). A journal can be damaged in three ways that are
// told apart: its end is torn, since the machine died while a line was written, and is cut off;
// something in it has changed, and that line is left where it is, copied to a file
// named .quarantine, and told; or it cannot be read, and then nothing is touched.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Entry is what a line says.
type Entry struct {
	Kind string // a word: letters, digits, - and _
	Key  string // any bytes
	Body []byte // one JSON value without a line's end, written as it is
}

// Place is where an entry's line stands in the file.
type Place struct {
	Offset int64
	Length int32 // without the line's end
}

// Options are for tests and for files that need not outlive the machine. The zero value is right otherwise.
type Options struct {
	FS     FS   // nil: OS
	NoSync bool // for a file that need not survive: nothing waits for the disk, and a power cut may lose all of it
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = OS
	}
	return o
}

func (o Options) syncDir(dir string) error {
	if o.NoSync {
		return nil
	}
	if err := o.FS.SyncDir(dir); err != nil {
		return failed(dir, "syncing the directory", err)
	}
	return nil
}

// Journal is an open journal. Its methods are safe for concurrent use.
type Journal struct {
	path string
	file File
	o    Options
	seed uint32
	size atomic.Int64 // of what is acknowledged

	mu    sync.Mutex // of a writer
	lines int64
	buf   []byte
	err   error // of the first write or sync that failed, and of every Append since
}

const (
	headerKind = "journal"
	version    = "1"
	// maxKept is how much of a buffer for writing is kept for the next Append.
	maxKept = 1 << 20
)

// Create begins a journal. The header is one JSON value without a line's end; Open and Read give it back. path must not
// exist (fs.ErrExist). When Create returns a journal, it is on the disk. When it fails, none is left under that
// name as far as that is possible, and never a part of one.
func Create(path string, header []byte, o Options) (*Journal, error) {
	o = o.withDefaults()
	switch _, err := o.FS.Stat(path); {
	case err == nil:
		return nil, failed(path, "creating", fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, failed(path, "creating", err)
	}
	j := &Journal{path: path, o: o, seed: rand.Uint32(), lines: 1}
	seed := make([]byte, 8)
	putHex(seed, j.seed)
	line, err := appendLine(nil, 0, Entry{headerKind, version + "-" + string(seed), header})
	if err != nil {
		return nil, err
	}
	temp := path + ".new"
	if err := writeFile(temp, line, o); err != nil {
		return nil, errors.Join(err, o.discard(temp))
	}
	if err := o.FS.Rename(temp, path); err != nil {
		return nil, errors.Join(failed(path, "creating", err), o.discard(temp))
	}
	if err := o.syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, o.discard(path))
	}
	if j.file, err = o.FS.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, errors.Join(failed(path, "opening", err), o.discard(path))
	}
	j.size.Store(int64(len(line)))
	return j, nil
}

// writeFile writes a file anew and returns when its bytes, not yet its name, are on the disk.
func writeFile(path string, data []byte, o Options) error {
	f, err := o.FS.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return failed(path, "creating", err)
	}
	if err = writeAt(f, data, 0); err != nil {
		err = failed(path, "writing", err)
	} else if !o.NoSync {
		if err = f.Sync(); err != nil {
			err = failed(path, "syncing", err)
		}
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = failed(path, "closing", closeErr)
	}
	return err
}

// writeAt is f.WriteAt, for which fewer bytes than asked for are an error.
func writeAt(f File, b []byte, offset int64) error {
	n, err := f.WriteAt(b, offset)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// discard removes a file that did not come about.
func (o Options) discard(path string) error {
	if err := o.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(path, "removing", err)
	}
	return nil
}

// Append writes entries at the end, in their order, and returns their places when they are on the disk:
// until then they may be lost, afterwards never. An entry that cannot be a line (kind, body or length) is an
// error that changes nothing. After a failed write or sync what is on the disk is not known, and
// asking again would not tell: what was not acknowledged is cut off as far as that is possible, and every later Append
// fails with the same error. A full disk is syscall.ENOSPC or EDQUOT.
func (j *Journal) Append(entries ...Entry) ([]Place, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return nil, j.err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	start := j.size.Load()
	places := make([]Place, len(entries))
	buf := j.buf[:0]
	for i, e := range entries {
		at := len(buf)
		var err error
		if buf, err = appendLine(buf, j.seed, e); err != nil {
			return nil, err
		}
		places[i] = Place{start + int64(at), int32(len(buf) - at - 1)}
	}
	if j.buf = buf; cap(buf) > maxKept {
		j.buf = nil
	}
	if err := writeAt(j.file, buf, start); err != nil {
		return nil, j.poison(fmt.Sprintf("writing %d bytes", len(buf)), err)
	}
	if !j.o.NoSync {
		if err := j.file.Sync(); err != nil {
			return nil, j.poison(fmt.Sprintf("syncing %d bytes", len(buf)), err)
		}
	}
	j.size.Store(start + int64(len(buf)))
	j.lines += int64(len(entries))
	return places, nil
}

// poison ends the writing. What follows the last acknowledged line goes, so that nobody who opens the file on
// this machine takes what the disk does not have for finished.
func (j *Journal) poison(doing string, err error) error {
	size := j.size.Load()
	j.err = failedAt(j.path, doing, size, j.lines+1, err)
	if cutErr := j.file.Truncate(size); cutErr != nil {
		j.err = fmt.Errorf("%w (and cutting off what is not whole: %w)", j.err, bare(cutErr))
	}
	return j.err
}

// Entry reads the entry at a place that Append, Open or Read gave, and checks it. A line that is no longer what was
// written is a *FormatError. It may be called beside Append.
func (j *Journal) Entry(p Place) (Entry, error) {
	if p.Length < int32(minLine) || p.Length > MaxLine || p.Offset < 0 || p.Offset > j.size.Load()-int64(p.Length) {
		return Entry{}, &FormatError{Path: j.path, Offset: p.Offset, Reason: fmt.Sprintf("no line of %d bytes can stand there", p.Length)}
	}
	line := make([]byte, p.Length)
	if n, err := j.file.ReadAt(line, p.Offset); n < len(line) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Entry{}, failedAt(j.path, "reading", p.Offset+int64(n), 0, err)
	}
	e, ok := parseLine(line, j.seed, &interned{})
	if !ok {
		return Entry{}, &FormatError{Path: j.path, Offset: p.Offset, Reason: "the line is damaged"}
	}
	return e, nil
}

// Size returns how many bytes of the file are acknowledged.
func (j *Journal) Size() int64 { return j.size.Load() }

// Path returns the file's name.
func (j *Journal) Path() string { return j.path }

// Close closes the file. It writes nothing: what Append returned from is on the disk.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = failed(j.path, "writing", fs.ErrClosed)
	}
	if err := j.file.Close(); err != nil {
		return failed(j.path, "closing", err)
	}
	return nil
}

// readHeader reads the first line.
func readHeader(s *scanner) (header []byte, seed uint32, err error) {
	sp, err := s.next()
	switch {
	case err == io.EOF:
		return nil, 0, &FormatError{Path: s.path, Reason: "the file is empty, so no run was begun with it; remove it and run again"}
	case err != nil:
		return nil, 0, err
	}
	e, ok := parseLine(sp.text, 0, &interned{})
	if sp.shape != whole || !ok || e.Kind != headerKind {
		reason := "the first line, which says what run this is, is damaged. Nothing was changed. Put it back from a copy, or move the directory away and run again; the lines that follow are JSON and can still be read"
		if len(sp.text) < crcAt || string(sp.text[:crcAt]) != lineStart {
			reason = "this is no journal of facet, or its first line is damaged. Nothing was changed. Move the file away and run again, or put it back from a copy"
		}
		return nil, 0, &FormatError{Path: s.path, Line: 1, Reason: reason}
	}
	v, hex, _ := strings.Cut(e.Key, "-")
	n, err := strconv.ParseUint(hex, 16, 32)
	if v != version || err != nil {
		return nil, 0, &FormatError{Path: s.path, Line: 1, Reason: fmt.Sprintf("version %q of a journal is not known, only %s", v, version)}
	}
	return bytes.Clone(e.Body), uint32(n), nil
}

// FormatError is a journal that is not as it was written.
type FormatError struct {
	Path   string
	Offset int64 // bytes from the beginning
	Line   int64 // from 1; 0 where it is not known
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("journal: %s: %s: %s", e.Path, where(e.Offset, e.Line), e.Reason)
}

func where(offset, line int64) string {
	if line == 0 {
		return fmt.Sprintf("byte %d", offset)
	}
	return fmt.Sprintf("byte %d (line %d)", offset, line)
}

func failed(path, doing string, err error) error {
	return fmt.Errorf("journal: %s: %s: %w", path, doing, bare(err))
}

func failedAt(path, doing string, offset, line int64, err error) error {
	return fmt.Errorf("journal: %s: %s at %s: %w", path, doing, where(offset, line), bare(err))
}

// bare takes off the name of the file, which our message has.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}
