package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"facet/internal/kernel"
	"facet/model"
	"facet/pipeline"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/pipeline/source"
	"facet/video"
	"facet/vision"
	"facet/vision/still"
)

// jobFlags are those that every job has.
type jobFlags struct {
	Prompt    string `help:"Ask this in place of the job's own question." placeholder:"TEXT"`
	MaxTokens int    `help:"Bound of a reply, in tokens. Default: room for what the job expects." placeholder:"N"`
	sourceFlags
	runFlags
}

// sourceFlags choose the inputs.
type sourceFlags struct {
	Recursive bool     `help:"Enter folders in folders." short:"r"`
	Include   []string `help:"In folders and archives, only files whose path below matches: *.png, scans/**." placeholder:"GLOB"`
	Exclude   []string `help:"Leave out what matches." placeholder:"GLOB"`
	NulNames  bool     `name:"null" short:"0" help:"Names on standard input (the path -) end with a zero byte."`
	Limit     int      `help:"Only the first N inputs." placeholder:"N"`
	Sample    int      `help:"Only N inputs, chosen at random by --sample-seed." placeholder:"N"`
	Seed      uint64   `name:"sample-seed" help:"Of --sample." placeholder:"N"`
}

func (f *sourceFlags) sources(s *streams, paths []string, media []job.Medium) (*source.Sources, error) {
	if f.Limit < 0 || f.Sample < 0 {
		return nil, usageError("--limit and --sample must be at least 1")
	}
	return source.Open(paths, source.Options{
		Media: media, Recursive: f.Recursive, Include: f.Include, Exclude: f.Exclude, Stdin: s.in, NulNames: f.NulNames,
		Limit: f.Limit, Sample: f.Sample, Seed: f.Seed,
	})
}

// runFlags say how a run goes and where its results do.
type runFlags struct {
	Batch       int      `help:"Replies generated at once; the result does not depend on it." default:"8"`
	Out         string   `help:"Folder for all outputs, or a single file whose ending names its format. A folder is a run that goes on where it was broken off, when the same command is given again. Default: standard output." placeholder:"DIR|FILE"`
	Name        string   `help:"Names of the files in --out: a template of {dir} {stem} {ext} {name} {page} {page4} {id} {job} {n}. Default: the input's own name, and .p0007 for a page." placeholder:"TEMPLATE"`
	PerDocument bool     `help:"One file for all pages of a document, in txt, md, alto and hocr. Pages that failed keep their place."`
	Overwrite   bool     `help:"Replace the results of an earlier run in --out; the files of inputs that only it had stay."`
	RetryFailed bool     `help:"Do once more what has failed in an earlier run in --out."`
	Deadline    deadline `help:"Begin nothing new after so long (90m) or after this time (2006-01-02T15:04:05Z); exit status 4 if inputs are pending." placeholder:"TIME"`
	DryRun      bool     `help:"Only say what the run would take: items, pages, tokens, hours, disk, measured on a few inputs."`
	Quiet       bool     `help:"No progress and no summary, errors only." short:"q"`
	sandboxFlag
}

// deadline is a length of time or a time.
type deadline struct {
	after time.Duration
	at    time.Time
}

// UnmarshalText reads either.
func (d *deadline) UnmarshalText(text []byte) error {
	var err error
	if d.after, err = time.ParseDuration(string(text)); err == nil && d.after > 0 {
		return nil
	}
	if d.at, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return fmt.Errorf("%q: want a length of time above 0 as in 90m, or a time as in 2006-01-02T15:04:05Z", text)
	}
	return nil
}

// stop returns a channel that is closed when ctx or the time ends.
func (d deadline) stop(ctx context.Context) (<-chan struct{}, func()) {
	if d == (deadline{}) {
		return ctx.Done(), func() {}
	}
	at := d.at
	if d.after > 0 {
		at = time.Now().Add(d.after)
	}
	timed, cancel := context.WithDeadline(ctx, at)
	return timed.Done(), cancel
}

// jobRun is what a command asks to be done.
type jobRun struct {
	job       job.Job // zero: what the items say
	inputs    pipeline.Inputs
	folder    string // that all are in
	paths     []string
	options   job.Options
	formats   []string
	alpha     bool // transparency is composed over white
	documents pipeline.Documents
	unit      string // what people call its items, in the plural
	resident  bool   // answers are waited for, one by one
}

// run does a job on all inputs.
func (c *jobFlags) run(ctx context.Context, s *streams, flags *modelFlags, j jobRun) error {
	if c.MaxTokens < 0 {
		return usageError("--max-tokens must be at least 1")
	}
	j.options.Prompt, j.options.MaxTokens = c.Prompt, c.MaxTokens
	sources, err := c.sources(s, j.paths, j.job.Media)
	if err != nil {
		return err
	}
	defer sources.Close()
	j.inputs, j.folder = sources, sources.Folder()
	return c.runFlags.run(ctx, s, flags, j)
}

// run does what j says. The end of ctx is the user's wish to end: what is begun is finished, and a second signal ends
// the program at once, with all that the journal has.
func (c *runFlags) run(ctx context.Context, s *streams, flags *modelFlags, j jobRun) error {
	if c.Batch < 1 || c.Batch > pipeline.MaxBatch {
		return usageError(fmt.Sprintf("--batch must be from 1 to %d", pipeline.MaxBatch))
	}
	if c.RetryFailed && c.Overwrite {
		return usageError("--overwrite begins anew: there is nothing for --retry-failed")
	}
	m, err := flags.open(model.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	if !c.Quiet {
		c.sandboxFlag.warn(s)
	}
	stills, err := c.stills(j.alpha)
	if err != nil {
		return err
	}
	defer stills.Close()
	terminal := isTerminal(s.err) && (c.Out != "" || !isTerminal(s.out))
	meter := newMeter(s, j.inputs.Len(), terminal && !c.Quiet && !j.resident)
	stop, cancel := c.Deadline.stop(ctx)
	defer cancel()
	j.documents.Sandbox = c.mode()
	settings := pipeline.Settings{
		Model: m, Job: j.job, Options: j.options, Stills: stills, Documents: j.documents, Batch: c.Batch,
		Video: video.Options{Sandbox: c.mode()}, Stop: stop, Separate: j.resident, Version: version(), Progress: meter.show,
	}
	p, err := pipeline.New(settings)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.dryRun(ctx, s, p, j)
	}
	out, err := c.output(s, p, m, j, meter)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		if n := out.Begun(); n > 0 && !c.Quiet {
			meter.linef("finishing what is begun, %d of the %s; a second signal ends at once", n, j.unit)
		}
	})()
	warned := c.warnOf(meter, j, 0)
	progress, err := p.Run(context.WithoutCancel(ctx), j.inputs, out)
	if closing := out.Close(); err == nil {
		err = closing
	}
	meter.clear()
	info := out.Info()
	c.warnOf(meter, j, warned)
	if !c.Quiet && !j.resident && (c.Out != "" || terminal || info.Failed > 0 && info.Inputs > 1) {
		summary(s, out, progress, j.unit)
	}
	switch {
	case err != nil:
		return err
	case !progress.Listed && ctx.Err() != nil:
		return ctx.Err()
	case !info.Finished && ctx.Err() != nil:
		return ctx.Err()
	case !info.Finished:
		return errPending
	case info.Failed > 0:
		return someFailed{info.Failed, info.Inputs, j.unit}
	}
	return nil
}

// mostWarnings bounds what is said of the inputs at once.
const mostWarnings = 5

// warnOf says what the listing of the inputs says after so many warnings, and returns how many there are.
func (c *runFlags) warnOf(meter *meter, j jobRun, after int) int {
	l, ok := j.inputs.(interface{ Warnings() []string })
	if !ok || c.Quiet {
		return after
	}
	all := l.Warnings()
	for i, w := range all[min(after, len(all)):] {
		if i == mostWarnings {
			meter.linef("and %d more of this kind", len(all)-after-i)
			break
		}
		meter.linef("%s", sink.PrintableLine(w))
	}
	return len(all)
}

// errPending is the error of a run that its deadline ended.
var errPending = errors.New("the deadline came before the end: the same command goes on")

func (c *runFlags) stills(alphaOverWhite bool) (*still.Pool, error) {
	return still.Open(still.Options{
		DecodeOptions: vision.DecodeOptions{Limits: vision.DefaultLimits, AlphaOverWhite: alphaOverWhite},
		Sandbox:       c.mode(), Children: pipeline.Decoders,
	})
}

func (c *runFlags) output(s *streams, p *pipeline.Pipeline, m *model.Model, j jobRun, meter *meter) (*pipeline.Output, error) {
	hash, err := m.SHA256()
	if err != nil {
		return nil, err
	}
	var formats []pipeline.Format
	for _, f := range j.formats {
		formats = append(formats, pipeline.Format(f))
	}
	failed := func(item source.Item, err error) {
		page := ""
		if item.Page > 0 {
			page = fmt.Sprintf(" page %d:", item.Page)
		}
		meter.linef("%s:%s %s", sink.PrintableLine(item.Path), page, sink.PrintableLine(err.Error()))
	}
	if j.resident {
		failed = nil // the answer says it
	}
	skipped := 0
	if l, ok := j.inputs.(interface{ Skipped() int }); ok {
		skipped = l.Skipped()
	}
	return pipeline.OpenOutput(pipeline.OutputOptions{
		Path: c.Out, Stdout: s.out, Formats: formats, Folder: j.folder, Name: c.Name, PerDocument: c.PerDocument, Overwrite: c.Overwrite, RetryFailed: c.RetryFailed,
		ErrorLines: j.resident, Failed: failed, Warn: func(text string) { meter.linef("%s", sink.PrintableLine(text)) },
		Stills: p.Stills, Documents: j.documents,
	}, pipeline.RunInfo{
		Facet: version(), Command: withoutPassword(os.Args), Job: j.job.Name, Model: m.Path(), ModelSHA256: hash, Kernels: kernel.Name(),
		Threads: m.Threads(), Started: time.Now().UTC(), Inputs: j.inputs.Len(), Skipped: skipped,
	}, p.Fingerprint())
}

// dryRun says what a run would take.
func (c *runFlags) dryRun(ctx context.Context, s *streams, p *pipeline.Pipeline, j jobRun) error {
	e, err := p.Estimate(ctx, j.inputs, 4)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d inputs, %d %s\n", e.Inputs, e.Items, j.unit)
	if e.Measured == 0 {
		fmt.Fprintln(s.out, "none of those that were tried could be read")
		return nil
	}
	fmt.Fprintf(s.out, "measured on %d: %.0f soft and %.0f output tokens, %.1f s and %s each\n",
		e.Measured, e.SoftTokens, e.OutputTokens, e.Seconds, size(int64(e.Bytes)))
	n := float64(e.Items)
	fmt.Fprintf(s.out, "in all about %s soft and %s output tokens, %s, %s on the disk\n",
		count(int64(n*e.SoftTokens)), count(int64(n*e.OutputTokens)), hours(n*e.Seconds), size(int64(n*e.Bytes)))
	fmt.Fprintf(s.out, "on this machine (%s, %d CPUs), by what %d inputs took\n", kernel.Name(), runtime.NumCPU(), e.Measured)
	return nil
}

// hours writes a length of time for people.
func hours(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// summary says what became of the run, how fast it was and where its results are, each on
// a line that a terminal of 80 columns need not wrap.
func summary(s *streams, out *pipeline.Output, p pipeline.Progress, unit string) {
	i := out.Info()
	fmt.Fprintf(s.err, "%d of %d %s read, %d failed", i.Done, i.Inputs, unit, i.Failed)
	for _, part := range []struct {
		n    int
		what string
	}{
		{i.Pending, "not reached"}, {i.Before, "known from an earlier run"}, {i.Changed, "read again because they changed"},
		{i.Absent, "of an earlier run not among the inputs"}, {i.Skipped, "other files skipped"},
	} {
		if part.n > 0 {
			fmt.Fprintf(s.err, ", %d %s", part.n, part.what)
		}
	}
	fmt.Fprintf(s.err, " · %.1f s\n", i.Seconds)
	if n := i.Done + i.Failed - i.Before; n > 0 && p.SoftTokens+p.OutputTokens > 0 {
		if p.Seconds > 0 {
			fmt.Fprintf(s.err, "%s heard or seen, %.2f× real time", job.Clock(p.Seconds), p.Seconds/i.Seconds)
		} else {
			fmt.Fprintf(s.err, "%.2f %s/s", float64(n)/i.Seconds, unit)
		}
		fmt.Fprintf(s.err, ", %.0f soft tokens/s, %.0f output tokens/s", float64(p.SoftTokens)/i.Seconds, float64(p.OutputTokens)/i.Seconds)
		if slowest := pipeline.Slowest(i.Stages); slowest.Name != "" {
			fmt.Fprintf(s.err, "; %.0f %% of the time to %s", 100*slowest.Share, slowest.Name)
		}
		fmt.Fprintln(s.err)
	}
	if files := out.Files(); files != "" {
		fmt.Fprintln(s.err, files)
	}
}
