// Package pipeline leads inputs through the model to records, in input order.
//
// One run:
//
//	paths → Open → items                                           source.go
//	a document → its pages, each an item                           document.go
//	item  → read, decode → parts, each with a question             prepare.go sound.go film.go   on goroutines of their own
//	part  → towers, prompt → batch of replies                      pipeline.go engine.go         in turn, on all threads
//	replies of all parts → job.Read → record → emit, in order      work.go order.go
//
// An image is one part, a recording as many as it takes. The stages wait for each other:
// no more than a window of items is under way, and of a long one no more parts than are
// asked about, so memory does not grow with the run. A bad item becomes an error that is
// emitted in its place; the others are not touched by it. Output puts what is emitted on
// a disk.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"facet/model"
	"facet/pipeline/job"
	"facet/video"
	"facet/vision"
)

// Settings say what is done with the items of a run.
type Settings struct {
	Model     *model.Model
	Job       job.Job
	Options   job.Options          // for all items; what a manifest says goes before
	Decode    vision.DecodeOptions // zero limits: vision.DefaultLimits
	Video     video.Options        // how films and compressed sound are decoded
	Documents Documents            // how documents are read
	Batch     int                  // replies generated at once, up to MaxBatch; 0: 8
	// Progress, if not nil, is told how far the run is, often and from one goroutine.
	Progress func(Progress)
}

// MaxBatch is the largest Settings.Batch. Each reply keeps keys and values of its own, and
// each may have a few prepared images wait behind it.
const MaxBatch = 4096

// Progress counts what each stage has done so far.
type Progress struct {
	Inputs                 int     // items that are known: a document is one until it is opened, then as many as its pages
	Prepared, Done, Failed int     // items; Done includes Failed, and what waits for its turn to be emitted
	Encoded                int     // parts
	SoftTokens             int     // encoded
	OutputTokens           int     // generated
	Seconds                float64 // of recordings and films, answered
}

// Result is what became of one item: a record or an error.
type Result struct {
	Item    Item
	Options job.Options // that it was done with
	Record  *job.Record
	Err     error // says what is wrong, without the path and the page
	Inputs  int   // Progress.Inputs
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
	if s.Decode.Limits == (vision.Limits{}) {
		s.Decode.Limits = vision.DefaultLimits
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
	items    []Item
	engine   engine
	asked    map[string]*part // that are not answered, by the id of the question
	number   int              // of the next question
	order    order
	pages    atomic.Int64 // of the documents that are opened, without the first of each
	progress Progress
}

// Run does the job on every item and calls emit with the results, in the order of the
// items and from one goroutine. It ends early, with the error, if ctx does, if emit fails
// or if the engine does; what was emitted stays done. When ctx ends, what is finished but
// waits for an earlier item is emitted as well.
func (p *Pipeline) Run(ctx context.Context, items []Item, emit func(Result) error) (Progress, error) {
	r := &run{
		Pipeline: p, items: items, engine: p.newEngine(),
		asked: map[string]*part{}, order: newOrder(window*p.Batch, emit),
	}
	stages, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := r.start(stages)
	err := r.infer(ctx, ready)
	cancel()
	for range ready { // until the goroutines that prepare have ended
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errors.Join(err, r.order.flush())
	}
	r.progress.Inputs = r.inputs()
	return r.progress, err
}

// window is how many items, times the batch, may be under way: enough that a slow one
// does not hold up the batch.
const window = 4

// start prepares the items on a few goroutines. The channel is closed when all are
// prepared, or soon after ctx has ended; it must be read until then.
func (r *run) start(ctx context.Context) <-chan *part {
	entries, ready := make(chan entry), make(chan *part)
	go func() {
		defer close(entries)
		r.list(ctx, entries)
	}()
	var workers sync.WaitGroup
	for range preparers {
		workers.Go(func() {
			for e := range entries {
				r.prepare(ctx, e, ready)
			}
		})
	}
	go func() {
		workers.Wait()
		close(ready)
	}()
	return ready
}

// preparers is the number of images that are decoded at once. Each may take as much
// memory as the limits allow, and the model needs the CPUs more.
const preparers = 2

// infer runs towers and replies until every item is emitted.
func (r *run) infer(ctx context.Context, ready <-chan *part) error {
	defer r.engine.drop()
	for r.progress.Done < r.inputs() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.engine.open() < r.Batch {
			wait := r.engine.open() == 0
			p := next(ctx, ready, wait)
			if p != nil {
				if err := r.admit(p); err != nil {
					return err
				}
			}
			if p != nil || wait {
				continue
			}
		}
		answers, err := r.engine.step()
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := r.take(a); err != nil {
				return err
			}
		}
		r.report()
	}
	return nil
}

// next takes a prepared part if there is one, and waits for it if wait says so. It
// returns nil if there is none or if ctx ends.
func next(ctx context.Context, ready <-chan *part, wait bool) *part {
	if wait {
		select {
		case p := <-ready:
			return p
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case p := <-ready:
		return p
	default:
		return nil
	}
}

// inputs is Progress.Inputs.
func (r *run) inputs() int { return len(r.items) + int(r.pages.Load()) }

func (r *run) report() {
	if r.Progress != nil {
		r.progress.Inputs = r.inputs()
		r.Progress(r.progress)
	}
}
