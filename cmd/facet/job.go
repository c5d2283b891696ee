package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"facet/internal/kernel"
	"facet/model"
	"facet/pipeline"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// jobFlags are those that every job has.
type jobFlags struct {
	Prompt    string `help:"Ask this in place of the job's own question." placeholder:"TEXT"`
	MaxTokens int    `help:"Bound of a reply, in tokens. Default: room for what the job expects." placeholder:"N"`
	Batch     int    `help:"Replies generated at once; the result does not depend on it." default:"8"`
	Out       string `help:"Folder for all outputs, or a single file whose ending names its format. Default: standard output." placeholder:"DIR|FILE"`
	Overwrite bool   `help:"Replace the results of an earlier run in --out; the files of inputs that only it had stay."`
	Quiet     bool   `help:"No progress and no summary, errors only." short:"q"`
}

// jobRun is what a command asks to be done.
type jobRun struct {
	job       job.Job
	paths     []string
	options   job.Options
	formats   []string
	decode    vision.DecodeOptions
	documents pipeline.Documents
	unit      string // what people call its items, in the plural
}

// run does a job on all inputs.
func (c *jobFlags) run(ctx context.Context, s *streams, flags *modelFlags, j jobRun) error {
	if c.MaxTokens < 0 {
		return usageError("--max-tokens must be at least 1")
	}
	if c.Batch < 1 || c.Batch > pipeline.MaxBatch {
		return usageError(fmt.Sprintf("--batch must be from 1 to %d", pipeline.MaxBatch))
	}
	j.options.Prompt, j.options.MaxTokens = c.Prompt, c.MaxTokens
	sources, err := pipeline.Open(j.paths, j.job.Media)
	if err != nil {
		return err
	}
	m, err := flags.open(model.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	terminal := isTerminal(s.err) && (c.Out != "" || !isTerminal(s.out))
	meter := newMeter(s, len(sources.Items), terminal && !c.Quiet)
	items, err := pipeline.New(pipeline.Settings{
		Model: m, Job: j.job, Options: j.options, Decode: j.decode, Documents: j.documents, Batch: c.Batch, Progress: meter.show,
	})
	if err != nil {
		return err
	}
	out, err := c.output(s, m, sources, j, meter)
	if err != nil {
		return err
	}
	progress, err := items.Run(ctx, sources.Items, out.Write)
	err = errors.Join(err, out.Close(progress))
	meter.clear()
	info := out.Info()
	if !c.Quiet && (c.Out != "" || terminal || info.Failed > 0 && info.Inputs > 1) {
		summary(s, out, progress, j.unit)
	}
	if err == nil && info.Failed > 0 {
		return someFailed{info.Failed, info.Inputs, j.unit}
	}
	return err
}

func (c *jobFlags) output(s *streams, m *model.Model, sources pipeline.Sources, j jobRun, meter *meter) (*pipeline.Output, error) {
	hash, err := m.SHA256()
	if err != nil {
		return nil, err
	}
	var formats []pipeline.Format
	for _, f := range j.formats {
		formats = append(formats, pipeline.Format(f))
	}
	failed := func(item pipeline.Item, err error) {
		page := ""
		if item.Page > 0 {
			page = fmt.Sprintf(" page %d:", item.Page)
		}
		meter.errorf("%s:%s %s", sink.PrintableLine(item.Path), page, sink.PrintableLine(err.Error()))
	}
	return pipeline.OpenOutput(pipeline.OutputOptions{
		Path: c.Out, Stdout: s.out, Formats: formats, Folder: sources.Folder(), Overwrite: c.Overwrite, Failed: failed,
		Decode: j.decode, Documents: j.documents,
	}, pipeline.RunInfo{
		Facet: version(), Command: withoutPassword(os.Args), Job: j.job.Name, Model: m.Path(), ModelSHA256: hash, Kernels: kernel.Name(),
		Threads: m.Threads(), Started: time.Now().UTC(), Inputs: len(sources.Items), Skipped: sources.Skipped,
	})
}

// summary says what became of the run, how fast it was and where its results are, each on
// a line that a terminal of 80 columns need not wrap.
func summary(s *streams, out *pipeline.Output, p pipeline.Progress, unit string) {
	i := out.Info()
	fmt.Fprintf(s.err, "%d of %d %s read, %d failed", i.Done, i.Inputs, unit, i.Failed)
	for _, part := range []struct {
		n    int
		what string
	}{{i.Pending, "not reached"}, {i.Skipped, "other files skipped"}} {
		if part.n > 0 {
			fmt.Fprintf(s.err, ", %d %s", part.n, part.what)
		}
	}
	fmt.Fprintf(s.err, " · %.1f s\n", i.Seconds)
	if i.Done > 0 {
		if p.Seconds > 0 {
			fmt.Fprintf(s.err, "%s heard or seen, %.2f× real time", job.Clock(p.Seconds), p.Seconds/i.Seconds)
		} else {
			fmt.Fprintf(s.err, "%.2f %s/s", float64(i.Done)/i.Seconds, unit)
		}
		fmt.Fprintf(s.err, ", %.0f soft tokens/s, %.0f output tokens/s\n", float64(p.SoftTokens)/i.Seconds, float64(p.OutputTokens)/i.Seconds)
	}
	if files := out.Files(); files != "" {
		fmt.Fprintln(s.err, files)
	}
}
