package main

import (
	"context"
	"errors"
	"os"

	"facet/internal/sandbox"
	"facet/vision"
	"facet/vision/pdf/pdfium"
	"facet/vision/still"
	"facet/vision/still/decoder"
)

// decodeCommand makes this program the decoder of files of one kind. Packages vision/still and vision/pdf start it.
type decodeCommand struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

func (c *decodeCommand) Run() error {
	// The descriptors, whatever stands for them in tests.
	if len(c.Args) > 0 && c.Args[0] == still.Command[1] {
		os.Exit(decoder.Main(c.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(pdfium.Main(c.Args, os.Stdin, os.Stdout, os.Stderr))
	return nil
}

// sandboxFlag is that of the commands that decode files.
type sandboxFlag struct {
	Sandbox string `help:"Whether the processes that decode files must be shut off from other files and the network: require, auto (as far as the kernel can) or off (limits of memory and time alone)." enum:"require,auto,off" default:"auto"`
}

func (f sandboxFlag) mode() still.Sandbox { return still.Sandbox(f.Sandbox) }

// warn tells once that decoders are not shut in, where that was not asked for.
func (f sandboxFlag) warn(s *streams) {
	if f.mode() == still.Auto && !sandbox.Available() {
		report(s.err, errors.New("warning: this system has no Landlock or no seccomp, so the processes that decode files are limited in memory and time alone (--sandbox off is silent about it)"))
	}
}

// decodePage decodes one page of an image file, from 1, in a process of its own. It returns how many there are as well.
// Errors do not name the file.
func decodePage(ctx context.Context, path string, n int, mode still.Sandbox) (img *vision.Image, pages int, err error) {
	pool, err := still.Open(still.Options{Sandbox: mode, Children: 1})
	if err != nil {
		return nil, 0, err
	}
	defer pool.Close()
	pic, err := pool.Open(ctx, path)
	if err != nil {
		return nil, 0, err
	}
	defer pic.Close()
	img, err = pic.Page(ctx, n)
	return img, pic.Pages(), err
}
