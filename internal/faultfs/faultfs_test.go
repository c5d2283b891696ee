package faultfs_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"

	"facet/internal/faultfs"
)

// found returns every content of a file that any cut at the end of the history leaves, "-" for none.
func found(d *faultfs.Disk, name string) (contents []string) {
	for cut := range d.Cuts(1, 200) {
		if cut.After < d.Ops() {
			continue
		}
		b, err := cut.Disk.ReadFile(name)
		if err != nil {
			b = []byte("-")
		}
		contents = append(contents, string(b))
	}
	slices.Sort(contents)
	return slices.Compact(contents)
}

func open(t *testing.T, f faultfs.FS, name string) faultfs.File {
	t.Helper()
	file, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Bytes are on the disk after a sync of the file, its name after one of the directory, and each may be
// there before.
func TestWhatACutLeaves(t *testing.T) {
	d := faultfs.NewDisk(".")
	f := open(t, d, "a")
	write := func(s string, at int64) {
		_, err := f.WriteAt([]byte(s), at)
		must(t, err)
	}
	check := func(when string, want ...string) {
		t.Helper()
		if got := found(d, "a"); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	check("created", "", "-")
	write("xy", 0)
	check("written", "", "\x00\x00", "-", "x", "xy")
	must(t, f.Sync())
	check("synced", "-", "xy")
	must(t, d.SyncDir("."))
	check("directory synced", "xy")
	must(t, d.Rename("a", "b"))
	check("renamed", "-", "xy")
	if got := found(d, "b"); !slices.Equal(got, []string{"-", "xy"}) {
		t.Errorf("renamed to b: %q", got)
	}
	must(t, d.Rename("b", "a"))
	must(t, d.SyncDir("."))
	write("z", 1)
	check("written over", "xy", "xz")
	must(t, f.Truncate(1))
	check("cut", "x", "xy", "xz")
	must(t, f.Sync())
	must(t, d.Remove("a"))
	check("removed", "-", "x")
	must(t, d.SyncDir("."))
	check("removal synced", "-")
}

// Blocks of one write reach the disk in any order.
func TestBlocksOfAWrite(t *testing.T) {
	d := faultfs.NewDisk(".")
	f := open(t, d, "a")
	must(t, d.SyncDir("."))
	data := make([]byte, 3*4096)
	for i := range data {
		data[i] = byte('a' + i/4096)
	}
	_, err := f.WriteAt(data, 0)
	must(t, err)
	seen := map[string]bool{}
	for _, c := range found(d, "a") {
		if len(c) == len(data) {
			seen[string([]byte{c[0], c[4096], c[8192]})] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("%v: not every set of blocks", seen)
	}
}

// What a failed sync was to write is never written, although programs go on seeing it.
func TestFailedSyncLoses(t *testing.T) {
	d := faultfs.NewDisk(".")
	failing := faultfs.NewFailing(d, 1, faultfs.Fault{Err: syscall.EIO, Calls: []faultfs.Call{faultfs.Sync}})
	f := open(t, failing, "a")
	must(t, d.SyncDir("."))
	_, err := f.WriteAt([]byte("lost"), 0)
	must(t, err)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) || failing.Failed() != 1 {
		t.Fatalf("%v, %d failed", err, failing.Failed())
	}
	_, err = f.WriteAt([]byte("more"), 4)
	must(t, err)
	must(t, f.Sync())
	if b, err := d.ReadFile("a"); string(b) != "lostmore" || err != nil {
		t.Errorf("programs see %q, %v", b, err)
	}
	if got := found(d, "a"); len(got) != 1 || got[0] != "\x00\x00\x00\x00more" {
		t.Errorf("the disk has %q", got)
	}
}

func TestFailing(t *testing.T) {
	for _, stays := range []bool{false, true} {
		d := faultfs.NewDisk(".")
		failing := faultfs.NewFailing(d, 2, faultfs.Fault{Err: syscall.ENOSPC, Calls: []faultfs.Call{faultfs.Write}, Half: true, Stays: stays})
		f := open(t, failing, "a")
		for i, wantN := range []int{4, 2, 4} {
			wrong := i == 1 || i == 2 && stays
			if wrong {
				wantN = 2
			}
			n, err := f.WriteAt([]byte("abcd"), int64(4*i))
			if n != wantN || errors.Is(err, syscall.ENOSPC) != wrong {
				t.Errorf("stays %v, write %d: %d, %v", stays, i, n, err)
			}
		}
	}
	if _, err := faultfs.NewDisk(".").Stat("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
