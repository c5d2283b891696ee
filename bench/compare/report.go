package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// report collects what was measured.
type report struct {
	a       *arguments
	samples map[string]map[figure][]float64 // by program
	loads   []float64
}

func newReport(a *arguments) *report {
	return &report{a: a, samples: map[string]map[figure][]float64{"facet": {}, "llama.cpp": {}}}
}

// add adds the figures of one process. Zero stands for "not measured".
func (r *report) add(program string, v values) {
	for f, x := range v {
		if x > 0 {
			r.samples[program][f] = append(r.samples[program][f], x)
		}
	}
}

// summary is what is printed, as text or as JSON.
type summary struct {
	Model     string             `json:"model"`
	Threads   int                `json:"threads"`
	Precision string             `json:"precision"`
	FlashAttn string             `json:"flash_attn"`
	Rounds    int                `json:"rounds"`
	Load      [2]float64         `json:"load_average"` // least and most, before each process
	Limits    map[string]float64 `json:"limits,omitempty"`
	Figures   []row              `json:"figures"`
}

// row is a figure's medians. Ratio says how much better facet is, in rate or in time;
// it is the median of the rounds' ratios, which a disturbance that lasts does not move.
type row struct {
	Name       string  `json:"name"`
	Unit       string  `json:"unit"`
	Facet      float64 `json:"facet,omitempty"`
	FacetBest  float64 `json:"facet_best,omitempty"`
	Llama      float64 `json:"llama_cpp,omitempty"`
	LlamaBest  float64 `json:"llama_cpp_best,omitempty"`
	Ratio      float64 `json:"ratio,omitempty"`
	RatioOfTop float64 `json:"ratio_of_best,omitempty"`
}

func (r *report) summary() *summary {
	s := &summary{Model: r.a.Model, Threads: r.a.Threads, Precision: r.a.Precision, FlashAttn: r.a.FlashAttn, Rounds: r.a.Rounds, Limits: map[string]float64{}}
	if len(r.loads) > 0 {
		s.Load = [2]float64{slices.Min(r.loads), slices.Max(r.loads)}
	}
	facet, llama := r.samples["facet"], r.samples["llama.cpp"]
	figures := maps.Clone(facet)
	maps.Copy(figures, llama)
	for _, f := range slices.SortedFunc(maps.Keys(figures), func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.n, b.n))
	}) {
		name, unit := f.names()
		if f.kind >= memoryLimit {
			s.Limits[name+", "+unit] = slices.Max(facet[f]) // a limit is what was seen once
			continue
		}
		s.Figures = append(s.Figures, row{
			Name: name, Unit: unit,
			Facet: median(facet[f]), FacetBest: f.best(facet[f]),
			Llama: median(llama[f]), LlamaBest: f.best(llama[f]),
			Ratio:      median(f.ratios(facet[f], llama[f])),
			RatioOfTop: f.ratio(f.best(facet[f]), f.best(llama[f])),
		})
	}
	return s
}

func (f figure) names() (name, unit string) {
	switch f.kind {
	case promptRate:
		return fmt.Sprintf("prompt of %d", f.n), "tokens/s"
	case stepRate:
		return "step", "tokens/s"
	case sequencesRate:
		if f.n == 1 {
			return "1 sequence", "tokens/s"
		}
		return fmt.Sprintf("%d sequences", f.n), "tokens/s"
	case imageTime:
		return fmt.Sprintf("image of %d", pictures[f.n].soft()), "s"
	case soundTime:
		return fmt.Sprintf("%d s of sound", soundSeconds), "s"
	case loadTime:
		return "load", "s"
	case memoryLimit:
		return "memory", "GB/s"
	case floatLimit:
		return "float32", "GFLOP/s"
	case bfloatLimit:
		return "bf16", "GFLOP/s"
	case intLimit:
		return "int8", "GOP/s"
	}
	panic(fmt.Sprintf("compare: figure of kind %d", f.kind))
}

// less reports whether less of the figure is better.
func (f figure) less() bool { return f.kind == imageTime || f.kind == soundTime || f.kind == loadTime }

// ratio returns how much better facet's figure is than llama.cpp's; 0 if one is missing.
func (f figure) ratio(facet, llama float64) float64 {
	switch {
	case facet == 0 || llama == 0:
		return 0
	case f.less():
		return llama / facet
	}
	return facet / llama
}

// ratios returns the ratio of each round.
func (f figure) ratios(facet, llama []float64) []float64 {
	var out []float64
	for i := range min(len(facet), len(llama)) {
		out = append(out, f.ratio(facet[i], llama[i]))
	}
	return out
}

func (f figure) best(x []float64) float64 {
	switch {
	case len(x) == 0:
		return 0
	case f.less():
		return slices.Min(x)
	}
	return slices.Max(x)
}

// median returns the middle value, the mean of the two of an even number; 0 for none.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "%s · %d threads · %s · %d rounds · load average %.1f to %.1f\n\n", s.Model, s.Threads, s.Precision, s.Rounds, s.Load[0], s.Load[1])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "median (best)\tfacet\tllama.cpp\tratio\t\t")
	for _, r := range s.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", r.Name, both(r.Facet, r.FacetBest), both(r.Llama, r.LlamaBest), times(r.Ratio, r.RatioOfTop), r.Unit)
	}
	t.Flush()
	if len(s.Limits) > 0 {
		fmt.Fprint(w, "\nmachine:")
		for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
			fmt.Fprintf(w, "  %.4g %s", s.Limits[name], name)
		}
		fmt.Fprintln(w)
	}
}

func both(median, best float64) string {
	if median == 0 {
		return "—"
	}
	return fmt.Sprintf("%.4g (%.4g)", median, best)
}

func times(ratio, best float64) string {
	if ratio == 0 {
		return "—"
	}
	return fmt.Sprintf("%.2f× (%.2f×)", ratio, best)
}
