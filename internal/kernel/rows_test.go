package kernel

import "testing"

// Many rows or heads a call give the bits of one at a time, and gaps stay.
func TestRowsOfNormsAndRotations(t *testing.T) {
	eachSet(t, func(t *testing.T) {
		r := source()
		for _, n := range []int{2, 8, 30, 64, 72} {
			for _, rows := range []int{1, 3, 7} {
				x, w := randoms(r, rows*n), randoms(r, n)
				want := make([]float32, rows*n)
				for i := range rows {
					RMSNorm(want[i*n:(i+1)*n], x[i*n:(i+1)*n], w, 1e-6)
				}
				got, check := guarded(t, make([]float32, rows*n), 0)
				RMSNormRows(got, x, n, w, 1e-6)
				check()
				if !sameBits(got, want) {
					t.Errorf("RMSNormRows: %d rows of %d: other bits than row by row", rows, n)
				}

				stride := n + 5
				heads, cos, sin := randoms(r, (rows-1)*stride+n), randoms(r, n/2), randoms(r, n/2)
				turned, check := guarded(t, heads, 3)
				RopeHeads(turned, rows, stride, cos, sin)
				check()
				for i := range rows {
					Rope(heads[i*stride:][:n], cos, sin)
				}
				if !sameBits(turned, heads) {
					t.Errorf("RopeHeads: %d heads of %d: other bits than one by one", rows, n)
				}
			}
		}
	})
	for name, f := range map[string]func(){
		"a row and a half":   func() { RMSNormRows(make([]float32, 6), make([]float32, 6), 4, nil, 0) },
		"another weight":     func() { RMSNormRows(make([]float32, 8), make([]float32, 8), 4, make([]float32, 8), 0) },
		"heads that overlap": func() { RopeHeads(make([]float32, 8), 2, 3, make([]float32, 2), make([]float32, 2)) },
		"heads past the end": func() { RopeHeads(make([]float32, 7), 2, 4, make([]float32, 2), make([]float32, 2)) },
		"sines too few":      func() { RopeHeads(make([]float32, 8), 2, 4, make([]float32, 2), make([]float32, 1)) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}
