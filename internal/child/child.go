// Package child runs a program that decodes foreign files, and talks with it.
//
//	Start      child.go     the program gets two pipes, and the opened file as descriptor 3 if it is to read it by itself; and
//	                        nothing of the environment
//	 Confine   confine.go   it shuts itself in before it reads a byte of the file
//	 Ask       wire.go      requests go one way; messages come back, each checked before it is allocated
//	 Serve     wire.go      its side of that
//	Ended      child.go     what it died of, as one sentence
//
// What a file makes of its decoder (a crash, a hang, greed) is one error for that file.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what to start.
type Config struct {
	Path   string
	Args   []string // the program's name first
	Env    []string // besides what keeps a crash to a line
	File   *os.File // number 3 over there, unless nil; the caller's
	Memory int64    // limit that the program sets itself, in bytes, to be named in errors
	Stall  time.Duration
	Most   func(Kind) (int64, bool) // of Reader
}

// Process is a running decoder. It is for one goroutine, but for Kill.
type Process struct {
	Peer
	Cmd   *exec.Cmd
	in    *os.File // requests
	out   *os.File // answers
	errs  head
	limit Config

	mu     sync.Mutex
	killed error // why this side ended it
}

// Died is the error of a decoder that ended before it was done.
type Died struct {
	Text   string // why, as a sentence's end: "the decoder crashed (SIGSEGV)"
	Stderr string // the beginning of what it wrote there
	Status int    // exit status; -1 by a signal
}

func (d *Died) Error() string { return d.Text }

// marker is set in the environment of a decoder, and a decoder starts none: a program that forgot what its arguments ask for, as
// a test may, would start itself without end.
const marker = "FACET_DECODER"

// Hung begins the text of an error that says that a decoder did not answer in time.
const Hung = "the decoder hung"

const usedUp = "used up its CPU time"

// ByTime reports whether the text of an error says that time ended a decoder: another machine may read the same file.
func ByTime(text string) bool { return strings.Contains(text, Hung) || strings.Contains(text, usedUp) }

// Start starts a decoder.
func Start(c Config) (*Process, error) {
	if os.Getenv(marker) != "" {
		return nil, errors.New("this is a decoder itself: " + marker + " is set")
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		inRead.Close()
		inWrite.Close()
		return nil, err
	}
	p := &Process{in: inWrite, out: outRead, limit: c}
	p.Cmd = exec.Command(c.Path)
	p.Cmd.Args = c.Args
	p.Cmd.Stdin, p.Cmd.Stdout, p.Cmd.Stderr = inRead, outWrite, &p.errs
	if c.File != nil {
		p.Cmd.ExtraFiles = []*os.File{c.File}
	}
	p.Cmd.WaitDelay = time.Second
	// One crash is one line, and nothing of this process's environment is the decoder's business.
	p.Cmd.Env = append([]string{"GOTRACEBACK=none", marker + "=1"}, c.Env...)
	apart(p.Cmd)
	err = p.Cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		inWrite.Close()
		outRead.Close()
		return nil, err
	}
	await := func() { p.out.SetReadDeadline(time.Now().Add(c.Stall)) }
	p.Peer = Peer{Reader{R: patient{p}, Most: c.Most, Begin: await}, Writer{W: patient{p}}}
	return p, nil
}

// patient reads the answers and writes the requests. A message that is not whole within the limit is the child's end, and so
// is a piece of a request that is not taken.
type patient struct{ p *Process }

func (c patient) Read(b []byte) (int, error) {
	n, err := c.p.out.Read(b)
	return n, c.hung(err, "not a word")
}

func (c patient) Write(b []byte) (int, error) {
	c.p.in.SetWriteDeadline(time.Now().Add(c.p.limit.Stall))
	n, err := c.p.in.Write(b)
	return n, c.hung(err, "nothing read")
}

func (c patient) hung(err error, how string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &Died{Text: fmt.Sprintf(Hung+": %s in %v", how, c.p.limit.Stall), Status: -1}
		c.p.Kill(err)
	}
	return err
}

// Greet reads the hello into v.
func (p *Process) Greet(v any) error {
	k, body, err := p.Next()
	if err == nil && k != KindHello {
		err = ProtocolErrorf("a message of kind %q for a hello", k)
	}
	if err == nil {
		err = ReadJSON(body, v)
	}
	if err != nil {
		return p.Ended(err)
	}
	return nil
}

// Ask is that of Peer, until ctx ends. After an error that is no Failure the process is gone, and the error is that of Ended.
func (p *Process) Ask(ctx context.Context, request any, note func(string), each func(Kind, []byte) error) error {
	return p.AskWith(ctx, request, func(*Writer) error { return nil }, note, each)
}

// AskWith is Ask with what body writes after the request. Its error ends the process.
func (p *Process) AskWith(ctx context.Context, request any, body func(*Writer) error, note func(string), each func(Kind, []byte) error) error {
	if err := ctx.Err(); err != nil {
		p.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { p.Kill(ctx.Err()) })
	err := p.SendJSON(KindRequest, request)
	if err == nil {
		err = body(&p.Writer)
	}
	if err == nil {
		err = p.Answer(note, each)
	}
	if !stop() { // it is being killed, if the answer was there first or not: who asks next would be told that ctx ended
		return p.Ended(ctx.Err())
	}
	var sent Failure
	if err == nil || errors.As(err, &sent) {
		return err
	}
	return p.Ended(err)
}

// Kill ends the process at once; the first reason counts.
func (p *Process) Kill(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed == nil {
		p.killed = why
	}
	p.Cmd.Process.Kill()
}

// EndRequests tells the process that no more requests come, which ends it.
func (p *Process) EndRequests() { p.in.Close() }

// Close ends the process and waits until it is gone.
func (p *Process) Close() {
	p.EndRequests()
	p.out.Close() // what it still writes fails
	timer := time.AfterFunc(time.Second, func() { p.Kill(nil) })
	p.Cmd.Wait()
	timer.Stop()
}

// Ended closes the process after an error and returns what is to be told: the reason for which it was killed, or a Died.
func (p *Process) Ended(err error) error {
	died := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, fs.ErrClosed)
	if !died {
		p.Kill(err)
	}
	p.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	var protocol ProtocolError
	switch {
	case errors.As(p.killed, &protocol):
		return &Died{fmt.Sprintf("the decoder answered wrongly: %v", protocol), p.errs.String(), -1}
	case p.killed != nil:
		return p.killed
	}
	return p.death()
}

// What Go's runtime and the C library say when they get no more memory, for the heap or for a thread's stack.
var memoryLacks = regexp.MustCompile(`out of memory|[Cc]annot allocate memory|pthread_create failed|failed to create new OS thread`)

// starved is a crash of Go's collector on its own stack: where it gets no memory, parts of it go on as if they had got some.
var starved = regexp.MustCompile(`(?s)^SIGSEGV.{0,100}\ngoroutine 0 [^\n]*\nruntime\.`)

var signals = regexp.MustCompile(`SIGSEGV|SIGABRT|SIGBUS|SIGFPE|SIGILL`)

// death says what a process died of that nobody here killed.
func (p *Process) death() *Died {
	state, text := p.Cmd.ProcessState, p.errs.String()
	status, _ := state.Sys().(syscall.WaitStatus)
	d := &Died{Stderr: text, Status: state.ExitCode()}
	first, _, _ := strings.Cut(text, "\n")
	switch name := signals.FindString(text); {
	case d.Status == ExitCPU:
		d.Text = "the decoder " + usedUp
	case memoryLacks.MatchString(text), starved.MatchString(text):
		d.Text = fmt.Sprintf("the decoder needed more than its %d MiB of memory", p.limit.Memory>>20)
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		d.Text = "the decoder was killed, perhaps by the system for want of memory"
	case name != "":
		d.Text = fmt.Sprintf("the decoder crashed (%s)", name)
	case first != "":
		_, reason, named := strings.Cut(first, ": ") // the program's name
		if !named {
			reason = first
		}
		d.Text = "the decoder ended: " + reason
	default:
		d.Text = fmt.Sprintf("the decoder ended: %v", state)
	}
	return d
}

// head keeps the beginning of what is written to it, which says why a program ended.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Write(p[:min(len(p), 8<<10-h.b.Len())])
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}
