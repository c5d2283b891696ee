package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"facet/pipeline"
	"facet/pipeline/job"
)

// meter shows how far a run is: a bar on standard error, if that is a terminal and the
// results do not go to it as well. Safe for concurrent use.
type meter struct {
	mu     sync.Mutex
	err    io.Writer
	bar    *progressbar.ProgressBar // nil: nothing is shown
	narrow bool                     // there is no room for more than the bar
	start  time.Time
}

// roomy is the number of columns from which the speeds fit beside the bar.
const roomy = 72

// newMeter starts the bar, which only a terminal can show, if it is wanted.
func newMeter(s *streams, items int, shown bool) *meter {
	m := &meter{err: s.err, start: time.Now()}
	if shown {
		columns, _, err := term.GetSize(int(s.err.(*os.File).Fd()))
		m.narrow = err == nil && columns < roomy
		m.bar = progressbar.NewOptions(items,
			progressbar.OptionSetWriter(s.err),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionShowDescriptionAtLineEnd(),
		)
	}
	return m
}

func isTerminal(w io.Writer) bool {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// show updates the bar. Failed items are not in it: each is a line above it.
func (m *meter) show(p pipeline.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar == nil {
		return
	}
	if seconds := time.Since(m.start).Seconds(); !m.narrow {
		speed := fmt.Sprintf("%.0f soft, %.0f output tokens/s", float64(p.SoftTokens)/seconds, float64(p.OutputTokens)/seconds)
		if p.Seconds > 0 {
			speed = fmt.Sprintf("%s of media, %.1f× real time", job.Clock(p.Seconds), p.Seconds/seconds)
		}
		m.bar.Describe(speed)
	}
	if p.Inputs != m.bar.GetMax() { // a document was opened
		m.bar.ChangeMax(p.Inputs)
	}
	m.bar.Set(p.Done)
}

// linef writes a line above the bar.
func (m *meter) linef(format string, args ...any) {
	m.clear()
	fmt.Fprintf(m.err, "facet: "+format+"\n", args...)
}

// clear takes the bar away, until show is called again.
func (m *meter) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar != nil {
		m.bar.Clear()
	}
}
