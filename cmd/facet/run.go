package main

import (
	"context"
	"iter"
	"os"

	"facet/pipeline/job"
	"facet/pipeline/source"
)

// runCommand does what a manifest says, each line its own job.
type runCommand struct {
	Manifest []string `required:"" help:"Lines of JSON: {\"job\": \"ocr\", \"path\": …} and the job's options; - reads them from standard input as they come and answers each." placeholder:"FILE|-"`
	modelFlags
	Format []string `help:"What to write: jsonl (records), txt. Default: jsonl." placeholder:"FORMAT"`
	documentFlags
	sourceFlags
	runFlags
}

// Help is what --help says below the first line.
func (runCommand) Help() string {
	return `Each line names its job (ocr, transcribe, caption, locate), its file and, if it wants, a page, an id that the file must have, and options as they stand in records. Lines of OpenAI's batch format are read as well, and the errors.jsonl of a run.

With --manifest - the model is loaded once and stays: for each line that comes, its record or error is written and flushed, in the order of the lines, until standard input ends.

Exit status: as of facet ocr.`
}

func (c *runCommand) Run(ctx context.Context, s *streams) error {
	documents, err := c.documents()
	if err != nil {
		return err
	}
	j := jobRun{formats: c.Format, documents: documents, unit: "items", options: job.Options{DPI: c.DPI}}
	if len(c.Manifest) == 1 && c.Manifest[0] == "-" {
		j.inputs, j.resident = conversation{s}, c.Out == ""
		return c.run(ctx, s, &c.modelFlags, j)
	}
	for _, path := range c.Manifest {
		if _, err := os.Stat(path); err != nil { // or it would be taken for an input
			return err
		}
	}
	sources, err := c.sources(s, c.Manifest, []job.Medium{job.Image, job.Sound, job.Film})
	if err != nil {
		return err
	}
	defer sources.Close()
	j.inputs, j.folder = sources, sources.Folder()
	return c.run(ctx, s, &c.modelFlags, j)
}

// conversation is a manifest whose lines come one by one, each when the answers to those before it are wanted.
type conversation struct{ *streams }

// Len is unknown: what comes, comes.
func (conversation) Len() int { return 0 }

// All gives the lines as they come.
func (c conversation) All(ctx context.Context) iter.Seq2[source.Item, error] {
	return source.Stream(ctx, c.in, "standard input")
}
