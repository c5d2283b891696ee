package pipeline

import (
	"context"
	"fmt"

	"facet/pipeline/job"
)

// work is an item under way. What the goroutine that prepares it knows of it reaches the
// one that runs the model in its parts.
type work struct {
	index   int
	item    Item
	options job.Options // of the item over those of the run
	plan    job.Plan
	record  job.Record
	replies []job.Reply // about the parts, in their order
	open    int         // parts that are not answered
	whole   bool        // no more parts come
	settled bool
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

	last   bool              // no more parts of the item come
	finish func(*job.Record) // if not nil, completes the record of an item whose parts are all prepared
	err    error             // why the item fails
}

// admit encodes a part and asks about it. An item fails with its first part that does.
func (r *run) admit(p *part) error {
	w := p.work
	if w.settled {
		return nil
	}
	if p.last {
		r.progress.Prepared++
		w.whole = true
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
		return r.settle(w, p.err)
	}
	return r.conclude(w)
}

// ask puts the question of a part to the engine.
func (r *run) ask(p *part) error {
	id := fmt.Sprint(r.number)
	r.number++
	c, err := r.engine.ask(id, p.question, func() { r.progress.OutputTokens++ })
	if err != nil {
		return err
	}
	r.asked[id] = p
	p.open++
	p.reply.Attempts++
	if p.reply.Attempts == 1 {
		r.progress.SoftTokens += c.soft
		if c.soft > 0 {
			r.progress.Encoded++
		}
		p.record.Effective.Spend(p.reply.Medium, c.soft)
	}
	p.record.Usage.PromptTokens += c.prompt
	return nil
}

// take takes the answer about a part.
func (r *run) take(a answer) error {
	p := r.asked[a.id]
	delete(r.asked, a.id)
	w := p.work
	w.open--
	if w.settled {
		return nil
	}
	if a.err != nil {
		return r.fail(p, a.err)
	}
	w.record.Usage.OutputTokens += a.output
	first := p.reply
	p.reply.Tokens, p.reply.Finish = a.tokens, a.finish
	if a.finish == job.FinishLoop && p.reply.Attempts <= r.Job.Retries {
		return r.retry(p)
	}
	if a.finish == job.FinishLoop && first.Tokens != nil {
		p.reply.Tokens, p.reply.Finish = first.Tokens, first.Finish // the same again: the first is the likelier one
	}
	p.question = nil // with the media in it
	if p.summary {
		r.Job.Summarise(&w.record, p.reply)
		return r.settle(w, nil)
	}
	w.replies[p.at] = p.reply
	if p.reply.Medium == job.Film || w.record.Effective.Watched == nil { // the sound of a film goes on beside its pictures
		r.progress.Seconds += p.reply.End - p.reply.Start
	}
	return r.conclude(w)
}

// retryTemperature is what takes a model out of a loop that it runs into with certainty.
const retryTemperature = 0.5

// retry asks about a part once more, less certainly.
func (r *run) retry(p *part) error {
	p.question.temperature = max(p.question.temperature, retryTemperature)
	p.question.seed++
	if err := r.ask(p); err != nil {
		return r.fail(p, err)
	}
	return nil
}

// fail takes it that there is no answer about a part. Without one of its parts an item
// fails; without its summary it has none.
func (r *run) fail(p *part, err error) error {
	if !p.summary {
		return r.settle(p.work, err)
	}
	p.record.Warnings = append(p.record.Warnings, fmt.Sprintf("no summary: %v", err))
	return r.settle(p.work, nil)
}

// conclude reads the replies of an item once all are there, and asks for a summary where
// the job wants one.
func (r *run) conclude(w *work) error {
	if !w.whole || w.open > 0 {
		return nil
	}
	r.Job.Read(&w.record, w.replies)
	if r.Job.Sum != nil {
		if text := r.Job.Sum(&w.record, w.options); text != "" {
			p := &part{work: w, question: r.questionOf(w, text), summary: true}
			if err := r.ask(p); err != nil {
				return r.fail(p, err)
			}
			return nil
		}
	}
	return r.settle(w, nil)
}

// questionOf is a question about an item, without media.
func (r *run) questionOf(w *work, text string) *question {
	return &question{
		text: text, maxTokens: w.plan.MaxTokens, temperature: w.options.Temperature, seed: w.options.Seed,
		stream: w.record.ID,
	}
}

// settle emits the result of an item as soon as those before it are emitted.
func (r *run) settle(w *work, failed error) error {
	w.settled = true
	w.replies = nil // the record has what is to be kept, and may wait long for its turn
	w.stop()
	r.progress.Done++
	result := Result{Item: w.item, Options: w.options, Err: failed, Inputs: r.inputs()}
	if failed != nil {
		r.progress.Failed++
	} else {
		result.Record = &w.record
	}
	defer r.report()
	return r.order.put(w.index, result)
}
