package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"facet/internal/kernel"
	"facet/model"
	"facet/pipeline"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// ocrCommand reads the text of images.
type ocrCommand struct {
	Paths []string `arg:"" name:"path" help:"Images, folders of images, and manifests: .jsonl files whose lines are {\"path\": …}, relative to the working directory. errors.jsonl is one."`
	modelFlags
	Budget    string   `help:"Soft tokens for an image: 70, 140, 280, 560 or 1120; auto takes the smallest that keeps small text readable, unless the checkpoint was trained for one." default:"auto" placeholder:"N"`
	Boxes     string   `help:"line: a box around each line of text; none: plain text. Default: the checkpoint's, else line." placeholder:"KIND"`
	Language  string   `help:"Language of the text, as a hint." placeholder:"NAME"`
	Prompt    string   `help:"Ask this in place of the job's own question." placeholder:"TEXT"`
	MaxTokens int      `help:"Bound of a reply, in tokens. Default: 8192, room for a dense page." placeholder:"N"`
	Alpha     string   `help:"What becomes of transparency: drop it, or compose over white." enum:"drop,white" default:"drop"`
	Batch     int      `help:"Replies generated at once; the result does not depend on it." default:"8"`
	Out       string   `help:"Folder for all outputs, or a single .jsonl, .txt or .png file. Default: standard output." placeholder:"DIR|FILE"`
	Format    []string `help:"What to write: jsonl (records), txt, overlay (images with the boxes drawn in). Default: jsonl." placeholder:"FORMAT"`
	Overwrite bool     `help:"Replace the results of an earlier run in --out; the files of images that only it had stay."`
	Quiet     bool     `help:"No progress and no summary, errors only." short:"q"`
}

// Help is what --help says below the first line.
func (ocrCommand) Help() string {
	return `Each image gives one line of JSON with its text and the box of each line, in the order of the input. A folder named with --out gets records.jsonl, errors.jsonl, run.json and the files of the other formats. An image that cannot be read is a line on standard error and in errors.jsonl; the others are read all the same, and errors.jsonl can be given as input again.

Exit status: 0 all images were read, 1 the run could not be done, 2 the command line is wrong, 3 some images failed, 130 interrupted; what was done until then is kept.`
}

func (c *ocrCommand) Run(ctx context.Context, s *streams) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	sources, err := pipeline.Open(c.Paths)
	if err != nil {
		return err
	}
	m, err := c.open(model.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	terminal := isTerminal(s.err) && (c.Out != "" || !isTerminal(s.out))
	meter := newMeter(s, len(sources.Items), terminal && !c.Quiet)
	pages, err := pipeline.New(pipeline.Settings{
		Model: m, Job: job.OCR, Options: options, Decode: c.decode(), Batch: c.Batch, Progress: meter.show,
	})
	if err != nil {
		return err
	}
	out, err := c.output(s, m, sources, meter)
	if err != nil {
		return err
	}
	progress, err := pages.Run(ctx, sources.Items, out.Write)
	err = errors.Join(err, out.Close(progress))
	meter.clear()
	info := out.Info()
	if !c.Quiet && (c.Out != "" || terminal || info.Failed > 0 && info.Inputs > 1) {
		summary(s, out, progress)
	}
	if err == nil && info.Failed > 0 {
		return someFailed{info.Failed, info.Inputs}
	}
	return err
}

// options turns the flags into those of the job.
func (c *ocrCommand) options() (job.Options, error) {
	o := job.Options{Boxes: job.Boxes(c.Boxes), Language: c.Language, Prompt: c.Prompt, MaxTokens: c.MaxTokens}
	if c.MaxTokens < 0 {
		return o, usageError("--max-tokens must be at least 1")
	}
	if c.Batch < 1 || c.Batch > pipeline.MaxBatch {
		return o, usageError(fmt.Sprintf("--batch must be from 1 to %d", pipeline.MaxBatch))
	}
	if c.Budget != "auto" {
		n, err := strconv.Atoi(c.Budget)
		if err != nil || !slices.Contains(vision.Budgets, n) {
			return o, usageError(fmt.Sprintf("--budget %s: want auto or one of %v", c.Budget, vision.Budgets))
		}
		o.Budget = n
	}
	return o, nil
}

func (c *ocrCommand) decode() vision.DecodeOptions {
	return vision.DecodeOptions{Limits: vision.DefaultLimits, AlphaOverWhite: c.Alpha == "white"}
}

func (c *ocrCommand) output(s *streams, m *model.Model, sources pipeline.Sources, meter *meter) (*pipeline.Output, error) {
	hash, err := m.SHA256()
	if err != nil {
		return nil, err
	}
	var formats []pipeline.Format
	for _, f := range c.Format {
		formats = append(formats, pipeline.Format(f))
	}
	failed := func(item pipeline.Item, err error) {
		meter.errorf("%s: %s", sink.PrintableLine(item.Path), sink.PrintableLine(err.Error()))
	}
	return pipeline.OpenOutput(pipeline.OutputOptions{
		Path: c.Out, Stdout: s.out, Formats: formats, Folder: sources.Folder(), Overwrite: c.Overwrite, Decode: c.decode(), Failed: failed,
	}, pipeline.RunInfo{
		Facet: version(), Command: os.Args, Job: job.OCR.Name, Model: m.Path(), ModelSHA256: hash, Kernels: kernel.Name(),
		Threads: m.Threads(), Started: time.Now().UTC(), Inputs: len(sources.Items), Skipped: sources.Skipped,
	})
}

// summary says what became of the run, how fast it was and where its results are, each on
// a line that a terminal of 80 columns need not wrap.
func summary(s *streams, out *pipeline.Output, p pipeline.Progress) {
	i := out.Info()
	fmt.Fprintf(s.err, "%d of %d pages read, %d failed", i.Done, i.Inputs, i.Failed)
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
		fmt.Fprintf(s.err, "%.2f pages/s, %.0f soft tokens/s, %.0f output tokens/s\n",
			float64(i.Done)/i.Seconds, float64(p.SoftTokens)/i.Seconds, float64(p.OutputTokens)/i.Seconds)
	}
	if files := out.Files(); files != "" {
		fmt.Fprintln(s.err, files)
	}
}
