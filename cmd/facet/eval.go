package main

import "facet/pipeline/eval"

// evalCommand groups the scores of the jobs.
type evalCommand struct {
	OCR evalOCRCommand `cmd:"" name:"ocr" help:"Character error rate, lines found, and whether replies were valid."`
}

type evalOCRCommand struct {
	Labels string `help:"Labels: lines of JSON with file, width, height and lines of {box_2d, text}." required:"" placeholder:"FILE"`
	Path   string `arg:"" name:"run" help:"Folder of a run, or its records.jsonl."`
	JSON   bool   `help:"Print one JSON object."`
}

func (c *evalOCRCommand) Run(s *streams) error {
	labels, err := eval.ReadLabels(c.Labels)
	if err != nil {
		return err
	}
	run, err := eval.ReadRun(c.Path)
	if err != nil {
		return err
	}
	score, err := eval.OCR(labels, run)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, score)
	}
	return score.WriteTable(s.out)
}
