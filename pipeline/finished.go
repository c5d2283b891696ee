package pipeline

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/sink"
)

// State is what a run folder says of its run, whether that goes on, ended or was broken off.
type State struct {
	Info    RunInfo        // as run.json has it; the counts are those of the journal
	Running bool           // a process has the folder
	Reasons map[string]int // of failures: what the errors say, without what differs from item to item
	Repair  []string       // what is wrong with the journal
}

// ReadState reads the state of a run folder and changes nothing.
func ReadState(dir string) (*State, error) {
	s := &State{Reasons: map[string]int{}}
	l, repair, err := s.open(dir)
	if err != nil {
		return nil, err
	}
	defer l.journal.Close()
	lock, err := journal.LockDir(dir)
	var locked journal.Locked
	if s.Running = errors.As(err, &locked); err == nil {
		lock.Close()
	}
	s.Repair = repair.Warnings()
	s.Info.Done, s.Info.Failed = 0, 0
	for _, o := range l.items {
		if !o.failed {
			s.Info.Done++
			continue
		}
		s.Info.Failed++
		e, err := l.errorRecord(o.place)
		if err != nil {
			return nil, err
		}
		s.Reasons[reason(e.Error)]++
	}
	s.Info.Done -= s.Info.Absent
	s.Info.Inputs = max(s.Info.Inputs, s.Info.Done+s.Info.Failed)
	s.Info.Pending = s.Info.Inputs - s.Info.Done - s.Info.Failed
	s.Info.Finished = s.Info.Finished && s.Info.Pending == 0
	return s, nil
}

// reason makes the errors of many items one: numbers are what differs.
func reason(text string) string {
	var b []byte
	for i := range len(text) {
		digit := text[i] >= '0' && text[i] <= '9'
		switch {
		case !digit:
			b = append(b, text[i])
		case len(b) == 0 || b[len(b)-1] != '#':
			b = append(b, '#')
		}
	}
	return string(b)
}

// open reads run.json and the journal of a run folder, beside the run that may be writing them.
func (s *State) open(dir string) (l *ledger, repair journal.Recovery, err error) {
	path := filepath.Join(dir, journalName)
	if s.Info, err = readInfo(dir); err != nil {
		// A power cut may leave an empty one, since it is not synced while a run goes on: the journal has what counts.
		if _, gone := os.Stat(path); gone != nil {
			return nil, repair, err
		}
	}
	l = newLedger()
	l.journal, _, repair, err = journal.OpenRead(path, journal.Options{}, l.replay)
	return l, repair, err
}

// ExportOptions say what Export writes.
type ExportOptions struct {
	OutputOptions        // Path, Stdout, Formats, Folder, Name, Overwrite, Stills, Documents, Failed and Warn
	Run           string // the folder of the run
}

// Export writes the records of a run in any format of its job, without a model. What records.jsonl has comes in its
// order, which is that of the inputs; what the run has finished since comes behind it, in the order of the journal.
// It may be called while the run goes on.
func Export(o ExportOptions) (n int, err error) {
	var s State
	l, _, err := s.open(o.Run)
	if err != nil {
		return 0, err
	}
	defer l.journal.Close()
	places, err := l.inOrder(filepath.Join(o.Run, recordsName))
	if err != nil {
		return 0, err
	}
	info := s.Info
	o.Folder, o.Name = info.Folder, cmp.Or(o.Name, info.Name)
	info.Inputs = len(places)
	w, err := openExport(o.OutputOptions, info, l)
	if err != nil {
		return 0, err
	}
	if err := w.exportAll(places, &n); err != nil {
		return n, errors.Join(err, w.closeExport(false))
	}
	return n, w.closeExport(true)
}

// exportAll writes records and, where documents are files, the pages between them that failed.
func (o *Output) exportAll(places []journal.Place, n *int) error {
	failed := map[string][]job.ErrorRecord{} // by path, pages in order
	if o.files != nil && o.files.docs != nil {
		var err error
		if failed, err = o.ledger.failedPages(); err != nil {
			return err
		}
	}
	index, path := 0, ""
	until := func(page int) error { // the failed pages of the document that is open
		for len(failed[path]) > 0 && failed[path][0].Page < page {
			e := failed[path][0]
			failed[path] = failed[path][1:]
			if err := o.files.docs.page(o, index, job.Source{Path: path, Page: e.Page}, job.Effective{}, nil, errors.New(e.Error)); err != nil {
				return err
			}
			index++
		}
		return nil
	}
	for _, at := range places {
		rec, err := o.ledger.record(at)
		if err != nil {
			return err
		}
		if rec.Source.Path != path {
			if err := until(math.MaxInt); err != nil {
				return err
			}
			path = rec.Source.Path
		}
		if err := until(rec.Source.Page); err != nil {
			return err
		}
		if err := o.export(rec, index); err != nil {
			return err
		}
		index++
		*n++
	}
	return until(math.MaxInt)
}

// failedPages are the pages of documents that failed, by the path of the document and in their order.
func (l *ledger) failedPages() (map[string][]job.ErrorRecord, error) {
	failed := map[string][]job.ErrorRecord{}
	for _, o := range l.items {
		if !o.failed {
			continue
		}
		e, err := l.errorRecord(o.place)
		if err != nil {
			return nil, err
		}
		if e.Page > 0 {
			failed[e.Path] = append(failed[e.Path], e)
		}
	}
	for _, pages := range failed {
		slices.SortFunc(pages, func(a, b job.ErrorRecord) int { return cmp.Compare(a.Page, b.Page) })
	}
	return failed, nil
}

// openExport opens an output for records that a run has.
func openExport(options OutputOptions, info RunInfo, l *ledger) (*Output, error) {
	o := &Output{OutputOptions: options, info: info, ledger: l}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if err := o.chooseFormats(); err != nil {
		return nil, err
	}
	if o.isFolder() {
		dir, err := sink.OpenDir(o.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Path, bare(err))
		}
		dir.Late()
		if o.files, err = newItemFiles(o.Path, dir, o.OutputOptions); err != nil {
			return nil, errors.Join(err, dir.Close())
		}
		o.files.ours = o.Overwrite
		return o, nil
	}
	return o, o.openStream()
}

// export writes one record.
func (o *Output) export(rec *job.Record, index int) error {
	if o.files == nil {
		return o.emitStream(rec)
	}
	_, err := o.files.write(o, rec, index, func(Format, string, namesHash) bool { return false })
	return err
}

func (o *Output) closeExport(whole bool) error {
	o.doc.release()
	switch {
	case o.files != nil:
		var err error
		if o.files.docs != nil {
			err = o.files.docs.end(whole)
		}
		return errors.Join(err, o.files.dir.Sync(), o.files.dir.Close())
	case o.file != nil && whole && o.records > 0:
		return o.file.Commit()
	case o.file != nil:
		o.file.Discard()
	}
	return nil
}

// inOrder lists the places of all records: as a file of them has them, and then the others.
func (l *ledger) inOrder(records string) ([]journal.Place, error) {
	left := map[keyHash]journal.Place{}
	for k, o := range l.items {
		if !o.failed {
			left[k] = o.place
		}
	}
	var places []journal.Place
	f, err := os.Open(records)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		defer f.Close()
		byPlace := map[[2]string]keyHash{} // id and path
		for k, at := range left {
			line, err := l.line(at)
			if err != nil {
				return nil, err
			}
			id, err := identity(line)
			if err != nil {
				return nil, err
			}
			byPlace[id] = k
		}
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadBytes('\n')
			if err == io.EOF {
				break // half a line is one that is being written
			}
			if err != nil {
				return nil, err
			}
			if id, err := identity(line); err == nil {
				if k, ok := byPlace[id]; ok {
					if at, ok := left[k]; ok {
						places = append(places, at)
						delete(left, k)
					}
				}
			}
		}
	}
	rest := make([]journal.Place, 0, len(left))
	for _, at := range left {
		rest = append(rest, at)
	}
	slices.SortFunc(rest, func(a, b journal.Place) int { return cmp.Compare(a.Offset, b.Offset) })
	return append(places, rest...), nil
}

func identity(line []byte) ([2]string, error) {
	var r struct {
		ID, Job string
		Source  struct{ Path string }
	}
	err := json.Unmarshal(line, &r)
	return [2]string{r.Job + " " + r.ID, r.Source.Path}, err
}
