package faultfs

import (
	"io/fs"
	"slices"
	"sync"
	"syscall"
)

// Call is a kind of call.
type Call string

// The calls that can fail.
const (
	Open     Call = "open"
	Rename   Call = "rename"
	Remove   Call = "remove"
	Mkdir    Call = "mkdir"
	Stat     Call = "stat"
	SyncDir  Call = "sync of a directory"
	Read     Call = "read"
	Write    Call = "write"
	Sync     Call = "sync"
	Truncate Call = "truncate"
	Size     Call = "size"
	Close    Call = "close"
)

// Fault says what goes wrong.
type Fault struct {
	Err   error
	Calls []Call // which calls are counted and can fail; nil: all
	// Half says that a read or write that fails does the first half of its work.
	Half bool
	// Stays says that all counted calls fail from the chosen one on: a disk that is full, one that died.
	Stays bool
	// Kill says that a sync that fails loses nothing: with Stays it is as if the process was killed, and the machine goes on.
	Kill bool
}

// Faults are those that every program that writes should meet.
var Faults = []Fault{
	{Err: syscall.EIO},
	{Err: syscall.EIO, Stays: true},
	{Err: syscall.EINTR, Stays: true, Kill: true},
	{Err: syscall.ENOSPC},
	{Err: syscall.EDQUOT},
	{Err: syscall.EINTR},
	{Err: syscall.EAGAIN},
	{Err: syscall.ENOSPC, Calls: []Call{Open, Mkdir, Rename, Write}, Half: true, Stays: true},
	{Err: syscall.EDQUOT, Calls: []Call{Write}, Half: true},
	{Err: syscall.EIO, Calls: []Call{Write}, Half: true},
	{Err: syscall.EIO, Calls: []Call{Write, Truncate}, Half: true, Stays: true},
	{Err: syscall.EIO, Calls: []Call{Sync}},
	{Err: syscall.ENOSPC, Calls: []Call{Sync}},
	{Err: syscall.EIO, Calls: []Call{Sync, Truncate}, Stays: true},
	{Err: syscall.EIO, Calls: []Call{SyncDir}},
	{Err: syscall.EIO, Calls: []Call{Rename}},
	{Err: syscall.EIO, Calls: []Call{Read}},
	{Err: syscall.EIO, Calls: []Call{Read}, Half: true},
	{Err: syscall.EIO, Calls: []Call{Read}, Stays: true},
}

// Failing is a file system of which the n-th call fails. It is safe for concurrent use.
type Failing struct {
	fs    FS
	fault Fault

	mu    sync.Mutex
	left  int // calls before the one that fails
	fails int
}

// NewFailing returns a file system that does as fs does, but for the n-th counted call, from 1.
func NewFailing(fs FS, n int, fault Fault) *Failing {
	return &Failing{fs: fs, fault: fault, left: n - 1}
}

// Failed returns how many calls failed: 0 means that there were fewer than n.
func (f *Failing) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fails
}

// fail counts a call and returns its error.
func (f *Failing) fail(c Call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault.Calls != nil && !slices.Contains(f.fault.Calls, c) {
		return nil
	}
	if f.left > 0 {
		f.left--
		return nil
	}
	if f.fails > 0 && !f.fault.Stays {
		return nil
	}
	f.fails++
	return f.fault.Err
}

func (f *Failing) failPath(c Call, name string) error {
	if err := f.fail(c); err != nil {
		return &fs.PathError{Op: string(c), Path: name, Err: err}
	}
	return nil
}

// OpenFile returns a file whose calls are counted as well.
func (f *Failing) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := f.failPath(Open, name); err != nil {
		return nil, err
	}
	inner, err := f.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &failingFile{inner, f, name}, nil
}

// Rename may fail.
func (f *Failing) Rename(from, to string) error {
	if err := f.failPath(Rename, to); err != nil {
		return err
	}
	return f.fs.Rename(from, to)
}

// Remove may fail.
func (f *Failing) Remove(name string) error {
	if err := f.failPath(Remove, name); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

// Mkdir may fail.
func (f *Failing) Mkdir(name string, perm fs.FileMode) error {
	if err := f.failPath(Mkdir, name); err != nil {
		return err
	}
	return f.fs.Mkdir(name, perm)
}

// Stat may fail.
func (f *Failing) Stat(name string) (fs.FileInfo, error) {
	if err := f.failPath(Stat, name); err != nil {
		return nil, err
	}
	return f.fs.Stat(name)
}

// SyncDir may fail, and then has done nothing.
func (f *Failing) SyncDir(name string) error {
	if err := f.failPath(SyncDir, name); err != nil {
		return err
	}
	return f.fs.SyncDir(name)
}

type failingFile struct {
	File
	fs   *Failing
	name string
}

func (f *failingFile) ReadAt(b []byte, offset int64) (int, error) {
	if err := f.fs.failPath(Read, f.name); err != nil {
		n := 0
		if f.fs.fault.Half {
			n, _ = f.File.ReadAt(b[:len(b)/2], offset)
		}
		return n, err
	}
	return f.File.ReadAt(b, offset)
}

func (f *failingFile) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.fs.failPath(Write, f.name); err != nil {
		n := 0
		if f.fs.fault.Half {
			n, _ = f.File.WriteAt(b[:len(b)/2], offset)
		}
		return n, err
	}
	return f.File.WriteAt(b, offset)
}

func (f *failingFile) Sync() error {
	if err := f.fs.failPath(Sync, f.name); err != nil {
		if d, ok := f.File.(interface{ loseUnsynced() }); ok && !f.fs.fault.Kill {
			d.loseUnsynced()
		}
		return err
	}
	return f.File.Sync()
}

func (f *failingFile) Truncate(size int64) error {
	if err := f.fs.failPath(Truncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *failingFile) Size() (int64, error) {
	if err := f.fs.failPath(Size, f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close closes the file also when it fails, as close(2) does.
func (f *failingFile) Close() error {
	err := f.File.Close()
	if failed := f.fs.failPath(Close, f.name); failed != nil {
		return failed
	}
	return err
}
