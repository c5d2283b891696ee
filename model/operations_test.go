package model

import "testing"

// What a prompt takes, counted by hand for nano: every weight times the rows that go through it.
func TestPromptOperations(t *testing.T) {
	m := open(t, "nano", Options{})
	c := &m.config.TextConfig
	count := func(n int) (products, attention float64) {
		for i, l := range m.decoder.layers {
			rows := n
			if i >= c.firstShared() {
				rows = 1
			}
			for _, w := range []linear{l.attention.q, l.attention.k, l.attention.v, l.attention.o, l.mlp.gate, l.mlp.up, l.mlp.down, l.ple.gate, l.ple.projection} {
				if w.weight != nil {
					products += float64(2 * rows * w.weight.Out() * w.weight.In())
				}
			}
			for row := n - rows; row < n; row++ {
				keys := row + 1
				if c.Sliding(i) {
					keys = min(keys, c.SlidingWindow)
				}
				attention += float64(2 * 2 * keys * c.heads(i) * c.headDim(i))
			}
		}
		ple := c.HiddenSize * c.HiddenSizePerLayerInput
		products += float64(2 * ple * (n*c.firstShared() + c.NumHiddenLayers - c.firstShared()))
		return products + float64(2*c.VocabSize*c.HiddenSize), attention
	}
	for _, n := range []int{1, 5, c.SlidingWindow, 3 * c.SlidingWindow} {
		products, attention := m.promptOperations(n)
		if p, a := count(n); p != products || a != attention {
			t.Errorf("%d tokens: %g and %g, want %g and %g", n, products, attention, p, a)
		}
	}
	// Of a picture, the same by hand.
	v := m.config.VisionConfig
	patches := 18
	q, kv := v.NumAttentionHeads*v.HeadDim, v.NumKeyValueHeads*v.HeadDim
	layer := v.HiddenSize*(2*q+2*kv) + 3*v.HiddenSize*v.IntermediateSize
	wantProducts := 2 * (patches*(3*16*16*v.HiddenSize+v.NumHiddenLayers*layer) + patches/9*v.HiddenSize*c.HiddenSize)
	wantAttention := 4 * patches * patches * q * v.NumHiddenLayers
	if p, a := m.imageOperations(patches); p != float64(wantProducts) || a != float64(wantAttention) {
		t.Errorf("a picture: %g and %g, want %d and %d", p, a, wantProducts, wantAttention)
	}
	l := Limits{Float32: 1, BFloat16: 2, Int8: 4}
	products, attention := m.promptOperations(7)
	if got := m.PromptLimit(l, 7); got != products+attention {
		t.Errorf("exact: %g s, want %g", got, products+attention)
	}
	fast := open(t, "nano", Options{Precision: Fast})
	if got := fast.PromptLimit(l, 7); got != (products+attention)/2 {
		t.Errorf("fast: %g s, want %g", got, (products+attention)/2)
	}
}

// A 12B's picture is two products for each patch.
func TestUnifiedImageOperations(t *testing.T) {
	m := open(t, tinyUnified, Options{})
	if products, attention := m.imageOperations(70); products != 2*70*(52*6912+52*52) || attention != 0 {
		t.Errorf("%g and %g", products, attention)
	}
}
