// Package pdfium draws pages of PDF documents with PDFium, compiled to WebAssembly, in a process that is for that alone.
//
//	Main      pdfium.go     the hidden command: warm compiles the renderer into the cache; serve draws
//	 load     runtime.go    1. the compiled renderer from the cache, before the sandbox and before any document
//	 Confine                2. the process shuts itself in
//	 open     document.go   3. the document, its pages
//	 Render   render.go     4. pixels
//
// What a document does to the renderer stays in the renderer's own memory, which is bounded; what gets out of that is in the
// sandbox.
package pdfium

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"facet/internal/child"
	"facet/internal/sandbox"
	"facet/vision/pdf"
)

// Main is a decoder: args are what stands behind the hidden command, descriptor 3 is the document, requests come from in and
// answers go to out. It returns the exit status, and the caller ends the process with it.
func Main(args []string, in, out, errs *os.File) int {
	flags := flag.NewFlagSet("facet decode", flag.ContinueOnError)
	flags.SetOutput(errs)
	mode := flags.String("mode", "", "serve, or warm to compile the renderer")
	cache := flags.String("cache", "", "folder of the compiled renderer")
	memory := flags.Int64("memory", pdf.DefaultLimits.Memory, "most bytes of memory for the renderer")
	cpu := flags.Duration("cpu", pdf.DefaultLimits.CPU, "most CPU time")
	confine := sandbox.Auto
	flags.Var(&confine, "sandbox", "require, auto or off: what to do where the kernel cannot close files and sockets to this program")
	if flags.Parse(args) != nil {
		return 2
	}
	if flags.NArg() > 0 || *cache == "" || *memory < 1 {
		return fail(errs, errNotForPeople, 2)
	}
	switch *mode {
	case "warm":
		return warm(*cache, *memory, in, out, errs)
	case "serve":
		return serve(*cache, *memory, *cpu, confine, in, out, errs)
	}
	return fail(errs, errNotForPeople, 2)
}

var errNotForPeople = errors.New("facet starts this command to read PDF documents; it is none for people")

func fail(errs io.Writer, err error, status int) int {
	text, _, _ := strings.Cut(err.Error(), "\n") // without a stack
	fmt.Fprintf(errs, "facet decode: %s\n", text)
	return status
}

// warm compiles the renderer into the cache. It says hello when that is done. Where what lies in the cache is in the way, as
// after a crash of the machine, it begins with an empty one.
func warm(cache string, memory int64, in, out, errs *os.File) int {
	r, err := load(cache, memory, true)
	if err != nil {
		for _, folder := range compiled(cache) {
			os.RemoveAll(folder)
		}
		r, err = load(cache, memory, true)
	}
	if err != nil {
		return fail(errs, err, 1)
	}
	defer r.close()
	if err := pdf.Serve(in, out, nil, nil); err != nil {
		return fail(errs, err, 1)
	}
	return 0
}

func serve(cache string, memory int64, cpu time.Duration, confine sandbox.Mode, in, out, errs *os.File) int {
	file := os.NewFile(child.Input, "input")
	info, err := file.Stat()
	if err != nil {
		return fail(errs, errNotForPeople, 2)
	}
	r, err := load(cache, memory, false)
	if errors.Is(err, errCold) {
		return fail(errs, err, pdf.ExitCold)
	}
	if err != nil {
		return fail(errs, err, 1)
	}
	report, err := child.Confine("facet decode", memory+codeSpace, cpu, confine, errs)
	if err != nil {
		return fail(errs, err, 1)
	}
	err = pdf.Serve(in, out, report, func(password string) (pdf.Source, error) {
		return r.open(file, info.Size(), password)
	})
	switch {
	case err != nil && r.memory.refused:
		return fail(errs, errors.New("out of memory"), 1)
	case err != nil:
		return fail(errs, err, 1)
	}
	return 0
}
