package pdf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"facet/internal/child"
)

// Command is the hidden command of the program that makes a decoder of it.
const Command = "decode"

// ExitCold is the exit status of a decoder that found no compiled renderer of its own version in the cache.
const ExitCold = 72

// Sandbox starts a decoder without a document and returns how the kernel confines it, as JSON of internal/sandbox.Report.
// Errors are those of [Open].
func Sandbox(ctx context.Context, o Options) (json.RawMessage, error) {
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer nothing.Close()
	p, h, err := o.greet(ctx, nothing)
	if err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	p.Close()
	return h.Sandbox, nil
}

// greet starts a decoder with the compiled renderer from the cache, which it fills first if that is needed.
func (o Options) greet(ctx context.Context, file *os.File) (*child.Process, hello, error) {
	dir, err := o.cache()
	if err != nil {
		return nil, hello{}, err
	}
	for again := false; ; again = true {
		if err := o.warm(ctx, dir, again); err != nil {
			return nil, hello{}, err
		}
		p, h, err := o.begin(ctx, "serve", dir, file)
		var died *child.Died
		if errors.As(err, &died) && died.Status == ExitCold {
			if !again {
				continue
			}
			return nil, h, unavailableErrorf("the PDF renderer does not stay in %s", dir)
		}
		if errors.As(err, &died) {
			return nil, h, unavailableErrorf("%s", died.Text)
		}
		return p, h, err
	}
}

// begin starts this program as a decoder and reads what it says of itself.
func (o Options) begin(ctx context.Context, mode, cache string, file *os.File) (p *child.Process, h hello, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, h, unavailableErrorf("where this program lies is unknown: %v", err)
	}
	l := o.Limits.orDefault()
	args := []string{
		filepath.Base(os.Args[0]), Command,
		"--mode=" + mode,
		"--cache=" + cache,
		"--memory=" + strconv.FormatInt(l.Memory, 10),
		"--cpu=" + l.CPU.String(),
	}
	if o.Sandbox != "" {
		args = append(args, "--sandbox="+string(o.Sandbox))
	}
	p, err = child.Start(child.Config{Path: self, Args: args, File: file, Memory: l.Memory, Stall: l.Stall, Most: most})
	if err != nil {
		if runtime.GOOS == "windows" {
			err = errors.New("PDF is not read on Windows")
		}
		return nil, h, unavailableErrorf("the decoder does not start: %v", err)
	}
	stop := context.AfterFunc(ctx, func() { p.Kill(ctx.Err()) })
	defer stop()
	if err := p.Greet(&h); err != nil {
		return nil, h, err
	}
	if h.Version != protocolVersion {
		p.Close()
		return nil, h, unavailableErrorf("this program was replaced while it ran: start it again")
	}
	return p, h, nil
}

// cache returns the folder of the compiled renderer.
func (o Options) cache() (string, error) {
	dir := o.Cache
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", unavailableErrorf("PDF needs a cache folder: %v", err)
		}
		dir = filepath.Join(user, "facet", "pdfium")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", unavailableErrorf("PDF needs a cache folder: %v", err)
	}
	return dir, nil
}

// warming is held while the renderer is compiled: once for all documents.
var warming sync.Mutex

// warm makes sure that a compiled renderer lies in the folder, or compiles it whatever lies there. That takes some seconds, and
// is done by a child that has no document, since what it writes is what all others run.
func (o Options) warm(ctx context.Context, dir string, again bool) error {
	warming.Lock()
	defer warming.Unlock()
	if isWarm(dir) && !again {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unavailableErrorf("PDF needs a cache folder, and XDG_CACHE_HOME may name another: %v", err)
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer nothing.Close()
	o.Limits = o.Limits.orDefault()
	o.Limits.Stall = max(o.Limits.Stall, DefaultLimits.Stall) * 5 // of a slow machine
	p, _, err := o.begin(ctx, "warm", dir, nothing)
	var died *child.Died
	if errors.As(err, &died) {
		return unavailableErrorf("the PDF renderer could not be compiled into %s: %s", dir, died.Text)
	}
	if err != nil {
		return err
	}
	p.Close()
	return nil
}

// isWarm reports whether a compiled renderer lies in a cache folder of wazero's: a file named by its hash in a folder named by
// version and system. Whether it is the one that is needed is seen by the decoder, which compiles nothing.
func isWarm(dir string) bool {
	folders, _ := os.ReadDir(dir) // one that can't be read is made or complained of
	for _, folder := range folders {
		files, _ := os.ReadDir(filepath.Join(dir, folder.Name()))
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".tmp") {
				return true
			}
		}
	}
	return false
}
