package pipeline

import (
	"cmp"
	"context"
	"encoding/hex"
	"math"

	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/vision"
)

// attempt is one asking about a part.
type attempt struct {
	job.Attempt
	reply job.Reply
	err   error // why there is none
	// How an image was seen, and asked about.
	seen   *job.Seen
	sheet  *job.Sheet
	prompt string // SHA-256
	// sure is the geometric mean of the probabilities of what was answered.
	sure float64
}

// tried notes how the asking about a part ended.
func (r *run) tried(p *part, a answer) {
	w := p.work
	t := attempt{
		Attempt: job.Attempt{
			Boxes: p.reply.Boxes, Temperature: p.question.temperature, Seed: p.question.seed,
			MaxTokens: p.question.maxTokens, OutputTokens: a.output, Finish: job.FinishError,
		},
		reply: p.reply, err: a.err,
		seen: w.record.Effective.Seen, sheet: w.record.Effective.Sheet, prompt: w.record.Effective.PromptSHA256,
	}
	if p.reply.Medium == job.Image && t.seen != nil {
		t.Budget, t.Rotated = t.seen.Budget, t.seen.Rotated
	}
	if a.err != nil {
		t.Error = a.err.Error()
	} else {
		t.reply.Tokens, t.reply.Finish, t.reply.Loop = a.tokens, a.finish, a.loop
		t.Finish, t.Chars = w.job.Judge(t.reply)
		t.sure = sureness(t.reply.Tokens)
	}
	p.attempts = append(p.attempts, t)
}

// history is what the ladder knows of the attempts.
func (p *part) history() []job.Attempt {
	all := make([]job.Attempt, len(p.attempts))
	for i, a := range p.attempts {
		all[i] = a.Attempt
	}
	return all
}

// keep makes the best of the attempts the reply. The error is that of the first if none got any.
func (p *part) keep() error {
	history := p.history()
	best := bestTurn(p.attempts)
	if best < 0 {
		return p.attempts[0].err
	}
	kept := p.attempts[best]
	p.reply = kept.reply
	p.reply.Attempts = len(history)
	if len(history) > 1 {
		history[best].Kept = true
		p.reply.Tries = history
	}
	if p.reply.Medium == job.Image && len(p.plan.Questions()) == 1 { // of several, tries tells
		e := &p.record.Effective
		e.Seen, e.Sheet, e.PromptSHA256, e.Temperature, e.Seed = kept.seen, kept.sheet, kept.prompt, kept.Temperature, kept.Seed
	}
	p.attempts = nil
	return nil
}

// nextAttempt says with which options, and turned by how much, a part is asked about again: as the job's ladder has it
// and, where that has come to its end, turned.
func (r *run) nextAttempt(p *part) (o job.Options, turn int, ok bool) {
	w := p.work
	last := p.attempts[len(p.attempts)-1]
	if last.Rotated == job.Turns[w.options.Rotate] {
		if o, ok := w.job.Next(w.options, r.checkpoint, p.reply.Medium, p.history()); ok {
			return o, last.Rotated, true
		}
	}
	turn, ok = p.nextTurn()
	return w.options, turn, ok
}

// again asks about a part once more, with other options.
func (r *run) again(ctx context.Context, p *part, o job.Options, turn int) error {
	w := p.work
	plan, err := w.job.Plan(o, r.checkpoint, p.reply.Medium)
	if err != nil {
		return err
	}
	q := p.question
	q.temperature, q.seed, q.maxTokens = o.Temperature, o.Seed, plan.MaxTokens
	if p.reply.Medium != job.Image {
		return r.ask(p)
	}
	seen := w.record.Effective.Seen
	budget := cmp.Or(o.Budget, seen.Budget)
	if budget == seen.Budget && turn == seen.Rotated && plan.Boxes == p.reply.Boxes {
		return r.ask(p)
	}
	return r.lookAgain(ctx, p, plan, budget, turn)
}

// lookAgain has the picture of a part read once more, for it is not kept, and asked about.
func (r *run) lookAgain(ctx context.Context, p *part, plan job.Plan, budget, turn int) error {
	w := p.work
	again := *p.question
	again.asked, again.text = nil, plan.Question(p.reply.Find)
	p.question, p.reply.Boxes = &again, plan.Boxes
	w.record.Effective.PromptSHA256 = plan.PromptSHA256()
	p.open++
	r.stages.Go(func() {
		r.slots <- struct{}{}
		seen, err := r.seeAgain(ctx, w, budget, turn, &again)
		<-r.slots
		p.again = &seen
		p.err = err
		r.deliver(ctx, p)
	})
	return nil
}

// seenAgain is what reading an image once more gave.
type seenAgain struct {
	seen          *job.Seen
	sheet         *job.Sheet
	width, height int
	ink           *vision.Ink
}

// readmit asks about a part whose image was read once more.
func (r *run) readmit(p *part) error {
	w := p.work
	s := p.again
	p.again = nil
	p.open--
	if w.settled {
		return nil
	}
	err := p.err
	if err == nil {
		w.record.Effective.Seen, w.record.Effective.Sheet = s.seen, s.sheet
		p.reply.Width, p.reply.Height, p.reply.Ink = s.width, s.height, s.ink
		err = r.ask(p)
	}
	if err != nil { // what was answered before is worth keeping
		p.err = nil
		return r.answered(p)
	}
	return nil
}

// seeAgain reads the image of a work once more and prepares it for a question, within a budget.
func (r *run) seeAgain(ctx context.Context, w *work, budget, turn int, q *question) (s seenAgain, err error) {
	item, err := source.Reopen(ctx, w.item.Path)
	if err != nil {
		return s, err
	}
	defer item.Release()
	item.Page = w.item.Page
	head, err := source.Head(item.File)
	if err != nil {
		return s, err
	}
	var img *vision.Image
	if w.record.Source.Type == documentType || w.record.Source.Type == jpeg2000 || imageOfPages(vision.Sniff(head)) {
		doc, err := openDocument(ctx, item, r.Pipeline)
		if err != nil {
			return s, err
		}
		defer doc.release()
		if hex.EncodeToString(doc.sum[:]) != w.record.Source.SHA256 {
			return s, errChanged
		}
		if doc.still != nil {
			img, err = doc.still.Page(ctx, max(1, item.Page))
		} else {
			img, s.sheet, _, err = r.draw(ctx, doc, max(1, item.Page), budget, w.options.DPI)
			if doc.image {
				s.sheet = nil
			}
		}
		if err != nil {
			return s, err
		}
	} else {
		picture, err := r.Stills.Open(ctx, item.File)
		if err != nil {
			return s, err
		}
		defer picture.Close()
		if sum := picture.SHA256(); hex.EncodeToString(sum[:]) != w.record.Source.SHA256 {
			return s, errChanged
		}
		if img, err = picture.Page(ctx, 1); err != nil {
			return s, err
		}
	}
	img = turned(img, turn)
	patches, as, err := vision.Prepare(img, *r.specs.vision, budget)
	if err != nil {
		return s, err
	}
	if w.job.Pages {
		s.ink = img.Ink()
	}
	s.seen, s.width, s.height = seenAs(budget, turn, as, img), img.Width, img.Height
	q.images = []*vision.Patches{patches}
	return s, nil
}

// turns are tried in this order where a page cannot be read well as it is.
var turns = []int{0, 180, 90, 270}

// readWell is how sure the model is of a page that stands upright; of one that does not it says anything.
const readWell = 0.85

// nextTurn says by how much a page is to be turned and asked about once more, if the user lets facet find out and no
// turn so far has read well.
func (p *part) nextTurn() (degrees int, ok bool) {
	if p.work.options.Rotate != job.RotateAuto || p.reply.Medium != job.Image {
		return 0, false
	}
	tried := map[int]bool{}
	for _, a := range p.attempts {
		tried[a.Rotated] = true
		if a.Finish == job.FinishStop && a.Chars > 0 && a.sure >= readWell {
			return 0, false
		}
	}
	for _, degrees := range turns {
		if !tried[degrees] {
			return degrees, true
		}
	}
	return 0, false
}

// bestTurn is the attempt that is kept, -1 if none got a reply: of each turn the best, and of those the surest that
// ended by itself and has text, else the first.
func bestTurn(attempts []attempt) int {
	best := -1
	for _, degrees := range turns {
		var at []int
		var history []job.Attempt
		for i, a := range attempts {
			if a.Rotated == degrees {
				at, history = append(at, i), append(history, a.Attempt)
			}
		}
		i := job.Best(history)
		if i < 0 {
			continue
		}
		i = at[i]
		if best < 0 || attempts[i].surerThan(attempts[best]) {
			best = i
		}
	}
	return best
}

func (a attempt) surerThan(b attempt) bool {
	good := func(a attempt) bool { return a.Finish == job.FinishStop && a.Chars > 0 }
	if good(a) != good(b) {
		return good(a)
	}
	return good(a) && a.sure > b.sure
}

// sureness is the geometric mean of the probabilities of tokens, as far as they are known; 0 if none is.
func sureness(tokens []job.Token) float64 {
	sum, n := 0.0, 0
	for _, t := range tokens {
		if p := float64(t.LogProb); !math.IsNaN(p) {
			sum += p
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return math.Exp(sum / float64(n))
}
