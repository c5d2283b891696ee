package model

import (
	"math"
	"slices"

	"facet/internal/kernel"
	"facet/internal/tensor"
)

// decoder is the text decoder: token and media embeddings in, logits out.
type decoder struct {
	config *TextConfig
	embed  tensor.Weight // [V, D], also the output head
	ple    *perLayerEmbeddings
	layers []*layer
	norm   *vector
	ropes  [2]rope // sliding, full

	soft    []int32   // ids of media soft tokens: without media they are embedded as padding
	vectors []*vector // all small tensors of the checkpoint
}

// layer is one decoder block.
type layer struct {
	name      string
	attention attention
	mlp       mlp
	experts   *experts  // nil in dense checkpoints
	ple       *layerPLE // nil in checkpoints without per-layer embeddings
	scalar    *vector

	inputNorm, postAttentionNorm, preMLPNorm, postMLPNorm *vector
}

// segment is the part of one sequence that a pass runs: the next len(ids)
// positions of seq.
type segment struct {
	seq *sequence
	ids []int32
	// soft returns the media embedding that stands at the i-th position of the
	// segment, or nil for a text token.
	soft func(i int) []float32
	// wanted is how many of the last positions need logits, and allowed the only tokens
	// whose logits those positions need, where they are few; nil for all.
	wanted  int
	allowed []int32

	row int // first row of the segment in the pass
}

// forward runs one pass over a ragged batch: any mix of prompt pieces and single
// steps. It stores keys and values of every position, advances the sequences, and
// returns the logits of each wanted row, of all segments in order: of the whole
// vocabulary, or of the segment's allowed tokens. They are valid until the next pass.
//
// Layers from the first KV-shared one on store nothing, so they run only on the
// rows whose logits are wanted; everyRow runs them on all rows.
func (d *decoder) forward(s *scratch, segments []segment, everyRow bool) ([][]float32, error) {
	rows, wanted := 0, 0
	for i := range segments {
		segments[i].row = rows
		rows += len(segments[i].ids)
		wanted += segments[i].wanted
	}
	d.embedRows(s, segments, rows)
	c := d.config
	ranges := rowRanges(segments, func(g *segment) (lo, hi, start int) {
		return g.row, g.row + len(g.ids), g.seq.length
	})
	d.rotations(s, ranges, rows)
	if err := d.perLayerInputs(s, segments, rows, everyRow); err != nil {
		return nil, err
	}
	x := s.x
	i := 0
	for ; i < c.firstShared() || i < len(d.layers) && everyRow; i++ {
		d.layers[i].forward(s, d, i, x, ranges)
	}
	if wanted > 0 {
		x = gatherWanted(x, segments)
		if i < len(d.layers) {
			ranges = rowRanges(segments, wantedRange())
			d.rotations(s, ranges, wanted)
			s.pleFirst = rows
		}
		for ; i < len(d.layers); i++ {
			d.layers[i].forward(s, d, i, x, ranges)
		}
	}
	for _, g := range segments {
		g.seq.advance(len(g.ids))
	}
	if wanted == 0 {
		return nil, nil
	}
	return d.head(s, x, segments), nil
}

// wantedRange numbers the wanted rows of the segments one after the other.
func wantedRange() func(g *segment) (lo, hi, start int) {
	row := 0
	return func(g *segment) (lo, hi, start int) {
		lo, row = row, row+g.wanted
		return lo, row, g.seq.length + len(g.ids) - g.wanted
	}
}

// gatherWanted moves the wanted rows to the front of x and returns them.
func gatherWanted(x tensor.Mat, segments []segment) tensor.Mat {
	rows := wantedRows(segments)
	for n, r := range rows {
		copy(x.Row(n), x.Row(r))
	}
	return x.Slice(0, len(rows))
}

// rowRange is where a segment's queries lie: rows [lo, hi) of the pass, the first at position start.
type rowRange struct {
	seq           *sequence
	lo, hi, start int
}

func rowRanges(segments []segment, at func(*segment) (lo, hi, start int)) []rowRange {
	var out []rowRange
	for i := range segments {
		lo, hi, start := at(&segments[i])
		if hi > lo {
			out = append(out, rowRange{segments[i].seq, lo, hi, start})
		}
	}
	return out
}

// embedRows sets s.x [T, D] to √D times the token rows, or to the media embedding
// as it is (spec: soft tokens are not scaled).
func (d *decoder) embedRows(s *scratch, segments []segment, rows int) {
	c := d.config
	s.x.Reshape(rows, c.HiddenSize)
	root := float32(math.Sqrt(float64(c.HiddenSize)))
	for _, g := range segments {
		for i, id := range g.ids {
			row := s.x.Row(g.row + i)
			if e := g.softRow(i); e != nil {
				copy(row, e)
				continue
			}
			d.embed.Row(row, int(d.embedID(id)))
			kernel.Scale(row, root)
		}
	}
}

// embedID is the id whose embedding a token takes: a soft token without media, as the
// model may generate one, takes that of padding, in both embedding tables.
func (d *decoder) embedID(id int32) int32 {
	if slices.Contains(d.soft, id) {
		return d.config.PadTokenID
	}
	return id
}

func (g *segment) softRow(i int) []float32 {
	if g.soft == nil {
		return nil
	}
	return g.soft(i)
}

// rotations fills the rotary tables [T, E/2] of both kinds of attention for the rows of the pass.
func (d *decoder) rotations(s *scratch, ranges []rowRange, rows int) {
	for kind, r := range d.ropes {
		s.cos[kind].Reshape(rows, len(r.inverse))
		s.sin[kind].Reshape(rows, len(r.inverse))
		for _, g := range ranges {
			for row := g.lo; row < g.hi; row++ {
				r.at(s.cos[kind].Row(row), s.sin[kind].Row(row), g.start+row-g.lo)
			}
		}
	}
}

// forward runs layer i over the rows of x [T, D], in place.
func (l *layer) forward(s *scratch, d *decoder, i int, x tensor.Mat, ranges []rowRange) {
	c := d.config
	h := norm(s, &s.norm, x, l.inputNorm.v, c.RMSNormEps) // [T, D]
	s.trace(l.name, ".input_layernorm", h)
	h = l.attend(s, d, i, h, ranges) // [T, D]
	h = norm(s, &s.norm, h, l.postAttentionNorm.v, c.RMSNormEps)
	s.trace(l.name, ".post_attention_layernorm", h)
	add(s, x, h)

	h = norm(s, &s.norm, x, l.preMLPNorm.v, c.RMSNormEps)
	s.trace(l.name, ".pre_feedforward_layernorm", h)
	h = l.mlp.forward(s, &s.h, h) // [T, D]
	if l.experts != nil {
		h = l.experts.forward(s, h, x, c.RMSNormEps)
	}
	h = norm(s, &s.norm, h, l.postMLPNorm.v, c.RMSNormEps)
	s.trace(l.name, ".post_feedforward_layernorm", h)
	add(s, x, h)

	if l.ple != nil {
		l.ple.forward(s, l.name, i, x, c)
	}
	scale(s, x, l.scalar.v[0]) // the whole residual stream
	s.trace(l.name, "", x)
}

// attend projects the normed input, stores keys and values where the layer owns
// them, and returns the attention's output [T, D].
func (l *layer) attend(s *scratch, d *decoder, i int, h tensor.Mat, ranges []rowRange) tensor.Mat {
	c, a := d.config, &l.attention
	kind := 0
	if !c.Sliding(i) {
		kind = 1
	}
	q, k, v := a.project(s, h, c.RMSNormEps)
	rotateHeads(s, q, a.shape.dim, s.cos[kind], s.sin[kind])
	if c.ownsKV(i) {
		rotateHeads(s, k, a.shape.dim, s.cos[kind], s.sin[kind])
		for _, g := range ranges {
			g.seq.caches[i].put(g.start, k.Slice(g.lo, g.hi), v.Slice(g.lo, g.hi), s.fast)
		}
	}
	stretches := make([]stretch, len(ranges))
	for n, g := range ranges {
		stretches[n] = stretch{lo: g.lo, hi: g.hi, keys: g.seq.caches[c.kvSource(i)], visible: g.seq.visible(i, g.start)}
	}
	s.attend(q, a.shape, stretches)
	out := a.o.apply(s, &s.h, s.mixed) // [T, D]
	s.trace(a.name, ".o_proj", out)
	s.trace(a.name, "", out)
	return out
}

// rotateHeads applies the rotary tables to every head of every row of x.
func rotateHeads(s *scratch, x tensor.Mat, dim int, cos, sin tensor.Mat) {
	s.pool.Run(x.Rows, rowChunk, func(a, b int) {
		for r := a; r < b; r++ {
			kernel.RopeHeads(x.Row(r), x.Cols/dim, dim, cos.Row(r), sin.Row(r))
		}
	})
}

// head returns the logits of the final norm of x, the wanted rows of the segments:
// capped as cap·tanh(logit/cap) where the checkpoint says so.
func (d *decoder) head(s *scratch, x tensor.Mat, segments []segment) [][]float32 {
	c := d.config
	h := norm(s, &s.norm, x, d.norm.v, c.RMSNormEps)
	s.trace("model.language_model.norm", "", h)
	// Rows that need all logits move to the front of h, over rows that have been read.
	whole, some := 0, 0
	for _, g := range segments {
		if g.allowed == nil {
			whole += g.wanted
		} else {
			some += g.wanted * len(g.allowed)
		}
	}
	s.allowed.Reshape(1, some)
	s.logits.Reshape(whole, c.VocabSize)
	logits := make([][]float32, 0, h.Rows)
	row, at, front := 0, 0, 0
	for _, g := range segments {
		for range g.wanted {
			if g.allowed == nil {
				copy(h.Row(front), h.Row(row))
				logits = append(logits, s.logits.Row(front))
				front++
			} else {
				part := s.allowed.Data[at:][:len(g.allowed)]
				tensor.MatMulRows(s.pool, part, h.Row(row), d.embed, g.allowed)
				logits = append(logits, part)
				at += len(part)
			}
			row++
		}
	}
	if whole > 0 {
		d.embed.MatMul(s.pool, s.logits, h.Slice(0, whole))
	}
	if c.FinalLogitSoftcapping != nil {
		for _, m := range []tensor.Mat{s.logits, s.allowed} {
			s.pool.Run(len(m.Data), 1<<14, func(a, b int) { kernel.SoftCap(m.Data[a:b], *c.FinalLogitSoftcapping) })
		}
	}
	s.trace("logits", "", s.logits)
	return logits
}
