package faultfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Disk is a file system in memory that keeps the history of what was done to it. It promises what POSIX
// does and not more: only Sync puts a file's bytes on the disk, and only SyncDir its name. It is safe for
// concurrent use.
type Disk struct {
	mu      sync.Mutex
	base    tree // when the history began, all of it on the disk
	now     tree // as programs see it
	history []op
}

// tree is the names of a file system and what they stand for. Bytes are not changed in place: trees share them.
type tree struct {
	names map[string]int // node of a file, or directory
	files map[int][]byte // by node
}

const directory = 0 // the node of every directory; files are counted from 1

// clone returns a tree of its own. What is appended to a file of the old one is behind the end of the new one's.
func (t tree) clone() tree {
	c := tree{maps.Clone(t.names), maps.Clone(t.files)}
	for node, b := range c.files {
		c.files[node] = slices.Clip(b)
	}
	return c
}

type opKind int

const (
	write opKind = iota
	truncate
	sync_
	lose // a sync that failed: what was to be written never will be
	create
	rename
	remove
	syncDir
)

// op is one change, or a sync.
type op struct {
	kind     opKind
	node     int
	offset   int64 // of write; the size for truncate
	data     []byte
	name, to string
}

// NewDisk returns a disk with the directories named, and nothing in them.
func NewDisk(dirs ...string) *Disk {
	t := tree{map[string]int{}, map[int][]byte{}}
	for _, d := range dirs {
		t.names[filepath.Clean(d)] = directory
	}
	return newDisk(t)
}

func newDisk(t tree) *Disk { return &Disk{base: t, now: t.clone()} }

// Ops returns how many changes and syncs there were.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.history)
}

// Settled returns a disk with the files as they are now, all on the disk, and no history.
func (d *Disk) Settled() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return newDisk(d.now.clone())
}

// ReadFile returns the bytes of a file.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, ok := d.now.names[filepath.Clean(name)]
	if !ok || node == directory {
		return nil, pathError("read", name, syscall.ENOENT)
	}
	return slices.Clone(d.now.files[node]), nil
}

// WriteFile puts a file on the disk, name and bytes, as if it had always been there. What it does to
// a file that is open is not defined.
func (d *Disk) WriteFile(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	node := d.free()
	for _, t := range []tree{d.base, d.now} {
		t.names[name], t.files[node] = node, slices.Clone(data)
	}
}

// free returns a node that no file ever had.
func (d *Disk) free() int {
	node := 1 + len(d.base.files)
	for d.now.files[node] != nil || d.base.files[node] != nil {
		node++
	}
	return node
}

func (d *Disk) note(o op) {
	d.history = append(d.history, o)
	d.now.apply(o)
}

// apply does to a tree what o did.
func (t tree) apply(o op) {
	switch o.kind {
	case write, truncate:
		t.files[o.node] = changed(t.files[o.node], o)
	case create:
		t.names[o.name] = o.node
		if o.node != directory && t.files[o.node] == nil {
			t.files[o.node] = []byte{}
		}
	case rename:
		t.names[o.to] = t.names[o.name]
		delete(t.names, o.name)
	case remove:
		delete(t.names, o.name)
	}
}

// changed returns what a write or truncate makes of b.
func changed(b []byte, o op) []byte {
	if o.kind == truncate {
		return append(slices.Clone(b[:min(int64(len(b)), o.offset)]), make([]byte, max(0, o.offset-int64(len(b))))...)
	}
	if o.offset == int64(len(b)) {
		return append(b, o.data...)
	}
	grown := make([]byte, max(int64(len(b)), o.offset+int64(len(o.data))))
	copy(grown, b)
	copy(grown[o.offset:], o.data)
	return grown
}

// OpenFile knows the flags O_RDWR, O_CREATE, O_EXCL and O_TRUNC.
func (d *Disk) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	node, there := d.now.names[name]
	switch {
	case there && node == directory:
		return nil, pathError("open", name, syscall.EISDIR)
	case there && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathError("open", name, syscall.EEXIST)
	case there && flag&os.O_TRUNC != 0:
		d.note(op{kind: truncate, node: node})
	case there:
	case flag&os.O_CREATE == 0 || !d.isDir(filepath.Dir(name)):
		return nil, pathError("open", name, syscall.ENOENT)
	default:
		node = d.free()
		d.note(op{kind: create, node: node, name: name})
	}
	return &file{disk: d, node: node, name: name, writable: flag&os.O_RDWR != 0}, nil
}

func (d *Disk) isDir(name string) bool {
	node, ok := d.now.names[name]
	return ok && node == directory
}

// Rename replaces a file at to.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	if _, ok := d.now.names[from]; !ok || !d.isDir(filepath.Dir(to)) {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.ENOENT}
	}
	d.note(op{kind: rename, name: from, to: to})
	return nil
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if _, ok := d.now.names[name]; !ok {
		return pathError("remove", name, syscall.ENOENT)
	}
	d.note(op{kind: remove, name: name})
	return nil
}

// Mkdir makes a directory.
func (d *Disk) Mkdir(name string, _ fs.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if _, ok := d.now.names[name]; ok {
		return pathError("mkdir", name, syscall.EEXIST)
	}
	if !d.isDir(filepath.Dir(name)) {
		return pathError("mkdir", name, syscall.ENOENT)
	}
	d.note(op{kind: create, node: directory, name: name})
	return nil
}

// Stat knows size and kind.
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, ok := d.now.names[filepath.Clean(name)]
	if !ok {
		return nil, pathError("stat", name, syscall.ENOENT)
	}
	return info{filepath.Base(name), int64(len(d.now.files[node])), node == directory}, nil
}

// SyncDir puts the names in a directory on the disk.
func (d *Disk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if !d.isDir(name) {
		return pathError("sync", name, syscall.ENOENT)
	}
	d.note(op{kind: syncDir, name: name})
	return nil
}

type file struct {
	disk     *Disk
	node     int
	name     string
	writable bool
	closed   bool
}

// usable returns why the file cannot be used; the disk is locked.
func (f *file) usable(toWrite bool) error {
	if f.closed {
		return fs.ErrClosed
	}
	if toWrite && !f.writable {
		return pathError("write", f.name, syscall.EBADF)
	}
	return nil
}

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(false); err != nil {
		return 0, err
	}
	data := f.disk.now.files[f.node]
	if offset >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(b, data[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(true); err != nil {
		return 0, err
	}
	f.disk.note(op{kind: write, node: f.node, offset: offset, data: slices.Clone(b)})
	return len(b), nil
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(true); err != nil {
		return err
	}
	f.disk.note(op{kind: truncate, node: f.node, offset: size})
	return nil
}

func (f *file) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(false); err != nil {
		return err
	}
	f.disk.note(op{kind: sync_, node: f.node})
	return nil
}

// loseUnsynced is what a sync that fails does on Linux: the pages count as clean, programs go on seeing
// them, and no later sync writes them.
func (f *file) loseUnsynced() {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.note(op{kind: lose, node: f.node})
}

func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(false); err != nil {
		return 0, err
	}
	return int64(len(f.disk.now.files[f.node])), nil
}

func (f *file) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) IsDir() bool        { return i.dir }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("faultfs: %w", err)}
}
