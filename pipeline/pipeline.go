// Package pipeline leads inputs through the model to records, in input order.
//
// One run:
//
//	source → items; a document → its pages                         list.go                        one goroutine
//	item  → read, decode → parts, each with a question             prepare.go sound.go film.go    on goroutines of their own
//	part  → towers, prompt → batch of replies                      pipeline.go engine.go          in turn, on all threads
//	replies of all parts → job.Read → record                       work.go retry.go
//	record → journal, synced → in input order → files              ledger.go order.go output.go   two goroutines
//
// An image is one part, a recording as many as it takes. The stages wait for each other: what is prepared and not
// asked about is bounded in bytes, so memory does not grow with the run; what is done and has to wait for an earlier
// item waits on the disk. A bad item becomes an error in its place; the others are not touched by it. What the
// journal has is not done again by a later run (rundir.go).
package pipeline

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"facet/model"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/video"
	"facet/vision/still"
)

// Settings say what is done with the items of a run.
type Settings struct {
	Model *model.Model
	// Job is what is done with each item; the zero Job leaves that to the items.
	Job       job.Job
	Options   job.Options   // for all items; what a manifest says goes before
	Stills    *still.Pool   // decodes images
	Video     video.Options // how films and compressed sound are decoded
	Documents Documents     // how documents are read
	Batch     int           // replies generated at once, up to MaxBatch; 0: 8
	// Ahead bounds what is prepared and waits for the model, in bytes; 0: 256 MiB. What is being prepared comes on top.
	Ahead   int64
	Version string // of the program, for records
	// Separate does equal files again and again, as a run that never ends must, which cannot remember all.
	Separate bool
	// Stop, if not nil, ends the run once it is closed: what the model was asked about is finished, nothing new begun.
	Stop <-chan struct{}
	// Progress, if not nil, is told how far the run is, often and from one goroutine.
	Progress func(Progress)
}

// MaxBatch is the largest Settings.Batch. Each reply keeps keys and values of its own, and
// each may have a few prepared images wait behind it.
const MaxBatch = 4096

// Inputs are the items of a run; source.Sources are.
type Inputs interface {
	// Len is how many items are known so far.
	Len() int
	// All gives the items in order. An error belongs to the item with it, and the items go on.
	All(context.Context) iter.Seq2[source.Item, error]
}

// Progress counts what each stage has done so far.
type Progress struct {
	Inputs       int           // items that are known: a document is one until it is opened, then as many as its pages
	Listed       bool          // no more items come to be known
	Prepared     int           // items
	Done, Failed int           // items that are accounted for, those of earlier runs included; Done includes Failed
	Begun        int           // items that the model was asked about and has not finished with
	Encoded      int           // parts
	SoftTokens   int           // encoded
	OutputTokens int           // generated
	Seconds      float64       // of recordings and films, answered
	Idle         time.Duration // in which the model had nothing to do though items were pending
}

// Result is what became of one item: a record or an error.
type Result struct {
	Index   int // among the items of the run, in the order of the inputs
	Item    source.Item
	Job     string
	Options job.Options // that it was done with
	Record  *job.Record
	Err     error // says what is wrong, without the path and the page

	twin twinKey
	kept func() // if not nil, is called when the journal has it
}

// OptionError says that an option asks for what the job, the checkpoint or the output
// does not offer.
type OptionError struct{ Err error }

func (e OptionError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e OptionError) Unwrap() error { return e.Err }

// Pipeline is a job that is ready to be done. Its runs take turns on the model.
type Pipeline struct {
	Settings
	checkpoint job.Checkpoint
	specs      specs
	modelName  string
	modelHash  string
	newEngine  func() engine
}

// New checks that the checkpoint can do the job with these options. An OptionError says
// which it cannot serve.
func New(s Settings) (*Pipeline, error) {
	if s.Batch == 0 {
		s.Batch = 8
	}
	if s.Batch < 0 || s.Batch > MaxBatch {
		return nil, OptionError{fmt.Errorf("batch %d: want 1 to %d", s.Batch, MaxBatch)}
	}
	if s.Ahead == 0 {
		s.Ahead = 256 << 20
	}
	p := &Pipeline{Settings: s, specs: specsOf(s.Model)}
	p.newEngine = func() engine { return &modelEngine{s.Model, s.Model.NewBatch()} }
	var err error
	if p.checkpoint, err = job.OpenCheckpoint(s.Model); err != nil {
		return nil, err
	}
	for i, medium := range s.Job.Media {
		if _, err := s.Job.Plan(s.Options, p.checkpoint, medium); err != nil {
			return nil, OptionError{err}
		}
		if medium == job.Film && i > 0 { // of whose pictures or sound the job's other kind is made
			continue
		}
		if err := p.specs.takes(medium); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Model.Path(), err)
		}
	}
	if s.Options.WithSpeech {
		if err := p.specs.takes(job.Sound); err != nil {
			return nil, OptionError{fmt.Errorf("with_speech: %w", err)}
		}
	}
	if p.modelHash, err = s.Model.SHA256(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(s.Model.Path())
	p.modelName = filepath.Base(path)
	return p, err
}

// run is the state that the stages of one run share.
type run struct {
	*Pipeline
	inputs Inputs
	out    *Output
	engine engine
	asked  map[string]*part // that are not answered, by the id of the question
	number int              // of the next question

	ready  chan *part
	room   *semaphore.Weighted // bytes of parts that wait
	stages sync.WaitGroup      // goroutines that send parts
	slots  chan struct{}       // of preparers

	listed  chan struct{} // closed when all items are known
	pages   atomic.Int64  // of the documents that are opened, without the first of each
	count   atomic.Int64  // items that are known by index
	issued  atomic.Int64  // of them, those that are to be done
	stopped atomic.Bool   // no new items are to be begun
	cut     atomic.Bool   // not all items were listed
	settled int           // of issued
	twins   twins

	progress Progress
}

// Run does the job on every item and puts the results into out. It ends early, with the error, if ctx does, if out
// breaks or if the engine does; what was put there stays. It ends early and without an error when Stop is closed.
func (p *Pipeline) Run(ctx context.Context, inputs Inputs, out *Output) (Progress, error) {
	r := p.newRun(inputs, out)
	stages, cancel := context.WithCancel(ctx)
	defer cancel()
	r.start(stages)
	err := r.infer(ctx, stages)
	cancel()
	r.stages.Done()     // that of infer
	for range r.ready { // until the goroutines that prepare have ended
	}
	<-r.listed
	r.report() // out is to know whether all were listed
	out.finish(int(r.count.Load()), err == nil && r.whole())
	if broken := out.failure(); broken != nil {
		err = broken
	}
	r.report()
	return r.progress, err
}

func (p *Pipeline) newRun(inputs Inputs, out *Output) *run {
	return &run{
		Pipeline: p, inputs: inputs, out: out, engine: p.newEngine(), asked: map[string]*part{},
		ready: make(chan *part, readyParts), room: semaphore.NewWeighted(p.Ahead), slots: make(chan struct{}, preparers),
		listed: make(chan struct{}), twins: twins{leaders: map[twinKey]*work{}},
	}
}

// whole reports whether every item has come to its end.
func (r *run) whole() bool {
	select {
	case <-r.listed:
		return !r.cut.Load() && int64(r.settled) == r.issued.Load()
	default:
		return false
	}
}

// readyParts is how many parts may be prepared and wait, if the room that they have in bytes allows it.
const readyParts = 64

// preparers is the number of images that are decoded at once. Each may take as much
// memory as the limits allow, and the model needs the CPUs more.
const preparers = 2

// Decoders is how many images are decoded at once at most: by the preparers, for the list, which asks how many pages an
// image has, and for an overlay.
const Decoders = preparers + 2

// start lists the items and prepares them on goroutines, which end when all is done, or soon after ctx has. What they
// send to ready must be read until then.
func (r *run) start(ctx context.Context) {
	entries := make(chan entry)
	go func() {
		defer close(r.listed)
		defer close(entries)
		r.list(ctx, entries)
	}()
	r.stages.Add(1) // infer, which may start more
	for range preparers {
		r.stages.Go(func() {
			for e := range entries {
				r.slots <- struct{}{}
				r.prepare(ctx, e)
				<-r.slots
			}
		})
	}
	go func() {
		r.stages.Wait()
		close(r.ready)
	}()
}

// infer runs towers and replies until every item has come to its end. What it has read once more ends with stages.
func (r *run) infer(ctx, stages context.Context) error {
	defer r.engine.drop()
	for !r.whole() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.stop() && r.progress.Begun == 0 {
			return nil
		}
		if r.engine.open() < r.Batch {
			wait := r.engine.open() == 0
			p, err := r.next(ctx, wait)
			if err != nil {
				return err
			}
			if p != nil {
				if err := r.admit(p); err != nil {
					return err
				}
			}
			if p != nil || wait {
				continue
			}
		}
		start := time.Now()
		answers, err := r.engine.step()
		r.out.meters.generate.add(time.Since(start), len(answers))
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := r.take(stages, a); err != nil {
				return err
			}
		}
		r.report()
	}
	return nil
}

// stop reports whether nothing new is to be begun.
func (r *run) stop() bool {
	if !r.stopped.Load() {
		select {
		case <-r.Stop: // never, if it is nil
			r.stopped.Store(true)
		default:
		}
	}
	return r.stopped.Load()
}

// next takes a prepared part if there is one, and waits for something to happen if wait says so. It returns nil if
// there is none.
func (r *run) next(ctx context.Context, wait bool) (p *part, err error) {
	select {
	case p = <-r.ready:
	default:
		if !wait {
			return nil, nil
		}
		listed := r.listed
		if r.isListed() {
			if listed = nil; r.whole() { // since the caller looked
				return nil, nil
			}
		}
		stop := r.Stop
		if r.stopped.Load() {
			stop = nil
		}
		start := time.Now()
		select {
		case p = <-r.ready:
		case <-listed:
		case <-stop:
		case <-r.out.broken:
			return nil, r.out.failure()
		case <-ctx.Done():
		}
		if r.issued.Load() > int64(r.settled) {
			r.progress.Idle += time.Since(start)
		}
	}
	if p != nil {
		r.room.Release(p.weight)
	}
	return p, nil
}

func (r *run) isListed() bool {
	select {
	case <-r.listed:
		return true
	default:
		return false
	}
}

func (r *run) report() {
	r.progress.Inputs = r.inputs.Len() + int(r.pages.Load())
	if r.isListed() && !r.cut.Load() {
		r.progress.Listed, r.progress.Inputs = true, int(r.count.Load())
	}
	r.progress.Done, r.progress.Failed = r.out.show(r.progress)
	if r.Progress != nil {
		r.Progress(r.progress)
	}
}
