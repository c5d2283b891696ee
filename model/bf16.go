package model

import "facet/internal/tensor"

// pack makes panels of the layer's weight, which apply its bounds themselves.
func (l *linear) pack(p *tensor.Pool) {
	w := tensor.PackBF16(p, l.weight)
	if c := l.clip; c != nil {
		w = w.Clipped(tensor.Bounds{Lo: c.inMin.v[0], Hi: c.inMax.v[0]}, tensor.Bounds{Lo: c.outMin.v[0], Hi: c.outMax.v[0]})
		l.clip = nil
	}
	l.weight = w
}
