package still

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"facet/internal/child"
)

// Command is the hidden command of the program that makes a decoder of it, and what it decodes.
var Command = []string{"decode", "image"}

// filesServed is how many files a decoder is given before another takes over.
const filesServed = 100

// A Pool has decoders that wait for files. It is safe for concurrent use.
type Pool struct {
	o     Options
	turns chan struct{} // one for each decoder that may be at work

	mu     sync.Mutex
	idle   []*decoder // the longest idle first
	alive  int        // decoders, idle or not
	closed bool
}

// decoder is a running child.
type decoder struct {
	*child.Process
	holds *Picture // whose file it has; nil if none that is of use
	files int      // that it was given
	pages int      // that it was asked for
	gone  bool     // it is of no more use
	piece []byte   // buffer
	stall time.Duration
}

var errClosed = errors.New("vision: the pool of decoders is closed")

// Open returns a pool of at most o.Children decoders, which start when they are needed; with [Require] one starts now, and an
// error says why that is impossible. It is an [UnavailableError], or says that o.Sandbox is none of the three.
func Open(o Options) (*Pool, error) {
	o = o.orDefault()
	if !slices.Contains([]Sandbox{Require, Auto, Off}, o.Sandbox) {
		return nil, fmt.Errorf("vision: sandbox %q: want %s, %s or %s", o.Sandbox, Require, Auto, Off)
	}
	p := &Pool{o: o, turns: make(chan struct{}, max(o.Children, 1))}
	if o.Sandbox == Require {
		d, _, err := p.start(context.Background())
		if err != nil {
			return nil, err
		}
		p.idle, p.alive = append(p.idle, d), 1
	}
	return p, nil
}

// Options returns what the pool was opened with, the defaults filled in.
func (p *Pool) Options() Options { return p.o }

// Close ends the decoders that are idle, and the others when they have done what they are at.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.alive, p.closed = nil, p.alive-len(p.idle), true
	p.mu.Unlock()
	for _, d := range idle {
		d.Close()
	}
	return nil
}

// Confinement starts a decoder without a file and returns how the kernel confines it, as JSON of internal/sandbox.Report. The
// error is an [UnavailableError] or that of ctx.
func (p *Pool) Confinement(ctx context.Context) (json.RawMessage, error) {
	d, h, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	d.Close()
	return h.Sandbox, nil
}

// take returns a decoder for a file, when one is free: the one that has the file; or one that has none; or a new one; or one
// that loses the file that it has. It is to be given back, or to be dropped.
func (p *Pool) take(ctx context.Context, for_ *Picture) (*decoder, error) {
	select {
	case p.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d, err := p.choose(for_)
	if d == nil && err == nil {
		d, _, err = p.start(ctx)
	}
	if err != nil {
		p.drop(nil)
		return nil, err
	}
	return d, nil
}

// choose returns an idle decoder, or nil if one is to be started, which is counted already.
func (p *Pool) choose(for_ *Picture) (*decoder, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.alive++ // drop takes it back
		return nil, errClosed
	}
	at := slices.IndexFunc(p.idle, func(d *decoder) bool { return d.holds == for_ })
	if at < 0 {
		at = slices.IndexFunc(p.idle, func(d *decoder) bool { return d.holds == nil })
	}
	if at < 0 && p.alive >= cap(p.turns) {
		at = 0 // idle is not empty, since fewer are at work than there are
	}
	if at < 0 {
		p.alive++
		return nil, nil
	}
	d := p.idle[at]
	p.idle = slices.Delete(p.idle, at, at+1)
	if d.holds != for_ {
		d.holds = nil
	}
	return d, nil
}

// give puts a decoder back.
func (p *Pool) give(d *decoder) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, d)
	}
	p.mu.Unlock()
	if closed {
		p.drop(d)
		return
	}
	<-p.turns
}

// drop ends a decoder that was taken, or, if it is nil, tells that there is none.
func (p *Pool) drop(d *decoder) {
	if d != nil {
		d.Close()
	}
	p.mu.Lock()
	p.alive--
	p.mu.Unlock()
	<-p.turns
}

// forget frees the decoder that has the file of a closed picture.
func (p *Pool) forget(pic *Picture) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.idle {
		if d.holds == pic {
			d.holds = nil
		}
	}
}

// start starts this program as a decoder and reads what it says of itself.
func (p *Pool) start(ctx context.Context) (*decoder, hello, error) {
	var h hello
	self, err := os.Executable()
	if err != nil {
		return nil, h, unavailableErrorf("where this program lies is unknown: %v", err)
	}
	args := append([]string{filepath.Base(os.Args[0])}, Command...)
	args = append(args,
		"--memory="+strconv.FormatInt(p.o.Memory, 10),
		"--cpu="+p.o.CPU.String(),
		"--sandbox="+string(p.o.Sandbox),
	)
	// A busy machine starts programs slowly; what an answer may take is bounded by ask.
	process, err := child.Start(child.Config{Path: self, Args: args, Memory: p.o.Memory, Stall: max(p.o.Stall, defaultStall), Most: most})
	if err != nil {
		return nil, h, unavailableErrorf("the decoder does not start: %v", err)
	}
	stop := context.AfterFunc(ctx, func() { process.Kill(ctx.Err()) })
	defer stop()
	var died *child.Died
	switch err := process.Greet(&h); {
	case errors.As(err, &died):
		return nil, h, unavailableErrorf("%s", died.Text)
	case err != nil:
		return nil, h, err
	}
	if h.Version != protocolVersion {
		process.Close()
		return nil, h, unavailableErrorf("this program was replaced while it ran: start it again")
	}
	return &decoder{Process: process, stall: p.o.Stall}, h, nil
}
