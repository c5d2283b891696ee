package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"facet/internal/faultfs"
	"facet/pipeline/journal"
)

// life is a run that is begun, goes on once, and writes, in batches of a seed. It ends with the first error, as a
// process would.
func life(f faultfs.FS, d *faultfs.Disk, w *writer, seed uint64) error {
	dice := rand.New(rand.NewPCG(seed, 0))
	o := journal.Options{FS: f}
	if err := journal.MakeDir("run", o); err != nil {
		return err
	}
	entries := made(40)
	j, err := journal.Create("run/journal", []byte(`{"run":1}`), o)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	} else if err == nil {
		for i, n := 0, 0; i < 20; i += n {
			n = 2 + dice.IntN(5)
			if err := w.append(j, d, entries[i:i+n]); err != nil {
				if _, again := j.Append(entries[0]); again != err {
					return fmt.Errorf("after %w a second Append returns %v", err, again)
				}
				return errors.Join(err, j.Close())
			}
		}
		err = j.Close()
	}
	if err != nil {
		return err
	}
	var c collector
	j, _, _, err = journal.Open("run/journal", o, c.add)
	if err != nil {
		return err
	}
	if err := missing(c.entries, w.entries, w.before(d.Ops())); err != nil {
		return err
	}
	for i, n := 25, 0; i < 40; i += n {
		n = min(3+dice.IntN(4), 40-i)
		if err := w.append(j, d, entries[i:i+n]); err != nil {
			return errors.Join(err, j.Close())
		}
	}
	for range 2 {
		if _, err := j.Entry(journal.Place{Offset: j.Size() - 78, Length: 77}); err != nil {
			var format *journal.FormatError
			if !errors.As(err, &format) {
				return errors.Join(err, j.Close())
			}
		}
	}
	return j.Close()
}

// worn is a disk with a journal that has a damaged line and an unfinished one.
func worn(t *testing.T, seed uint64) (*faultfs.Disk, *writer) {
	d, w := faultfs.NewDisk("."), &writer{}
	if err := life(d, d, w, seed); err != nil {
		t.Fatal(err)
	}
	data, err := d.ReadFile("run/journal")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, "\x00\x00 foreign\n{\"crc\":\"00000000\",\"kind\":\"rec\x00\x00"...)
	d.WriteFile("run/journal", data)
	return d.Settled(), w
}

// named are the errors that name a file or directory.
var named = regexp.MustCompile(`^journal: (\.|run[/a-z.]*): `)

// faulty lives through a fault at every call of a kind, and then looks at what is left: at once, and after
// a power cut. It returns how many runs there were and the first thing that is wrong.
func faulty(t *testing.T, seed uint64, fault faultfs.Fault, wrap func(faultfs.FS) faultfs.FS) (runs int, wrong error) {
	begins := []func() (*faultfs.Disk, *writer){
		func() (*faultfs.Disk, *writer) { return faultfs.NewDisk("."), &writer{} },
		func() (*faultfs.Disk, *writer) {
			d, old := worn(t, seed)
			return d, &writer{entries: old.entries, acks: []acknowledged{{0, len(old.entries)}}}
		},
	}
	for b, begin := range begins {
		for n := 1; ; n++ {
			d, w := begin()
			f := faultfs.NewFailing(d, n, fault)
			err := life(wrap(f), d, w, seed)
			if f.Failed() == 0 {
				if err != nil {
					return runs, fmt.Errorf("begin %d, no fault: %w", b, err)
				}
				break
			}
			runs++
			at := fmt.Sprintf("begin %d, call %d", b, n)
			if err != nil && (!errors.Is(err, fault.Err) || !named.MatchString(err.Error())) {
				return runs, fmt.Errorf("%s: the error does not say what failed, or where: %w", at, err)
			}
			acked := w.before(d.Ops())
			if err := recovered(d.Settled(), journal.Options{}, w, acked); err != nil {
				return runs, fmt.Errorf("%s: %w", at, err)
			}
			history := d.Ops()
			for cut := range d.Cuts(uint64(n), 2) {
				if cut.After < history {
					continue
				}
				if err := recovered(cut.Disk, journal.Options{}, w, acked); err != nil {
					return runs, fmt.Errorf("%s, then a power cut, %s: %w", at, cut.How, err)
				}
			}
			// Where cutting off fails as well as the sync before, programs see lines that the disk will never have.
			if fault.Stays && !fault.Kill && (fault.Calls == nil || slices.Contains(fault.Calls, faultfs.Truncate)) {
				continue
			}
			if err := reopened(d); err != nil {
				return runs, fmt.Errorf("%s: %w", at, err)
			}
		}
	}
	return runs, nil
}

// reopened opens the journal of a disk of which not all was synced: what Open reported is there after a power cut too.
func reopened(d *faultfs.Disk) error {
	var first collector
	o := journal.Options{FS: d}
	if err := journal.MakeDir("run", o); err != nil {
		return err
	}
	j, _, _, err := journal.Open("run/journal", o, first.add)
	if errors.Is(err, fs.ErrNotExist) {
		if j, err = journal.Create("run/journal", []byte(`{"run":1}`), o); err == nil {
			first.entries = made(1)
			_, err = j.Append(first.entries...)
		}
	}
	if err != nil {
		return err
	}
	if err := j.Close(); err != nil {
		return err
	}
	opened := d.Ops()
	for cut := range d.Cuts(uint64(opened), 2) {
		if cut.After < opened {
			continue
		}
		var second collector
		j, _, _, err := journal.Open("run/journal", journal.Options{FS: cut.Disk}, second.add)
		if err == nil {
			err = errors.Join(missing(second.entries, first.entries, len(first.entries)), j.Close())
		}
		if err != nil {
			return fmt.Errorf("opened again, then a power cut, %s: %w", cut.How, err)
		}
	}
	return nil
}

// Each call fails once, in every way.
func TestEveryCallFails(t *testing.T) {
	seeds, total := 1, 0
	if os.Getenv("FACET_FULL") != "" {
		seeds = 40
	}
	for seed := range seeds {
		for _, fault := range faultfs.Faults {
			runs, wrong := faulty(t, uint64(seed), fault, func(f faultfs.FS) faultfs.FS { return f })
			if wrong != nil {
				t.Errorf("seed %d, %+v: %v", seed, fault, wrong)
			}
			total += runs
		}
	}
	t.Logf("%d runs with a fault", total)
	if total < 500*seeds {
		t.Error("too few to tell")
	}
}

// A Create that fails leaves nothing that the next one would stumble over.
func TestCreateThatFails(t *testing.T) {
	for n := 1; ; n++ {
		d := faultfs.NewDisk(".")
		f := faultfs.NewFailing(d, n, faultfs.Fault{Err: syscall.EIO})
		_, err := journal.Create("journal", []byte(`{}`), journal.Options{FS: f})
		if f.Failed() == 0 {
			if err != nil || n < 8 {
				t.Errorf("call %d: %v", n, err)
			}
			return
		}
		for _, name := range []string{"journal", "journal.new"} {
			if _, statErr := d.Stat(name); err == nil || !errors.Is(statErr, fs.ErrNotExist) {
				t.Errorf("call %d: %v, and %s: %v", n, err, name, statErr)
			}
		}
	}
}

// The control: who hears nothing of a failed sync loses what was acknowledged.
func TestFailedSyncUnheard(t *testing.T) {
	fault := faultfs.Fault{Err: syscall.EIO, Calls: []faultfs.Call{faultfs.Sync}}
	_, wrong := faulty(t, 0, fault, func(f faultfs.FS) faultfs.FS { return deaf{f} })
	if wrong == nil {
		t.Error("the test does not see what is lost")
	}
}

type deaf struct{ faultfs.FS }

func (f deaf) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return deafFile{file}, nil
}

type deafFile struct{ faultfs.File }

func (f deafFile) Sync() error {
	_ = f.File.Sync()
	return nil
}

// A read error is no end: nothing may be cut off. The control is a reader that takes it for one.
func TestReadErrorInRecovery(t *testing.T) {
	for n := 1; ; n++ {
		d, w := worn(t, 0)
		before, err := d.ReadFile("run/journal")
		if err != nil {
			t.Fatal(err)
		}
		f := faultfs.NewFailing(d, n, faultfs.Fault{Err: syscall.EIO, Calls: []faultfs.Call{faultfs.Read}, Half: true})
		_, _, _, err = journal.Open("run/journal", journal.Options{FS: f}, nil)
		if f.Failed() == 0 {
			if n < 2 {
				t.Error("nothing was read")
			}
			break
		}
		var format *journal.FormatError
		if !errors.Is(err, syscall.EIO) || errors.As(err, &format) || !strings.Contains(err.Error(), "run/journal") || !strings.Contains(err.Error(), "byte ") {
			t.Errorf("read %d fails: %v", n, err)
		}
		after, err := d.ReadFile("run/journal")
		if err != nil {
			t.Fatal(err)
		}
		if string(after) != string(before) {
			t.Errorf("read %d fails: %d bytes of %d are left", n, len(after), len(before))
		}
		if err := recovered(d, journal.Options{}, w, len(w.entries)); err != nil {
			t.Error(err)
		}
	}

	d, w := worn(t, 0)
	f := faultfs.NewFailing(d, 1, faultfs.Fault{Err: syscall.EIO, Calls: []faultfs.Call{faultfs.Read}, Half: true})
	if err := naiveRepair(f); err != nil {
		t.Fatal(err)
	}
	if err := recovered(d, journal.Options{}, w, len(w.entries)); err == nil {
		t.Error("the test does not see what a reader cuts off that takes an error for the end")
	}
}

// naiveRepair cuts a journal off where reading it ends, for whatever reason.
func naiveRepair(f faultfs.FS) error {
	file, err := f.OpenFile("run/journal", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	data := make([]byte, size)
	n, _ := file.ReadAt(data, 0)
	return file.Truncate(int64(1 + strings.LastIndexByte(string(data[:n]), '\n')))
}
