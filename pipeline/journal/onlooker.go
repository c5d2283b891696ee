package journal

import (
	"errors"
	"os"
)

// OpenRead is Read for who looks entries up afterwards: the journal that it returns gives them, and appends none.
func OpenRead(path string, o Options, each func(Entry, Place) error) (*Journal, []byte, Recovery, error) {
	o = o.withDefaults()
	r, err := replay(path, os.O_RDONLY, o, each)
	if err != nil {
		return nil, nil, Recovery{}, err
	}
	j := r.journal(path, o)
	j.err = failed(path, "appending", errors.New("it was opened for reading"))
	return j, r.header, r.Recovery, nil
}
