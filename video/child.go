package video

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"

	"facet/internal/child"
	"facet/vision/still"
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
	return &Decoder{c.Cmd.Path, c.hello.FFmpeg, c.hello.Sandbox}, nil
}

// decoder is a running facet-media with one file. It is for one goroutine. It implements [asker].
type decoder struct {
	*child.Process
	hello hello
}

// start starts a decoder on a file, which stays the caller's.
func start(file *os.File, o Options) (*decoder, error) {
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
	limit := o.Limits.orDefault()
	args := []string{
		program, "-serve",
		"-memory", strconv.FormatInt(limit.Memory, 10),
		"-cpu", cmp.Or(limit.CPU, cpuLimit(info.Size())).String(),
	}
	if o.Sandbox != "" && o.Sandbox != still.Auto { // which an older facet-media does as well
		args = append(args, "-sandbox", string(o.Sandbox))
	}
	p, err := child.Start(child.Config{
		Path: program, Args: args, Env: []string{"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")},
		File: file, Memory: limit.Memory, Stall: limit.Stall, Most: most(limit.Pixels),
	})
	if err != nil {
		if runtime.GOOS == "windows" {
			err = errors.New("video and compressed sound are not read on Windows")
		}
		return nil, UnavailableError(fmt.Sprintf("%s does not start: %v", program, err))
	}
	return &decoder{Process: p}, nil
}

// greet reads the hello.
func (d *decoder) greet() error {
	if err := d.Greet(&d.hello); err != nil {
		return d.translate(err)
	}
	if d.hello.Version != protocolVersion {
		d.close()
		return UnavailableError(fmt.Sprintf("%s speaks version %d of the protocol, this program %d; build both from one source",
			d.Cmd.Path, d.hello.Version, protocolVersion))
	}
	return nil
}

// ask implements [asker]. After an error that the decoder did not send by itself it is gone.
func (d *decoder) ask(ctx context.Context, q request, note func(string), each func(kind, []byte) error) error {
	return d.translate(d.Ask(ctx, q, note, each))
}

func (d *decoder) close() { d.Close() }

var missingLibrary = regexp.MustCompile(`error while loading shared libraries: (\S+): (.*)|Library not loaded: (\S+)`)

// translate puts an error into the terms of this package.
func (d *decoder) translate(err error) error {
	var (
		told child.Failure
		died *child.Died
	)
	switch {
	case errors.As(err, &told):
		return toldBy(told)
	case !errors.As(err, &died):
		return err
	}
	if m := missingLibrary.FindStringSubmatch(died.Stderr); m != nil {
		return UnavailableError(fmt.Sprintf("%s needs the library %s of FFmpeg 5.1, which is not installed "+
			"(Debian 12: apt-get install libavcodec59 libavformat59 libavfilter8 libavdevice59 libswscale6 libswresample4)",
			filepath.Base(d.Cmd.Path), m[1]+m[3]))
	}
	return DecoderError(died.Text)
}
