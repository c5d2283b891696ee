package model

import "facet/internal/tensor"

// A multiply and an add count as two operations, as in Limits. What is counted is products
// with weights and attention; norms, activations and the like, which take a few percent,
// are left out.

// PromptLimit returns the seconds in which a machine with these limits could run a prompt of
// n tokens of text at best, from its first token to the logits of its last.
func (m *Model) PromptLimit(l Limits, n int) float64 {
	products, attention := m.promptOperations(n)
	if m.Precision() == Exact {
		return (products + attention) / l.Float32
	}
	rate := l.BFloat16
	if tensor.Packable(m.decoder.layers[0].mlp.down.weight.DType()) {
		rate = l.Int8
	}
	return products/rate + attention/l.BFloat16
}

// ImageLimit returns the same of a picture of so many patches until it is soft tokens; 0 where
// the checkpoint takes none.
func (m *Model) ImageLimit(l Limits, patches int) float64 {
	products, attention := m.imageOperations(patches)
	if m.Precision() == Exact {
		return (products + attention) / l.Float32
	}
	return (products + attention) / l.BFloat16
}

// promptOperations returns the operations of products and of attention that a prompt of n
// tokens of text takes from its first token to the logits of its last.
func (m *Model) promptOperations(n int) (products, attention float64) {
	c := &m.config.TextConfig
	d := m.decoder
	rows := float64(n)
	for i, l := range d.layers {
		if i == c.firstShared() {
			rows = 1 // from here on only the row whose logits are wanted
		}
		products += 2 * rows * l.multiplies()
		seen := float64(n) * float64(n+1) / 2 // pairs of a query and a key that it sees
		if w := c.SlidingWindow; c.Sliding(i) && w < n {
			seen -= float64(n-w) * float64(n-w+1) / 2
		}
		if rows == 1 {
			seen = float64(n)
			if c.Sliding(i) {
				seen = float64(min(n, c.SlidingWindow))
			}
		}
		attention += 4 * seen * float64(c.heads(i)*c.headDim(i)) // scores and sums
	}
	if d.ple != nil {
		width := float64(c.HiddenSizePerLayerInput * c.HiddenSize)
		products += 2 * width * (float64(n*c.firstShared()) + float64(c.NumHiddenLayers-c.firstShared()))
	}
	products += 2 * float64(c.VocabSize*c.HiddenSize)
	return products, attention
}

// multiplies is the multiply-adds of a layer's products for one row.
func (l *layer) multiplies() float64 {
	n := l.attention.multiplies() + l.mlp.multiplies()
	if l.ple != nil {
		n += l.ple.gate.multiplies() + l.ple.projection.multiplies()
	}
	if e := l.experts; e != nil {
		width := float64(e.down.Out() / e.count)
		n += float64(e.router.Out()*e.router.In()) + float64(e.topK)*3*float64(e.width)*width
	}
	return n
}

func (a *attention) multiplies() float64 {
	return a.q.multiplies() + a.k.multiplies() + a.v.multiplies() + a.o.multiplies()
}

func (m *mlp) multiplies() float64 {
	return m.gate.multiplies() + m.up.multiplies() + m.down.multiplies()
}

func (l *linear) multiplies() float64 {
	if l.weight == nil {
		return 0
	}
	return float64(l.weight.Out()) * float64(l.weight.In())
}

// imageOperations returns the same of a picture of so many patches in the vision tower, or in
// what a 12B has in place of one.
func (m *Model) imageOperations(patches int) (products, attention float64) {
	if e, ok := m.vision.(*pictureEmbedder); ok {
		return 2 * float64(patches) * float64(e.dense.Out()*e.dense.In()+e.projection.Out()*e.projection.In()), 0
	}
	t, ok := m.vision.(*visionTower)
	if !ok {
		return 0, 0
	}
	n := float64(patches)
	products = 2 * n * float64(t.patchProj.Out()*t.patchProj.In())
	for _, l := range t.layers {
		products += 2 * n * (l.attention.multiplies() + l.mlp.multiplies())
		attention += 4 * n * n * float64(l.attention.shape.heads*l.attention.shape.dim)
	}
	k := t.config.PoolingKernelSize
	products += 2 * n / float64(k*k) * float64(t.projection.Out()*t.projection.In())
	return products, attention
}
