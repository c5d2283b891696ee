package pipeline

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/journal"
	"facet/pipeline/sink"
	"facet/pipeline/source"
	"facet/vision"
	"facet/vision/still"
)

// OutputOptions say where the results of a run go, and as what.
type OutputOptions struct {
	// Path is a folder, which is made, or a file: one that ends as a format does or is
	// there already. Empty is Stdout.
	Path   string
	Stdout io.Writer
	// Formats may be empty: a file then has the format of its name, everything else JSONL.
	Formats []Format
	// Folder is what all inputs are in, from Sources.Folder: in an output folder the files
	// of items are named by what is below it.
	Folder string
	// Name is the template of those names, see sink.Names; empty for the usual one.
	Name string
	// PerDocument makes one file of all pages of a document, in the formats that have such a form.
	PerDocument bool
	// Overwrite replaces the results of an earlier run. Without it a run of the same settings goes on.
	Overwrite bool
	// RetryFailed does once more what has failed in an earlier run.
	RetryFailed bool
	// ErrorLines writes the lines of errors.jsonl to the stream as well, and every line as soon as it is there.
	ErrorLines bool
	// Stills decodes an image once more to draw on it, Documents a page.
	Stills    *still.Pool
	Documents Documents
	// Failed, if not nil, is told of each item that failed, and Warn of what else is worth a line.
	Failed func(source.Item, error)
	Warn   func(string)
	// Emit, if not nil, gets the results in the order of the inputs in place of any file or stream.
	Emit func(Result) error
}

// Output is where the results of a run go: one stream, or a folder. It keeps them in the order in which they come
// to their end and writes them in that of the inputs:
//
//	put → journal, synced → order → emit → records.jsonl, errors.jsonl, files of the other formats
//	      goroutine "record"        goroutine "write"
//
// Everything behind the journal is made from it.
type Output struct {
	OutputOptions
	ledger *ledger
	order  *order
	folder *runFolder // nil for a stream
	files  *itemFiles // of an export into a folder
	stream io.Writer  // in one file or on standard output; nil for a folder
	file   *sink.File // behind stream; nil for standard output

	results chan Result
	broken  chan struct{} // closed when nothing can be written any more
	ended   bool          // no more results are taken
	close   func()
	// The two goroutines.
	recorded, written sync.WaitGroup

	mu       sync.Mutex
	err      error
	info     RunInfo
	whole    bool           // every item was written
	fresh    map[int]Result // failed in this run and not emitted
	records  int            // that are in the stream
	doc      *document      // of the last page that was drawn on
	progress Progress
	meters   meters // of the stages; the run counts the others
}

// RunInfo is what run.json says about a run. Times are in it and not in the records,
// so that the same input gives the same records. Inputs = Done + Failed + Pending.
type RunInfo struct {
	Facet       string         `json:"facet"` // version
	Command     []string       `json:"command"`
	Job         string         `json:"job,omitempty"` // "" for several
	Model       string         `json:"model"`
	ModelSHA256 string         `json:"model_sha256"`
	Kernels     string         `json:"kernels"`
	Threads     int            `json:"threads"`
	Started     time.Time      `json:"started"`
	Seconds     float64        `json:"seconds"`
	AllSeconds  float64        `json:"all_seconds"`    // with those of earlier runs in the folder
	Finished    bool           `json:"finished"`       // every input is done or failed, and all is written
	Folder      string         `json:"folder"`         // that all inputs are in
	Name        string         `json:"name,omitempty"` // template of the names of files
	Inputs      int            `json:"inputs"`
	Done        int            `json:"done"`   // with a record
	Failed      int            `json:"failed"` // with a line in errors.jsonl
	Pending     int            `json:"pending"`
	Before      int            `json:"before,omitempty"`        // of Done and Failed, those of earlier runs
	Absent      int            `json:"absent,omitempty"`        // recorded by earlier runs and not among the inputs; not in Inputs
	Changed     int            `json:"changed,omitempty"`       // files that are not as they were when an earlier run recorded them
	Skipped     int            `json:"skipped"`                 // files in folders that are no images
	Tokens      map[string]int `json:"tokens"`                  // with those of earlier runs in the folder
	MediaTime   float64        `json:"media_seconds,omitempty"` // of recordings and films
	Stages      []Stage        `json:"stages,omitempty"`
	Idle        float64        `json:"idle_seconds"` // in which the model had nothing to do though items were pending
}

// OpenOutput opens the place for the results of a run of about info.Inputs items whose settings are print. An
// OptionError says which options do not go together. The caller ends it with Close.
func OpenOutput(options OutputOptions, info RunInfo, print Fingerprint) (o *Output, err error) {
	o = &Output{
		OutputOptions: options, info: info, order: newOrder(),
		results: make(chan Result, 64), broken: make(chan struct{}), fresh: map[int]Result{}, close: func() {},
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	o.info.Folder, o.info.Name, o.info.Tokens = o.Folder, o.Name, map[string]int{}
	if err := o.chooseFormats(); err != nil {
		return nil, err
	}
	if o.isFolder() {
		if o.folder, err = openRunFolder(o, print); err != nil {
			return nil, err
		}
		o.ledger = o.folder.ledger
		o.close = func() { o.fail(errors.Join(o.folder.end(o), o.folder.release())) }
		o.start()
		return o, nil
	}
	if err := o.openStream(); err != nil {
		return nil, err
	}
	if o.ErrorLines {
		o.ledger = newLedger()
	} else if o.ledger, o.close, err = spool(); err != nil {
		return nil, fmt.Errorf("no place to keep results that wait for their turn: %w", err)
	}
	o.start()
	return o, nil
}

// chooseFormats checks the formats that were asked for.
func (o *Output) chooseFormats() error {
	asked := o.Formats
	o.Formats = nil
	for _, f := range asked {
		if formats := Formats(o.info.Job); !slices.Contains(formats, f) {
			return OptionError{fmt.Errorf("format %q: want one of %v", f, formats)}
		}
		if !slices.Contains(o.Formats, f) {
			o.Formats = append(o.Formats, f)
		}
	}
	return nil
}

// isFolder reports whether the results go to a folder.
func (o *Output) isFolder() bool {
	if o.Path == "" || o.Emit != nil {
		return false
	}
	there, err := os.Stat(o.Path)
	_, isName := byName(o.Path)
	return err == nil && there.IsDir() || err != nil && !isName
}

// openStream opens the one file that all goes to, or standard output.
func (o *Output) openStream() error {
	switch {
	case o.Emit != nil:
		return nil
	case o.Path == "":
		o.stream = o.Stdout
		return o.single(JSONL, "standard output")
	}
	named, _ := byName(o.Path)
	if err := o.single(cmp.Or(named, JSONL), o.Path); err != nil {
		return err
	}
	if there, err := os.Stat(o.Path); err == nil && there.Size() > 0 && !o.Overwrite {
		return fmt.Errorf("%s: is there already and not empty: --overwrite replaces it", o.Path)
	}
	file, err := sink.Create(o.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Path, bare(err))
	}
	o.file, o.stream = file, file
	return nil
}

// single makes sure that a single stream gets a single format.
func (o *Output) single(usual Format, where string) error {
	if len(o.Formats) == 0 {
		o.Formats = []Format{usual}
	}
	switch f := o.Formats[0]; {
	case !slices.Contains(Formats(o.info.Job), f):
		return OptionError{fmt.Errorf("%s: %s does not give %s: want one of %v", where, cmp.Or(o.info.Job, "a run of several jobs"), f, Formats(o.info.Job))}
	case len(o.Formats) > 1:
		return OptionError{fmt.Errorf("%s takes one format, not %v: name a folder with --out", where, o.Formats)}
	case f == Sidecar:
		return OptionError{errors.New("sidecars are files beside each other: name a folder with --out")}
	case f == Overlay && o.Path == "":
		return OptionError{errors.New("overlays do not go to standard output: name a folder or a .png file with --out")}
	case f.ofPage() && o.info.Inputs != 1:
		return OptionError{fmt.Errorf("%s takes the %s of one image, not of %d: name a folder with --out", where, f, o.info.Inputs)}
	case f.ofRecording() && o.info.Inputs != 1:
		return OptionError{fmt.Errorf("%s takes the %s of one recording, not of %d, whose times would be mixed: name a folder with --out", where, f, o.info.Inputs)}
	}
	return nil
}

func (o *Output) start() {
	o.recorded.Go(o.record)
	o.written.Go(o.write)
}

// fail notes the first error, after which nothing more is taken.
func (o *Output) fail(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
		close(o.broken)
		o.order.close()
	}
}

// failure is the error that broke the output, if any did.
func (o *Output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// put takes the result of an item. It is false if the output is broken.
func (o *Output) put(r Result) bool {
	select {
	case o.results <- r:
		return true
	case <-o.broken:
		return false
	}
}

// recall takes what an earlier run says of an item in place of a result, if that holds.
func (o *Output) recall(index int, key itemKey, item source.Item) bool {
	before, ok := o.ledger.recall(key, item)
	if !ok || before.failed && o.RetryFailed {
		if o.ledger.mark(key) && !before.failed && item.Stat != (source.Stat{}) {
			o.mu.Lock()
			o.info.Changed++
			o.mu.Unlock()
		}
		return false
	}
	o.mu.Lock()
	o.info.Before++
	if before.failed {
		o.info.Failed++
	} else {
		o.info.Done++
	}
	o.mu.Unlock()
	o.order.put(index, before.place)
	return true
}

// mostInGroup bounds the results that are synced together, which wait for each other.
const mostInGroup = 256

// record is the goroutine that writes the journal. Results that came while the last ones were synced are synced
// together.
func (o *Output) record() {
	for first := range o.results {
		group := append(make([]Result, 0, 16), first)
		for more := true; more && len(group) < mostInGroup; {
			select {
			case r, ok := <-o.results:
				if more = ok; ok {
					group = append(group, r)
				}
			default:
				more = false
			}
		}
		start := time.Now()
		places, err := o.ledger.put(group)
		if err != nil {
			o.fail(o.full(err))
			for range o.results { // until nobody sends any more
			}
			return
		}
		o.mu.Lock()
		o.meters.write.add(time.Since(start), len(group))
		for _, r := range group {
			if r.Err != nil {
				o.info.Failed++
				o.fresh[r.Index] = r
			} else {
				o.info.Done++
			}
		}
		o.mu.Unlock()
		for i, r := range group {
			if r.kept != nil {
				r.kept()
			}
			o.order.put(r.Index, places[i])
		}
	}
}

// finish ends the taking of results and waits until all are written: those of n items, or, unless the run is whole, of
// as many as came to their end.
func (o *Output) finish(n int, whole bool) {
	o.ended = true
	close(o.results)
	o.recorded.Wait()
	if whole {
		o.order.finish(n)
	} else {
		o.order.close()
	}
	o.written.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.whole = whole && o.err == nil
}

// write is the goroutine that writes what is to be read, in the order of the inputs.
func (o *Output) write() {
	for {
		if o.order.idle() {
			if err := o.flush(); err != nil {
				o.fail(err)
				return
			}
		}
		index, at, ok := o.order.take()
		if !ok {
			break
		}
		start := time.Now()
		if err := o.emit(at, index); err != nil {
			o.fail(o.full(err))
			return
		}
		o.meters.write.add(time.Since(start), 0)
	}
	if o.folder != nil && o.folder.files.docs != nil {
		if err := o.folder.files.docs.end(o.order.whole()); err != nil {
			o.fail(o.full(err))
			return
		}
	}
	if o.folder != nil && o.failure() == nil {
		if err := o.emitAbsent(); err != nil {
			o.fail(o.full(err))
			return
		}
	}
	o.fail(o.flush())
}

// emitAbsent writes what earlier runs recorded of items that did not come up: behind the others, since nothing that was
// done is lost. If all inputs are listed they are not among them any more, and what failed of them is nobody's affair;
// else they may be, and count.
func (o *Output) emitAbsent() error {
	o.mu.Lock()
	listed := o.progress.Listed
	o.mu.Unlock()
	for _, before := range o.ledger.absent() {
		o.mu.Lock()
		switch {
		case listed && !before.failed:
			o.info.Absent++
		case listed:
		case before.failed:
			o.info.Before++
			o.info.Failed++
		default:
			o.info.Before++
			o.info.Done++
		}
		o.mu.Unlock()
		if listed && before.failed {
			continue
		}
		if err := o.emit(before.place, -1); err != nil {
			return err
		}
	}
	if listed {
		return o.ledger.drop(o.order.whole())
	}
	return nil
}

// flush hands on what is buffered.
func (o *Output) flush() error {
	if o.folder != nil {
		return o.full(o.folder.flush())
	}
	return nil
}

// emit writes what the journal says of an item that came index-th, or in an earlier run if index is negative.
func (o *Output) emit(at journal.Place, index int) error {
	e, err := o.ledger.entry(at)
	if err != nil {
		return err
	}
	line, isRecord, err := lineOf(e)
	if err != nil {
		return err
	}
	o.mu.Lock()
	fresh, failedNow := o.fresh[index]
	delete(o.fresh, index)
	o.mu.Unlock()
	if !isRecord {
		return o.emitError(line, index, fresh, failedNow)
	}
	if o.Emit == nil && o.stream != nil && o.Formats[0] == JSONL || o.folder != nil && len(o.Formats) == 1 && o.Formats[0] == JSONL {
		_, err := o.lines().Write(line)
		return err
	}
	rec := new(job.Record)
	if err := json.Unmarshal(line, rec); err != nil {
		return fmt.Errorf("record %q: %w", e.Key, err)
	}
	switch {
	case o.Emit != nil:
		return o.Emit(Result{Index: index, Job: rec.Job, Item: source.Item{Path: rec.Source.Path, Page: rec.Source.Page}, Record: rec})
	case o.folder != nil:
		if err := o.folder.emitFiles(o, rec, hashOf(e.Key), index); err != nil {
			return err
		}
		_, err = o.folder.records.Write(line)
		return err
	}
	return o.emitStream(rec)
}

// lines is where lines of records go.
func (o *Output) lines() io.Writer {
	if o.folder != nil {
		return o.folder.records
	}
	return o.stream
}

func (o *Output) emitError(line []byte, index int, fresh Result, now bool) error {
	if now && o.Failed != nil {
		o.Failed(fresh.Item, fresh.Err)
	}
	switch {
	case o.Emit != nil:
		return o.Emit(fresh)
	case o.folder != nil:
		if docs := o.folder.files.docs; docs != nil && index >= 0 {
			var e job.ErrorRecord
			if err := json.Unmarshal(line, &e); err != nil {
				return err
			}
			if e.Page > 0 {
				source := job.Source{Path: e.Path, Page: e.Page}
				if err := docs.page(o, index, source, job.Effective{}, nil, errors.New(e.Error)); err != nil {
					return err
				}
			}
		}
		_, err := o.folder.errors.Write(line)
		return err
	case o.ErrorLines:
		_, err := o.stream.Write(line)
		return err
	}
	return nil
}

// emitStream writes a record in the format of a stream.
func (o *Output) emitStream(rec *job.Record) error {
	f := o.Formats[0]
	if f.ofPage() && o.records > 0 {
		o.unwritten(rec, fmt.Errorf("one file takes the %s of one page: name a folder with --out", f))
		return nil
	}
	var img *vision.Image
	if f == Overlay {
		var err error
		if img, err = o.decode(rec); err != nil {
			o.unwritten(rec, fmt.Errorf("no overlay: %w", err))
			return nil
		}
	}
	if f == Markdown && o.records > 0 { // or dashes would make a heading of the line above
		if _, err := io.WriteString(o.stream, "\n"); err != nil {
			return err
		}
	}
	o.records++
	return f.write(o.stream, rec, img, o.info.Facet)
}

// unwritten counts a record that the stream cannot hold as failed.
func (o *Output) unwritten(rec *job.Record, err error) {
	if o.Failed != nil {
		o.Failed(source.Item{Path: rec.Source.Path, Page: rec.Source.Page}, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.info.Done--
	o.info.Failed++
}

// decode reads an image once more: to keep those of a whole run would take
// gigabytes. A file that changed meanwhile is not what the boxes belong to.
func (o *Output) decode(rec *job.Record) (*vision.Image, error) {
	ctx := context.Background() // what is written is finished, whatever ends the run
	item, err := source.Reopen(ctx, rec.Source.Path)
	if err != nil {
		return nil, err
	}
	defer item.Release()
	if rec.Source.Type == documentType || rec.Source.Type == jpeg2000 {
		img, err := o.redraw(ctx, item, rec)
		if err != nil {
			return nil, err
		}
		return turned(img, turnOf(rec)), nil
	}
	picture, err := o.Stills.Open(ctx, item.File)
	if err != nil {
		return nil, Unnamed(err, item.File)
	}
	defer picture.Close()
	if sum := picture.SHA256(); hex.EncodeToString(sum[:]) != rec.Source.SHA256 {
		return nil, errChanged
	}
	img, err := picture.Page(ctx, max(1, rec.Source.Page))
	if err != nil {
		return nil, Unnamed(err, item.File)
	}
	return turned(img, turnOf(rec)), nil
}

// turnOf is by how many degrees the page of a record was turned.
func turnOf(rec *job.Record) int {
	if rec.Effective.Seen == nil {
		return 0
	}
	return rec.Effective.Rotated
}

var errChanged = errors.New("the file has changed since it was read")

// full says what to do about a full disk.
func (o *Output) full(err error) error {
	if err == nil || !isFull(err) {
		return err
	}
	where := cmp.Or(o.Path, os.TempDir())
	return fmt.Errorf("%s: %w: what is in the journal stays; make room (%s) and give the same command again to go on", where, bare(err), o.need())
}

// need estimates the bytes that the rest of the run takes, from what it took.
func (o *Output) need() string {
	i := o.Info()
	done := i.Done + i.Failed - i.Before
	if o.folder == nil || done == 0 {
		return "some hundred kilobytes at least"
	}
	each := (o.ledger.journal.Size() - o.folder.began) / int64(done)
	return fmt.Sprintf("about %d MB for journal and records of %d items more", max(1, 2*each*int64(i.Pending)/1e6), i.Pending)
}

// Begun is how many items the model was asked about and has not finished with.
func (o *Output) Begun() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.progress.Begun
}

// show keeps how far the run is, and says how many items are accounted for and how many of them have failed.
func (o *Output) show(p Progress) (done, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress = p
	return o.info.Done + o.info.Failed, o.info.Failed
}

// Info returns the counts so far.
func (o *Output) Info() RunInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, p := o.info, o.progress
	i.Inputs = max(i.Inputs, p.Inputs)
	if p.Listed {
		i.Inputs = p.Inputs
	}
	i.Inputs = max(i.Inputs, i.Done+i.Failed) // results may be here before their inputs are counted
	i.Seconds = time.Since(i.Started).Round(time.Millisecond).Seconds()
	i.Pending = i.Inputs - i.Done - i.Failed
	i.Finished = o.whole && i.Pending == 0
	i.AllSeconds = i.Seconds + o.info.AllSeconds
	i.Tokens = map[string]int{"soft": p.SoftTokens + o.info.Tokens["soft"], "output": p.OutputTokens + o.info.Tokens["output"]}
	i.MediaTime, i.Idle = p.Seconds, p.Idle.Round(time.Millisecond).Seconds()
	i.Stages = o.meters.stages(i.Seconds)
	return i
}

// Close ends the output. A file appears if anything was done. A folder gets run.json.
func (o *Output) Close() error {
	if !o.ended {
		o.finish(0, false)
	}
	o.doc.release()
	o.doc = nil
	if o.file != nil {
		if o.Info().Done > 0 && o.failure() == nil {
			o.fail(o.file.Commit())
		} else {
			o.file.Discard()
		}
	}
	o.close()
	return o.failure()
}

// Files lists what the output consists of, for people.
func (o *Output) Files() string {
	if o.folder == nil {
		return o.Path
	}
	files := []string{recordsName}
	if o.Info().Failed > 0 {
		files = append(files, errorsName)
	}
	for _, f := range o.Formats {
		if f != JSONL {
			files = append(files, "*"+f.suffix())
		}
	}
	return fmt.Sprintf("%s: %s", o.Path, strings.Join(files, ", "))
}
