package model

import (
	"strings"

	"facet/internal/tensor"
	"facet/internal/weights"
)

// pack makes panels of the layer's weight, which apply its bounds themselves.
func (l *linear) pack(p *tensor.Pool) {
	w := tensor.PackBF16(p, l.weight)
	if c := l.clip; c != nil {
		w = w.Clipped(tensor.Bounds{Lo: c.inMin.v[0], Hi: c.inMax.v[0]}, tensor.Bounds{Lo: c.outMin.v[0], Hi: c.outMax.v[0]})
		l.clip = nil
	}
	l.weight = w
}

// release gives back the pages of the stored tensors whose name begins with prefix, layer
// by layer while panels are made of a tower, so that it is not resident twice.
func release(stored []weights.Tensor, prefix string) {
	for _, w := range stored {
		if strings.HasPrefix(w.Name, prefix) {
			w.Release(0, len(w.Data))
		}
	}
}
