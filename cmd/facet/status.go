package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"facet/pipeline"
	"facet/pipeline/sink"
)

// statusCommand shows how far a run is.
type statusCommand struct {
	Dir    string `arg:"" help:"Folder of a run, as --out named it."`
	JSON   bool   `help:"Write it as JSON."`
	Verify bool   `help:"Exit with status 3 if the journal is damaged."`
}

// Help is what --help says below the first line.
func (statusCommand) Help() string {
	return `Counts, speed and time left of a run, the stage that the others wait for, and failures by what they say. The run may be going on; nothing is changed.`
}

func (c *statusCommand) Run(s *streams) error {
	state, err := pipeline.ReadState(c.Dir)
	if err != nil {
		return err
	}
	i := state.Info
	fresh := i.Done + i.Failed - i.Before
	left := -1.0
	if fresh > 0 && i.Seconds > 0 {
		left = i.Seconds / float64(fresh) * float64(i.Pending)
	}
	damaged := len(state.Repair) > 0
	if c.JSON {
		err = printJSON(s.out, struct {
			pipeline.RunInfo
			Running     bool           `json:"running"`
			SecondsLeft float64        `json:"seconds_left,omitempty"`
			Reasons     map[string]int `json:"failures"`
			Damage      []string       `json:"damage,omitempty"`
		}{i, state.Running, max(0, left), state.Reasons, state.Repair})
	} else {
		c.print(s, state, left)
	}
	if err == nil && damaged && c.Verify {
		return someFailed{len(state.Repair), i.Inputs, "lines of the journal"}
	}
	return err
}

func (c *statusCommand) print(s *streams, state *pipeline.State, left float64) {
	i := state.Info
	what := "was broken off: the same command goes on"
	switch {
	case state.Running:
		what = "is going on"
	case i.Finished:
		what = "is finished"
	}
	fmt.Fprintf(s.out, "%s %s\n", sink.PrintableLine(c.Dir), what)
	fmt.Fprintf(s.out, "%d inputs: %d done, %d failed, %d pending\n", i.Inputs, i.Done, i.Failed, i.Pending)
	if fresh := i.Done + i.Failed - i.Before; fresh > 0 && i.Seconds > 0 {
		fmt.Fprintf(s.out, "%d in %s, %.2f a second", fresh, hours(i.Seconds), float64(fresh)/i.Seconds)
		if i.Pending > 0 {
			fmt.Fprintf(s.out, "; %s left", hours(left))
		}
		fmt.Fprintln(s.out)
		if slowest := pipeline.Slowest(i.Stages); slowest.Name != "" {
			fmt.Fprintf(s.out, "slowest stage: %s, busy %.0f %% of the time; the model was idle %.1f %%\n",
				slowest.Name, 100*slowest.Share, 100*i.Idle/max(i.Seconds, 0.001))
		}
	}
	if state.Running {
		fmt.Fprintf(s.out, "since %s\n", i.Started.Local().Format(time.DateTime))
	}
	reasons := slices.SortedFunc(maps.Keys(state.Reasons), func(a, b string) int { return state.Reasons[b] - state.Reasons[a] })
	for _, r := range reasons {
		fmt.Fprintf(s.out, "%6d × %s\n", state.Reasons[r], sink.PrintableLine(r))
	}
	for _, line := range state.Repair {
		fmt.Fprintf(s.out, "journal: %s\n", sink.PrintableLine(line))
	}
}
