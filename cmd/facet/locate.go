package main

import (
	"context"

	"facet/pipeline/job"
)

// locateCommand says where the elements of interfaces are.
type locateCommand struct {
	Paths []string `arg:"" name:"path" help:"Images and PDF documents, folders of them, and manifests (.jsonl), whose lines may have their own \"find\", a text or a list of texts."`
	modelFlags
	Find   []string `help:"Text of an element, or what it looks like; may be given several times, and each is asked by itself. Default: every element, with its role." sep:"none" placeholder:"TEXT"`
	Budget string   `help:"Soft tokens for an image: 70, 140, 280, 560 or 1120; auto takes the smallest that keeps small text readable, unless the checkpoint was trained for one." default:"auto" placeholder:"N"`
	Alpha  string   `help:"What becomes of transparency: drop it, or compose over white." enum:"drop,white" default:"drop"`
	documentFlags
	Format []string `help:"What to write: jsonl (records), txt (label, x and y of the point with tabs between them), overlay (images with the boxes and points drawn in). Default: jsonl." placeholder:"FORMAT"`
	jobFlags
}

// Help is what --help says below the first line.
func (locateCommand) Help() string {
	return `Each image gives one line of JSON with its elements: label, box in pixels, and the point to click. What is not there has no element; effective.find has all that was asked for. In a prompt of your own {find} is the place of what to find.

Exit status: as of facet ocr.`
}

func (c *locateCommand) Run(ctx context.Context, s *streams) error {
	find, err := job.NewFinds(c.Find)
	if err != nil {
		return usageError("--" + err.Error())
	}
	options := job.Options{DPI: c.DPI, Find: find}
	documents, err := c.documents()
	if err != nil {
		return err
	}
	if options.Budget, err = autoBudget(c.Budget); err != nil {
		return err
	}
	return c.run(ctx, s, &c.modelFlags, jobRun{
		job: job.Locate, paths: c.Paths, options: options, formats: c.Format, unit: "images",
		alpha: c.Alpha == "white", documents: documents,
	})
}
