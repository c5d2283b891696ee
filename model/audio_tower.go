package model

import (
	"math"

	"facet/audio"
	"facet/internal/kernel"
	"facet/internal/tensor"
	"facet/internal/weights"
)

// audioTower turns the log-mel spectrogram of a clip into soft tokens in the decoder's
// space: two convolutions keep one frame in four, conformer layers follow
// (arXiv:2005.08100, with one-sided attention and convolution), and a projection.
//
// Nothing in it looks ahead but the convolutions, by two frames. So clips of any lengths
// go through it one below the other, and only the convolutions and the attention know
// where one begins.
type audioTower struct {
	config     *AudioConfig
	convs      [2]*convolution
	inProj     tensor.Weight // [Da, frequencies·channels]
	layers     []*audioLayer
	outProj    linear        // [O, Da]
	outBias    *vector       // [O]
	projection tensor.Weight // [D, O]

	window   int // keys that a query sees, itself included: at most attention_context_left
	stored   []weights.Tensor
	prepared bool
}

// audioLayer is one conformer layer.
type audioLayer struct {
	name      string
	ff1, ff2  feedForward
	attention localAttention
	conv      lightConv

	preAttentionNorm, postAttentionNorm, outNorm *vector
}

// feedForward is x + ½·norm(down(silu(up(norm(x))))).
type feedForward struct {
	name              string
	preNorm, postNorm *vector
	up, down          linear
}

// lightConv is x + end(silu(norm(depthwise(glu(start(norm(x))))))), in which the
// depthwise convolution sees a frame and those before it.
type lightConv struct {
	name              string
	preNorm, convNorm *vector
	start, end        linear
	depthwise         *vector
	taps              tensor.Mat // [K, Da]: the weights of the earliest frame first
}

// audioScratch is the part of a tower's memory that only sound needs.
type audioScratch struct {
	mel   tensor.Mat // frames of all clips
	gated tensor.Mat // [T, Da], what the depthwise convolution of a layer reads
	start []int      // by row, the first row of its clip
	stage [2]tensor.Mat
	taken tensor.Mat // what the convolutions read at a time
	local localScratch
}

// encode returns the soft tokens of each clip, [⌈valid/4⌉, D], with the bits that it would
// have alone. The results are copies that the caller keeps, or lets go of, one by one.
func (t *audioTower) encode(s *scratch, clips []*audio.Features) []tensor.Mat {
	t.prepare(s)
	c := t.config
	x := t.subsample(s, clips)
	for i := range t.layers {
		l := t.layers[i]
		if i == 0 {
			s.onThreads(x.Rows, func(b *scratch, lo, hi int) { l.enter(b, s, lo, hi, c) })
		}
		s.onThreads(x.Rows, func(b *scratch, lo, hi int) { l.mix(b, s, lo, hi, t) })
		s.onThreads(x.Rows, func(b *scratch, lo, hi int) {
			l.leave(b, s, lo, hi, c)
			if i+1 < len(t.layers) {
				t.layers[i+1].enter(b, s, lo, hi, c)
			}
		})
	}
	soft := tensor.New(x.Rows, t.projection.Out())
	s.onThreads(x.Rows, func(b *scratch, lo, hi int) { t.project(b, soft.Slice(lo, hi), x.Slice(lo, hi)) })
	out := make([]tensor.Mat, len(clips))
	row := 0
	for i, m := range clips {
		out[i] = tensor.New(t.softTokens(m.Valid), soft.Cols)
		copy(out[i].Data, soft.Data[row*soft.Cols:])
		row += out[i].Rows
	}
	return out
}

// project sets dst [T, D] to the soft tokens of the last layer's output x [T, Da].
func (t *audioTower) project(s *scratch, dst, x tensor.Mat) {
	h := t.outProj.apply(s, &s.h, x) // [T, O]
	for r := range h.Rows {
		kernel.Add(h.Row(r), t.outBias.v)
	}
	s.trace("model.audio_tower.output_proj", "", h)
	s.trace("model.audio_tower", "", h)
	h = norm(s, &s.norm, h, nil, t.config.RMSNormEps) // the embedder's norm, without weight
	t.projection.MatMul(s.pool, dst, h)
	s.trace("model.embed_audio", "", dst)
}

// enter runs rows [lo, hi) of s.x through the first half of the layer's feed-forward and
// sets their queries, keys and values.
func (l *audioLayer) enter(b, s *scratch, lo, hi int, c *AudioConfig) {
	x := s.x.Slice(lo, hi)
	l.ff1.forward(b, x, c)
	h := norm(b, &b.norm, x, l.preAttentionNorm.v, c.RMSNormEps) // [n, Da]
	b.trace(l.name, ".norm_pre_attn", h)
	l.attention.project(b, s, h, lo, hi)
}

// mix adds attention to rows [lo, hi) of s.x, and sets the rows that the depthwise
// convolution reads.
func (l *audioLayer) mix(b, s *scratch, lo, hi int, t *audioTower) {
	eps := t.config.RMSNormEps
	x := s.x.Slice(lo, hi)
	h := l.attention.attend(b, s, lo, hi, t.window) // [n, Da]
	h = norm(b, &b.norm, h, l.postAttentionNorm.v, eps)
	b.trace(l.name, ".norm_post_attn", h)
	kernel.Add(x.Data, h.Data)
	l.conv.gate(b, s.audio.gated.Slice(lo, hi), x, eps)
}

// leave adds the convolution and the second feed-forward to rows [lo, hi) of s.x and norms
// them.
func (l *audioLayer) leave(b, s *scratch, lo, hi int, c *AudioConfig) {
	x := s.x.Slice(lo, hi)
	l.conv.forward(b, s, lo, hi, c.RMSNormEps)
	l.ff2.forward(b, x, c)
	norm(b, &x, x, l.outNorm.v, c.RMSNormEps)
	b.trace(l.name, ".norm_out", x)
	b.trace(l.name, "", x)
}

// forward adds the layer's half step to x [n, Da].
func (f *feedForward) forward(s *scratch, x tensor.Mat, c *AudioConfig) {
	h := norm(s, &s.norm, x, f.preNorm.v, c.RMSNormEps)
	s.trace(f.name, ".pre_layer_norm", h)
	h = f.up.apply(s, &s.gate, h) // [n, 4·Da]
	s.trace(f.name, ".ffw_layer_1", h)
	kernel.SigmoidMul(h.Data, h.Data, h.Data) // SiLU
	h = f.down.apply(s, &s.h, h)              // [n, Da]
	s.trace(f.name, ".ffw_layer_2", h)
	h = norm(s, &s.norm, h, f.postNorm.v, c.RMSNormEps)
	s.trace(f.name, ".post_layer_norm", h)
	kernel.AddScaled(x.Data, h.Data, c.ResidualWeight)
	s.trace(f.name, "", x)
}

// gate sets dst [n, Da] to the gated linear unit of x [n, Da], which is left as it is.
func (l *lightConv) gate(s *scratch, dst, x tensor.Mat, eps float32) {
	h := norm(s, &s.norm, x, l.preNorm.v, eps)
	s.trace(l.name, ".pre_layer_norm", h)
	h = l.start.apply(s, &s.up, h) // [n, 2·Da]
	s.trace(l.name, ".linear_start", h)
	for r := range h.Rows {
		row := h.Row(r)
		kernel.SigmoidMul(dst.Row(r), row[dst.Cols:], row[:dst.Cols])
	}
}

// forward adds the convolution of the gated rows to rows [lo, hi) of s.x.
func (l *lightConv) forward(b, s *scratch, lo, hi int, eps float32) {
	b.h.Reshape(hi-lo, s.x.Cols)
	for r := lo; r < hi; r++ {
		l.convolve(b.h.Row(r-lo), s.audio.gated, s.audio.start[r], r)
	}
	if b.tracer != nil {
		t := transposed32(b.h.Data, b.h.Rows, b.h.Cols)
		b.trace(l.name, ".depthwise_conv1d", t)
	}
	h := norm(b, &b.norm, b.h, l.convNorm.v, eps)
	b.trace(l.name, ".conv_norm", h)
	kernel.SigmoidMul(h.Data, h.Data, h.Data) // SiLU
	h = l.end.apply(b, &b.h, h)               // [n, Da]
	b.trace(l.name, ".linear_end", h)
	x := s.x.Slice(lo, hi)
	kernel.Add(x.Data, h.Data)
	b.trace(l.name, "", x)
}

// convolve sets dst to the depthwise convolution of x that ends at row r, in a clip whose
// first row is start; before it there are zeros.
func (l *lightConv) convolve(dst []float32, x tensor.Mat, start, r int) {
	clear(dst)
	taps := l.taps.Rows
	for k := max(0, start-(r-taps+1)); k < taps; k++ {
		from := x.Row(r - taps + 1 + k)
		for i, w := range l.taps.Row(k) {
			dst[i] += w * from[i]
		}
	}
}

// onThreads calls f for blocks [lo, hi) of rows on all threads, each time with a scratch
// of that thread's own, whose pool has one thread. A trace wants whole activations, and
// gets one block and s itself.
func (s *scratch) onThreads(rows int, f func(b *scratch, lo, hi int)) {
	if s.tracer != nil {
		f(s, 0, rows)
		return
	}
	s.makeBlocks()
	s.pool.RunWorkers(rows, audioBlock(rows, s.pool.Threads()), func(worker, lo, hi int) { f(s.blocks[worker], lo, hi) })
}

// audioBlock is the number of rows in a block: in twelves, as kernels take them, and at
// least four for each thread, where there are enough, so that the last one keeps nobody waiting.
func audioBlock(rows, threads int) int {
	n := (rows + 4*threads - 1) / (4 * threads)
	return min(max((n+11)/12*12, 24), audioMostRows)
}

// audioMostRows is the most rows in a block: enough to use each weight many times, few
// enough for the 4096 columns between two products to stay in a cache of 2 MB.
const audioMostRows = 96

// softTokens is what two convolutions leave of so many valid frames.
func (t *audioTower) softTokens(frames int) int { return halved(halved(frames)) }

// halved is the number of outputs of a convolution of 3 with stride 2 and a zero on either side.
func halved(n int) int { return (n + 1) / 2 }

// keyScale is the factor of keys, softplus(1)/ln 2.
var keyScale = float32(math.Log1p(math.E) / math.Ln2)
