package tensor

import (
	"slices"
	"testing"
)

// Rows picked from a weight of any kind have the bits that they have in the whole product.
func TestMatMulRows(t *testing.T) {
	const out, in = 70, 256
	rows := []int32{0, 1, 2, 15, 16, 17, 31, 40, 41, 69}
	for len(rows) < 5*selectChunk { // a row may come twice
		rows = append(rows, rows[len(rows)-10])
	}
	p, r := newPool(t, 2), source()
	x := random(r, 1, in)
	half, _ := weightOf(t, "BF16", random(r, out, in))
	weights := []Weight{half, BF16Rows(half), PackBF16(p, half)}
	for i := range packedTypes {
		integer, exact := pack(t, p, r, i, out, in)
		weights = append(weights, integer, exact)
	}
	for i, w := range weights {
		whole := New(1, out)
		w.MatMul(p, whole, x)
		var want []float32
		for _, row := range rows {
			want = append(want, whole.Data[row])
		}
		got := make([]float32, len(rows))
		MatMulRows(p, got, x.Data, w, rows)
		if !slices.Equal(got, want) {
			t.Errorf("weight %d (%s): got %v, want %v", i, w.DType(), got, want)
		}
	}
}
