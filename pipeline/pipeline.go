// Package pipeline leads inputs through the model to records, in input order.
//
// One run:
//
//	paths → Open → items                                         source.go
//	item  → read → decode → resize → patches                     prepare.go   on its own goroutines
//	patches → vision tower → prompt → batch of replies           pipeline.go  in turn, on all threads
//	reply → job.Read → record → emit, in the order of the items  order.go
//
// The stages wait for each other: no more than a window of items is under way, so
// memory does not grow with the run. A bad item becomes an error that is emitted in
// its place; the others are not touched by it. Output puts what is emitted on a disk.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"

	"facet/model"
	"facet/model/chat"
	"facet/model/tokenizer"
	"facet/pipeline/job"
	"facet/vision"
)

// Settings say what is done with the items of a run.
type Settings struct {
	Model   *model.Model
	Job     job.Job
	Options job.Options          // for all items; what a manifest says goes before
	Decode  vision.DecodeOptions // zero limits: vision.DefaultLimits
	Batch   int                  // replies generated at once, up to MaxBatch; 0: 8
	// Progress, if not nil, is told how far the run is, often and from one goroutine.
	Progress func(Progress)
}

// MaxBatch is the largest Settings.Batch. Each reply keeps keys and values of its own, and
// each may have a few prepared images wait behind it.
const MaxBatch = 4096

// Progress counts what each stage has done so far.
type Progress struct {
	Prepared, Encoded, Done, Failed int // items; Done includes Failed, and what waits for its turn to be emitted
	SoftTokens                      int // encoded
	OutputTokens                    int // generated
}

// Result is what became of one item: a record or an error.
type Result struct {
	Item    Item
	Options job.Options // that it was done with
	Record  *job.Record
	Err     error // says what is wrong, without the path
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
	spec       vision.Spec
	modelName  string
	modelHash  string
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
	p := &Pipeline{Settings: s}
	var ok bool
	if p.spec, ok = s.Model.Spec(); !ok {
		return nil, fmt.Errorf("%s: this checkpoint takes no images", s.Model.Path())
	}
	var err error
	if p.checkpoint, err = job.OpenCheckpoint(s.Model); err != nil {
		return nil, err
	}
	if _, err := s.Job.Plan(s.Options, p.checkpoint); err != nil {
		return nil, OptionError{err}
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
	batch    *model.Batch
	waiting  map[string]*prepared // requests in the batch, by id
	order    order
	progress Progress
}

// Run does the job on every item and calls emit with the results, in the order of the
// items and from one goroutine. It ends early, with the error, if ctx does, if emit fails
// or if the engine does; what was emitted stays done. When ctx ends, what is finished but
// waits for an earlier item is emitted as well.
func (p *Pipeline) Run(ctx context.Context, items []Item, emit func(Result) error) (Progress, error) {
	r := &run{
		Pipeline: p, items: items, batch: p.Model.NewBatch(),
		waiting: map[string]*prepared{}, order: newOrder(window*p.Batch, emit),
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
	return r.progress, err
}

// window is how many items, times the batch, may be under way: enough that a slow one
// does not hold up the batch.
const window = 4

// start prepares the items on a few goroutines. The channel is closed when all are
// prepared, or soon after ctx has ended; it must be read until then.
func (r *run) start(ctx context.Context) <-chan *prepared {
	indices, ready := make(chan int), make(chan *prepared)
	go func() {
		defer close(indices)
		for i := range r.items {
			if !r.order.admit(ctx) {
				return
			}
			select {
			case indices <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	for range preparers {
		workers.Go(func() {
			for i := range indices {
				ready <- r.prepare(i)
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
func (r *run) infer(ctx context.Context, ready <-chan *prepared) error {
	defer r.batch.Drop()
	for r.progress.Done < len(r.items) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.batch.Len() < r.Batch {
			if p := next(ctx, ready, r.batch.Len() == 0); p != nil {
				if err := r.admit(p); err != nil {
					return err
				}
				continue
			}
		}
		done, err := r.batch.Step()
		if err != nil {
			return err
		}
		for _, f := range done {
			if err := r.finish(f); err != nil {
				return err
			}
		}
		r.report()
	}
	return nil
}

// next takes a prepared item if there is one, and waits for it if wait says so. It
// returns nil if there is none or if ctx ends.
func next(ctx context.Context, ready <-chan *prepared, wait bool) *prepared {
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

// admit encodes a prepared item and takes its request into the batch, or settles it if it failed.
func (r *run) admit(p *prepared) error {
	r.progress.Prepared++
	if p.err == nil {
		p.err = r.request(p)
	}
	if p.err != nil {
		return r.settle(p, nil, p.err)
	}
	return nil
}

func (r *run) request(p *prepared) error {
	soft, err := r.Model.EncodeImage(p.patches)
	if err != nil {
		return err
	}
	p.patches = nil
	r.progress.Encoded++
	r.progress.SoftTokens += soft.Rows
	prompt, err := r.prompt(p.plan.Prompt, soft)
	if err != nil {
		return err
	}
	p.record.Usage.PromptTokens = prompt.Len()
	id := fmt.Sprint(p.index)
	err = r.batch.Add(model.Request{
		ID: id, Stream: p.record.ID, Prompt: prompt, MaxTokens: p.plan.MaxTokens,
		Sampling: model.Sampling{Temperature: float32(p.options.Temperature), Seed: p.options.Seed},
		OnToken:  func(model.Token) { r.progress.OutputTokens++ },
	})
	if err == nil {
		r.waiting[id] = p
	}
	return err
}

// prompt puts the image before the question, as Gemma 4 was trained.
func (r *run) prompt(question string, soft *model.SoftTokens) (*model.Prompt, error) {
	media := model.Media{Images: []*model.SoftTokens{soft}}
	if !r.Model.HasChat() {
		return r.Model.CompletionPrompt(question, media)
	}
	c := chat.Conversation{Messages: []chat.Message{{Role: chat.User, Content: []chat.Part{{Kind: chat.PartImage}, {Text: question}}}}}
	spans, err := chat.Render(c, chat.Options{Template: r.Model.Template(), GenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	return r.Model.ChatPrompt(spans, media)
}

// finish reads a reply into its record and settles the item.
func (r *run) finish(f model.Finished) error {
	p := r.waiting[f.Request.ID]
	delete(r.waiting, f.Request.ID)
	if f.Reply.Err != nil {
		return r.settle(p, nil, f.Reply.Err)
	}
	rec := &p.record
	rec.Usage.OutputTokens = len(f.Reply.Tokens)
	r.Job.Read(rec, job.Reply{
		Tokens: visible(r.Model.Tokenizer(), f.Reply.Tokens), Finish: job.Finish(f.Reply.Finish), Boxes: p.plan.Boxes,
		Width: rec.Effective.SizeOriginal[0], Height: rec.Effective.SizeOriginal[1],
	})
	return r.settle(p, rec, nil)
}

// visible gives the tokens of a reply the text that each adds to the answer; those of
// a thought, of a tool call and control tokens add none.
func visible(t *tokenizer.Tokenizer, tokens []model.Token) []job.Token {
	parser := chat.NewParser(t)
	out := make([]job.Token, len(tokens))
	for i, token := range tokens {
		out[i] = job.Token{Text: answer(parser.Add(token.ID)), LogProb: token.LogProb}
	}
	events, _ := parser.Close()
	if rest := answer(events); rest != "" {
		out = append(out, job.Token{Text: rest, LogProb: float32(math.NaN())})
	}
	return out
}

func answer(events []chat.Event) string {
	text := ""
	for _, e := range events {
		if e.Kind == chat.EventText {
			text += e.Text
		}
	}
	return text
}

// settle emits the result of an item as soon as those before it are emitted.
func (r *run) settle(p *prepared, rec *job.Record, failed error) error {
	r.progress.Done++
	if failed != nil {
		r.progress.Failed++
	}
	defer r.report()
	return r.order.put(p.index, Result{Item: r.items[p.index], Options: p.options, Record: rec, Err: failed})
}

func (r *run) report() {
	if r.Progress != nil {
		r.Progress(r.progress)
	}
}
