package main

import (
	"cmp"
	"context"
	"fmt"

	"facet/pipeline"
	"facet/pipeline/sink"
	"facet/pipeline/source"
	"facet/vision"
	"facet/vision/still"
)

// exportCommand writes what a run has in another format.
type exportCommand struct {
	Dir         string   `arg:"" name:"run" help:"Folder of a run, as --out named it."`
	Format      []string `required:"" help:"What to write: as of the job that was run." placeholder:"FORMAT"`
	Out         string   `help:"Folder, or a single file whose ending names its format; - is standard output. Default: the folder of the run." placeholder:"DIR|FILE"`
	Name        string   `help:"Names of the files, as of facet ocr." placeholder:"TEMPLATE"`
	PerDocument bool     `help:"One file for all pages of a document, in txt, md, alto and hocr."`
	Overwrite   bool     `help:"Replace files that are there."`
	sandboxFlag
	documentFlags
	Quiet bool `help:"Errors only." short:"q"`
}

// Help is what --help says below the first line.
func (exportCommand) Help() string {
	return `Any format of the job, from the records that are finished, without a model and without inference. Overlays read the images once more. The run may be going on.`
}

func (c *exportCommand) Run(ctx context.Context, s *streams) error {
	documents, err := c.documents()
	if err != nil {
		return err
	}
	documents.Sandbox = c.mode()
	if !c.Quiet {
		c.warn(s)
	}
	stills, err := still.Open(still.Options{
		DecodeOptions: vision.DecodeOptions{Limits: vision.DefaultLimits}, Sandbox: c.mode(), Children: 1,
	})
	if err != nil {
		return err
	}
	defer stills.Close()
	var formats []pipeline.Format
	for _, f := range c.Format {
		formats = append(formats, pipeline.Format(f))
	}
	out := cmp.Or(c.Out, c.Dir)
	if out == "-" {
		out = ""
	}
	line := func(text string) { fmt.Fprintln(s.err, "facet: "+sink.PrintableLine(text)) }
	failed := 0
	n, err := pipeline.Export(pipeline.ExportOptions{Run: c.Dir, OutputOptions: pipeline.OutputOptions{
		Path: out, Stdout: s.out, Formats: formats, Name: c.Name, PerDocument: c.PerDocument, Overwrite: c.Overwrite || out == c.Dir,
		Stills: stills, Documents: documents, Warn: func(text string) { failed++; line(text) },
		Failed: func(item source.Item, err error) { failed++; line(fmt.Sprintf("%s: %v", item.Path, err)) },
	}})
	if err == nil && !c.Quiet && c.Out != "-" {
		fmt.Fprintf(s.err, "%d records in %v: %s\n", n, c.Format, sink.PrintableLine(out))
	}
	if err == nil && failed > 0 {
		return someFailed{failed, n, "records"}
	}
	return err
}
