package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
		if _, err := o.FS.Stat(path); err == nil {
			r.Quarantine = path
		}
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
		for d.Length > 0 {
			k, found, err := r.firstKnown(known, d)
			if err != nil {
				return err
			}
			missing := d.Length
			if found {
				missing = k.Offset - d.Offset
			}
			for n := int64(0); n < missing; n += pieceSize {
				if err := r.copyTo(q, d.Offset+n, min(pieceSize, missing-n)); err != nil {
					return err
				}
			}
			r.Copied += missing
			done := missing
			if found {
				done += k.Length
			}
			d.Offset, d.Length = d.Offset+done, d.Length-done
		}
	}
	return nil
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
	r.foreign = false // a quarantine has none of its own
	if err := r.mend(o); err != nil {
		return nil, nil, errors.Join(err, r.file.Close())
	}
	return r.journal(path, o), known, nil
}

// firstKnown finds the first piece in d that the quarantine holds as it is now: where a torn line was cut
// off, another may have followed that is torn.
func (r *replayed) firstKnown(known []piece, d Damage) (first piece, found bool, err error) {
	for _, k := range known {
		if k.Offset < d.Offset || k.Length <= 0 || k.Length > pieceSize || k.Offset+k.Length > d.Offset+d.Length || found && k.Offset >= first.Offset {
			continue
		}
		b, err := r.bytes(k.Offset, k.Length)
		if err != nil {
			return piece{}, false, err
		}
		if sum(0, b) == k.CRC {
			first, found = k, true
		}
	}
	return first, found, nil
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
