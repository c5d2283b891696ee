package main

import (
	"context"
	"errors"
	"os"

	"facet/internal/sandbox"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/pdf/pdfium"
	"facet/vision/still"
	"facet/vision/still/decoder"
)

// decode makes this program the decoder of files of one kind if its arguments, its name first, ask for that, and returns the
// exit status. Packages vision/still and vision/pdf start it so. It comes before the command line is defined, which takes
// longer than all else until a decoder is ready.
func decode(args []string) (status int, ok bool) {
	if rest, ok := decoder.Started(args); ok {
		return decoder.Main(rest, os.Stdin, os.Stdout, os.Stderr), true
	}
	if len(args) > 1 && args[1] == pdf.Command {
		return pdfium.Main(args[2:], os.Stdin, os.Stdout, os.Stderr), true
	}
	return 0, false
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
