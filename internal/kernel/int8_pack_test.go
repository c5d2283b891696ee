package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"facet/internal/kernel"
	"facet/internal/quant"
)

// A packed row gives the values that the file has, bit for bit.
func TestPackGroupKeepsValues(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for q := kernel.Q4_0; q <= kernel.Q6_K; q++ {
		format, ok := quant.Named(q.String())
		if !ok {
			t.Fatalf("no format %v", q)
		}
		for rows := 1; rows <= kernel.GroupRows; rows++ {
			in := (1 + rows%3) * q.Columns()
			src := make([]byte, rows*q.RowBytes(in))
			for i := range src {
				src[i] = byte(r.Uint32()) // scales are any binary16, with NaN and infinities
			}
			group := make([]byte, q.GroupBytes(in))
			for i := range group {
				group[i] = 0xaa
			}
			q.PackGroup(group, src, rows, in)
			got, want := make([]float32, in), make([]float32, in)
			for i := range kernel.GroupRows {
				q.UnpackRow(got, group, i)
				clear(want)
				if i < rows {
					format.Dequantize(want, src[i*q.RowBytes(in):][:q.RowBytes(in)])
				}
				for k, v := range got {
					nan := v != v && want[k] != want[k]
					zero := v == 0 && want[k] == 0 && i >= rows // of a row that is not there
					if math.Float32bits(v) != math.Float32bits(want[k]) && !nan && !zero {
						t.Fatalf("%v [%d, %d]: row %d, column %d is %v, want %v", q, rows, in, i, k, v, want[k])
					}
				}
			}
		}
	}
}

func BenchmarkPackGroup(b *testing.B) {
	const in = 1536
	for q := kernel.Q4_0; q <= kernel.Q6_K; q++ {
		b.Run(q.String(), func(b *testing.B) {
			src := make([]byte, kernel.GroupRows*q.RowBytes(in))
			dst := make([]byte, q.GroupBytes(in))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				q.PackGroup(dst, src, kernel.GroupRows, in)
			}
		})
	}
}
