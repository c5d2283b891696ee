// Package source finds the inputs of a run.
//
// From what a user names to the bytes of an item:
//
//	paths → Open          files, folders, globs, names on stdin and manifests become a list    source.go folder.go glob.go
//	                      a line of a manifest is read                                         manifest.go batch.go csv.go
//	list  → All           one item after the other; archives are opened when their turn comes  list.go archive.go
//	item  → Take          the bytes of a member of an archive are put into a temporary file    spool.go
//	      → Head, Hash …  a file is read                                                       file.go
//
// Names, sizes and structure of files are foreign input: nothing that a folder or an
// archive holds makes a listing fail, hang or follow a way out of it. What is wrong with one
// item is an error in its place.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"facet/pipeline/job"
	"facet/pipeline/sink"
)

// Item is one input of a run. Equal files at two paths are two items.
type Item struct {
	// Path is the name in records, errors and keys: as the user wrote it, and for a member
	// of an archive the archive's path, a slash and the member's name.
	Path string
	// File is where the bytes are: Path, or a temporary file that Take made. "" for a member
	// that is not taken.
	File string

	// What a manifest says besides. Zero or nil says nothing.
	ID       string       // that the file must have, see job.ID
	CustomID string       // by which the user knows the request; not looked at
	Page     int          // of a document, from 1
	Job      string       // name of the job
	Options  *job.Options // go before those of the run; shared between items, not to be changed
	Line     string       // "list.jsonl:7", where the entry stands

	Stat Stat // as listed; zero if unknown

	member *member // nil for a file
	spool  *spooled
}

// Stat is what the listing says of a file.
type Stat struct {
	Size    int64 // bytes
	ModTime int64 // nanoseconds since 1970; of a member that of its archive is mixed in
}

// Options say what is looked for.
type Options struct {
	Media     []job.Medium // kinds of files that folders and archives are searched for
	Recursive bool         // folders in folders are entered
	// Include and Exclude are patterns for the paths below a folder or in an archive, with
	// forward slashes; ** stands for any number of folders. One without a slash is about the last
	// part alone. What matches an Exclude is left out, a folder with all that is in it, and
	// if there are Includes, what matches none of them.
	Include, Exclude []string
	Stdin            io.Reader // for the path "-": names, one a line
	NulNames         bool      // names on Stdin end with a zero byte in place of a line's end
	Limits           Limits    // zero fields: those of DefaultLimits
	Limit            int       // only the first so many items; 0: all
	Sample           int       // only so many of them, chosen at random, in input order; 0: all
	Seed             uint64    // for Sample
}

// Limits bound what folders and archives can make their reader do.
type Limits struct {
	Depth       int   // folders inside one another
	PathBytes   int   // of an item's path
	Members     int   // of one archive, whatever they are
	MemberBytes int64 // of one member, unpacked
	Bytes       int64 // of one archive, unpacked
	Ratio       int64 // unpacked bytes to packed ones, beyond the first 256 MiB
}

// DefaultLimits are far from what people have: Linux allows paths of 4,096 bytes, and media do
// not pack well except pages that are almost empty.
var DefaultLimits = Limits{
	Depth: 100, PathBytes: 4096,
	Members: 1_000_000, MemberBytes: 8 << 30, Bytes: 1 << 40, Ratio: 100,
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	return Limits{
		Depth: cmp.Or(l.Depth, d.Depth), PathBytes: cmp.Or(l.PathBytes, d.PathBytes), Members: cmp.Or(l.Members, d.Members),
		MemberBytes: cmp.Or(l.MemberBytes, d.MemberBytes), Bytes: cmp.Or(l.Bytes, d.Bytes), Ratio: cmp.Or(l.Ratio, d.Ratio),
	}
}

// Sources are the inputs that a list of paths leads to. Len, Skipped and Warnings may be
// called while All is running.
type Sources struct {
	options Options

	// The list, compact: a run may have millions of items.
	items    []listed
	dirs     []string         // what listed.dir counts: "" or a folder with its separator
	dirAt    map[string]int32 // index in dirs
	seen     map[uint64]int32 // hash of an identity → index in items
	seed     maphash.Seed
	pointers map[job.Options]*job.Options
	repeats  int  // items that were listed already
	stdin    bool // has been read

	spool  spool
	cursor cursor // for members that are named one by one

	mu       sync.Mutex
	skipped  int
	tallies  map[int32]*tally // of archives that are read, by index in items
	warnings []string
	more     int // warnings that are not kept
}

// listed is an item before its turn comes: 48 bytes and its name.
type listed struct {
	name          string // below dirs[dir]
	size, modTime int64
	entry         *entry // nil where no manifest says anything
	dir           int32
	archive       bool // whose members are the items
}

// entry is what a line of a manifest says.
type entry struct {
	id, customID, job string
	options           *job.Options
	page              int
	manifest          string
	line              int
	inline            int64 // 1 more than the byte where a line begins that holds its file; 0 for others
}

// Open lists the items that paths lead to, in their order. A manifest (.jsonl, .csv) gives
// its entries, a folder its media sorted by name, "-" the files that Stdin names; an archive
// is one item until All reads it. Any other file is an item, whatever it is, and so is a path
// that leads nowhere. A path with *, ? or [ in it that is not there is a pattern, for systems
// whose shell knows none.
//
// In folders and archives hidden files are left out, and so is what neither is called nor
// begins like the media that are looked for; archives and manifests there are files like any
// other. What is named twice is one item, and a warning.
//
// It fails on what the user got wrong: a folder that cannot be read or has none of the media, a
// pattern that matches nothing, a manifest that cannot be read or has a line that is
// wrong. The caller ends the Sources with Close.
func Open(paths []string, o Options) (*Sources, error) {
	o.Limits = o.Limits.orDefault()
	if err := checkPatterns("include", o.Include); err != nil {
		return nil, err
	}
	if err := checkPatterns("exclude", o.Exclude); err != nil {
		return nil, err
	}
	s := &Sources{
		options: o, dirs: []string{""}, dirAt: map[string]int32{"": 0}, seen: map[uint64]int32{}, seed: maphash.MakeSeed(),
		pointers: map[job.Options]*job.Options{}, tallies: map[int32]*tally{},
	}
	for _, path := range paths {
		err := s.path(path)
		if err != nil {
			return nil, err
		}
	}
	s.dirAt, s.pointers = nil, nil
	return s, nil
}

// path lists what a path of the command line leads to.
func (s *Sources) path(path string) error {
	if path == "-" {
		return s.names()
	}
	if hasMeta(path) {
		if _, err := os.Lstat(path); err != nil {
			return s.pattern(path)
		}
	}
	return s.named(path)
}

// named lists what a path leads to that is a name and no pattern.
func (s *Sources) named(path string) error {
	if path == "" {
		return errors.New("an empty path")
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		s.add(path, listed{}) // that it is not there is told in its turn
		return nil
	case info.IsDir():
		return s.folder(path, info)
	case isManifest(path):
		return s.manifest(path)
	}
	s.add(path, listed{size: info.Size(), modTime: info.ModTime().UnixNano(), archive: info.Mode().IsRegular() && isArchive(path)})
	return nil
}

// add puts an item at the end of the list, unless it is there.
func (s *Sources) add(path string, l listed) {
	first, twice := s.find(path, l.entry)
	if twice {
		s.repeats++
		s.warn("%s: named twice%s", path, s.lines(first, l.entry))
		return
	}
	dir, name := filepath.Split(path)
	at, known := s.dirAt[dir]
	if !known {
		at = int32(len(s.dirs))
		dir = strings.Clone(dir)
		s.dirs, s.dirAt[dir] = append(s.dirs, dir), at
	}
	l.dir, l.name = at, strings.Clone(name)
	s.items = append(s.items, l)
}

// lines says where two entries stand that are the same item.
func (s *Sources) lines(first int32, e *entry) string {
	if f := s.items[first].entry; f != nil && e != nil {
		return fmt.Sprintf(", in %s:%d and %s:%d", f.manifest, f.line, e.manifest, e.line)
	}
	return ""
}

// identity tells items apart: a file may be asked about twice if it is for something else.
type identity struct {
	path, job, customID string
	page                int
	options             job.Options
}

func identityOf(path string, e *entry) identity {
	id := identity{path: filepath.Clean(path)}
	if abs, err := filepath.Abs(path); err == nil {
		id.path = abs
	}
	if e != nil {
		id.job, id.customID, id.page = e.job, e.customID, e.page
		if e.options != nil {
			id.options = *e.options
		}
	}
	return id
}

// find looks for an item in the list, and marks its place for the one that is about to be added.
// Hashes are kept in place of paths, since these may be long.
func (s *Sources) find(path string, e *entry) (index int32, found bool) {
	id := identityOf(path, e)
	h := maphash.Comparable(s.seed, id)
	for ; ; h++ {
		at, taken := s.seen[h]
		if !taken {
			s.seen[h] = int32(len(s.items))
			return 0, false
		}
		if l := &s.items[at]; identityOf(s.dirs[l.dir]+l.name, l.entry) == id {
			return at, true
		}
	}
}

// has tells whether the list has a path that is for the same as an item.
func (s *Sources) has(path string, i Item) bool {
	id := identityOf(path, &entry{customID: i.CustomID, job: i.Job, options: i.Options, page: i.Page})
	for h := maphash.Comparable(s.seed, id); ; h++ {
		at, taken := s.seen[h]
		if !taken {
			return false
		}
		if l := &s.items[at]; identityOf(s.dirs[l.dir]+l.name, l.entry) == id {
			return true
		}
	}
}

// item unfolds an entry of the list.
func (s *Sources) item(l *listed) Item {
	path := s.dirs[l.dir] + l.name
	i := Item{Path: path, File: path, Stat: Stat{Size: l.size, ModTime: l.modTime}}
	if e := l.entry; e != nil {
		i.ID, i.CustomID, i.Page, i.Job, i.Options = e.id, e.customID, e.page, e.job, e.options
		i.Line = fmt.Sprintf("%s:%d", e.manifest, e.line)
	}
	if l.size == 0 {
		if write := s.within(path, l.entry); write != nil {
			i.File, i.member = "", &member{&s.spool, write}
		}
	}
	return i
}

// within finds out how to get at the bytes of what is in a manifest or an archive; nil for a file.
func (s *Sources) within(path string, e *entry) func(context.Context, io.Writer) error {
	if e != nil && e.inline > 0 {
		return func(ctx context.Context, to io.Writer) error {
			return writeInline(ctx, e.manifest, e.line, e.inline-1, to)
		}
	}
	if archive, name, ok := splitMember(path); ok {
		return func(ctx context.Context, to io.Writer) error {
			return s.cursor.write(ctx, archive, name, s.options.Limits, to)
		}
	}
	return inlineAt(path)
}

// shared returns the one copy of options that are equal, nil for none.
func (s *Sources) shared(o job.Options) *job.Options {
	if o == (job.Options{}) {
		return nil
	}
	p, ok := s.pointers[o]
	if !ok {
		p = &o
		if len(s.pointers) < 10_000 { // as many as fit are better than none
			s.pointers[o] = p
		}
	}
	return p
}

// keptWarnings bounds Warnings.
const keptWarnings = 100

func (s *Sources) warn(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.warnings) == keptWarnings {
		s.more++
		return
	}
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// Warnings are sentences for people about what is left out: paths that are named twice, folders
// that cannot be read or lead into themselves. They hold names as they are.
func (s *Sources) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.warnings[:len(s.warnings):len(s.warnings)]
	if s.more > 0 {
		w = append(w, fmt.Sprintf("and %d more warnings like these", s.more))
	}
	return w
}

// Folder is the deepest folder that all items are in, "" if there is none; an archive is one.
// It is the same whatever Limit and Sample say, so that names of outputs do not depend on them.
func (s *Sources) Folder() string {
	shared, first, last := "", true, int32(-1)
	for i := range s.items {
		l := &s.items[i]
		if l.dir == last && !l.archive {
			continue // in the same folder as the one before
		}
		path := s.dirs[l.dir] + l.name
		if last = l.dir; l.archive {
			path, last = path+"/member", -1
		}
		if first {
			shared, first = sink.SharedFolder([]string{path}), false
			continue
		}
		if shared = sink.SharedFolder([]string{shared + "/item", path}); shared == "" {
			break
		}
	}
	return shared
}

// Close removes the temporary files.
func (s *Sources) Close() error {
	s.cursor.close()
	return s.spool.close()
}
