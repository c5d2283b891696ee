package model

import (
	"math"

	"facet/audio"
	"facet/internal/kernel"
	"facet/internal/tensor"
)

// convolution is one stage of the subsampling: a convolution of 3 × 3 in time and
// frequency that keeps every second of both, with a zero on either side, then a layer norm
// over the channels and ReLU.
type convolution struct {
	name    string
	in, out int // channels
	bins    int // frequencies of the input
	weight  *vector
	norm    *vector
	columns tensor.Mat // [3·3·in, out], see prepare
}

// subsample sets s.x [T, Da] to the input of the first layer: the clips one below the
// other, one row for four frames.
func (t *audioTower) subsample(s *scratch, clips []*audio.Features) tensor.Mat {
	var blocks []convBlock
	rows := 0
	s.audio.start = s.audio.start[:0]
	for _, m := range clips {
		n := t.softTokens(m.Valid)
		size := convRows
		if s.tracer != nil {
			size = n
		}
		for lo := 0; lo < n; lo += size {
			blocks = append(blocks, convBlock{m, lo, min(n, lo+size), rows + lo})
		}
		for range n {
			s.audio.start = append(s.audio.start, rows)
		}
		rows += n
	}
	hidden := t.config.HiddenSize
	for _, m := range []*tensor.Mat{&s.x, &s.q, &s.k, &s.v, &s.audio.gated} {
		m.Reshape(rows, hidden)
	}
	s.makeBlocks()
	s.pool.RunWorkers(len(blocks), 1, func(worker, lo, hi int) {
		b := s.blocks[worker]
		if s.tracer != nil {
			b = s
		}
		for _, c := range blocks[lo:hi] {
			h := t.convolve(b, c)
			t.inProj.MatMul(b.pool, s.x.Slice(c.row, c.row+h.Rows), h)
		}
	})
	s.trace("model.audio_tower.subsample_conv_projection", "", s.x)
	return s.x
}

// convBlock is rows [lo, hi) of what the convolutions make of a clip, the first of which is
// row of all.
type convBlock struct {
	clip   *audio.Features
	lo, hi int
	row    int
}

// convRows is the number of rows in a block. Two rows of the first stage belong to one,
// and one more to the block: 33 rows of 64 frequencies and 128 channels are 1 MB.
const convRows = 16

// convolve returns the rows of a block after both stages, frequencies side by side, each
// with its channels.
func (t *audioTower) convolve(s *scratch, c convBlock) tensor.Mat {
	first, second := t.convs[0], t.convs[1]
	frames := halved(c.clip.Valid) // of the first stage
	from, to := max(0, 2*c.lo-1), min(frames, 2*c.hi)
	mel := tensor.Mat{Rows: c.clip.Valid, Cols: melBins, Data: c.clip.Data[:c.clip.Valid*melBins]}
	first.forward(s, &s.audio.stage[0], mel, 0, from, to)
	second.forward(s, &s.audio.stage[1], s.audio.stage[0], from, c.lo, c.hi)
	return s.audio.stage[1]
}

// forward sets *dst to rows [lo, hi) of the stage's output. x is rows of its input, of
// which the first is row start; rows past its ends are zeros.
func (c *convolution) forward(s *scratch, dst *tensor.Mat, x tensor.Mat, start, lo, hi int) {
	bins := halved(c.bins)
	dst.Reshape(hi-lo, bins*c.out)
	taken := &s.audio.taken
	taken.Reshape(bins, 9*c.in)
	for r := lo; r < hi; r++ {
		for k := range 3 {
			c.take(*taken, k, x, 2*r-1+k-start)
		}
		row := dst.Row(r - lo)
		clear(row)
		kernel.WeightedSum(row, c.out, taken.Data, taken.Cols, bins, c.columns.Data, c.out, taken.Cols, c.out)
		kernel.RMSNormRows(row, row, c.out, c.norm.v, layerNormEps)
	}
	s.trace(c.name, ".norm", *dst)
	kernel.Clamp(dst.Data, 0, float32(math.Inf(1)))
}

// take copies row r of x to the k-th third of what each output frequency reads: three
// frequencies with their channels.
func (c *convolution) take(dst tensor.Mat, k int, x tensor.Mat, r int) {
	width := 3 * c.in
	for f := range dst.Rows {
		to := dst.Row(f)[k*width : (k+1)*width]
		if r < 0 || r >= x.Rows {
			clear(to)
			continue
		}
		lo, hi := 2*f-1, 2*f+2 // frequencies; the first and the last may be outside
		row := x.Row(r)
		if lo < 0 {
			clear(to[:c.in])
			to, lo = to[c.in:], 0
		}
		if hi > c.bins {
			clear(to[(c.bins-lo)*c.in:])
			hi = c.bins
		}
		copy(to, row[lo*c.in:hi*c.in])
	}
}

// layerNormEps is of the norms of the convolutions.
const layerNormEps = 1e-6
