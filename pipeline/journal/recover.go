package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
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
	if err := r.repair(o, path+quarantineSuffix); err != nil {
		return nil, nil, Recovery{}, errors.Join(err, r.file.Close())
	}
	return r.journal(path, o), r.header, r.Recovery, nil
}

// Read reads a journal as Open does and changes nothing. Another process may be writing it: what it writes
// meanwhile may be missing.
func Read(path string, o Options, each func(Entry, Place) error) ([]byte, Recovery, error) {
	o = o.withDefaults()
	r, err := replay(path, os.O_RDONLY, o, each)
	if err != nil {
		return nil, Recovery{}, err
	}
	if _, err := o.FS.Stat(path + quarantineSuffix); err == nil {
		r.Quarantine = path + quarantineSuffix
	}
	if err := r.file.Close(); err != nil {
		return nil, Recovery{}, failed(path, "closing", err)
	}
	return r.header, r.Recovery, nil
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

// replay reads all lines. The file is closed if it fails.
func replay(path string, flag int, o Options, each func(Entry, Place) error) (r *replayed, err error) {
	r = &replayed{path: path, each: each}
	if r.file, err = o.FS.OpenFile(path, flag, 0); err != nil {
		return nil, failed(path, "opening", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.file.Close())
		}
	}()
	if r.size, err = r.file.Size(); err != nil {
		return nil, failed(path, "asking for the size", err)
	}
	s := &scanner{file: r.file, path: path, size: r.size, shrink: flag == os.O_RDONLY}
	if r.header, r.seed, err = readHeader(s); err != nil {
		return nil, err
	}
	for {
		sp, err := s.next()
		if err == io.EOF {
			r.lines = s.lines
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		if err := r.line(sp); err != nil {
			return nil, err
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
// as damage. A line reaches no further than to the next beginning of one.
func (r *replayed) salvage(sp span) (good bool, err error) {
	done := 0 // all before it is accounted for
	begin := bytes.Index(sp.text, []byte(lineStart))
	for begin >= 0 {
		next, limit := bytes.Index(sp.text[begin+1:], []byte(lineStart)), len(sp.text)
		if next >= 0 {
			next += begin + 1
			limit = next
		}
		if n := valueEnd(sp.text[begin:limit]); n > 0 {
			if e, ok := parseLine(sp.text[begin:begin+n], r.seed, &r.kinds); ok {
				good = true
				r.damage(sp, done, begin)
				done = begin + n
				if err := r.entry(e, sp.offset+int64(begin), n); err != nil {
					return good, err
				}
			}
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
		if _, err := r.file.WriteAt([]byte{'\n'}, r.size); err != nil {
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
