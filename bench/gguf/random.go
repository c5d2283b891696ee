package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"

	"facet/internal/quant"
)

// random makes the values of tensors. What a tensor holds depends on the seed and on
// the tensors written before it.
type random struct {
	rng   *rand.Rand
	pools map[distribution]pool
}

// distribution is what the blocks of a pool have in common.
type distribution struct {
	dtype     string
	mean, std float64
}

// pool holds poolBlocks blocks of this many values and bytes each.
type pool struct {
	values, bytes int
	blocks        []byte
}

// poolBlocks is large enough that no two rows of a matrix are alike, and small enough
// that a pool stays in the cache of a core.
const poolBlocks = 1 << 12

func newRandom(seed uint64) *random {
	return &random{rand.New(rand.NewPCG(seed, 0)), map[distribution]pool{}}
}

// writer returns the function that writes the values of m.
func (r *random) writer(m matrix) func(io.Writer) error {
	return func(w io.Writer) error {
		switch {
		case m.values != nil:
			return binary.Write(w, binary.LittleEndian, m.values)
		case len(m.shape) == 1:
			return binary.Write(w, binary.LittleEndian, r.normal(make([]float32, m.shape[0]), m.mean, m.std))
		}
		return r.blocks(w, m)
	}
}

func (r *random) normal(x []float32, mean, std float64) []float32 {
	for i := range x {
		x[i] = float32(mean + std*r.rng.NormFloat64())
	}
	return x
}

// blocks writes a matrix as blocks drawn from its pool, each on its own.
func (r *random) blocks(w io.Writer, m matrix) error {
	p := r.pool(distribution{m.dtype, m.mean, m.std})
	buf := make([]byte, 0, 4096*p.bytes)
	for left := m.elements() / p.values; left > 0; {
		n := min(left, cap(buf)/p.bytes)
		buf = buf[:0]
		for range n {
			at := int(r.rng.Uint64()%poolBlocks) * p.bytes
			buf = append(buf, p.blocks[at:at+p.bytes]...)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (r *random) pool(d distribution) pool {
	if p, ok := r.pools[d]; ok {
		return p
	}
	f, ok := quant.Named(d.dtype)
	if !ok {
		panic("gguf: no type " + d.dtype)
	}
	values := max(f.Values, 32) // plain floats have blocks of one value: too few to draw one by one
	p := pool{values: values, bytes: f.Size(values)}
	p.blocks = make([]byte, poolBlocks*p.bytes)
	if f.CanQuantize() {
		f.Quantize(p.blocks, r.normal(make([]float32, poolBlocks*values), d.mean, d.std))
	} else {
		r.q5_0(p.blocks, d)
	}
	r.pools[d] = p
	return p
}

// q5_0 fills blocks of the type that package quant reads and does not write: a float16
// scale, and 160 bits that are 32 integers of −16 … 15. They are drawn uniformly, with
// the deviation that is wanted, and the scale's sign too, which makes the mean 0.
func (r *random) q5_0(blocks []byte, d distribution) {
	const bytes, deviation = 22, 9.233 // √((32²−1)/12)
	if d.dtype != "Q5_0" {
		panic("gguf: no blocks of type " + d.dtype)
	}
	half, _ := quant.Named("F16")
	for ; len(blocks) > 0; blocks = blocks[bytes:] {
		half.Quantize(blocks[:2], []float32{float32(d.std / deviation)})
		blocks[1] |= byte(r.rng.Uint32N(2)) << 7
		for i := 2; i < bytes; i++ {
			blocks[i] = byte(r.rng.Uint32())
		}
	}
}
