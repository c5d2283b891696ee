package main

import (
	"maps"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	bench, err := parseBench([]byte(`[{"n_prompt": 512, "n_gen": 0, "avg_ts": 113.5}, {"n_prompt": 0, "n_gen": 64, "avg_ts": 28.6}]`))
	if want := (values{{promptRate, 512}: 113.5, {stepRate, 0}: 28.6}); err != nil || !maps.Equal(bench, want) {
		t.Errorf("llama-bench: %v, %v; want %v", bench, err, want)
	}
	batched, err := parseBatchedBench("log\n" + `{"pp": 128, "pl": 1, "speed_tg": 27.5, "speed": 31}` + "\n" + `{"pp": 128, "pl": 8, "speed_tg": 71.25}` + "\n")
	if want := (values{{sequencesRate, 1}: 27.5, {sequencesRate, 8}: 71.25}); err != nil || !maps.Equal(batched, want) {
		t.Errorf("llama-batched-bench: %v, %v; want %v", batched, err, want)
	}
	if _, err := parseBatchedBench("failed to load\n"); err == nil {
		t.Error("llama-batched-bench: no error without results")
	}
	const log = `0.12 I encoding mtmd batch, n_chunks = 1 (done = 1, total = 3)
0.18 I mtmd batch encoding done in 6449 ms
0.18 I decoding image batch 1/2, n_tokens_batch = 2048
0.19 I image decoded (batch 1/2) in 12 ms
0.20 I decoding image batch 2/2, n_tokens_batch = 16
`
	if seconds, soft, err := parseMtmd(log); err != nil || seconds != 6.449 || soft != 2064 {
		t.Errorf("llama-mtmd-cli: %v s, %d soft tokens, %v", seconds, soft, err)
	}
	if _, _, err := parseMtmd("error"); err == nil {
		t.Error("llama-mtmd-cli: no error without a time")
	}
}

func TestSummary(t *testing.T) {
	r := newReport(&arguments{Rounds: 3})
	for i, speed := range []float64{1, 0.25, 0.5} { // a machine that slows down for both
		r.add("facet", values{{promptRate, 512}: 600 * speed, {imageTime, 280}: 1 / speed, {memoryLimit, 0}: 40 + float64(i)})
		r.add("llama.cpp", values{{promptRate, 512}: 100 * speed, {imageTime, 280}: 4 / speed})
	}
	r.add("llama.cpp", values{{loadTime, 0}: 1.5})
	r.loads = []float64{2, 0.5, 1}
	s := r.summary()
	want := []row{
		{Name: "prompt of 512", Unit: "tokens/s", Facet: 300, FacetBest: 600, Llama: 50, LlamaBest: 100, Ratio: 6, RatioOfTop: 6},
		{Name: "image of 266", Unit: "s", Facet: 2, FacetBest: 1, Llama: 8, LlamaBest: 4, Ratio: 4, RatioOfTop: 4},
		{Name: "load", Unit: "s", Llama: 1.5, LlamaBest: 1.5},
	}
	for i := range want {
		if i >= len(s.Figures) || s.Figures[i] != want[i] {
			t.Fatalf("figures\n got %+v\nwant %+v", s.Figures, want)
		}
	}
	if s.Load != [2]float64{0.5, 2} || s.Limits["memory, GB/s"] != 42 {
		t.Errorf("load %v, limits %v", s.Load, s.Limits)
	}
	var b strings.Builder
	s.print(&b)
	for _, part := range []string{"6.00× (6.00×)", "load average 0.5 to 2.0", "—"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("no %q in\n%s", part, b.String())
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.x); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}
