package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// archiveEndings tell archives by their names; how one is packed is told by its bytes.
var archiveEndings = []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.zst", ".tzst", ".zip", ".cbz"}

// strangeEndings are archives that nobody here reads. They are items whose error says so.
var strangeEndings = []string{".tar.xz", ".txz", ".xz", ".7z", ".rar", ".cbr", ".tar.lz4", ".tar.z"}

func isArchive(name string) bool {
	return hasEnding(name, archiveEndings) || hasEnding(name, strangeEndings)
}

func hasEnding(name string, endings []string) bool {
	lower := strings.ToLower(filepath.Base(name))
	return slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(lower, e) })
}

// archive reads the members of one in its order. Its methods are safe for concurrent use.
type archive struct {
	mu      sync.Mutex
	file    *os.File
	form    container
	limits  Limits
	members int           // that were met
	last    string        // of them
	claimed int64         // bytes of the current one
	in      *bufio.Reader // of the current one
	used    bool          // in has been read
	err     error         // that ended it
}

// container is what the formats of archives have in common.
type container interface {
	// next goes to the next member; io.EOF is the end. A header's wrong is about this
	// member alone, an error about all that follow.
	next() (header, error)
	// Read reads the current member.
	io.Reader
	// at is the byte of the file that reading has come to.
	at() int64
	close()
}

// header is what an archive says of a member.
type header struct {
	name   string
	stat   Stat
	folder bool
	wrong  error // why its bytes cannot be had
}

// limitError says that an archive asks for more than is allowed.
type limitError string

func (e limitError) Error() string { return string(e) }

// openArchive opens one to be read until ctx ends. Errors do not name the path.
func openArchive(ctx context.Context, name string, l Limits) (*archive, error) {
	if hasEnding(name, strangeEndings) && !hasEnding(name, archiveEndings) {
		return nil, errors.New("archives of this kind are not read: .tar, .tar.gz, .tar.bz2, .tar.zst and .zip are")
	}
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, limits: l, in: bufio.NewReaderSize(nil, 4096)}
	if a.form, err = a.open(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// open finds out what kind of archive it is.
func (a *archive) open(ctx context.Context) (container, error) {
	head, err := headOf(a.file)
	if err != nil {
		return nil, err
	}
	if len(head) == 0 {
		return nil, errEmpty
	}
	if hasEnding(a.file.Name(), []string{".zip", ".cbz"}) {
		return openZip(a.file, a.limits)
	}
	return openTar(ctx, a.file, head, a.limits)
}

func (a *archive) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = os.ErrClosed
	}
	a.form.close()
	a.file.Close()
}

// next goes to the next member, of which the name is made relative and clean. Its error is the end: io.EOF, or
// what is wrong and where.
func (a *archive) next() (header, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return header{}, a.err
	}
	h, err := a.form.next()
	if err == nil && a.members == a.limits.Members {
		err = limitError(fmt.Sprintf("more than %d members", a.limits.Members))
	}
	if err != nil {
		a.err = a.placed(err)
		return header{}, a.err
	}
	a.members++
	a.claimed = h.stat.Size
	raw := h.name
	a.last = raw
	h.name = path.Clean(strings.TrimLeft(raw, "/"))
	switch {
	case h.wrong != nil:
	case strings.HasPrefix(raw, "/"):
		h.wrong = errors.New("its name in the archive is an absolute path")
	case slices.Contains(strings.Split(raw, "/"), ".."):
		h.wrong = errors.New("its name leads out of the archive")
	case h.stat.Size > a.limits.MemberBytes:
		h.wrong = fmt.Errorf("%d bytes unpacked, more than the limit of %d", h.stat.Size, a.limits.MemberBytes)
	}
	a.in.Reset(a.form)
	a.used = h.wrong != nil
	return h, nil
}

// placed says where an archive ends that is not whole.
func (a *archive) placed(err error) error {
	var limit limitError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it ends too early")
	}
	what := "damaged"
	if errors.As(err, &limit) {
		what = "not read on"
	}
	if a.members == 0 {
		return fmt.Errorf("%s at byte %d, before its first member: %w", what, a.form.at(), err)
	}
	return fmt.Errorf("%s at byte %d, after member %d, %.100q: %w", what, a.form.at(), a.members, a.last, err)
}

// head returns the first bytes of the current member, or nil if they cannot be read. They are still there to be
// read.
func (a *archive) head() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used {
		return nil
	}
	head, err := a.in.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return head
}

// copyTo writes the current member if it is the nth and nobody has read it; done is false if not.
func (a *archive) copyTo(ctx context.Context, n int, to io.Writer) (done bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used || a.members != n || a.err != nil {
		return false, nil
	}
	a.used = true
	limit := a.limits.MemberBytes
	got, err := copyAll(ctx, to, io.LimitReader(a.in, limit+1))
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF):
		return true, fmt.Errorf("cut short after %d of %d bytes", got, a.claimed)
	case err != nil:
		return true, err
	case got > limit:
		return true, fmt.Errorf("more than the limit of %d bytes unpacked", limit)
	}
	return true, nil
}

// ratioFrom is how much an archive may unpack before its ratio is looked at: a few blank pages pack a
// thousandfold and are no harm.
const ratioFrom = 256 << 20

// meter bounds what an archive unpacks.
type meter struct {
	r      io.Reader
	limits Limits
	packed func() int64 // bytes of the file that were read
	n      int64
	alive  func() error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.alive != nil {
		if err := m.alive(); err != nil {
			return 0, err
		}
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	if m.n > m.limits.Bytes {
		return n, limitError(fmt.Sprintf("more than %d bytes unpacked", m.limits.Bytes))
	}
	if m.n > ratioFrom && m.n/m.limits.Ratio > m.packed() {
		return n, limitError(fmt.Sprintf("unpacks to more than %d times its size", m.limits.Ratio))
	}
	return n, err
}

// counter counts what is read of a file.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
