package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"facet/internal/faultfs"
	"facet/pipeline/journal"
)

// acknowledged is what somebody was told to be safe, and when.
type acknowledged struct {
	after   int // operations of the disk
	entries int // so many of those that were appended
}

// writer appends entries in batches and notes what was acknowledged.
type writer struct {
	entries []journal.Entry // that were ever given to Append
	acks    []acknowledged
}

func (w *writer) append(j *journal.Journal, d *faultfs.Disk, batch []journal.Entry) error {
	w.entries = append(w.entries, batch...)
	if _, err := j.Append(batch...); err != nil {
		return err
	}
	w.acks = append(w.acks, acknowledged{d.Ops(), len(w.entries)})
	return nil
}

// before returns how many entries had been acknowledged after so many operations.
func (w *writer) before(ops int) (n int) {
	for _, a := range w.acks {
		if a.after <= ops {
			n = a.entries
		}
	}
	return n
}

// missing returns why what a replay found is not what it must be: each acknowledged entry, and after them some of
// those that were in flight, in order, all as they were appended.
func missing(found, appended []journal.Entry, acked int) error {
	i := 0
	for n, e := range appended {
		switch {
		case i < len(found) && same(found[i], e):
			i++
		case n < acked:
			return fmt.Errorf("acknowledged entry %d of %d is lost", n, acked)
		}
	}
	if i < len(found) {
		return fmt.Errorf("entry %d of %d was never appended, or twice: %q", i, len(found), found[i].Key)
	}
	return nil
}

// recovered opens the journal of a disk after a cut, checks it and what else must hold.
func recovered(d *faultfs.Disk, o journal.Options, w *writer, acked int) error {
	o.FS = d
	var c collector
	j, header, rec, err := journal.Open("run/journal", o, c.add)
	if errors.Is(err, fs.ErrNotExist) && acked == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer j.Close()
	if string(header) != `{"run":1}` {
		return fmt.Errorf("header %q", header)
	}
	if err := missing(c.entries, w.entries, acked); err != nil {
		return fmt.Errorf("%w (%+v)", err, rec)
	}
	more := journal.Entry{Kind: "more", Key: "after the cut", Body: []byte(`1`)}
	if _, err := j.Append(more); err != nil {
		return err
	}
	var again collector
	_, second, err := journal.Read("run/journal", o, again.add)
	switch {
	case err != nil:
		return err
	case len(again.entries) != len(c.entries)+1 || !same(again.entries[len(c.entries)], more):
		return fmt.Errorf("%d entries, and after another one %d", len(c.entries), len(again.entries))
	case second.Torn != 0 || len(second.Damaged) != len(rec.Damaged):
		return fmt.Errorf("first %+v, then %+v", rec, second)
	}
	return nil
}

// filled makes a disk and writes a journal to it, with batches of many sizes.
func filled(t *testing.T, o journal.Options) (*faultfs.Disk, *writer) {
	t.Helper()
	d := faultfs.NewDisk(".")
	o.FS = d
	w := &writer{}
	if err := journal.MakeDir("run", o); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Create("run/journal", []byte(`{"run":1}`), o)
	if err != nil {
		t.Fatal(err)
	}
	entries := made(200)
	for i := range entries {
		if i%9 == 0 { // some lines of several blocks
			entries[i].Body = []byte(`"` + strings.Repeat("0123456789", 100*(1+i%17)) + `"`)
		}
	}
	for i, n := 0, 1; i < len(entries); i, n = i+n, n%12+3 {
		if err := w.append(j, d, entries[i:min(i+n, len(entries))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return d, w
}

// Power goes at every point of a run, and again while its journal is repaired.
func TestPowerCut(t *testing.T) {
	random, states, again := 20, 0, 0
	if os.Getenv("FACET_FULL") != "" {
		random = 200
	}
	d, w := filled(t, journal.Options{})
	for cut := range d.Cuts(1, random) {
		states++
		acked := w.before(cut.After)
		if err := recovered(cut.Disk, journal.Options{}, w, acked); err != nil {
			t.Fatalf("after %d operations, %s: %v", cut.After, cut.How, err)
		}
		if states%32 != 0 {
			continue
		}
		// What recovered appended itself was one entry.
		w := &writer{entries: append(w.entries[:len(w.entries):len(w.entries)], journal.Entry{Kind: "more", Key: "after the cut", Body: []byte(`1`)})}
		for second := range cut.Disk.Cuts(uint64(states), 3) {
			again++
			if err := recovered(second.Disk, journal.Options{}, w, acked); err != nil {
				t.Fatalf("after %d operations, %s, and then after %d, %s: %v", cut.After, cut.How, second.After, second.How, err)
			}
		}
	}
	t.Logf("%d states, and %d of a second cut: %d entries acknowledged, none lost", states, again, len(w.entries))
	if states < 1000 || again < 1000 {
		t.Error("too few to tell")
	}
}

// The control: a journal that does not wait for the disk loses.
func TestPowerCutWithoutSync(t *testing.T) {
	d, w := filled(t, journal.Options{NoSync: true})
	lost, cuts := 0, 0
	for cut := range d.Cuts(1, 5) {
		if acked := w.before(cut.After); acked > 0 {
			cuts++
			if recovered(cut.Disk, journal.Options{}, w, acked) != nil {
				lost++
			}
		}
	}
	t.Logf("without sync %d of %d cuts lost something", lost, cuts)
	if lost < cuts*2/3 {
		t.Error("the test does not see what is lost")
	}
}

// The control for the names: who does not sync the directory loses the file.
func TestPowerCutWithoutSyncOfDirectory(t *testing.T) {
	d := faultfs.NewDisk(".")
	w := &writer{}
	o := journal.Options{FS: noSyncDir{d}}
	if err := journal.MakeDir("run", o); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Create("run/journal", []byte(`{"run":1}`), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.append(j, d, made(5)); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for cut := range d.Cuts(1, 5) {
		if recovered(cut.Disk, journal.Options{}, w, w.before(cut.After)) != nil {
			lost++
		}
	}
	if lost == 0 {
		t.Error("the test does not see that the file is lost")
	}
}

type noSyncDir struct{ *faultfs.Disk }

func (noSyncDir) SyncDir(string) error { return nil }
