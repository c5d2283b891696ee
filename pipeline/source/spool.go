package source

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// member is where the bytes of an item are that has no file of its own.
type member struct {
	spool *spool // nil: one for this file alone
	write func(ctx context.Context, to io.Writer) error
}

// Take puts the bytes of a member of an archive into a temporary file; a file is itself.
// Errors do not name the item. The caller ends the returned item with Release.
//
// All leaves a member at hand until the next item is asked for; after that Take reads the archive from
// its start to find it again.
func (i Item) Take(ctx context.Context) (Item, error) {
	if i.member == nil || i.spool != nil {
		return i, nil
	}
	in, alone := i.member.spool, false
	if in == nil {
		in, alone = &spool{}, true
	}
	spooled, err := in.put(ctx, i.member.write)
	if err != nil {
		if alone {
			in.close()
		}
		return i, err
	}
	if alone {
		spooled.folder = in
	}
	i.spool, i.File = spooled, spooled.path
	return i, nil
}

// Release says that the bytes are not needed any more: a temporary file is removed. It may be called more
// than once and from any goroutine.
func (i Item) Release() {
	if i.spool != nil {
		i.spool.remove()
	}
}

// spool is a folder for temporary files that others cannot look into. It is made when the first is needed. Safe
// for concurrent use.
type spool struct {
	mu     sync.Mutex
	dir    string
	files  int
	closed bool
}

// spooled is a temporary file.
type spooled struct {
	path   string
	folder *spool // if it is there for this file alone
	once   sync.Once
}

func (s *spooled) remove() {
	s.once.Do(func() {
		os.Remove(s.path)
		if s.folder != nil {
			s.folder.close()
		}
	})
}

// put makes a temporary file of what write writes. Nothing is left of it after an error.
func (s *spool) put(ctx context.Context, write func(context.Context, io.Writer) error) (*spooled, error) {
	path, err := s.name()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	err = write(ctx, f)
	if e := f.Close(); err == nil && e != nil {
		err = fmt.Errorf("temporary file: %w", e)
	}
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	return &spooled{path: path}, nil
}

// name is that of the next file. The names of members have no part in it.
func (s *spool) name() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", fmt.Errorf("temporary file: %w", os.ErrClosed)
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "facet-*") // 0700
		if err != nil {
			return "", fmt.Errorf("temporary folder: %w", err)
		}
		s.dir = dir
	}
	s.files++
	return filepath.Join(s.dir, fmt.Sprint(s.files)), nil
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
