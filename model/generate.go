package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Request asks for one reply.
type Request struct {
	// ID names the request in errors and among what Step returns.
	ID string
	// Stream seeds the request's random numbers together with Sampling.Seed, so that
	// equal inputs draw alike wherever they stand in a run.
	Stream string
	Prompt *Prompt
	// MaxTokens bounds the reply; the context of the checkpoint does so in any case.
	MaxTokens int
	Sampling  Sampling
	// Keep keeps the keys and values of the prompt up to the end of its system text and
	// of each picture, for later requests of the batch that begin the same way.
	Keep bool
	// IgnoreEnd goes on past end tokens and loops, up to MaxTokens.
	IgnoreEnd bool
	// Allow, if not nil, returns the tokens that may follow a reply of these: ascending ids,
	// at least one, or nil for all. Probabilities are those among the allowed ones. Where they
	// are few no other logit is computed; where there is but one it is taken with probability 1.
	Allow func(reply []int32) []int32
	// OnToken, if not nil, is called from Step with every token.
	OnToken func(Token)
}

// Token is one token of a reply.
type Token struct {
	ID      int32
	LogProb float32 // natural logarithm of its probability before temperature and cuts
	Forced  bool    // no other token was allowed, so LogProb, which is 0, tells nothing
}

// Finish says why a reply ended.
type Finish string

// The reasons for which a reply ends.
const (
	FinishStop   Finish = "stop"   // an end token
	FinishLength Finish = "length" // MaxTokens or the context is used up
	FinishLoop   Finish = "loop"   // the same pattern again and again
)

// Reply is the answer to a request. Tokens include the end token.
type Reply struct {
	Tokens []Token
	Finish Finish
	Loop   Loop  // of FinishLoop
	Err    error // if not nil, Finish is empty and Tokens are those before the error
}

// IDs returns the ids of the tokens.
func (r *Reply) IDs() []int32 {
	ids := make([]int32, len(r.Tokens))
	for i, t := range r.Tokens {
		ids[i] = t.ID
	}
	return ids
}

// Text decodes the reply, leaving control tokens out.
func (r *Reply) Text(m *Model) string { return m.tokenizer.Decode(r.IDs(), true) }

// passTokens is the number of prompt positions that one pass takes at most: enough to
// use each weight many times, few enough for the activations to stay in the caches.
const passTokens = 512

// Batch runs any number of requests together: each pass takes a piece of the prompts
// that wait and a step of every reply under way. What a request is answered does not
// depend on what runs beside it. A Batch belongs to one goroutine.
type Batch struct {
	// EveryRow runs all rows of a prompt through all layers, also where their results
	// are not needed. It changes no answer and is there to be compared with.
	EveryRow bool

	model *Model
	room  int // prompt positions a pass may take
	pages pagePool
	live  []*generation
	kept  *prefixCache
}

// generation is a request under way.
type generation struct {
	request Request
	seq     *sequence
	sampler *sampler
	reply   Reply
	ids     []int32 // of the reply; the last is what the next step runs
	guard   loopGuard

	allowed []int32 // what Allow said of the next token
	points  []int   // where the prompt may be kept or go on from what is kept
	keys    [][32]byte
}

// Finished is a request that came to its end, with its reply.
type Finished struct {
	Request Request
	Reply   Reply
}

// NewBatch returns an empty batch.
func (m *Model) NewBatch() *Batch {
	return &Batch{model: m, room: passTokens, pages: pagePool{}, kept: newPrefixCache(prefixBytes)}
}

// prefixBytes bounds what a batch keeps of earlier prompts: about 40 pages of scans on E2B.
const prefixBytes = 256 << 20

// Len is the number of requests under way.
func (b *Batch) Len() int { return len(b.live) }

// CacheBytes is the memory that the keys and values of all requests take now.
func (b *Batch) CacheBytes() int64 {
	var n int64
	for _, g := range b.live {
		n += g.seq.bytes()
	}
	return n
}

// Add takes a request in. It fails, and takes nothing, if the request cannot be run.
func (b *Batch) Add(r Request) error {
	c := &b.model.config.TextConfig
	switch {
	case r.Prompt == nil || r.Prompt.Len() == 0:
		return errors.New("model: the prompt is empty")
	case r.MaxTokens < 1:
		return fmt.Errorf("model: max tokens %d: must be at least 1", r.MaxTokens)
	case r.Prompt.Len() >= c.MaxPositionEmbeddings:
		return fmt.Errorf("model: the prompt has %d tokens, the checkpoint's context is %d", r.Prompt.Len(), c.MaxPositionEmbeddings)
	}
	if err := r.Prompt.check(c); err != nil {
		return err
	}
	if err := r.Sampling.validate(); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	r.MaxTokens = min(r.MaxTokens, c.MaxPositionEmbeddings-r.Prompt.Len())
	g := &generation{
		request: r,
		seq:     newSequence(c, r.Prompt, b.pages),
		sampler: newSampler(r.Sampling, r.Stream),
	}
	if t := b.model.tokenizer; t != nil {
		g.guard.bytes = t.Bytes
	}
	if b.kept.recent.Len() > 0 || r.Keep {
		g.points = b.model.reusePoints(r.Prompt)
		g.keys = prefixKeys(r.Prompt, g.points)
		b.kept.resume(g.seq, g.points, g.keys)
	}
	b.live = append(b.live, g)
	return nil
}

// Drop ends all requests under way, and forgets them and what was kept of earlier ones.
func (b *Batch) Drop() {
	b.kept.clear()
	for _, g := range b.live {
		g.seq.release()
	}
	b.live = nil
}

// Step runs one pass and returns the requests that came to their end in it. An error
// is that of the whole pass; one that concerns a single request is in its reply.
func (b *Batch) Step() ([]Finished, error) {
	if len(b.live) == 0 {
		return nil, nil
	}
	segments, owners := b.plan()
	choices, err := b.run(segments, owners)
	if err != nil {
		return nil, err
	}
	for n, g := range owners {
		if segments[n].wanted > 0 {
			g.take(b.model, choices[n])
		}
	}
	return b.collect(), nil
}

// chosen is the next token of a reply, or why there is none.
type chosen struct {
	token Token
	err   error
}

// run runs one pass and chooses a token for each segment that wants one. Callers are
// told of it later: they may want to use the model themselves.
func (b *Batch) run(segments []segment, owners []*generation) ([]chosen, error) {
	m := b.model
	choices := make([]chosen, len(owners))
	for n, g := range owners {
		if segments[n].wanted > 0 {
			segments[n].allowed, choices[n].err = g.allow(m.config.TextConfig.VocabSize)
		}
	}
	m.compute.Lock()
	defer m.compute.Unlock()
	logits, err := m.decoder.forward(m.pass, segments, b.EveryRow)
	if err != nil {
		return nil, err
	}
	row := 0
	for n, g := range owners {
		if i := slices.Index(g.points, g.seq.length); i >= 0 && g.request.Keep {
			b.kept.keep(g.seq, g.keys[i])
		}
		if segments[n].wanted > 0 {
			if c := &choices[n]; c.err == nil {
				c.token.ID, c.token.LogProb, c.err = g.next(logits[row], segments[n].allowed, m.ids.suppressed)
				c.token.Forced = len(g.allowed) == 1
			}
			row++
		}
	}
	return choices, nil
}

// fewAllowed is the share of the vocabulary, one in so many tokens, up to which the allowed
// ones are multiplied one by one: rows picked here and there come from memory several times
// more slowly than all of them in order.
const fewAllowed = 128

// allow asks which tokens may come next, and returns them if they are few.
func (g *generation) allow(vocabulary int) ([]int32, error) {
	if g.request.Allow == nil {
		return nil, nil
	}
	a := g.request.Allow(g.ids)
	g.allowed = a
	switch {
	case a == nil:
		return nil, nil
	case len(a) == 0:
		return nil, errors.New("model: no token is allowed")
	case a[0] < 0 || int(a[len(a)-1]) >= vocabulary:
		return nil, fmt.Errorf("model: tokens %d to %d are allowed, of a vocabulary of %d", a[0], a[len(a)-1], vocabulary)
	}
	for i, id := range a[1:] {
		if id <= a[i] {
			return nil, fmt.Errorf("model: the allowed tokens are not in ascending order: %d, %d", a[i], id)
		}
	}
	if len(a) > vocabulary/fewAllowed {
		return nil, nil
	}
	return a, nil
}

// next chooses a token by the logits of few allowed ones or, where few is nil, of the whole
// vocabulary, of which Allow may have left many. No reply has suppressed ones.
func (g *generation) next(logits []float32, few, suppressed []int32) (id int32, logProb float32, err error) {
	none := float32(math.Inf(-1))
	for _, id := range suppressed {
		if few == nil {
			logits[id] = none
		} else if at, ok := slices.BinarySearch(few, id); ok {
			logits[at] = none
		}
	}
	if few == nil && g.allowed != nil {
		next := 0
		for i := range logits {
			if next < len(g.allowed) && int(g.allowed[next]) == i {
				next++
			} else {
				logits[i] = none
			}
		}
	}
	id, logProb, err = g.sampler.next(logits)
	if err == nil && few != nil {
		id = few[id]
	}
	return id, logProb, err
}

// plan cuts the next pass: one step of every reply under way, so that none waits, then
// pieces of the waiting prompts, oldest first, until the room is used up.
func (b *Batch) plan() (segments []segment, owners []*generation) {
	room := b.room
	for _, g := range b.live {
		if g.seq.length >= g.request.Prompt.Len() {
			room--
			segments = append(segments, segment{seq: g.seq, ids: g.ids[len(g.ids)-1:], wanted: 1})
			owners = append(owners, g)
		}
	}
	whole := b.model.config.TextConfig.bidirectionalImages()
	for _, g := range b.live {
		p, from := g.request.Prompt, g.seq.length
		if from >= p.Len() || room <= 0 {
			continue
		}
		to := p.cut(from, room, whole)
		if g.request.Keep { // a pass ends at each point, so that it can be kept
			for _, at := range g.points {
				if from < at && at < to {
					to = at
					break
				}
			}
		}
		s := segment{seq: g.seq, ids: p.IDs[from:to], soft: func(i int) []float32 { return p.softAt(from + i) }}
		if to == p.Len() {
			s.wanted = 1
		}
		room -= to - from
		segments, owners = append(segments, s), append(owners, g)
	}
	return segments, owners
}

// take adds the next token to a reply.
func (g *generation) take(m *Model, c chosen) {
	if c.err != nil {
		g.reply.Err = c.err
		return
	}
	t := c.token
	g.reply.Tokens = append(g.reply.Tokens, t)
	g.ids = append(g.ids, t.ID)
	if g.request.OnToken != nil {
		g.request.OnToken(t)
	}
	r := &g.request
	loop, loops := Loop{}, false
	if !r.IgnoreEnd {
		loop, loops = g.guard.add(g.ids)
	}
	switch {
	case !r.IgnoreEnd && slices.Contains(m.ids.end, t.ID):
		g.reply.Finish = FinishStop
	case len(g.reply.Tokens) >= r.MaxTokens:
		g.reply.Finish = FinishLength
	case loops:
		g.reply.Finish, g.reply.Loop = FinishLoop, loop
	}
}

// collect takes the finished requests out of the batch.
func (b *Batch) collect() []Finished {
	var done []Finished
	b.live = slices.DeleteFunc(b.live, func(g *generation) bool {
		if g.reply.Finish == "" && g.reply.Err == nil {
			return false
		}
		g.seq.release()
		done = append(done, Finished{g.request, g.reply})
		return true
	})
	return done
}

// Generate answers one request. If ctx ends first, it returns what was generated and
// ctx's error.
func (m *Model) Generate(ctx context.Context, r Request) (Reply, error) {
	b := m.NewBatch()
	defer b.Drop()
	if err := b.Add(r); err != nil {
		return Reply{}, err
	}
	g := b.live[0]
	for b.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return g.reply, err
		}
		if _, err := b.Step(); err != nil {
			return g.reply, err
		}
	}
	return g.reply, g.reply.Err
}

// Logits runs a prompt in a single pass and returns the logits of its last positions,
// [last, vocabulary], row by row.
func (m *Model) Logits(p *Prompt, last int) ([]float32, error) {
	if last < 0 || last > p.Len() {
		panic(fmt.Sprintf("model: Logits: %d positions of %d", last, p.Len()))
	}
	if err := p.check(&m.config.TextConfig); err != nil {
		return nil, err
	}
	m.compute.Lock()
	defer m.compute.Unlock()
	s := newSequence(&m.config.TextConfig, p, pagePool{})
	logits, err := m.decoder.forward(m.pass, []segment{{seq: s, ids: p.IDs, soft: p.softAt, wanted: last}}, m.options.Tracer != nil)
	if err != nil {
		return nil, err
	}
	return slices.Concat(logits...), nil
}
