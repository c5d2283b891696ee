package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	quarantineSuffix = ".quarantine"
	quarantineKind   = "damaged"
	// pieceSize is how much of a damage an entry of the quarantine holds at most.
	pieceSize = 1 << 20
)

// piece is the body of an entry of the quarantine, which is a journal too.
type piece struct {
	Offset int64  `json:"offset"` // in the journal, in bytes
	Length int64  `json:"length"`
	CRC    uint32 `json:"crc32c"` // of the bytes
	Bytes  []byte `json:"bytes"`  // base64
}

// quarantine copies what of bad the quarantine does not hold yet, and returns when it is on the disk.
func (r *replayed) quarantine(o Options, path string, bad []Damage) (err error) {
	if len(bad) == 0 {
		r.noteQuarantine(o, path)
		return nil
	}
	q, known, err := openQuarantine(path, r.path, o)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := q.Close(); err == nil {
			err = closeErr
		}
	}()
	r.Quarantine = path
	for _, d := range bad {
		end := d.Offset + d.Length
		for at := d.Offset; at < end; {
			var k piece
			if known, k, err = r.nextKnown(known, at, end); err != nil {
				return err
			}
			missing := k.Offset - at
			for n := int64(0); n < missing; n += pieceSize {
				if err := r.copyTo(q, at+n, min(pieceSize, missing-n)); err != nil {
					return err
				}
			}
			r.Copied += missing
			at = k.Offset + k.Length
		}
	}
	return nil
}

// noteQuarantine notes whether there is a quarantine. It is only told, so an error is as good as none.
func (r *replayed) noteQuarantine(o Options, path string) {
	if _, err := o.FS.Stat(path); err == nil {
		r.Quarantine = path
	}
}

// openQuarantine opens or begins the quarantine of a journal. known are its pieces, without their bytes.
func openQuarantine(path, of string, o Options) (q *Journal, known []piece, err error) {
	r, err := replay(path, os.O_RDWR, o, func(e Entry, _ Place) error {
		var p piece
		if e.Kind == quarantineKind && json.Unmarshal(e.Body, &p) == nil {
			p.Bytes = nil
			known = append(known, p)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		header, err := json.Marshal(map[string]string{"damaged parts of": filepath.Base(of)})
		if err != nil {
			return nil, nil, err
		}
		q, err = Create(path, header, o)
		return q, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(known, func(a, b piece) int { return cmp.Compare(a.Offset, b.Offset) })
	r.foreign = false // a quarantine has none of its own
	if err := r.mend(o); err != nil {
		return nil, nil, errors.Join(err, r.file.Close())
	}
	return r.journal(path, o), known, nil
}

// nextKnown finds the first of the known pieces, in order of their offsets, that lies between at and end and is as the file is now: where a torn
// line was cut off, another may have followed that is torn. It returns the pieces behind it; without one, an empty piece at end.
func (r *replayed) nextKnown(known []piece, at, end int64) ([]piece, piece, error) {
	for i, k := range known {
		if k.Offset >= end {
			return known[i:], piece{Offset: end}, nil
		}
		if k.Offset < at || k.Length <= 0 || k.Length > min(pieceSize, end-k.Offset) {
			continue
		}
		b, err := r.bytes(k.Offset, k.Length)
		if err != nil {
			return nil, piece{}, err
		}
		if sum(0, b) == k.CRC {
			return known[i+1:], k, nil
		}
	}
	return nil, piece{Offset: end}, nil
}

func (r *replayed) copyTo(q *Journal, offset, length int64) error {
	b, err := r.bytes(offset, length)
	if err != nil {
		return err
	}
	body, err := json.Marshal(piece{offset, length, sum(0, b), b})
	if err != nil {
		return err
	}
	_, err = q.Append(Entry{quarantineKind, fmt.Sprint(offset), body})
	return err
}

// bytes reads a piece of the journal, of at most pieceSize bytes.
func (r *replayed) bytes(offset, length int64) ([]byte, error) {
	b := make([]byte, length)
	n, err := r.file.ReadAt(b, offset)
	if n == len(b) {
		return b, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return nil, failedAt(r.path, "reading", offset+int64(n), 0, err)
}
