package source

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// count reads the archives to know how many items there are. It is false if ctx ended.
func (s *Sources) count(ctx context.Context) bool {
	for i := range s.items {
		if !s.items[i].archive || s.known(int32(i)) {
			continue
		}
		s.members(ctx, int32(i), func(Item, error) bool { return true })
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}

// known tells whether an archive was read to its end.
func (s *Sources) known(index int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tallies[index]
	return t != nil && t.done
}

// members gives the members of the archive at index, and what is wrong with it. It is false
// if emit was.
func (s *Sources) members(ctx context.Context, index int32, emit func(Item, error) bool) bool {
	l := &s.items[index]
	m := listing{Sources: s, tally: &tally{}, again: s.known(index), names: map[[2]uint64]bool{}, seed2: maphash.MakeSeed()}
	m.base = s.item(l)
	m.emit = func(i Item, err error) bool {
		s.mu.Lock()
		m.tally.items++
		s.mu.Unlock()
		return emit(i, err)
	}
	if !m.again {
		s.mu.Lock()
		s.tallies[index] = m.tally
		s.mu.Unlock()
	}
	more, err := m.read(ctx)
	if !more || ctx.Err() != nil {
		return more
	}
	if err == nil && m.tally.items == 0 {
		err = fmt.Errorf("no %s in this archive%s", s.options.kinds(), others(m.tally.skipped))
	}
	if err != nil {
		more = m.emit(m.base, err)
	}
	s.mu.Lock()
	m.tally.done = true
	s.mu.Unlock()
	return more
}

// listing is one way through an archive.
type listing struct {
	*Sources
	base  Item // the archive
	emit  func(Item, error) bool
	tally *tally
	again bool               // not the first way
	names map[[2]uint64]bool // two hashes of each name: a name is long, and 128 bits do not meet
	seed2 maphash.Seed
}

// read gives the members up to an error.
func (m *listing) read(ctx context.Context) (more bool, err error) {
	a, err := openArchive(ctx, m.base.File, m.options.Limits)
	if err != nil {
		return true, err
	}
	defer a.close()
	for ctx.Err() == nil {
		h, err := a.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return true, err
		}
		path := m.base.Path + "/" + h.name
		switch {
		case h.folder:
			continue
		case !m.chosen(h, a):
			m.skip()
			continue
		case len(path) > m.options.Limits.PathBytes:
			m.warn("%s/%.100s…: a name of more than %d bytes, left out", m.base.Path, h.name, m.options.Limits.PathBytes)
			m.skip()
			continue
		case m.twice(path, h):
			m.warn("%s: named twice", path)
			continue
		}
		item := m.base
		item.Path, item.File, item.Stat = path, "", h.stat
		// Reproducible archives give all members one time: that of the archive tells whether they may be others.
		item.Stat.ModTime ^= m.base.Stat.ModTime
		n := a.members
		item.member = &member{&m.spool, func(ctx context.Context, to io.Writer) error {
			if done, err := a.copyTo(ctx, n, to); done {
				return err
			}
			return m.cursor.write(ctx, m.base.File, h.name, m.options.Limits, to)
		}}
		if h.wrong != nil {
			item.member = nil
		}
		if !m.emit(item, h.wrong) {
			return false, nil
		}
	}
	return true, nil
}

func (m *listing) skip() {
	m.mu.Lock()
	m.tally.skipped++
	m.mu.Unlock()
}

func (m *listing) warn(format string, args ...any) {
	if !m.again {
		m.Sources.warn(format, args...)
	}
}

// chosen tells whether a member is an item.
func (m *listing) chosen(h header, a *archive) bool {
	if slices.ContainsFunc(strings.Split(h.name, "/"), func(part string) bool {
		return strings.HasPrefix(part, ".") && part != ".." || part == "__MACOSX" // where macOS keeps what zip has no place for
	}) || !m.options.chosen(h.name) {
		return false
	}
	if wanted, known := m.options.byName(h.name); known {
		return wanted
	}
	return h.wrong == nil && m.options.byContent(a.head())
}

// twice tells whether there was a member of this name, or whether the list has it by itself.
// One whose name leads elsewhere is not looked for there.
func (m *listing) twice(path string, h header) bool {
	key := [2]uint64{maphash.String(m.seed, h.name), maphash.String(m.seed2, h.name)}
	if m.names[key] || h.wrong == nil && m.has(path, m.base) {
		return true
	}
	m.names[key] = true
	return false
}

// splitMember finds the archive in the path of a member, by its ending and because there is such a file.
func splitMember(path string) (archive, name string, ok bool) {
	for i := range path {
		if i > 0 && os.IsPathSeparator(path[i]) && isArchive(path[:i]) {
			if info, err := os.Stat(path[:i]); err == nil && info.Mode().IsRegular() {
				return path[:i], strings.ReplaceAll(path[i+1:], `\`, "/"), true
			}
		}
	}
	return "", "", false
}

// cursor finds members by name. It stays where it was, so that members that are asked for in
// their order are found on one way through the archive.
type cursor struct {
	mu   sync.Mutex
	path string
	a    *archive
}

// write writes the first member of this name.
func (c *cursor) write(ctx context.Context, path, name string, l Limits, to io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for again := c.a != nil && c.path == path; ; again = false {
		if !again {
			c.drop()
			// The archive outlives this call, and so must not end with its ctx.
			a, err := openArchive(context.WithoutCancel(ctx), path, l)
			if err != nil {
				return err
			}
			c.path, c.a = path, a
		}
		found, err := c.find(ctx, name, to)
		if found || err != nil && !again {
			return err
		}
		if !again {
			return errors.New("the archive has no such member")
		}
	}
}

// find reads on up to a member.
func (c *cursor) find(ctx context.Context, name string, to io.Writer) (found bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		h, err := c.a.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if h.name != name || h.folder {
			continue
		}
		if h.wrong != nil {
			return true, h.wrong
		}
		_, err = c.a.copyTo(ctx, c.a.members, to)
		return true, err
	}
}

func (c *cursor) drop() {
	if c.a != nil {
		c.a.close()
		c.a = nil
	}
}

func (c *cursor) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}
