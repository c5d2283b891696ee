//go:build libav

// Facet-media decodes video and sound for facet. It is started by package video with an open file as descriptor 3, shuts itself
// in before it reads a byte of that (internal/sandbox), and answers requests on standard input until that ends. It is no command
// for people.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"facet/internal/sandbox"
	"facet/video"
	"facet/video/libav"
)

const (
	input     = 3  // descriptor of the file
	openFiles = 32 // a runtime needs a few beside the pipes
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in, out, errs *os.File) int {
	flags := flag.NewFlagSet("facet-media", flag.ContinueOnError)
	flags.SetOutput(errs)
	memory := flags.Int64("memory", 1<<30, "most bytes of memory")
	cpu := flags.Duration("cpu", 5*time.Minute, "most CPU time")
	require := flags.Bool("require-sandbox", false, "end where the kernel cannot close files and sockets to this program")
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

	file := os.NewFile(input, "input")
	info, err := file.Stat()
	if err != nil {
		return fail(err)
	}
	overtime(errs)
	report, err := sandbox.Apply(sandbox.Limits{Memory: *memory, CPU: *cpu, Files: openFiles})
	if err != nil {
		return fail(err)
	}
	if *require && !report.Full() {
		return fail(fmt.Errorf("this kernel has no Landlock (%d) or no seccomp (%v), and the sandbox is required", report.Landlock, report.Seccomp))
	}
	sandboxJSON, err := json.Marshal(report)
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

// overtime ends the program when its CPU time is used up. Unlike the kernel a second later, it says why.
func overtime(errs *os.File) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGXCPU)
	go func() {
		<-c
		fmt.Fprintln(errs, "facet-media: CPU time used up")
		os.Exit(video.ExitCPU)
	}()
}
