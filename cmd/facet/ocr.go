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
	"facet/pipeline"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// ocrCommand reads the text of pictures.
type ocrCommand struct {
	Paths []string `arg:"" name:"path" help:"Pictures, and folders of pictures."`
	modelFlags
	Budget    string   `help:"Soft tokens for a picture: 70, 140, 280, 560, 1120, or auto, the smallest that keeps small text readable." default:"auto" placeholder:"N"`
	Boxes     string   `help:"line for the place of each line of text, none for plain text. Default: line." placeholder:"KIND"`
	Language  string   `help:"Language of the text, as a hint." placeholder:"NAME"`
	Prompt    string   `help:"Ask this in place of the job's own question." placeholder:"TEXT"`
	MaxTokens int      `help:"Bound of a reply, in tokens." placeholder:"N"`
	Alpha     string   `help:"Transparent pictures: drop the transparency, or compose over white." enum:"drop,white" default:"drop"`
	Batch     int      `help:"Replies generated at once." default:"8"`
	Out       string   `help:"Folder for all outputs, or one .jsonl, .txt or .png file. Default: standard output." placeholder:"DIR|FILE"`
	Format    []string `help:"What to write: jsonl (records), txt, overlay (pictures with the boxes). Default: jsonl." placeholder:"F,…"`
	Quiet     bool     `help:"No progress, no summary; errors only." short:"q"`
}

func (c *ocrCommand) Run(ctx context.Context, s *streams) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	var formats []pipeline.Format
	for _, f := range c.Format {
		formats = append(formats, pipeline.Format(f))
	}
	if c.Batch < 1 {
		return usageError("--batch must be at least 1")
	}
	sources, err := pipeline.Open(c.Paths)
	if err != nil {
		return err
	}
	m, err := c.open()
	if err != nil {
		return err
	}
	defer m.Close()
	hash, err := m.SHA256()
	if err != nil {
		return err
	}
	decode := vision.DecodeOptions{Limits: vision.DefaultLimits, AlphaOverWhite: c.Alpha == "white"}
	out, err := pipeline.OpenOutput(c.Out, s.out, formats, decode, pipeline.RunInfo{
		Facet: version(), Command: os.Args, Model: m.Path(), ModelSHA256: hash,
		Kernels: kernel.Name(), Threads: m.Threads(), Started: time.Now().UTC(), Skipped: sources.Skipped,
	})
	if err != nil {
		return usageError(err.Error())
	}
	meter := newMeter(s, len(sources.Items), c.Quiet)
	settings := pipeline.Settings{
		Model: m, Job: job.OCR, Options: options, Limits: decode.Limits, AlphaOverWhite: decode.AlphaOverWhite,
		Batch: c.Batch, Progress: meter.show,
	}
	counts, err := pipeline.Run(ctx, sources.Items, settings, func(r pipeline.Result) error {
		if r.Err != nil {
			meter.errorf("%s: %v", sink.PrintableLine(r.Item.Path), r.Err)
		}
		return out.Write(r, options, job.OCR.Name)
	})
	meter.end()
	err = errors.Join(err, out.Close(counts, len(sources.Items)))
	if !c.Quiet {
		c.summary(s, out, counts, len(sources.Items), sources.Skipped, meter)
	}
	if err == nil && counts.Failed > 0 {
		return someFailed{counts.Failed, len(sources.Items)}
	}
	return err
}

// options turns the flags into those of the job.
func (c *ocrCommand) options() (job.Options, error) {
	o := job.Options{Boxes: job.Boxes(c.Boxes), Language: c.Language, Prompt: c.Prompt, MaxTokens: c.MaxTokens}
	if c.MaxTokens < 0 {
		return o, usageError("--max-tokens must be at least 1")
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

// summary says on one line what became of the run. It goes to standard error, and
// only where results do not go to the same screen.
func (c *ocrCommand) summary(s *streams, out *pipeline.Output, p pipeline.Progress, inputs, skipped int, m *meter) {
	if c.Out == "" && !m.terminal {
		return
	}
	fmt.Fprintf(s.err, "%d of %d pages read, %d failed", p.Done-p.Failed, inputs, p.Failed)
	if skipped > 0 {
		fmt.Fprintf(s.err, ", %d other files skipped", skipped)
	}
	seconds := time.Since(m.start).Seconds()
	fmt.Fprintf(s.err, " · %.1f s · %.2f pages/s, %.0f soft tokens/s, %.0f output tokens/s\n",
		seconds, float64(p.Done)/seconds, float64(p.SoftTokens)/seconds, float64(p.OutputTokens)/seconds)
	if c.Out != "" {
		fmt.Fprintln(s.err, out.Files())
	}
}
