package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Recovery says what Open or Read met.
type Recovery struct {
	Entries int64    // good lines, without the header
	Damaged []Damage // what is no good line, in the order of the file
	// Torn is how many bytes of an unfinished last line Open cut off. Read leaves them: there another process may be writing them.
	Torn int64
	// Ended says that Open gave the last line the end that it lacked.
	Ended bool
	// Quarantine is the file that holds copies of what was damaged and what was cut off. "": there is none.
	Quarantine string
	Copied     int64 // bytes that Open copied there this time
}

// Damage is a piece of the file that is no good line; next to one another they are one.
type Damage struct {
	Offset, Length int64 // in bytes
	Line           int64 // number of its first line, from 1
}

// OK reports whether the file was as it was written, but for a last line without its end, which every crash may leave.
func (r Recovery) OK() bool { return len(r.Damaged) == 0 && r.Copied == 0 }

// maxNamed is how many pieces of damage Warnings names.
const maxNamed = 20

// Warnings returns a sentence for each thing that a person should know.
func (r Recovery) Warnings() (sentences []string) {
	for i, d := range r.Damaged {
		if i == maxNamed {
			sentences = append(sentences, fmt.Sprintf("%d more places of the journal are damaged.", len(r.Damaged)-i))
			break
		}
		sentences = append(sentences, fmt.Sprintf("The journal is damaged at byte %d (line %d, %d bytes); what stood there is done again.", d.Offset, d.Line, d.Length))
	}
	if r.Torn > 0 {
		sentences = append(sentences, fmt.Sprintf("The last line of the journal was not written to its end; %d bytes were left out.", r.Torn))
	}
	if r.Copied > 0 {
		sentences = append(sentences, fmt.Sprintf("%d damaged bytes were copied to %s.", r.Copied, r.Quarantine))
	}
	return sentences
}

// Open reads a journal, repairs its end and makes it ready for Append. each is called for every good entry in
// the order of the file, also for those after damage; the body is good until it returns, and its error ends
// Open. Damaged bytes stay where they are and are copied, once, to path + ".quarantine". An unfinished last line is cut
// off. When Open returns, all that each was called for is on the disk.
//
// A file that cannot be read, and one whose first line is damaged (*FormatError), is left as it is.
func Open(path string, o Options, each func(Entry, Place) error) (*Journal, []byte, Recovery, error) {
	o = o.withDefaults()
	r, err := replay(path, os.O_RDWR, o, each)
	if err != nil {
		return nil, nil, Recovery{}, err
	}
	err = r.repair(o, path+quarantineSuffix)
	if err == nil {
		err = o.syncDir(filepath.Dir(path)) // who created it may have been killed before
	}
	if err != nil {
		return nil, nil, Recovery{}, errors.Join(err, r.file.Close())
	}
	return r.journal(path, o), r.header, r.Recovery, nil
}

// OpenRead reads a journal as Open does and changes nothing; the Journal is for Entry, its Append fails. Another process
// may be writing the file: what it writes meanwhile may be missing, and may not be on the disk yet.
func OpenRead(path string, o Options, each func(Entry, Place) error) (*Journal, []byte, Recovery, error) {
	o = o.withDefaults()
	r, err := replay(path, os.O_RDONLY, o, each)
	if err != nil {
		return nil, nil, Recovery{}, err
	}
	r.noteQuarantine(o, path+quarantineSuffix)
	j := r.journal(path, o)
	j.err = failed(path, "writing", errReadOnly)
	return j, r.header, r.Recovery, nil
}

var errReadOnly = errors.New("it was opened for reading only")

// Read is OpenRead and Close.
func Read(path string, o Options, each func(Entry, Place) error) ([]byte, Recovery, error) {
	j, header, rec, err := OpenRead(path, o, each)
	if err != nil {
		return nil, Recovery{}, err
	}
	if err := j.Close(); err != nil {
		return nil, Recovery{}, err
	}
	return header, rec, nil
}

// replayed is a journal whose lines were read.
type replayed struct {
	Recovery
	path   string
	file   File
	header []byte
	seed   uint32
	size   int64 // of the file
	lines  int64

	kinds   interned
	each    func(Entry, Place) error
	foreign bool // the unfinished last line does not look like the beginning of one that Append wrote
}

// replay opens a journal and reads all lines.
func replay(path string, flag int, o Options, each func(Entry, Place) error) (*replayed, error) {
	file, err := o.FS.OpenFile(path, flag, 0)
	if err != nil {
		return nil, failed(path, "opening", err)
	}
	r := &replayed{path: path, file: file, each: each}
	if err := r.all(flag == os.O_RDONLY); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// all reads all lines; beside a writer the file may become shorter meanwhile.
func (r *replayed) all(besideWriter bool) (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return failed(r.path, "asking for the size", err)
	}
	s := &scanner{file: r.file, path: r.path, size: r.size, shrink: besideWriter}
	if r.header, r.seed, err = readHeader(s); err != nil {
		return err
	}
	for {
		sp, err := s.next()
		if err == io.EOF {
			r.size, r.lines = s.size, s.lines
			return nil
		}
		if err == nil {
			err = r.line(sp)
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line, or what stands in the place of one.
func (r *replayed) line(sp span) error {
	if e, ok := parseLine(sp.text, r.seed, &r.kinds); ok {
		r.Ended = sp.shape == tail
		return r.entry(e, sp.offset, len(sp.text))
	}
	good, err := r.salvage(sp)
	switch {
	case err != nil:
		return err
	case sp.shape != tail:
	case good: // and something is left over: it stays, as a line
		r.Ended = true
	default:
		r.Torn, r.foreign = int64(len(sp.text)), !beginsLine(sp.text)
	}
	return nil
}

func (r *replayed) entry(e Entry, offset int64, length int) error {
	r.Entries++
	if r.each == nil {
		return nil
	}
	return r.each(e, Place{offset, int32(length)})
}

// salvage finds the good lines in a piece that is none, because the end of one was damaged, and notes the rest
// as damage. A body may hold what looks like the beginning of a line, so that a line is followed to
// where its braces close; when that has led nowhere for four times the length of the piece, to the next beginning only.
func (r *replayed) salvage(sp span) (good bool, err error) {
	done := 0 // all before it is accounted for
	far := 4 * len(sp.text)
	for begin := indexFrom(sp.text, lineStart, 0); begin >= 0; {
		next := indexFrom(sp.text, lineStart, begin+1)
		limit := len(sp.text)
		if far <= 0 && next >= 0 {
			limit = next
		}
		n := valueEnd(sp.text[begin:limit])
		if n < 0 {
			far -= limit - begin
		} else if e, ok := parseLine(sp.text[begin:begin+n], r.seed, &r.kinds); ok {
			good = true
			r.damage(sp, done, begin)
			done = begin + n
			if err := r.entry(e, sp.offset+int64(begin), n); err != nil {
				return good, err
			}
			next = indexFrom(sp.text, lineStart, done)
		} else {
			far -= n
		}
		begin = next
	}
	if sp.shape == tail && !good {
		return false, nil // torn
	}
	end := len(sp.text)
	if done == 0 && sp.shape == whole {
		end++ // the end of a line of which nothing is good belongs to it
	}
	r.damage(sp, done, end)
	return good, nil
}

// damage notes that bytes from to to of sp are no line.
func (r *replayed) damage(sp span, from, to int) {
	if from == to {
		return
	}
	d := Damage{sp.offset + int64(from), int64(to - from), sp.line}
	if n := len(r.Damaged); n > 0 && r.Damaged[n-1].Offset+r.Damaged[n-1].Length == d.Offset {
		r.Damaged[n-1].Length += d.Length
		return
	}
	r.Damaged = append(r.Damaged, d)
}

// indexFrom is the index of the first sub in b that does not begin before from, or -1.
func indexFrom(b []byte, sub string, from int) int {
	i := bytes.Index(b[from:], []byte(sub))
	if i < 0 {
		return -1
	}
	return from + i
}

// beginsLine reports whether b can be the beginning of a line that Append wrote.
func beginsLine(b []byte) bool {
	const frame = lineStart + "00000000" + lineKind
	for i, c := range b {
		switch {
		case c < 0x20: // zeros, most of all, where blocks did not reach the disk
			return false
		case i >= len(frame):
		case i < crcAt || i >= crcEnd:
			if c != frame[i] {
				return false
			}
		case bytes.IndexByte([]byte(hexDigits), c) < 0:
			return false
		}
	}
	return bytes.LastIndex(b, []byte(lineStart)) <= 0
}

// repair copies what is damaged to the quarantine, and only then touches the file.
func (r *replayed) repair(o Options, quarantine string) error {
	bad := r.Damaged
	if r.Torn > 0 && r.foreign {
		bad = append(bad[:len(bad):len(bad)], Damage{r.size - r.Torn, r.Torn, r.lines + 1})
	}
	if err := r.quarantine(o, quarantine, bad); err != nil {
		return err
	}
	return r.mend(o)
}

// mend gives the file a sound end, and returns when all of it is on the disk.
func (r *replayed) mend(o Options) error {
	switch {
	case r.Torn > 0:
		r.size -= r.Torn
		if err := r.file.Truncate(r.size); err != nil {
			return failedAt(r.path, "cutting off the unfinished line", r.size, r.lines+1, err)
		}
	case r.Ended:
		if err := writeAt(r.file, []byte{'\n'}, r.size); err != nil {
			return failedAt(r.path, "ending the last line", r.size, r.lines+1, err)
		}
		r.size++
		r.lines++
	}
	if o.NoSync {
		return nil
	}
	// Also without repairs: who was killed between write and sync leaves lines that are whole and not on the disk.
	if err := r.file.Sync(); err != nil {
		return failed(r.path, "syncing", err)
	}
	return nil
}

// journal is what goes on writing after mend.
func (r *replayed) journal(path string, o Options) *Journal {
	j := &Journal{path: path, file: r.file, o: o, seed: r.seed, lines: r.lines}
	j.size.Store(r.size)
	return j
}
