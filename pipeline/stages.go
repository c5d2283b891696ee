package pipeline

import (
	"math"
	"sync/atomic"
	"time"
)

// Stage is what a stage of a run did.
type Stage struct {
	Name  string  `json:"name"`
	Items int     `json:"items"` // or parts of items
	Busy  float64 `json:"busy_seconds"`
	// Share of the time in which the stage worked, for each of its workers: near 1 is what the others wait for.
	Share float64 `json:"share"`
}

// meter counts what one stage did. Safe for concurrent use.
type meter struct {
	busy  atomic.Int64 // nanoseconds
	items atomic.Int64
}

func (m *meter) add(busy time.Duration, items int) {
	m.busy.Add(int64(busy))
	m.items.Add(int64(items))
}

// time adds the time since start, and one item.
func (m *meter) since(start time.Time) { m.add(time.Since(start), 1) }

// meters are the stages of a run, in their order.
type meters struct {
	list, decode, prepare, encode, generate, write meter
}

// stages gives what the stages did in so many seconds.
func (m *meters) stages(seconds float64) []Stage {
	var stages []Stage
	for _, s := range []struct {
		name    string
		m       *meter
		workers int
	}{
		{"list", &m.list, 1}, {"decode", &m.decode, preparers}, {"prepare", &m.prepare, preparers},
		{"encode", &m.encode, 1}, {"generate", &m.generate, 1}, {"write", &m.write, 1},
	} {
		busy := time.Duration(s.m.busy.Load()).Seconds()
		round := func(x float64) float64 { return math.Round(x*1000) / 1000 }
		stages = append(stages, Stage{
			Name: s.name, Items: int(s.m.items.Load()), Busy: round(busy), Share: round(busy / max(seconds, 0.001) / float64(s.workers)),
		})
	}
	return stages
}

// Slowest names the stage that the others wait for.
func Slowest(stages []Stage) Stage {
	var slowest Stage
	for _, s := range stages {
		if s.Share > slowest.Share {
			slowest = s
		}
	}
	return slowest
}
