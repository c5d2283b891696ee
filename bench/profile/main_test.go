package main

import (
	"maps"
	"testing"
)

func TestSum(t *testing.T) {
	got := sum(`# Overhead  Command  Shared Object      Symbol
    54.50%  facet    facet              [.] product_Q4_0
     4.25%  facet    facet              [.] attend
     3.00%  facet    [kernel.kallsyms]  [k] clear_page_erms
     2.00%  facet    facet              [.] facet/internal/tensor.(*Pool).nextJob.func1
     1.50%  facet    facet              [.] rms_norm
     0.50%  facet    [vdso]             [.] __vdso_clock_gettime
     0.25%  facet    facet              [.] peak_int8
     0.50%  facet    facet              [.] runtime.mallocgc
`)
	want := map[string]float64{"products": 54.5, "attention": 4.25, "system": 3, "waiting": 2.5, "norms, activations, rounding": 1.5, "limits": 0.25, "rest": 0.5}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
