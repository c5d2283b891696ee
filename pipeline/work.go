package pipeline

import (
	"context"
	"fmt"
	"time"

	"facet/pipeline/job"
	"facet/pipeline/source"
)

// work is an item under way. What the goroutine that prepares it knows of it reaches the
// one that runs the model in its parts.
type work struct {
	index   int
	item    source.Item
	job     job.Job
	options job.Options // of the item over those of the run
	plan    job.Plan
	record  job.Record
	replies []job.Reply // about the parts, in their order
	open    int         // parts that are not answered
	whole   bool        // no more parts come
	begun   bool        // it was asked about
	settled bool
	// Of an item with whose bytes others wait for its result; guarded by twins.mu.
	twin      twinKey
	followers []*work
	result    *Result
	// stop ends the preparation of an item that has failed.
	stop context.CancelFunc
}

// part is what is asked about by itself: an image, a piece of a recording, some seconds of
// a film. The last one of an item may ask nothing.
type part struct {
	*work
	question *question
	reply    job.Reply // what is known of it before it is answered
	at       int       // its place among the replies
	summary  bool      // it asks about the whole

	last     bool              // no more parts of the item come
	finish   func(*job.Record) // if not nil, completes the record of an item whose parts are all prepared
	err      error             // why the item fails
	attempts []attempt         // that were answered
	read     bool              // the record of its item is whole as it is
	again    *seenAgain        // it comes back for another attempt
	copied   *Result           // of an item with equal bytes, which is this one's as well
	weight   int64             // bytes of room that it took while it waited
}

// admit encodes a part and asks about it. An item fails with its first part that does.
func (r *run) admit(p *part) error {
	w := p.work
	if p.again != nil {
		return r.readmit(p)
	}
	if w.settled || r.stop() && !w.begun && p.question != nil {
		return nil
	}
	if p.last {
		r.progress.Prepared++
		w.whole = true
	}
	if p.copied != nil {
		record, err := p.copied.copyTo(w)
		return r.settle(w, record, err)
	}
	if p.read {
		return r.settle(w, &w.record, nil)
	}
	if p.finish != nil {
		p.finish(&w.record)
	}
	if p.err == nil && p.question != nil {
		p.at = len(w.replies)
		if p.at > 0 { // so that parts do not draw alike; the first one does as it would alone
			p.question.stream += fmt.Sprintf("/%d", p.at)
		}
		w.replies = append(w.replies, p.reply)
		p.err = r.ask(p)
	}
	if p.err != nil {
		return r.settle(w, nil, p.err)
	}
	return r.conclude(w)
}

// ask puts the question of a part to the engine.
func (r *run) ask(p *part) error {
	id := fmt.Sprint(r.number)
	r.number++
	if !p.begun {
		p.begun = true
		r.progress.Begun++
	}
	start := time.Now()
	c, err := r.engine.ask(id, p.question, func() { r.progress.OutputTokens++ })
	r.out.meters.encode.since(start)
	if err != nil {
		return err
	}
	r.asked[id] = p
	p.open++
	if c.soft > 0 {
		r.progress.SoftTokens += c.soft
		r.progress.Encoded++
		p.record.Effective.Spend(p.reply.Medium, c.soft)
	}
	p.record.Usage.PromptTokens += c.prompt
	return nil
}

// take takes the answer about a part, and asks again if that is not one to be content with.
func (r *run) take(ctx context.Context, a answer) error {
	p := r.asked[a.id]
	delete(r.asked, a.id)
	w := p.work
	w.open--
	if w.settled {
		return nil
	}
	w.record.Usage.OutputTokens += a.output
	r.tried(p, a)
	if !p.summary && !p.reply.Detects {
		if o, turn, ok := r.nextAttempt(p); ok {
			err := r.again(ctx, p, o, turn)
			if err == nil {
				return nil
			}
			r.tried(p, answer{err: err})
		}
	}
	return r.answered(p)
}

// answered takes the best of what was answered about a part.
func (r *run) answered(p *part) error {
	w := p.work
	if err := p.keep(); err != nil {
		return r.fail(p, err)
	}
	p.question = nil // with the media in it
	if p.summary {
		w.job.Summarise(&w.record, p.reply)
		return r.settle(w, &w.record, nil)
	}
	w.replies[p.at] = p.reply
	if p.reply.Medium == job.Film || w.record.Effective.Watched == nil { // the sound of a film goes on beside its pictures
		r.progress.Seconds += p.reply.End - p.reply.Start
	}
	return r.conclude(w)
}

// fail takes it that there is no answer about a part. Without one of its parts an item
// fails; without its summary it has none.
func (r *run) fail(p *part, err error) error {
	if !p.summary {
		return r.settle(p.work, nil, err)
	}
	p.record.Warnings = append(p.record.Warnings, fmt.Sprintf("no summary: %v", err))
	return r.settle(p.work, &p.work.record, nil)
}

// conclude reads the replies of an item once all are there, and asks for a summary where
// the job wants one.
func (r *run) conclude(w *work) error {
	if !w.whole || w.open > 0 {
		return nil
	}
	w.job.Read(&w.record, w.replies)
	if w.job.Sum != nil {
		if text := w.job.Sum(&w.record, w.options); text != "" {
			p := &part{work: w, question: r.questionOf(w, text), summary: true}
			if err := r.ask(p); err != nil {
				return r.fail(p, err)
			}
			return nil
		}
	}
	return r.settle(w, &w.record, nil)
}

// questionOf is a question about an item, without media.
func (r *run) questionOf(w *work, text string) *question {
	return &question{
		text: text, maxTokens: w.plan.MaxTokens, temperature: w.options.Temperature, seed: w.options.Seed,
		stream: w.record.ID,
	}
}

// settle hands on the result of an item, and of those with equal bytes: a record, or why there is none.
func (r *run) settle(w *work, record *job.Record, failed error) error {
	w.settled = true
	w.replies = nil // the record has what is to be kept
	w.stop()
	r.settled++
	if w.begun {
		r.progress.Begun--
	}
	result := Result{Index: w.index, Item: w.item, Job: w.job.Name, Options: w.options, Record: record, Err: failed, twin: w.twin}
	var followers []*work
	if w.twin != (twinKey{}) {
		followers = r.twins.settled(w, &result)
		result.kept = func() { r.twins.forget(w.twin, w) }
	}
	if !r.out.put(result) {
		return r.out.failure()
	}
	for _, f := range followers {
		r.progress.Prepared++
		record, err := result.copyTo(f)
		if err := r.settle(f, record, err); err != nil {
			return err
		}
	}
	r.report()
	return nil
}
