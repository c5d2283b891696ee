package video

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// FindProgram returns the path of facet-media: what the environment variable FACET_MEDIA names, or what lies beside this
// program. The error is an [UnavailableError].
func FindProgram() (string, error) {
	if path := os.Getenv("FACET_MEDIA"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", UnavailableError(fmt.Sprintf("FACET_MEDIA: %v", err))
		}
		return filepath.Abs(path)
	}
	self, err := os.Executable()
	if err != nil {
		return "", UnavailableError(fmt.Sprintf("where this program lies is unknown, and FACET_MEDIA is not set: %v", err))
	}
	path := filepath.Join(filepath.Dir(self), "facet-media")
	if _, err := os.Stat(path); err != nil {
		return "", UnavailableError("video and compressed sound need the program facet-media beside " + filepath.Base(self) +
			", or where FACET_MEDIA says; " + howToBuild)
	}
	return path, nil
}

const howToBuild = "make build builds it where FFmpeg 5.1's headers are installed " +
	"(Debian 12: apt-get install libavcodec-dev libavformat-dev libavfilter-dev libswscale-dev libswresample-dev libavdevice-dev)"

// A Decoder is what decodes on this machine.
type Decoder struct {
	Program string
	FFmpeg  string          // versions of its libraries
	Sandbox json.RawMessage // how the kernel confines it, as it reports: internal/sandbox.Report
}

// FindDecoder starts facet-media without a file and returns what it says of itself. Errors are those of [Open].
func FindDecoder(o Options) (*Decoder, error) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := start(file, o)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	if err := c.greet(); err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	c.close()
	return &Decoder{c.cmd.Path, c.hello.FFmpeg, c.hello.Sandbox}, nil
}

// ExitCPU is the exit status of a decoder that used up its CPU time.
const ExitCPU = 71

// child is a running decoder with one file. It is for one goroutine.
type child struct {
	cmd   *exec.Cmd
	in    *os.File // requests
	out   *os.File // answers
	peer  peer
	errs  head
	limit Limits
	hello hello

	mu     sync.Mutex
	killed error // why this side ended it
}

// start starts a decoder on a file, which stays the caller's.
func start(file *os.File, o Options) (*child, error) {
	program := o.Program
	if program == "" {
		var err error
		if program, err = FindProgram(); err != nil {
			return nil, err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	c := &child{limit: o.Limits.orDefault()}
	args := []string{
		"-serve",
		"-memory", strconv.FormatInt(c.limit.Memory, 10),
		"-cpu", cmp.Or(c.limit.CPU, cpuLimit(info.Size())).String(),
	}
	if o.RequireSandbox {
		args = append(args, "-require-sandbox")
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
	c.in, c.out = inWrite, outRead
	c.cmd = exec.Command(program, args...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = inRead, outWrite, &c.errs
	c.cmd.ExtraFiles = []*os.File{file} // number 3 over there
	c.cmd.WaitDelay = time.Second
	// One crash is one line, and nothing of this process's environment is the decoder's business.
	c.cmd.Env = []string{"GOTRACEBACK=none", "LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}
	apart(c.cmd)
	err = c.cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		inWrite.Close()
		outRead.Close()
		if runtime.GOOS == "windows" {
			err = errors.New("video and compressed sound are not read on Windows")
		}
		return nil, UnavailableError(fmt.Sprintf("%s does not start: %v", program, err))
	}
	await := func() { c.out.SetReadDeadline(time.Now().Add(c.limit.Stall)) }
	c.peer = peer{reader{r: patient{c}, maxPixels: c.limit.Pixels, begin: await}, writer{w: c.in}}
	return c, nil
}

// patient reads the answers. A message that is not whole within the limit is the child's end.
type patient struct{ c *child }

func (p patient) Read(b []byte) (int, error) {
	n, err := p.c.out.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = decoderErrorf("the decoder hung: not a word in %v", p.c.limit.Stall)
		p.c.kill(err)
	}
	return n, err
}

// ask implements [asker]. After an error that the child did not send by itself it is gone.
func (c *child) ask(ctx context.Context, q request, note func(string), each func(kind, []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.kill(ctx.Err()) })
	defer stop()
	err := c.peer.ask(q, note, each)
	var sent failure
	if err == nil || errors.As(err, &sent) {
		return err
	}
	return c.ended(err)
}

// greet reads the hello.
func (c *child) greet() error {
	k, body, err := c.peer.r.next()
	if err == nil && k != kindHello {
		err = protocolErrorf("a message of kind %q for a hello", k)
	}
	if err == nil {
		err = readJSON(body, &c.hello)
	}
	if err != nil {
		return c.ended(err)
	}
	if c.hello.Version != protocolVersion {
		c.close()
		return UnavailableError(fmt.Sprintf("%s speaks version %d of the protocol, this program %d; build both from one source",
			c.cmd.Path, c.hello.Version, protocolVersion))
	}
	return nil
}

// kill ends the child at once; the first reason counts.
func (c *child) kill(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed == nil {
		c.killed = why
	}
	c.cmd.Process.Kill()
}

// close ends the child and waits until it is gone.
func (c *child) close() {
	c.in.Close()
	c.out.Close() // what it still writes fails
	timer := time.AfterFunc(time.Second, func() { c.kill(nil) })
	c.cmd.Wait()
	timer.Stop()
}

// ended closes the child after an error and returns what is to be told: if it died, of what.
func (c *child) ended(err error) error {
	died := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, fs.ErrClosed)
	if !died {
		c.kill(err)
	}
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	var protocol protocolError
	switch {
	case errors.As(c.killed, &protocol):
		return decoderErrorf("the decoder answered wrongly: %v", protocol)
	case c.killed != nil:
		return c.killed
	}
	return c.death()
}

var missingLibrary = regexp.MustCompile(`error while loading shared libraries: (\S+): (.*)|Library not loaded: (\S+)`)

// What Go's runtime and the C library say when they get no more memory, for the heap or for a thread's stack.
var memoryLacks = regexp.MustCompile(`out of memory|[Cc]annot allocate memory|pthread_create failed|failed to create new OS thread`)

// death says what a child died of that nobody here killed.
func (c *child) death() error {
	state, text := c.cmd.ProcessState, c.errs.String()
	status, _ := state.Sys().(syscall.WaitStatus)
	if m := missingLibrary.FindStringSubmatch(text); m != nil {
		return UnavailableError(fmt.Sprintf("%s needs the library %s of FFmpeg 5.1, which is not installed "+
			"(Debian 12: apt-get install libavcodec59 libavformat59 libavfilter8 libavdevice59 libswscale6 libswresample4)",
			filepath.Base(c.cmd.Path), m[1]+m[3]))
	}
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case state.ExitCode() == ExitCPU:
		return decoderErrorf("the decoder used up its CPU time")
	case memoryLacks.MatchString(text):
		return decoderErrorf("the decoder needed more than its %d MiB of memory", c.limit.Memory>>20)
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return decoderErrorf("the decoder was killed, perhaps by the system for want of memory")
	case strings.Contains(text, "SIGSEGV") || strings.Contains(text, "SIGABRT") || strings.Contains(text, "SIGBUS") || strings.Contains(text, "SIGFPE"):
		return decoderErrorf("the decoder crashed (%s)", regexp.MustCompile(`SIG[A-Z]+`).FindString(text))
	case first != "":
		return decoderErrorf("the decoder ended: %s", strings.TrimPrefix(first, "facet-media: "))
	}
	return decoderErrorf("the decoder ended: %v", state)
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
