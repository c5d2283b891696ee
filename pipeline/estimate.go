package pipeline

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"facet/pipeline/source"
)

// Estimate is what a run would take.
type Estimate struct {
	Inputs, Items int // Items counts the pages of documents, those that were not opened by the mean of those that were
	// Measured is how many items were done to tell; the others are what each of them took in the mean.
	Measured                 int
	SoftTokens, OutputTokens float64
	Seconds                  float64 // with the batch full, as far as so few fill it
	Bytes                    float64 // of journal and records
}

// Estimate does a few inputs, spread over all of them, and keeps nothing of their results.
func (p *Pipeline) Estimate(ctx context.Context, inputs Inputs, most int) (Estimate, error) {
	var all []source.Item
	for item, err := range inputs.All(ctx) {
		if err == nil {
			all = append(all, item)
		}
	}
	e := Estimate{Inputs: len(all), Items: len(all)}
	if len(all) == 0 {
		return e, nil
	}
	var tried sample
	for i := range min(most, len(all)) {
		tried = append(tried, all[i*len(all)/min(most, len(all))])
	}
	bytes, done := int64(0), 0
	out, err := OpenOutput(OutputOptions{Stills: p.Stills, Documents: p.Documents, Emit: func(r Result) error {
		if r.Err == nil {
			line, err := r.Record.Line()
			bytes += 2 * int64(len(line))
			done++
			return err
		}
		return nil
	}}, RunInfo{Job: p.Job.Name, Started: time.Now(), Inputs: len(tried)}, nil)
	if err != nil {
		return e, err
	}
	quiet := *p
	limit := pagesToMeasure
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet.Progress = func(progress Progress) {
		if progress.Done >= limit {
			cancel()
		}
	}
	start := time.Now()
	progress, err := quiet.Run(ctx, tried, out)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && progress.Done >= limit {
		err = nil
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return e, err
	}
	e.Items = max(len(all), len(all)*max(progress.Inputs, len(tried))/len(tried))
	if e.Measured = done; done > 0 {
		n := float64(done)
		e.SoftTokens, e.OutputTokens = float64(progress.SoftTokens)/n, float64(progress.OutputTokens)/n
		e.Seconds, e.Bytes = time.Since(start).Seconds()/n, float64(bytes)/n
	}
	return e, nil
}

// pagesToMeasure bounds an estimate whose inputs are documents of many pages.
const pagesToMeasure = 16

// sample is a few items as Inputs.
type sample []source.Item

func (s sample) Len() int { return len(s) }

func (s sample) All(context.Context) iter.Seq2[source.Item, error] {
	return func(yield func(source.Item, error) bool) {
		for item := range slices.Values(s) {
			if !yield(item, nil) {
				return
			}
		}
	}
}
