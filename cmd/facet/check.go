package main

import (
	"fmt"
	"os"

	"facet/internal/check"
)

// checkCommand runs reference cases.
type checkCommand struct {
	Dir       string  `arg:"" help:"Folder of reference data: checkpoints/NAME, NAME/CASE.json with NAME/CASE.safetensors, gguf, media."`
	Tolerance float64 `help:"Largest difference, as a share of a tensor's largest value." default:"5e-4"`
	Threads   int     `help:"Threads that compute. Default: one for each CPU." placeholder:"N"`
	JSON      bool    `help:"One JSON object for each case."`
}

// Validate is called by kong once the flags are read.
func (c *checkCommand) Validate() error { return checkThreads(c.Threads) }

func (c *checkCommand) Run(s *streams) error {
	if _, err := os.Stat(c.Dir); err != nil {
		return err
	}
	if !(c.Tolerance > 0) {
		return usageError("--tolerance must be above 0")
	}
	failed, run := 0, 0
	err := check.Folder(c.Dir, check.Options{Threads: c.Threads, Tolerance: c.Tolerance}, func(r check.Result) {
		if r.Skipped == "" {
			run++
		}
		if r.Err != nil {
			failed++
		}
		if c.JSON {
			printJSON(s.out, checkLine(r))
			return
		}
		name := r.Checkpoint + "/" + r.Case
		switch {
		case r.Skipped != "":
			fmt.Fprintf(s.out, "skip  %-28s %s\n", name, r.Skipped)
		case r.Err != nil:
			fmt.Fprintf(s.out, "FAIL  %-28s %v\n", name, r.Err)
		default:
			greedy := "greedy ids equal"
			if r.Diverged > 0 {
				greedy = fmt.Sprintf("greedy ids equal up to token %d, where two are within the tolerance", r.Diverged)
			}
			fmt.Fprintf(s.out, "ok    %-28s %3d activations, largest difference %.1e in %s; %s\n", name, r.Compared, r.Worst, r.WorstName, greedy)
		}
	})
	switch {
	case err != nil:
		return err
	case failed > 0:
		return fmt.Errorf("%d of %d cases differ from the reference", failed, run)
	case run == 0:
		return fmt.Errorf("%s: none of the cases could be run", c.Dir)
	}
	return nil
}

// checkLine is a result as --json prints it.
func checkLine(r check.Result) any {
	status, message := "ok", ""
	if r.Skipped != "" {
		status, message = "skipped", r.Skipped
	} else if r.Err != nil {
		status, message = "failed", r.Err.Error()
	}
	return struct {
		Checkpoint string  `json:"checkpoint"`
		Case       string  `json:"case"`
		Status     string  `json:"status"`
		Compared   int     `json:"compared"`
		Worst      float64 `json:"worst"`
		WorstName  string  `json:"worst_name,omitempty"`
		Diverged   int     `json:"diverged,omitempty"`
		Message    string  `json:"message,omitempty"`
	}{r.Checkpoint, r.Case, status, r.Compared, r.Worst, r.WorstName, r.Diverged, message}
}
