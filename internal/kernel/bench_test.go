package kernel

import (
	"fmt"
	"testing"
)

// written returns n ones: memory that was never written is one page of zeros, many
// times over, and caches treat it in their own way.
func written[T byte | float32](n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

// One row, weights from memory: the step of a sequence. GB/s counts weight bytes.
func BenchmarkMatMulBF16Row(b *testing.B) {
	const in, outs = 1536, 1 << 16
	w, x, dst := written[byte](2*in*outs), written[float32](in), written[float32](outs)
	eachSet(b, func(b *testing.B) {
		const part = 4096 // 12 MB a call, in turns, so that no cache holds them
		for i := 0; b.Loop(); i++ {
			at := i * part % outs
			MatMulBF16(dst, outs, x, in, 1, w[2*in*at:], in, part, in)
		}
		b.ReportMetric(2*in*part*float64(b.N)/1e9/b.Elapsed().Seconds(), "GB/s")
	})
}

// Many rows: a prompt, or the patches of an image.
func BenchmarkMatMul(b *testing.B) {
	for _, in := range []int{64, 256, 768, 1536, 12288} {
		const outs, rows = 64, 192
		w, x, dst := written[byte](4*in*outs), written[float32](in*rows), written[float32](outs*rows)
		wf := written[float32](in * outs)
		for _, kind := range []struct {
			name string
			f    func()
		}{
			{"BF16", func() { MatMulBF16(dst, outs, x, in, rows, w, in, outs, in) }},
			{"F16", func() { MatMulF16(dst, outs, x, in, rows, w, in, outs, in) }},
			{"F32", func() { MatMulF32(dst, outs, x, in, rows, wf, in, outs, in) }},
		} {
			b.Run(fmt.Sprintf("%s/in=%d", kind.name, in), func(b *testing.B) {
				eachSet(b, func(b *testing.B) {
					for b.Loop() {
						kind.f()
					}
					b.ReportMetric(2*rows*outs*float64(in)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			})
		}
	}
}

// Values of one KV head, for the queries of a tile.
func BenchmarkWeightedSum(b *testing.B) {
	for _, dim := range []int{64, 256, 512} {
		for _, rows := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("dim=%d/rows=%d", dim, rows), func(b *testing.B) {
				const n = 128
				w, v, dst := written[float32](rows*n), written[float32](n*dim), written[float32](rows*dim)
				eachSet(b, func(b *testing.B) {
					for b.Loop() {
						WeightedSum(dst, dim, w, n, rows, v, dim, n, dim)
					}
					b.ReportMetric(2*n*float64(rows*dim)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			})
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	for _, n := range []int{64, 256, 1536} {
		x, y, c := written[float32](n), written[float32](n), written[float32](n/2)
		for i := range x {
			x[i], y[i] = float32(i%13)-6, float32(i%7)-3
		}
		for _, kind := range []struct {
			name string
			f    func()
		}{
			{"Add", func() { Add(y, x) }},
			{"GELUMul", func() { GELUMul(y, x, x) }},
			{"SigmoidMul", func() { SigmoidMul(y, x, x) }},
			{"SoftCap", func() { SoftCap(y, 30) }},
			{"Rope", func() { Rope(y, c, c) }},
			{"RMSNorm", func() { RMSNorm(y, x, x, 1e-6) }},
			{"ExpSum", func() { ExpSum(y, x, 6) }},
		} {
			b.Run(fmt.Sprintf("%s/n=%d", kind.name, n), func(b *testing.B) {
				eachSet(b, func(b *testing.B) {
					for b.Loop() {
						kind.f()
					}
				})
			})
		}
	}
}

// The limits that the rows above are to be held against.
func BenchmarkPeak(b *testing.B) {
	b.Run("FMA", func(b *testing.B) {
		eachSet(b, func(b *testing.B) {
			var flops int64
			for b.Loop() {
				flops += PeakFMA(100_000)
			}
			b.ReportMetric(float64(flops)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
		})
	})
	b.Run("read", func(b *testing.B) {
		mem := written[byte](256 << 20)
		eachSet(b, func(b *testing.B) {
			b.SetBytes(int64(len(mem)))
			for b.Loop() {
				PeakRead(mem)
			}
		})
	})
}
