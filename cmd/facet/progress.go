package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"facet/pipeline"
)

// meter shows how far a run is: a bar on standard error, if that is a terminal.
type meter struct {
	err      io.Writer
	bar      *progressbar.ProgressBar // nil: nothing is shown
	start    time.Time
	terminal bool
}

func newMeter(s *streams, items int, quiet bool) *meter {
	m := &meter{err: s.err, start: time.Now()}
	m.terminal = isTerminal(s.err)
	if m.terminal && !quiet && items > 0 {
		m.bar = progressbar.NewOptions(items,
			progressbar.OptionSetWriter(s.err),
			progressbar.OptionSetDescription("pages"),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(24),
		)
	}
	return m
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// show updates the bar.
func (m *meter) show(p pipeline.Progress) {
	if m.bar == nil {
		return
	}
	seconds := time.Since(m.start).Seconds()
	m.bar.Describe(fmt.Sprintf("pages (%d encoded, %.0f soft tokens/s, %.0f output tokens/s, %d failed)",
		p.Encoded, float64(p.SoftTokens)/seconds, float64(p.OutputTokens)/seconds, p.Failed))
	m.bar.Set(p.Done)
}

// errorf writes a line above the bar.
func (m *meter) errorf(format string, args ...any) {
	if m.bar != nil {
		m.bar.Clear()
	}
	fmt.Fprintf(m.err, "facet: "+format+"\n", args...)
}

// end takes the bar away.
func (m *meter) end() {
	if m.bar != nil {
		m.bar.Finish()
	}
}
