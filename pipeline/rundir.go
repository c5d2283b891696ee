package pipeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/sink"
)

// The files of a run folder that are about all items.
const (
	journalName = "journal.jsonl" // all that is known; the others are made from it
	recordsName = "records.jsonl"
	errorsName  = "errors.jsonl"
	infoName    = "run.json"
)

// header is the first line of a run's journal.
type header struct {
	Facet    string      `json:"facet"`
	Settings Fingerprint `json:"settings"`
}

// runFolder is the folder of a run.
type runFolder struct {
	path   string
	dir    *sink.Dir
	lock   *journal.Lock
	ledger *ledger
	open   []*os.File
	// The files that have a line for each item. They are made anew by each run.
	records, errors *bufio.Writer

	files  *itemFiles
	began  int64 // size of the journal
	unsafe []namedFiles
	synced time.Time

	stop   chan struct{}
	keeper sync.WaitGroup
}

// openRunFolder opens the folder of an output, to begin a run or to go on with one.
func openRunFolder(o *Output, print Fingerprint) (_ *runFolder, err error) {
	f := &runFolder{path: o.Path, stop: make(chan struct{}), synced: time.Now()}
	if f.dir, err = sink.OpenDir(o.Path); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, bare(err))
	}
	defer func() {
		if err != nil {
			f.release()
		}
	}()
	f.dir.Late()
	if f.lock, err = journal.LockDir(o.Path); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, bare(err))
	}
	if err := f.openJournal(o, print); err != nil {
		return nil, err
	}
	if err := f.checkSpace(o); err != nil {
		return nil, err
	}
	// Not through sink.Dir: lines go to their place at once, so that what an interrupted
	// run did is there. A root follows no link that leads outside.
	root, err := os.OpenRoot(o.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	lines := func(name string) (*bufio.Writer, error) {
		file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o666)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(o.Path, name), bare(err))
		}
		f.open = append(f.open, file)
		return bufio.NewWriterSize(file, 1<<16), nil
	}
	if f.records, err = lines(recordsName); err != nil {
		return nil, err
	}
	if f.errors, err = lines(errorsName); err != nil {
		return nil, err
	}
	if f.files, err = newItemFiles(f.path, f.dir, o.OutputOptions); err != nil {
		return nil, err
	}
	if err := f.writeInfo(o); err != nil { // a killed run leaves it behind, with finished false
		return nil, err
	}
	f.keeper.Go(func() { f.keep(o) })
	return f, nil
}

func (f *runFolder) openJournal(o *Output, print Fingerprint) error {
	path := filepath.Join(f.path, journalName)
	head, err := json.Marshal(header{o.info.Facet, print})
	if err != nil {
		return err
	}
	f.ledger = newLedger()
	_, err = os.Lstat(path)
	switch {
	case err == nil && o.Overwrite:
		if err := os.Remove(path); err != nil {
			return err
		}
		fallthrough
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{recordsName, errorsName} {
			name = filepath.Join(f.path, name)
			if there, err := os.Stat(name); err == nil && there.Size() > 0 && !o.Overwrite {
				return fmt.Errorf("%s: holds results, and there is no journal of a run to go on with: --overwrite replaces them", name)
			}
		}
		f.ledger.journal, err = journal.Create(path, head, journal.Options{})
		return err
	case err != nil:
		return err
	}
	var first []byte
	var repaired journal.Recovery
	f.ledger.journal, first, repaired, err = journal.Open(path, journal.Options{}, f.ledger.replay)
	if err != nil {
		return err
	}
	f.began = f.ledger.journal.Size()
	if err := f.dir.RemoveTemporary(); err != nil { // of a run that was killed
		return err
	}
	for _, line := range repaired.Warnings() {
		o.Warn(path + ": " + line)
	}
	if info, err := readInfo(f.path); err == nil {
		o.info.AllSeconds, o.info.Tokens = info.AllSeconds, info.Tokens
	}
	var earlier header
	if err := json.Unmarshal(first, &earlier); err != nil {
		return fmt.Errorf("%s: the first line: %w", path, err)
	}
	if lines := print.differences(earlier.Settings); len(lines) > 0 {
		return OptionError{fmt.Errorf("%s holds a run with other settings: %s: name another folder, or --overwrite begins anew", f.path, strings.Join(lines, "; "))}
	}
	if was, is := earlier.Settings[kernels], print[kernels]; was != is {
		o.Warn(fmt.Sprintf("%s was begun with the kernels %s and goes on with %s: answers may differ in their last digits", f.path, was, is))
	}
	return nil
}

// The room that a run wants before it begins: what a small one takes, and for each item what a page of text does, in
// the journal and in records.jsonl.
const (
	leastSpace   = 16 << 20
	spaceForItem = 2 << 10
)

func (f *runFolder) checkSpace(o *Output) error {
	free, known := freeSpace(f.path)
	pending := o.info.Inputs - len(f.ledger.items)
	if want := leastSpace + spaceForItem*int64(max(0, pending)); known && free < want {
		return fmt.Errorf("%s: %d MB are free, and a run of %d items takes about %d MB: make room, or name a folder on another disk", f.path, free/1e6, pending, want/1e6)
	}
	return nil
}

// keep writes run.json now and then.
func (f *runFolder) keep(o *Output) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.fail(o.full(f.writeInfo(o)))
		case <-f.stop:
			return
		}
	}
}

func (f *runFolder) writeInfo(o *Output) error {
	return f.dir.Write(infoName, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(o.Info())
	})
}

// readInfo reads run.json.
func readInfo(dir string) (info RunInfo, err error) {
	path := filepath.Join(dir, infoName)
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return RunInfo{}, fmt.Errorf("%s: no run: %w", path, bare(err))
	}
	return info, nil
}

func (f *runFolder) flush() error {
	return errors.Join(f.records.Flush(), f.errors.Flush())
}

// emitFiles writes the files of a record, as far as they are not there.
func (f *runFolder) emitFiles(o *Output, rec *job.Record, key keyHash, index int) error {
	o.ledger.mu.Lock()
	known := o.ledger.items[key]
	o.ledger.mu.Unlock()
	f.files.ours = known.earlier || o.Overwrite
	var names namesHash
	made, err := f.files.write(o, rec, index, func(format Format, name string, all namesHash) bool {
		names = all
		return known.written&maskOf([]Format{format}) != 0 && known.names == all && f.dir.Has(name)
	})
	if made {
		f.unsafe = append(f.unsafe, namedFiles{key, names})
	}
	if err == nil && time.Since(f.synced) > syncEvery {
		err = f.sync(o.Formats)
	}
	return err
}

// sync makes the files of items safe and notes that they are.
func (f *runFolder) sync(formats []Format) error {
	f.synced = time.Now()
	if len(f.unsafe) == 0 {
		return nil
	}
	if err := f.dir.Sync(); err != nil {
		return err
	}
	err := f.ledger.wrote(formats, f.unsafe)
	f.unsafe = f.unsafe[:0]
	return err
}

// end makes everything safe.
func (f *runFolder) end(o *Output) error {
	close(f.stop)
	f.keeper.Wait()
	if err := o.failure(); err != nil {
		f.flush() // as far as it goes
		return f.writeInfo(o)
	}
	err := f.flush()
	for _, file := range f.open {
		err = errors.Join(err, file.Sync())
	}
	if err == nil {
		err = f.sync(o.Formats)
	}
	return errors.Join(err, f.writeInfo(o), f.dir.Sync())
}

// release closes what is open.
func (f *runFolder) release() error {
	var err error
	for _, file := range f.open {
		err = errors.Join(err, file.Close())
	}
	if f.ledger != nil && f.ledger.journal != nil {
		err = errors.Join(err, f.ledger.journal.Close())
	}
	if f.dir != nil {
		err = errors.Join(err, f.dir.Close())
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
