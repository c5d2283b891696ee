// Command facet reads images, sound and video in bulk with Gemma 4 and gives back text that programs
// can use. `facet --help` lists what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"facet/internal/kernel"
	"facet/pipeline"
	"facet/pipeline/sink"
)

func main() {
	if status, ok := decode(os.Args); ok {
		os.Exit(status)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses; README.md promises them.
const (
	statusOK          = 0
	statusError       = 1   // could not run
	statusUsage       = 2   // the command line is wrong
	statusSomeFailed  = 3   // the run is complete, some items failed
	statusPending     = 4   // the deadline came before the end
	statusInterrupted = 130 // by Ctrl-C or a request to end
)

// streams are the standard streams of one invocation.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is the command line: one field a command, one file each.
type cli struct {
	OCR        ocrCommand        `cmd:"" name:"ocr" help:"Read the text of images, with its places."`
	Transcribe transcribeCommand `cmd:"" help:"Write down what is said in recordings, with times."`
	Caption    captionCommand    `cmd:"" help:"Describe images and videos, scene by scene."`
	Locate     locateCommand     `cmd:"" help:"Say where elements of interfaces are: boxes and the points to click."`
	RunAll     runCommand        `cmd:"" name:"run" help:"Do what a manifest says, each line its own job; or answer lines as they come."`
	Status     statusCommand     `cmd:"" help:"Show how far a run is."`
	Export     exportCommand     `cmd:"" help:"Write what a run has done in another format."`
	Generate   generateCommand   `cmd:"" help:"Answer any prompt about any media: the plain way to use the model."`
	Inspect    inspectCommand    `cmd:"" help:"Look at a checkpoint, or at what would be done to an input, without inference."`
	Check      checkCommand      `cmd:"" help:"Compare the engine with reference outputs, activation by activation."`
	Bench      benchCommand      `cmd:"" help:"Measure the speed of this machine with a checkpoint."`
	Eval       evalCommand       `cmd:"" help:"Score a run against labels."`
	Model      modelCommand      `cmd:"" help:"Make checkpoints of other checkpoints."`
	Version    versionCommand    `cmd:"" help:"Print the version."`

	VersionFlag kong.VersionFlag `name:"version" hidden:"" help:"Print the version."`
}

// someFailed is the error of a run that is complete but for some items. Each of them was
// reported when it failed.
type someFailed struct {
	failed, total int
	unit          string // what people call the items
}

func (e someFailed) Error() string {
	return fmt.Sprintf("%d of %d %s failed", e.failed, e.total, e.unit)
}

// usageError is an error in what was asked for, found after the flags were parsed.
type usageError string

func (e usageError) Error() string { return string(e) }

// exit carries the status with which kong wants to end, after --help.
type exit int

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	out := &output{Writer: stdout}
	stop := func() {}
	defer func() { stop() }()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exit:
			status = max(int(v), statusOf(out.err, stderr))
		default:
			panic(v)
		}
	}()
	s := &streams{stdin, out, stderr}
	parser, err := kong.New(new(cli),
		kong.Name("facet"),
		kong.Description("facet reads images, sound and video in bulk with Gemma 4 and gives back text that programs can use."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(out, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Vars{"version": versionLine()},
		kong.Bind(s),
		// Only a command that takes a context has signals caught: the others end at once.
		kong.BindToProvider(func() (context.Context, error) {
			ctx, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			context.AfterFunc(ctx, end) // a second signal ends the program at once
			stop = end
			return ctx, nil
		}),
	)
	if err != nil {
		panic(err) // the command line's own definition is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case out.err != nil: // it printed help
		return statusOf(out.err, stderr)
	case err != nil:
		report(stderr, fmt.Errorf("%w (see %s --help)", err, commandOf(err)))
		return statusUsage
	}
	if err := kernel.CheckEnvironment(); err != nil {
		report(stderr, err)
		return statusUsage
	}
	if err = command.Run(); err == nil {
		err = out.err
	}
	return statusOf(err, stderr)
}

// commandOf names the command in which kong found an error, as far as it was given.
func commandOf(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		if node := parse.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "facet"
}

// statusOf reports err in one line, if there is one, and returns the exit status that belongs to it.
func statusOf(err error, stderr io.Writer) int {
	var usage usageError
	var option pipeline.OptionError
	var some someFailed
	switch {
	case err == nil:
		return statusOK
	case errors.Is(err, context.Canceled):
		report(stderr, errors.New("interrupted"))
		return statusInterrupted
	case errors.Is(err, syscall.EPIPE): // the reader of our output is gone: nobody is left to tell
		return statusError
	case errors.As(err, &some):
		return statusSomeFailed
	}
	report(stderr, err)
	if errors.Is(err, errPending) {
		return statusPending
	}
	if errors.As(err, &usage) || errors.As(err, &option) {
		return statusUsage
	}
	return statusError
}

// report writes an error as one line that cannot command a terminal, whatever the names
// in it hold.
func report(w io.Writer, err error) {
	text := err.Error()
	var p *fs.PathError
	if errors.As(err, &p) && text == p.Error() { // without the name of the system call
		text = p.Path + ": " + p.Err.Error()
	}
	fmt.Fprintln(w, "facet:", sink.PrintableLine(text))
}
