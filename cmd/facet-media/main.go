//go:build libav

// Facet-media decodes video and sound for facet. It is started by package video with an open file as descriptor 3, shuts itself
// in before it reads a byte of that (internal/sandbox), and answers requests on standard input until that ends. It is no command
// for people.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"facet/internal/child"
	"facet/internal/sandbox"
	"facet/video"
	"facet/video/libav"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in, out, errs *os.File) int {
	flags := flag.NewFlagSet("facet-media", flag.ContinueOnError)
	flags.SetOutput(errs)
	memory := flags.Int64("memory", 1<<30, "most bytes of memory")
	cpu := flags.Duration("cpu", 5*time.Minute, "most CPU time")
	mode := sandbox.Auto
	flags.Var(&mode, "sandbox", "require, auto or off: what to do where the kernel cannot close files and sockets to this program")
	serve := flags.Bool("serve", false, "descriptor 3 is the file, and requests come on standard input")
	if flags.Parse(args) != nil {
		return 2
	}
	if !*serve || flags.NArg() > 0 {
		fmt.Fprintln(errs, "facet-media: facet starts this program to decode video and sound; it is no command for people")
		return 2
	}
	fail := func(err error) int {
		fmt.Fprintf(errs, "facet-media: %v\n", err)
		return 1
	}

	file := os.NewFile(child.Input, "input")
	info, err := file.Stat()
	if err != nil {
		return fail(err)
	}
	sandboxJSON, err := child.Confine("facet-media", *memory, *cpu, mode, errs)
	if err != nil {
		return fail(err)
	}

	// The first call into FFmpeg. One allocation gets half of all memory at most.
	libav.Init(*memory / 2)
	open := func(s video.Settings) (video.Source, error) { return libav.Open(file, info.Size(), s) }
	if err := video.Serve(in, out, libav.Version(), sandboxJSON, open); err != nil {
		return fail(err)
	}
	return 0
}
