package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"facet/internal/check"
	"facet/model"
)

// checkCommand runs reference cases.
type checkCommand struct {
	Dir       string  `arg:"" help:"Folder of reference data: checkpoints/NAME, NAME/CASE.json with NAME/CASE.safetensors, gguf, media."`
	Precision string  `help:"exact: every activation must be the reference's. fast: how far its logits are from them." enum:"exact,fast" default:"exact"`
	Tolerance float64 `help:"Largest difference in exact, as a share of a tensor's largest value." default:"5e-4"`
	Threads   int     `help:"Threads that compute. Default: one for each CPU." placeholder:"N"`
	JSON      bool    `help:"One JSON object for each case, in fast then one for each checkpoint."`
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
	precision, err := model.ParsePrecision(c.Precision)
	if err != nil {
		return usageError(err.Error())
	}
	failed, run := 0, 0
	var table distances
	err = check.Folder(c.Dir, check.Options{Threads: c.Threads, Tolerance: c.Tolerance, Precision: precision}, func(r check.Result) {
		if r.Skipped == "" {
			run++
		}
		if r.Err != nil {
			failed++
		}
		if r.Err == nil && r.Distance != nil {
			table.add(r)
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
				greedy += fmt.Sprintf(" up to token %d", r.Diverged)
			}
			if d := r.Distance; d != nil {
				fmt.Fprintf(s.out, "ok    %-28s %3d positions, mean KL %.1e, %d with the same top-1; %s\n", name, d.Positions, d.MeanKL(), d.SameTop, greedy)
				return
			}
			if r.Diverged > 0 {
				greedy += ", where two are within the tolerance"
			}
			fmt.Fprintf(s.out, "ok    %-28s %3d activations, largest difference %.1e in %s; %s\n", name, r.Compared, r.Worst, r.WorstName, greedy)
		}
	})
	if err == nil {
		err = table.print(s.out, c.JSON)
	}
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
	exact, distance := &exactLine{r.Compared, r.Worst, r.WorstName}, lineOf(r.Distance)
	if distance != nil {
		exact = nil
	}
	return struct {
		Checkpoint string `json:"checkpoint"`
		Case       string `json:"case"`
		Status     string `json:"status"`
		*exactLine
		*distanceLine
		Diverged int    `json:"diverged,omitempty"`
		Message  string `json:"message,omitempty"`
	}{r.Checkpoint, r.Case, status, exact, distance, r.Diverged, message}
}

// exactLine is what was compared of a case in exact.
type exactLine struct {
	Compared  int     `json:"compared"`
	Worst     float64 `json:"worst"`
	WorstName string  `json:"worst_name,omitempty"`
}

// distanceLine is a distance from the reference's logits as --json prints it. Divergences
// are in nats, the margin in logits; there is none where every top-1 is the same.
type distanceLine struct {
	Positions     int      `json:"positions"`
	MeanKL        float64  `json:"mean_kl"`
	LargestKL     float64  `json:"largest_kl"`
	SameTop       float64  `json:"same_top"`
	LargestMargin *float64 `json:"largest_margin,omitempty"`
}

func lineOf(d *check.Distance) *distanceLine {
	if d == nil {
		return nil
	}
	l := &distanceLine{Positions: d.Positions, MeanKL: d.MeanKL(), LargestKL: d.LargestKL, SameTop: float64(d.SameTop) / float64(d.Positions)}
	if d.SameTop < d.Positions {
		l.LargestMargin = &d.LargestMargin
	}
	return l
}

// distances are those of the checkpoints, in the order in which they were met.
type distances []struct {
	checkpoint string
	all        check.Distance // over its cases
}

// add counts a case, which follows those of the same checkpoint.
func (t *distances) add(r check.Result) {
	if n := len(*t); n == 0 || (*t)[n-1].checkpoint != r.Checkpoint {
		*t = slices.Grow(*t, 1)[:n+1]
		(*t)[n].checkpoint = r.Checkpoint
	}
	(*t)[len(*t)-1].all.Add(*r.Distance)
}

// print prints a table of the checkpoints, or a JSON object for each; nothing without any.
func (t distances) print(out io.Writer, asJSON bool) error {
	if len(t) > 0 && !asJSON {
		fmt.Fprintf(out, "\n%-24s %9s %9s %9s %10s %14s\n", "", "positions", "mean KL", "max KL", "same top-1", "largest margin")
	}
	for _, row := range t {
		l := lineOf(&row.all)
		if asJSON {
			err := printJSON(out, struct {
				Checkpoint string `json:"checkpoint"`
				*distanceLine
			}{row.checkpoint, l})
			if err != nil {
				return err
			}
			continue
		}
		margin := "–"
		if l.LargestMargin != nil {
			margin = fmt.Sprintf("%.4f", *l.LargestMargin)
		}
		fmt.Fprintf(out, "%-24s %9d %9.1e %9.1e %8.1f %% %14s\n", row.checkpoint, l.Positions, l.MeanKL, l.LargestKL, 100*l.SameTop, margin)
	}
	return nil
}
