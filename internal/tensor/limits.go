package tensor

import (
	"time"

	"facet/internal/kernel"
)

// Limits measures what this machine can do with the pool's threads: float32
// operations a second, a multiply and an add counting as two, and bytes read from
// memory a second. It takes about half a second and 256 MB.
func (p *Pool) Limits() (flops, bytes float64) {
	work := func(worker, lo, hi int) {
		for range hi - lo {
			kernel.PeakFMA(peakRounds)
		}
	}
	p.RunWorkers(p.Threads(), 1, work) // the clock of an idle core has to come up
	for range peakTries {
		start := time.Now()
		n := 4 * p.Threads()
		p.RunWorkers(n, 1, work)
		flops = max(flops, float64(n)*float64(kernel.PeakFMA(1))*peakRounds/time.Since(start).Seconds())
	}
	memory := make([]byte, peakMemory)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1 // a page that was never written is the same page of zeros everywhere
	}
	for range peakTries {
		start := time.Now()
		p.Run(len(memory), peakChunk, func(lo, hi int) { kernel.PeakRead(memory[lo:hi]) })
		bytes = max(bytes, float64(len(memory))/time.Since(start).Seconds())
	}
	return flops, bytes
}

const (
	peakTries  = 3
	peakRounds = 1 << 20
	peakMemory = 256 << 20 // far more than any cache
	peakChunk  = 4 << 20
)
