package model

import (
	"fmt"
	"math"

	"facet/internal/tensor"
)

// melBins is the height M of the log-mel spectrogram that the audio tower takes.
const melBins = 128

// bindAudio asks for every tensor of the audio tower and its projection into the decoder.
func bindAudio(b *binder, a *AudioConfig, textHidden int) *audioTower {
	const p = "model.audio_tower."
	t := &audioTower{
		config:     a,
		outProj:    linear{weight: b.stored(p+"output_proj.weight", a.OutputProjDims, a.HiddenSize)},
		outBias:    b.vec(p+"output_proj.bias", a.OutputProjDims),
		projection: b.stored("model.embed_audio.embedding_projection.weight", textHidden, a.OutputProjDims),
	}
	in, freq := 1, melBins
	for i, channels := range a.SubsamplingConvChannels {
		q := fmt.Sprintf("%ssubsample_conv_projection.layer%d", p, i)
		t.convs[i] = &convolution{
			name: q, in: in, out: channels, bins: freq,
			weight: b.vec(q+".conv.weight", channels, in, 3, 3),
			norm:   b.vec(q+".norm.weight", channels),
		}
		in, freq = channels, halved(freq)
	}
	t.inProj = b.stored(p+"subsample_conv_projection.input_proj_linear.weight", a.HiddenSize, freq*in)
	for i := range a.NumHiddenLayers {
		t.layers = append(t.layers, bindAudioLayer(b, a, fmt.Sprintf("%slayers.%d", p, i)))
	}
	t.stored = b.under(p)
	return t
}

func bindAudioLayer(b *binder, a *AudioConfig, name string) *audioLayer {
	p := name + "."
	hidden := a.HiddenSize
	clipped := func(name string, out, in int) linear {
		return bindClipped(b, a.UseClippedLinears, p+name, out, in)
	}
	feedForward := func(q string) feedForward {
		return feedForward{
			name:     p + q,
			preNorm:  b.vec(p+q+".pre_layer_norm.weight", hidden),
			postNorm: b.vec(p+q+".post_layer_norm.weight", hidden),
			up:       clipped(q+".ffw_layer_1", 4*hidden, hidden),
			down:     clipped(q+".ffw_layer_2", hidden, 4*hidden),
		}
	}
	return &audioLayer{
		name: name,
		ff1:  feedForward("feed_forward1"),
		ff2:  feedForward("feed_forward2"),
		attention: localAttention{
			name:        p + "self_attn",
			heads:       a.NumAttentionHeads,
			dim:         hidden / a.NumAttentionHeads,
			limit:       a.AttentionLogitCap,
			q:           clipped("self_attn.q_proj", hidden, hidden),
			k:           clipped("self_attn.k_proj", hidden, hidden),
			v:           clipped("self_attn.v_proj", hidden, hidden),
			post:        clipped("self_attn.post", hidden, hidden),
			relative:    b.stored(p+"self_attn.relative_k_proj.weight", hidden, hidden),
			perDimScale: b.vec(p+"self_attn.per_dim_scale", hidden/a.NumAttentionHeads),
		},
		conv: lightConv{
			name:      p + "lconv1d",
			preNorm:   b.vec(p+"lconv1d.pre_layer_norm.weight", hidden),
			convNorm:  b.vec(p+"lconv1d.conv_norm.weight", hidden),
			start:     clipped("lconv1d.linear_start", 2*hidden, hidden),
			end:       clipped("lconv1d.linear_end", hidden, hidden),
			depthwise: b.vec(p+"lconv1d.depthwise_conv1d.weight", hidden, 1, a.ConvKernelSize),
		},
		preAttentionNorm:  b.vec(p+"norm_pre_attn.weight", hidden),
		postAttentionNorm: b.vec(p+"norm_post_attn.weight", hidden),
		outNorm:           b.vec(p+"norm_out.weight", hidden),
	}
}

// prepare computes what the tower needs besides its matrices, and for a fast model
// makes panels of those: before the first clip, since text alone needs neither.
func (t *audioTower) prepare(s *scratch) {
	if t.prepared {
		return
	}
	t.prepared = true
	for _, c := range t.convs {
		c.prepare()
	}
	table := distances(t.config.AttentionContextLeft, t.config.HiddenSize)
	for _, l := range t.layers {
		l.attention.prepare(s.pool, t.config, table)
		l.conv.taps = transposed32(l.conv.depthwise.v, t.config.HiddenSize, t.config.ConvKernelSize)
	}
	if s.fast {
		t.pack(s.pool)
	}
}

// prepare lays the weight [out, in, 3, 3] out as [3·3·in, out], the order in which a
// window of a stage's input is read. The mean over the outputs is taken off each
// column, which takes it off the convolution's result: the layer norm that follows
// then has nothing to subtract, and is an RMSNorm.
func (c *convolution) prepare() {
	c.columns = tensor.New(9*c.in, c.out)
	for i := range c.in {
		for k := range 9 {
			row := c.columns.Row(k*c.in + i)
			var mean float64
			for o := range row {
				row[o] = c.weight.v[(o*c.in+i)*9+k]
				mean += float64(row[o]) / float64(c.out)
			}
			for o := range row {
				row[o] -= float32(mean)
			}
		}
	}
}

// distances returns the sinusoids [n, D] of the distances n − 1, …, 1, 0 in that order,
// sines in the first half of a row and cosines in the second, with wavelengths from 2π
// to 2π·10000 (as in arXiv:1706.03762, section 3.5).
func distances(n, hidden int) tensor.Mat {
	table := tensor.New(n, hidden)
	half := hidden / 2
	for r := range n {
		row := table.Row(r)
		for i := range half {
			f := math.Exp(-float64(i) * math.Log(10000) / float64(max(1, half-1)))
			sin, cos := math.Sincos(float64(n-1-r) * f)
			row[i], row[half+i] = float32(sin), float32(cos)
		}
	}
	return table
}

// prepare computes the factors of queries and the projected table of distances.
func (a *localAttention) prepare(p *tensor.Pool, c *AudioConfig, table tensor.Mat) {
	a.queryScale = make([]float32, a.dim)
	for i := range a.queryScale {
		softplus := math.Log1p(math.Exp(float64(a.perDimScale.v[i])))
		a.queryScale[i] = float32(softplus / math.Sqrt(float64(a.dim)) / math.Ln2)
	}
	a.distances = tensor.New(table.Rows, table.Cols)
	a.relative.MatMul(p, a.distances, table)
}

// transposed32 returns x [rows, cols] as [cols, rows].
func transposed32(x []float32, rows, cols int) tensor.Mat {
	t := tensor.New(cols, rows)
	for r := range rows {
		for c := range cols {
			t.Data[c*rows+r] = x[r*cols+c]
		}
	}
	return t
}

// pack makes panels of all matrices.
func (t *audioTower) pack(p *tensor.Pool) {
	t.inProj = tensor.PackBF16(p, t.inProj)
	t.projection = tensor.PackBF16(p, t.projection)
	t.outProj.pack(p)
	for _, l := range t.layers {
		a := &l.attention
		for _, n := range []*linear{&l.ff1.up, &l.ff1.down, &a.q, &a.k, &a.v, &a.post, &l.conv.start, &l.conv.end, &l.ff2.up, &l.ff2.down} {
			n.pack(p)
		}
		release(t.stored, l.name+".")
	}
	release(t.stored, "")
}
