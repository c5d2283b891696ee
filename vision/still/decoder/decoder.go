// Package decoder is the process in which image files are decoded: packages vision and vision/foreign behind a pipe, shut in before it is given a
// byte of a file.
package decoder

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"facet/internal/child"
	"facet/internal/sandbox"
	"facet/vision"
	"facet/vision/foreign"
	"facet/vision/still"
)

const name = "facet decode image"

// Started reports whether the arguments of a process, its name first, make a decoder of it, and returns those of Main. A
// program that uses package still asks this before all else, and so does TestMain of its tests.
func Started(args []string) (rest []string, ok bool) {
	if len(args) < 1+len(still.Command) || !slices.Equal(args[1:1+len(still.Command)], still.Command) {
		return nil, false
	}
	return args[1+len(still.Command):], true
}

// Main is a decoder: args are what stands behind the hidden command, requests come from in and answers go to out. It returns
// the exit status, and the caller ends the process with it.
func Main(args []string, in, out, errs *os.File) int {
	return Run(args, in, out, errs, Open)
}

// Run is Main with another way to open a file.
func Run(args []string, in io.Reader, out, errs io.Writer, open func([]byte, vision.DecodeOptions) (still.Source, error)) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(errs)
	memory := flags.Int64("memory", 0, "most bytes of memory")
	cpu := flags.Duration("cpu", 0, "most CPU time")
	mode := sandbox.Auto
	flags.Var(&mode, "sandbox", "require, auto or off: what to do where the kernel cannot close files and sockets to this program")
	if flags.Parse(args) != nil {
		return 2
	}
	if flags.NArg() > 0 || *memory < 1 || *cpu < time.Second {
		fmt.Fprintf(errs, "%s: facet starts this command to read images; it is none for people\n", name)
		return 2
	}
	// Rather collect often than be refused memory: the limit counts what is free within the heap as well.
	debug.SetMemoryLimit(*memory - *memory/8)
	report, err := child.Confine(name, *memory+space, *cpu, mode, errs)
	if err == nil {
		err = still.Serve(in, out, report, open)
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Open opens a file of any kind that is read.
func Open(data []byte, o vision.DecodeOptions) (still.Source, error) { return foreign.Open(data, o) }
