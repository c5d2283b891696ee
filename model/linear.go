package model

import (
	"facet/internal/kernel"
	"facet/internal/tensor"
)

// linear is y = x·Wᵀ; in the towers of E2B and E4B with its input and output
// held between bounds stored beside the weight.
type linear struct {
	weight tensor.Weight
	clip   *clip
}

// clip holds the four calibrated bounds of a clipped linear layer.
type clip struct {
	inMin, inMax, outMin, outMax *vector
}

// apply sets *dst to the layer's output for x [T, In] and returns it. x is left as it is.
func (l *linear) apply(s *scratch, dst *tensor.Mat, x tensor.Mat) tensor.Mat {
	dst.Reshape(x.Rows, l.weight.Out())
	if l.clip == nil {
		l.weight.MatMul(s.pool, *dst, x)
		return *dst
	}
	s.clipped.Reshape(x.Rows, x.Cols)
	clampRows(s, s.clipped, x, l.clip.inMin.v[0], l.clip.inMax.v[0])
	l.weight.MatMul(s.pool, *dst, s.clipped)
	clampRows(s, *dst, *dst, l.clip.outMin.v[0], l.clip.outMax.v[0])
	return *dst
}

// applyAll sets the output of several layers for the same x, which is rounded once for
// all where products are rounded. dsts and layers go in pairs.
func applyAll(s *scratch, x tensor.Mat, dsts []*tensor.Mat, layers []*linear) {
	var products []tensor.Product
	for i, l := range layers {
		if l.clip != nil {
			l.apply(s, dsts[i], x)
			continue
		}
		dsts[i].Reshape(x.Rows, l.weight.Out())
		products = append(products, tensor.Product{Dst: *dsts[i], W: l.weight})
	}
	tensor.MatMuls(s.pool, x, products...)
}

func clampRows(s *scratch, dst, x tensor.Mat, lo, hi float32) {
	s.pool.Run(x.Rows, rowChunk, func(a, b int) {
		d := dst.Slice(a, b).Data
		copy(d, x.Slice(a, b).Data)
		kernel.Clamp(d, lo, hi)
	})
}

// rowChunk is the number of rows that a thread takes at a time in passes over rows.
const rowChunk = 8

// mlp is the gated MLP: down(gelu_tanh(gate(x)) · up(x)).
type mlp struct {
	name           string
	gate, up, down linear
}

func (m *mlp) forward(s *scratch, dst *tensor.Mat, x tensor.Mat) tensor.Mat {
	applyAll(s, x, []*tensor.Mat{&s.gate, &s.up}, []*linear{&m.gate, &m.up})
	g, u := s.gate, s.up // [T, F]
	s.trace(m.name, ".gate_proj", g)
	s.trace(m.name, ".up_proj", u)
	geluMul(s, g, g, u)
	y := m.down.apply(s, dst, g) // [T, D]
	s.trace(m.name, ".down_proj", y)
	s.trace(m.name, "", y)
	return y
}

func geluMul(s *scratch, dst, gate, up tensor.Mat) {
	s.pool.Run(gate.Rows, rowChunk, func(a, b int) {
		kernel.GELUMul(dst.Slice(a, b).Data, gate.Slice(a, b).Data, up.Slice(a, b).Data)
	})
}

func add(s *scratch, dst, x tensor.Mat) {
	s.pool.Run(x.Rows, rowChunk, func(a, b int) { kernel.Add(dst.Slice(a, b).Data, x.Slice(a, b).Data) })
}

func scale(s *scratch, dst tensor.Mat, by float32) {
	s.pool.Run(dst.Rows, rowChunk, func(a, b int) { kernel.Scale(dst.Slice(a, b).Data, by) })
}

// norm sets *dst to RMSNorm(x)·w, row by row; w nil means no weight.
func norm(s *scratch, dst *tensor.Mat, x tensor.Mat, w []float32, eps float32) tensor.Mat {
	dst.Reshape(x.Rows, x.Cols)
	tensor.RMSNorm(s.pool, *dst, x, w, eps)
	return *dst
}
