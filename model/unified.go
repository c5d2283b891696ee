package model

import (
	"math"

	"facet/audio"
	"facet/internal/kernel"
	"facet/internal/tensor"
	"facet/internal/weights"
	"facet/vision"
)

// A 12B (gemma4_unified) has no towers: 48 × 48 pixels are a soft token, and so are 40 ms of
// samples. A few norms and a product or two lead straight into the decoder, whose layers do
// the rest.

// pictureEmbedder is what a 12B has in place of a vision tower. Soft tokens do not see each
// other in it.
type pictureEmbedder struct {
	config     *VisionConfig
	patchNorm  layerNorm     // of 3·48·48 values
	dense      tensor.Weight // [Dv, 3·48·48]
	bias       *vector       // [Dv]
	denseNorm  layerNorm     // of Dv
	positions  tensor.Weight // [N·2, Dv]: row 2·i is column i's, row 2·i + 1 row i's
	posNorm    layerNorm     // of Dv
	projection tensor.Weight // [D, Dv]
	stored     []weights.Tensor
	packed     bool // the matrices are panels
}

// bindPictureEmbedder asks for every tensor between pixels and the decoder.
func bindPictureEmbedder(b *binder, v *VisionConfig, textHidden int) *pictureEmbedder {
	const p = "model.vision_embedder."
	hidden, side := v.MMEmbedDim, v.spec().PatchSize
	return &pictureEmbedder{
		config:     v,
		patchNorm:  bindLayerNorm(b, p+"patch_ln1", 3*side*side),
		dense:      b.stored(p+"patch_dense.weight", hidden, 3*side*side),
		bias:       b.vec(p+"patch_dense.bias", hidden),
		denseNorm:  bindLayerNorm(b, p+"patch_ln2", hidden),
		positions:  b.stack(p+"pos_embedding", v.MMPosembSize, 2, hidden),
		posNorm:    bindLayerNorm(b, p+"pos_norm", hidden),
		projection: b.stored("model.embed_vision.embedding_projection.weight", textHidden, hidden),
		stored:     b.under(p),
	}
}

// encode is imageEncoder's.
func (e *pictureEmbedder) encode(s *scratch, p *vision.Patches) (tensor.Mat, error) {
	if err := checkPatches(p, e.config.spec(), e.config.MMPosembSize); err != nil {
		return tensor.Mat{}, err
	}
	if s.fast {
		e.pack(s.pool)
	}
	soft := tensor.New(p.Columns*p.Rows, e.projection.Out())
	pixels := tensor.Mat{Rows: soft.Rows, Cols: e.dense.In(), Data: p.Values}
	s.onThreads(soft.Rows, func(b *scratch, lo, hi int) {
		x := e.embed(b, pixels.Slice(lo, hi), lo, p.Columns) // [n, Dv]
		x = norm(b, &b.norm, x, nil, e.config.RMSNormEps)    // the embedder's norm, without weight
		e.projection.MatMul(b.pool, soft.Slice(lo, hi), x)   // [n, D]
	})
	return soft, nil
}

// embed sets b.x [n, Dv] to what is projected: of the patches [n, 3·48·48] from number lo on
// of a picture with so many columns.
func (e *pictureEmbedder) embed(b *scratch, patches tensor.Mat, lo, columns int) tensor.Mat {
	b.pixels.Reshape(patches.Rows, patches.Cols)
	e.patchNorm.apply(b.pixels, patches)
	b.x.Reshape(patches.Rows, e.dense.Out())
	e.dense.MatMul(b.pool, b.x, b.pixels)
	for r := range b.x.Rows {
		kernel.Add(b.x.Row(r), e.bias.v)
	}
	e.denseNorm.apply(b.x, b.x)
	b.pooled.Reshape(2, b.x.Cols)
	column, row := b.pooled.Row(0), b.pooled.Row(1)
	for r := range b.x.Rows {
		e.positions.Row(column, 2*((lo+r)%columns))
		e.positions.Row(row, 2*((lo+r)/columns)+1)
		kernel.Add(column, row) // the reference sums the two first
		kernel.Add(b.x.Row(r), column)
	}
	e.posNorm.apply(b.x, b.x)
	b.trace("model.embed_vision", "", b.x) // as the reference data names what goes into the embedder
	return b.x
}

// pack makes panels of the matrices, before the first picture of a fast model.
func (e *pictureEmbedder) pack(p *tensor.Pool) {
	if e.packed {
		return
	}
	e.packed = true
	e.dense = tensor.PackBF16(p, e.dense)
	e.projection = tensor.PackBF16(p, e.projection)
	release(e.stored, "")
}

// layerNorm is (x − mean)/√(variance + pictureNormEps) · weight + bias (arXiv:1607.06450).
type layerNorm struct{ weight, bias *vector }

// pictureNormEps is PyTorch's default; rms_norm_eps is that of RMSNorms only.
const pictureNormEps = 1e-5

func bindLayerNorm(b *binder, name string, n int) layerNorm {
	return layerNorm{b.vec(name+".weight", n), b.vec(name+".bias", n)}
}

// apply sets each row of dst to that of x, normed; dst may be x. Sums are in float64: a row of
// 6,912 pixels of nearly one colour has a mean far larger than what is around it.
func (l *layerNorm) apply(dst, x tensor.Mat) {
	n := float64(x.Cols)
	for r := range x.Rows {
		from, to := x.Row(r), dst.Row(r)
		var sum, squares float64
		for _, v := range from {
			sum += float64(v)
		}
		mean := sum / n
		for _, v := range from {
			d := float64(v) - mean
			squares += d * d
		}
		scale := 1 / math.Sqrt(squares/n+pictureNormEps)
		for i, v := range from {
			to[i] = float32((float64(v)-mean)*scale)*l.weight.v[i] + l.bias.v[i]
		}
	}
}

// soundEmbedder is what a 12B has in place of an audio tower.
type soundEmbedder struct {
	config     *AudioConfig
	projection tensor.Weight // [D, samples of a frame]
	packed     bool
}

// bindSoundEmbedder asks for the one tensor between samples and the decoder.
func bindSoundEmbedder(b *binder, a *AudioConfig, textHidden int) *soundEmbedder {
	return &soundEmbedder{
		config:     a,
		projection: b.stored("model.embed_audio.embedding_projection.weight", textHidden, a.AudioEmbedDim),
	}
}

// encode is soundEncoder's. Clips go one after the other: a frame's soft token depends on
// nothing else, and there is nothing to share but the projection, which is small.
func (e *soundEmbedder) encode(s *scratch, clips []*audio.Features) []tensor.Mat {
	if s.fast && !e.packed {
		e.packed = true
		e.projection = tensor.PackBF16(s.pool, e.projection)
	}
	out := make([]tensor.Mat, len(clips))
	for i, c := range clips {
		frames := tensor.Mat{Rows: c.Valid, Cols: c.Width, Data: c.Data[:c.Valid*c.Width]}
		h := norm(s, &s.norm, frames, nil, e.config.RMSNormEps) // [S, samples]
		out[i] = tensor.New(h.Rows, e.projection.Out())
		e.projection.MatMul(s.pool, out[i], h)
		s.trace("model.embed_audio", "", out[i])
	}
	return out
}

// softTokens is one for each frame.
func (e *soundEmbedder) softTokens(frames int) int { return frames }
