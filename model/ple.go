package model

import (
	"math"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// perLayerEmbeddings gives every layer an input of its own for each token, made of
// a second embedding table and of a projection of the merged embeddings.
type perLayerEmbeddings struct {
	table      *rowTable     // [Vp, L·P]
	projection tensor.Weight // [L·P, D]
	norm       *vector       // [P]
}

// layerPLE is the part of a layer that takes its per-layer input.
type layerPLE struct {
	gate, projection linear
	norm             *vector
}

// perLayerInputs sets s.pleInput to (RMSNorm(x·Wᵀ/√D) + √P·token row)/√2.
//
// Rows [0, rows) hold the inputs of the layers that every row goes through. Where
// the shared layers run on wanted rows only, the wanted rows follow, with the
// inputs of those layers: what a skipped layer would read is never computed.
func (d *decoder) perLayerInputs(s *scratch, segments []segment, rows int, everyRow bool) error {
	if d.ple == nil {
		return nil
	}
	c := d.config
	width := c.HiddenSizePerLayerInput
	split := c.firstShared() * width
	if everyRow {
		split = c.NumHiddenLayers * width
	}
	s.pleInput.Reshape(rows+len(wantedRows(segments)), c.NumHiddenLayers*width)
	s.pleFirst = 0
	if err := d.fillPLE(s, segments, 0, 0, split, false); err != nil {
		return err
	}
	return d.fillPLE(s, segments, rows, split, c.NumHiddenLayers*width, true)
}

// wantedRows lists the rows of the pass whose logits are wanted.
func wantedRows(segments []segment) []int {
	var rows []int
	for _, g := range segments {
		for r := g.row + len(g.ids) - g.wanted; r < g.row+len(g.ids); r++ {
			rows = append(rows, r)
		}
	}
	return rows
}

// fillPLE computes columns [lo, hi) of the per-layer inputs for all rows of the pass,
// or for the wanted ones only, and stores them from row first of s.pleInput on.
func (d *decoder) fillPLE(s *scratch, segments []segment, first, lo, hi int, wantedOnly bool) error {
	from, ids := s.x, d.pleIDs(segments, wantedOnly)
	if hi == lo || len(ids) == 0 {
		return nil
	}
	if wantedOnly {
		rows := wantedRows(segments)
		from = tensor.New(len(rows), s.x.Cols)
		for n, r := range rows {
			copy(from.Row(n), s.x.Row(r))
		}
	}
	c, p, width := d.config, d.ple, d.config.HiddenSizePerLayerInput
	s.pleToken.Reshape(from.Rows, hi-lo)
	tensor.RowsOf(p.projection, lo, hi).MatMul(s.pool, s.pleToken, from)
	scale(s, s.pleToken, float32(1/math.Sqrt(float64(c.HiddenSize))))
	parts := tensor.Mat{Rows: from.Rows * (hi - lo) / width, Cols: width, Data: s.pleToken.Data}
	tensor.RMSNorm(s.pool, parts, parts, p.norm.v, c.RMSNormEps)
	if lo == 0 && hi == c.NumHiddenLayers*width {
		s.trace("model.language_model.per_layer_projection_norm", "", s.pleToken)
	}
	for n, id := range ids {
		row, err := p.table.row(s, int(id))
		if err != nil {
			return err
		}
		dst := s.pleInput.Row(first + n)[lo:hi]
		copy(dst, s.pleToken.Row(n))
		kernel.AddScaled(dst, row[lo:hi], float32(math.Sqrt(float64(width))))
		kernel.Scale(dst, float32(1/math.Sqrt2))
	}
	return nil
}

// pleIDs are the ids whose rows of the per-layer table the rows of the pass, or the
// wanted ones, take: media soft tokens take the padding's.
func (d *decoder) pleIDs(segments []segment, wantedOnly bool) []int32 {
	var ids []int32
	for _, g := range segments {
		start := 0
		if wantedOnly {
			start = len(g.ids) - g.wanted
		}
		for _, id := range g.ids[start:] {
			ids = append(ids, d.embedID(id))
		}
	}
	return ids
}

// forward adds the per-layer branch of layer i to x [T, D]:
// norm(projection(gelu_tanh(gate(x)) · input)).
func (l *layerPLE) forward(s *scratch, name string, i int, x tensor.Mat, c *TextConfig) {
	width := c.HiddenSizePerLayerInput
	g := l.gate.apply(s, &s.pleGate, x) // [T, P], on the un-normed stream
	s.trace(name, ".per_layer_input_gate", g)
	s.pool.Run(g.Rows, rowChunk, func(a, b int) {
		for r := a; r < b; r++ {
			kernel.GELUMul(g.Row(r), g.Row(r), s.pleInput.Row(s.pleFirst + r)[i*width:(i+1)*width])
		}
	})
	h := l.projection.apply(s, &s.h, g) // [T, D]
	s.trace(name, ".per_layer_projection", h)
	h = norm(s, &s.norm, h, l.norm.v, c.RMSNormEps)
	s.trace(name, ".post_per_layer_input_norm", h)
	add(s, x, h)
}
