package main

import (
	"context"

	"facet/pipeline/job"
)

// ocrCommand reads the text of images.
type ocrCommand struct {
	Paths []string `arg:"" name:"path" help:"Images and PDF documents, folders of them, and manifests: .jsonl files whose lines are {\"path\": …}, relative to the working directory. errors.jsonl is one."`
	modelFlags
	Budget   string `help:"Soft tokens for an image: 70, 140, 280, 560 or 1120; auto takes the smallest that keeps small text readable, unless the checkpoint was trained for one." default:"auto" placeholder:"N"`
	Boxes    string `help:"line: a box around each line of text; none: plain text. Default: the checkpoint's, else line." placeholder:"KIND"`
	Blank    string `help:"Pages that are certainly empty: skip, without asking the model; ask about every page. Default: skip, but for a prompt of your own." placeholder:"DO"`
	Rotate   string `help:"Turn pages by 90, 180 or 270 degrees clockwise before they are read; auto turns those that cannot be read well as they are and keeps what reads best." enum:"auto,0,90,180,270" default:"0"`
	SkipText bool   `name:"skip-text-layer" help:"Take pages of PDF documents that have text in the file from there, with its boxes, and mark them text_layer."`
	Language string `help:"Language of the text, as a hint." placeholder:"NAME"`
	Alpha    string `help:"What becomes of transparency: drop it, or compose over white." enum:"drop,white" default:"drop"`
	documentFlags
	Format []string `help:"What to write: jsonl (records), txt, md, alto (XML), hocr (XHTML), overlay (images with the boxes drawn in). Default: jsonl." placeholder:"FORMAT"`
	jobFlags
}

// Help is what --help says below the first line.
func (ocrCommand) Help() string {
	return `Each image, and each page of a PDF document, gives one line of JSON with its text and the box of each line, in the order of the input. A folder named with --out gets records.jsonl, errors.jsonl, run.json and the files of the other formats. An image that cannot be read is a line on standard error and in errors.jsonl; the others are read all the same, and errors.jsonl can be given as input again.

Exit status: 0 all images were read, 1 the run could not be done, 2 the command line is wrong, 3 some images failed, 4 the deadline came before the end, 130 interrupted; what was done until then is kept.`
}

func (c *ocrCommand) Run(ctx context.Context, s *streams) error {
	options := job.Options{Boxes: job.Boxes(c.Boxes), Blank: job.Blank(c.Blank), Language: c.Language, DPI: c.DPI, SkipTextLayer: c.SkipText}
	if c.Rotate != "0" {
		options.Rotate = job.Rotate(c.Rotate)
	}
	documents, err := c.documents()
	if err != nil {
		return err
	}
	if options.Budget, err = autoBudget(c.Budget); err != nil {
		return err
	}
	return c.run(ctx, s, &c.modelFlags, jobRun{
		job: job.OCR, paths: c.Paths, options: options, formats: c.Format, unit: "pages",
		alpha: c.Alpha == "white", documents: documents,
	})
}
