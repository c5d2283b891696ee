package job

import (
	"slices"

	"facet/vision"
)

// Attempt is one asking about a part and how it ended.
type Attempt struct {
	Budget       int     `json:"budget,omitempty"` // soft tokens of an image, as it was seen; 0: there is none
	Boxes        Boxes   `json:"boxes,omitempty"`
	Rotated      int     `json:"rotated,omitempty"`
	Temperature  float64 `json:"temperature"`
	Seed         uint64  `json:"seed"`
	MaxTokens    int     `json:"max_tokens"`
	OutputTokens int     `json:"output_tokens"`
	Finish       Finish  `json:"finish"`          // from Job.Judge; FinishError where there is no reply
	Chars        int     `json:"chars"`           // characters that were read
	Kept         bool    `json:"kept,omitempty"`  // the record is what this one was answered
	Error        string  `json:"error,omitempty"` // of FinishError
}

// FinishError is how an attempt ends that got no reply, because its prompt is longer than the context or the
// computation failed. No record has it: an item whose first attempt ends so fails.
const FinishError Finish = "error"

// rung is what the next attempt changes, and the ends after which it is worth that.
type rung struct {
	name  string
	after []Finish
	// change changes o, the options of the last attempt that got a reply, and is false where there is nothing to change.
	change func(l *climb, o *Options) bool
}

// ladder lists the rungs. Each is taken once at most, in this order, so a part is asked about seven times at most.
//
// A reply that repeats itself or that is not in the form asked for is first looked for in a finer picture, and then
// with temperatures that take a model off what it says with certainty. Halves of a page would be another crop, but
// lines at the cut are read twice or differently, and a text that is put together wrongly looks like a right one.
//
// One that was cut at the token limit and is no loop may be a dense page: it gets twice the tokens, once. More would let
// each such page take as long as a hundred others.
//
// Last, text without boxes is better than none: boxes take most of the tokens of a page, and most loops are in them.
var ladder = []rung{
	{"longer", []Finish{FinishLength}, (*climb).longer},
	{"finer", []Finish{FinishLoop, FinishSchema}, (*climb).finer},
	{"temperature 0.2", []Finish{FinishLoop, FinishSchema, finishRunaway}, hotter(0.2)},
	{"temperature 0.5", []Finish{FinishLoop, FinishSchema, finishRunaway}, hotter(0.5)},
	{"temperature 0.8", []Finish{FinishLoop, FinishSchema, finishRunaway}, hotter(0.8)},
	{"plain", []Finish{FinishLoop, FinishSchema, FinishLength}, (*climb).plain},
}

// finishRunaway is FinishLength of what is never that long: of 30 seconds of speech, and of a caption.
const finishRunaway Finish = "runaway"

// climb is one decision about the next rung.
type climb struct {
	job        Job
	user       Options // that the user chose
	checkpoint Checkpoint
	medium     Medium
	last       Attempt // that got a reply
	tries      int     // so far
}

// Next says with which options a part of an item is asked about again, after the attempts so far, of which there
// is at least one. It is false if the last one needs none or if nothing is left to try. o are the options of the item;
// what the user set in them stays: budget, boxes, max_tokens, and a temperature that is higher than a rung's.
// Next depends on its arguments only. Job.Plan makes a question of what it returns.
func (j Job) Next(o Options, c Checkpoint, m Medium, history []Attempt) (Options, bool) {
	if len(history) == 0 {
		panic("job: Next: no attempt yet")
	}
	used := make([]bool, len(ladder))
	l := &climb{job: j, user: o, checkpoint: c, medium: m}
	now := o // the options of the last attempt that got a reply
	next, ok := now, true
	for i, a := range history { // which rungs were taken follows from how each attempt ended
		if !ok {
			return o, false // these attempts are not of this ladder
		}
		if a.Finish == FinishError {
			if i == 0 {
				return o, false // nothing that is changed here would help
			}
		} else {
			l.last, now = a, next
		}
		l.tries = i + 1
		next, ok = l.up(now, used)
	}
	return next, ok
}

// up takes the first rung that is left for how the last reply ended.
func (l *climb) up(now Options, used []bool) (Options, bool) {
	finish := l.last.Finish
	switch {
	case finish == FinishLength && l.user.MaxTokens > 0:
		return now, false // it is as long as the user wants it
	case finish == FinishLength && !l.job.Pages:
		finish = finishRunaway
	case finish == FinishSchema && l.user.Prompt != "":
		return now, false // the form of the answer is the user's affair
	}
	for i, r := range ladder {
		next := now
		if used[i] || !slices.Contains(r.after, finish) || !r.change(l, &next) {
			continue
		}
		used[i] = true
		return next, true
	}
	return now, false
}

// longer doubles the tokens, unless it was the context that was used up.
func (l *climb) longer(o *Options) bool {
	o.MaxTokens = 2 * l.last.MaxTokens
	return l.last.OutputTokens >= l.last.MaxTokens
}

// finer takes the next larger budget that the checkpoint was trained with. Several questions about one image are about the same
// view of it, which the record tells.
func (l *climb) finer(o *Options) bool {
	if l.medium != Image || l.user.Find.several() || l.user.Budget != 0 || l.last.Budget == 0 {
		return false
	}
	for _, b := range l.checkpoint.Jobs[l.job.Name].budgets() {
		if b > l.last.Budget {
			o.Budget = b
			return true
		}
	}
	return false
}

// hotter draws at a temperature, with a seed of its own.
func hotter(temperature float64) func(*climb, *Options) bool {
	return func(l *climb, o *Options) bool {
		o.Temperature = max(l.user.Temperature, temperature)
		o.Seed = l.user.Seed + uint64(l.tries)
		return true
	}
}

// plain asks for text without boxes, as surely as the user wanted it, where that is another question.
func (l *climb) plain(o *Options) bool {
	s := l.checkpoint.Jobs[l.job.Name]
	known := l.job.Boxes
	if len(s.Boxes) > 0 {
		known = s.Boxes
	}
	if l.user.Prompt != "" || s.Prompt != "" || l.user.Boxes != "" || !slices.Contains(known, BoxesNone) || known[0] == BoxesNone {
		return false
	}
	o.Boxes, o.Temperature, o.Seed = BoxesNone, l.user.Temperature, l.user.Seed
	return true
}

// budgets are those that a checkpoint was trained with for a job, ascending.
func (s Setting) budgets() []int {
	switch {
	case len(s.Budgets) > 0:
		return s.Budgets
	case s.Budget != 0: // it was trained for one
		return []int{s.Budget}
	}
	return vision.Budgets
}

// Judge says how a reply about one part ended, by what the job can read of it, and how many characters that
// are. It is what Attempt keeps. It panics as Read does.
func (j Job) Judge(r Reply) (Finish, int) {
	var rec Record
	j.Read(&rec, []Reply{r})
	return rec.Finish, rec.chars()
}

// chars counts the characters that were read.
func (r *Record) chars() int {
	n := len([]rune(r.Text))
	for _, s := range r.Segments {
		n += len([]rune(s.Translation))
	}
	return n
}

// Best is the attempt whose reply is kept: the first that ended by itself and in the form asked for; else the one
// that is complete in another form; else the one that was cut at the limit, or that was stopped in a loop, after most
// characters. Of equals it is the first, which is the likeliest. It is -1 if none got a reply.
func Best(history []Attempt) int {
	best := -1
	for i, a := range history {
		if a.Finish != FinishError && (best < 0 || a.betterThan(history[best])) {
			best = i
		}
	}
	return best
}

func (a Attempt) betterThan(b Attempt) bool {
	order := []Finish{FinishStop, FinishSchema, FinishLength, FinishLoop}
	ra, rb := slices.Index(order, a.Finish), slices.Index(order, b.Finish)
	if ra != rb {
		return ra < rb
	}
	return a.Finish != FinishStop && a.Chars > b.Chars
}
