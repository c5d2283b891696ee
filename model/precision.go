package model

import (
	"fmt"

	"facet/internal/tensor"
)

// Precision says in what numbers products are computed.
type Precision int

const (
	// Auto is Fast where the checkpoint's weights are quantised and Exact elsewhere.
	Auto Precision = iota
	// Exact is float32 activations over the weights' values; it judges the other.
	Exact
	// Fast is bfloat16 or int8 products with float32 sums.
	Fast
)

func (p Precision) String() string { return [...]string{"auto", "exact", "fast"}[p] }

// ParsePrecision reads "auto", "exact" or "fast".
func ParsePrecision(name string) (Precision, error) {
	for _, p := range []Precision{Auto, Exact, Fast} {
		if p.String() == name {
			return p, nil
		}
	}
	return Auto, fmt.Errorf(`precision %q: want "auto", "exact" or "fast"`, name)
}

// Precision is what the model computes in: Exact or Fast.
func (m *Model) Precision() Precision {
	switch {
	case m.options.Precision != Auto:
		return m.options.Precision
	case m.quantised():
		return Fast
	}
	return Exact
}

// quantised reports whether a matrix of the decoder is stored in blocks of a quantised format.
func (m *Model) quantised() bool {
	for _, name := range m.source.Names() {
		if t, _ := m.source.Tensor(name); tensor.Packable(t.DType) {
			return true
		}
	}
	return false
}
