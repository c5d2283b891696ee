package model

import "math"

// rope holds the rotary frequencies of one kind of attention: pair i of a head
// turns by position · inverse[i].
type rope struct {
	inverse []float32
}

// newRope follows the checkpoint's rope_parameters for a head of dim values.
// "proportional" (full layers) turns only the first partial_rotary_factor of the
// pairs, with exponents over the whole head; the rest keep angle 0.
func newRope(p RopeParameters, dim int) rope {
	r := rope{inverse: make([]float32, dim/2)}
	turning := len(r.inverse)
	if p.PartialRotaryFactor != nil {
		turning = int(*p.PartialRotaryFactor * float64(dim) / 2)
	}
	for i := range turning {
		r.inverse[i] = float32(1 / math.Pow(p.RopeTheta, float64(2*i)/float64(dim)))
	}
	return r
}

// at fills cos and sin, each of len(inverse), for one position. The angle is
// rounded to float32 first, as in the reference: at position 100,000 that moves it by 0.004.
func (r rope) at(cos, sin []float32, position int) {
	for i, f := range r.inverse {
		s, c := math.Sincos(float64(float32(position) * f))
		cos[i], sin[i] = float32(c), float32(s)
	}
}
