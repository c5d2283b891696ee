package main

import "facet/pipeline/eval"

// evalCommand groups the scores of the jobs.
type evalCommand struct {
	OCR        evalOCRCommand        `cmd:"" name:"ocr" help:"Character error rate, lines found, and whether replies were valid."`
	Transcribe evalTranscribeCommand `cmd:"" help:"Word and character error rates, and how far times are off."`
	Caption    evalCaptionCommand    `cmd:"" help:"Whether captions tell what they must."`
	Locate     evalLocateCommand     `cmd:"" help:"Whether boxes and click points are right, and what is absent is said to be."`
}

type (
	evalOCRCommand struct {
		Labels string `help:"Labels: lines of JSON with file, width, height and lines of {box_2d, text}." required:"" placeholder:"FILE"`
		evalFlags
	}
	evalTranscribeCommand struct {
		Labels string `help:"Labels: lines of JSON with file, text and, if times count, segments of {start, end}." required:"" placeholder:"FILE"`
		evalFlags
	}
	evalCaptionCommand struct {
		Labels string `help:"Labels: lines of JSON with file and words, as in {\"colour\": [[\"grey\", \"gray\"]]}." required:"" placeholder:"FILE"`
		evalFlags
	}
	evalLocateCommand struct {
		Labels string `help:"Labels: lines of JSON with file, find and lines of {box_2d}, an empty list for what is absent." required:"" placeholder:"FILE"`
		evalFlags
	}
)

// evalFlags are those of all scores.
type evalFlags struct {
	Path  string `arg:"" name:"run" help:"Folder of a run, or its records.jsonl."`
	Items bool   `help:"Show each input as well; --json has them anyway."`
	JSON  bool   `help:"Print one JSON object."`
}

func (c *evalOCRCommand) Run(s *streams) error {
	return evaluate(s, c.evalFlags, c.Labels, func(l []eval.Label, r eval.Run) (eval.Score, error) { return eval.OCR(l, r) })
}

func (c *evalTranscribeCommand) Run(s *streams) error {
	return evaluate(s, c.evalFlags, c.Labels, func(l []eval.Label, r eval.Run) (eval.Score, error) { return eval.Transcribe(l, r) })
}

func (c *evalCaptionCommand) Run(s *streams) error {
	return evaluate(s, c.evalFlags, c.Labels, func(l []eval.Label, r eval.Run) (eval.Score, error) { return eval.Caption(l, r) })
}

func (c *evalLocateCommand) Run(s *streams) error {
	return evaluate(s, c.evalFlags, c.Labels, func(l []eval.Label, r eval.Run) (eval.Score, error) { return eval.Locate(l, r) })
}

// evaluate reads labels and a run and prints their score.
func evaluate(s *streams, c evalFlags, labelFile string, of func([]eval.Label, eval.Run) (eval.Score, error)) error {
	labels, err := eval.ReadLabels(labelFile)
	if err != nil {
		return err
	}
	run, err := eval.ReadRun(c.Path)
	if err != nil {
		return err
	}
	score, err := of(labels, run)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, score)
	}
	return score.WriteTable(s.out, c.Items)
}
