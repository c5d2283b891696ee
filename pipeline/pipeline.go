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
// its place; the others are not touched by it.
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
	Options job.Options
	Limits  vision.Limits // zero: vision.DefaultLimits
	// AlphaOverWhite composes transparent pictures over white; otherwise transparency is dropped.
	AlphaOverWhite bool
	// Batch is the number of replies generated at once; 0: 8.
	Batch int
	// Progress, if not nil, is told how far the run is, often.
	Progress func(Progress)
}

// Progress counts what each stage has done so far.
type Progress struct {
	Prepared, Encoded, Done, Failed int // items
	SoftTokens                      int // encoded
	OutputTokens                    int // generated
}

// Result is what became of one item: a record or an error.
type Result struct {
	Item   Item
	Record *job.Record
	Err    error // says what is wrong, without the path
}

// run is the state that the stages of one run share.
type run struct {
	Settings
	items     []Item
	plan      job.Plan
	spec      vision.Spec
	modelName string
	modelHash string

	batch    *model.Batch
	waiting  map[string]*prepared // requests in the batch, by id
	order    order
	progress Progress
}

// Run does the job on every item and calls emit with the results, in the order of the
// items and from one goroutine. It ends early if ctx does, if emit fails or if the
// engine does; what was emitted stays done.
func Run(ctx context.Context, items []Item, s Settings, emit func(Result) error) (Progress, error) {
	r, err := newRun(items, s, emit)
	if err != nil {
		return Progress{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := r.start(ctx)
	err = r.infer(ctx, ready)
	cancel()
	for range ready { // let the goroutines that prepare end
	}
	return r.progress, err
}

func newRun(items []Item, s Settings, emit func(Result) error) (*run, error) {
	if s.Batch == 0 {
		s.Batch = 8
	}
	if s.Limits == (vision.Limits{}) {
		s.Limits = vision.DefaultLimits
	}
	spec, ok := s.Model.Spec()
	if !ok {
		return nil, fmt.Errorf("%s: this checkpoint takes no pictures", s.Model.Path())
	}
	settings, err := job.OpenCheckpoint(s.Model.Path())
	if err != nil {
		return nil, err
	}
	plan, err := s.Job.Plan(s.Options, settings)
	if err != nil {
		return nil, err
	}
	hash, err := s.Model.SHA256()
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(s.Model.Path())
	if err != nil {
		return nil, err
	}
	return &run{
		Settings: s, items: items, plan: plan, spec: spec, modelName: filepath.Base(path), modelHash: hash,
		batch: s.Model.NewBatch(), waiting: map[string]*prepared{}, order: newOrder(window*s.Batch, emit),
	}, nil
}

// window is how many items, times the batch, may be under way: enough that a slow one
// does not hold up the batch.
const window = 4

// start prepares the items on a few goroutines. The channel is closed when all are
// prepared or ctx has ended.
func (r *run) start(ctx context.Context) <-chan prepared {
	indices, ready := make(chan int), make(chan prepared)
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
				select {
				case ready <- r.prepare(i):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		workers.Wait()
		close(ready)
	}()
	return ready
}

// preparers is the number of pictures that are decoded at once. Each may take as much
// memory as the limits allow, and the model needs the CPUs more.
const preparers = 2

// infer runs towers and replies until every item is emitted.
func (r *run) infer(ctx context.Context, ready <-chan prepared) error {
	defer r.batch.Drop()
	for ready != nil || r.batch.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ready != nil && r.batch.Len() < r.Batch {
			p, ok, open := next(ctx, ready, r.batch.Len() == 0)
			if !open {
				ready = nil
			}
			if ok {
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
	return ctx.Err()
}

// next takes a prepared item if there is one, and waits for it if wait says so. open
// is false once no more will come.
func next(ctx context.Context, ready <-chan prepared, wait bool) (p prepared, ok, open bool) {
	if wait {
		select {
		case p, ok = <-ready:
			return p, ok, ok
		case <-ctx.Done():
			return p, false, true
		}
	}
	select {
	case p, ok = <-ready:
		return p, ok, ok
	default:
		return p, false, true
	}
}

// admit encodes a prepared item and takes its request into the batch, or settles it if it failed.
func (r *run) admit(p prepared) error {
	r.progress.Prepared++
	if p.err == nil {
		p.err = r.request(&p)
	}
	if p.err != nil {
		return r.settle(p.index, Result{Err: p.err})
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
	prompt, err := r.prompt(soft)
	if err != nil {
		return err
	}
	p.record.Usage.PromptTokens = prompt.Len()
	id := fmt.Sprint(p.index)
	err = r.batch.Add(model.Request{
		ID: id, Stream: p.record.ID, Prompt: prompt, MaxTokens: r.plan.MaxTokens,
		Sampling: model.Sampling{Temperature: float32(r.Options.Temperature), Seed: r.Options.Seed},
		OnToken:  func(model.Token) { r.progress.OutputTokens++ },
	})
	if err == nil {
		r.waiting[id] = p
	}
	return err
}

// prompt puts the picture before the question, as Gemma 4 was trained.
func (r *run) prompt(soft *model.SoftTokens) (*model.Prompt, error) {
	images := []*model.SoftTokens{soft}
	if !r.Model.HasChat() {
		return r.Model.CompletionPrompt(r.plan.Prompt, images)
	}
	c := chat.Conversation{Messages: []chat.Message{{Role: chat.User, Content: []chat.Part{{Kind: chat.PartImage}, {Text: r.plan.Prompt}}}}}
	spans, err := chat.Render(c, chat.Options{Template: r.Model.Template(), GenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	return r.Model.ChatPrompt(spans, images)
}

// finish reads a reply into its record and settles the item.
func (r *run) finish(f model.Finished) error {
	p := r.waiting[f.Request.ID]
	delete(r.waiting, f.Request.ID)
	if f.Reply.Err != nil {
		return r.settle(p.index, Result{Err: f.Reply.Err})
	}
	rec := p.record
	rec.Usage.OutputTokens = len(f.Reply.Tokens)
	r.Job.Read(&rec, job.Reply{
		Tokens: visible(r.Model.Tokenizer(), f.Reply.Tokens), Finish: job.Finish(f.Reply.Finish), Boxes: r.plan.Boxes,
		Width: rec.Effective.SizeOriginal[0], Height: rec.Effective.SizeOriginal[1],
	})
	return r.settle(p.index, Result{Record: &rec})
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
func (r *run) settle(index int, res Result) error {
	res.Item = r.items[index]
	r.progress.Done++
	if res.Err != nil {
		r.progress.Failed++
	}
	defer r.report()
	return r.order.put(index, res)
}

func (r *run) report() {
	if r.Progress != nil {
		r.Progress(r.progress)
	}
}

// Interrupted reports whether a run ended because its context did.
func Interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
