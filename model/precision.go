package model

import "fmt"

// Precision says in what numbers products are computed.
type Precision int

const (
	// Exact is float32 activations over the weights' values; it judges the other.
	Exact Precision = iota
	// Fast is bfloat16 or int8 products with float32 sums.
	Fast
)

func (p Precision) String() string { return [...]string{"exact", "fast"}[p] }

// ParsePrecision reads "exact" or "fast".
func ParsePrecision(name string) (Precision, error) {
	for _, p := range []Precision{Exact, Fast} {
		if p.String() == name {
			return p, nil
		}
	}
	return Exact, fmt.Errorf(`precision %q: want "exact" or "fast"`, name)
}
