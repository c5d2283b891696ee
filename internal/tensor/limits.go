package tensor

import (
	"time"

	"facet/internal/kernel"
)

// Limits is what a machine can do.
type Limits struct {
	// Operations a second of products in each kind of number; a multiply and an add count as two.
	Float32, BFloat16, Int8 float64
	// Read is bytes read from memory a second.
	Read float64
}

// Limits measures what this machine can do with the pool's threads and the kernels in
// use. It takes about a second and 256 MB.
func (p *Pool) Limits() Limits {
	return Limits{
		Float32:  p.peak(kernel.PeakFMA),
		BFloat16: p.peak(kernel.PeakBF16),
		Int8:     p.peak(kernel.PeakInt8),
		Read:     p.peakRead(),
	}
}

// peak is the rate of the operations that run counts, with all threads at it.
func (p *Pool) peak(run func(rounds int) int64) (rate float64) {
	var rounds int
	work := func(lo, hi int) {
		for range hi - lo {
			run(rounds)
		}
	}
	// As many rounds as take some milliseconds: the portable bodies are far slower.
	for rounds = 1 << 10; ; rounds *= 2 {
		start := time.Now()
		p.Run(p.Threads(), 1, work) // the clock of an idle core has to come up, too
		if time.Since(start) > peakTime {
			break
		}
	}
	for range peakTries {
		start := time.Now()
		n := 4 * p.Threads()
		p.Run(n, 1, work)
		rate = max(rate, float64(n)*float64(run(1))*float64(rounds)/time.Since(start).Seconds())
	}
	return rate
}

func (p *Pool) peakRead() (rate float64) {
	memory := make([]byte, peakMemory)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1 // a page that was never written is the same page of zeros everywhere
	}
	for range peakTries {
		start := time.Now()
		p.Run(len(memory), peakChunk, func(lo, hi int) { kernel.PeakRead(memory[lo:hi]) })
		rate = max(rate, float64(len(memory))/time.Since(start).Seconds())
	}
	return rate
}

const (
	peakTries  = 5
	peakTime   = 10 * time.Millisecond
	peakMemory = 256 << 20 // far more than any cache
	peakChunk  = 4 << 20
)
