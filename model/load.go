package model

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"facet/internal/tensor"
	"facet/internal/weights"
)

// binder hands out a checkpoint's tensors by name and shape. It keeps the first
// thing that is wrong, so that the code that binds reads as a list of names, and
// knows at the end which tensors nobody asked for.
type binder struct {
	src     weights.Source
	used    map[string]bool
	vectors []*vector
	unused  map[string]bool
	// workers, if not nil, make matrices ready for fast products.
	workers *tensor.Pool
	err     error
}

func newBinder(src weights.Source) *binder {
	return &binder{src: src, used: map[string]bool{}, unused: map[string]bool{}}
}

func (b *binder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// tensor returns the tensor of this name; ok is false, and the error kept, if it
// is missing or has another shape.
func (b *binder) tensor(name string, shape ...int) (t weights.Tensor, ok bool) {
	b.used[name] = true
	t, ok = b.src.Tensor(name)
	if !ok {
		b.fail(FormatError(fmt.Sprintf("tensor %s is missing", name)))
		return t, false
	}
	if !slices.Equal(t.Shape, shape) {
		b.fail(FormatError(fmt.Sprintf("tensor %s has shape %v, want %v", name, t.Shape, shape)))
		return t, false
	}
	return t, true
}

// has reports whether the file has a tensor of this name.
func (b *binder) has(name string) bool {
	_, ok := b.src.Tensor(name)
	return ok
}

// mat binds a matrix [out, in], which stays in the memory map unless it is repacked.
func (b *binder) mat(name string, out, in int) tensor.Weight {
	t, ok := b.tensor(name, out, in)
	if !ok {
		return nil
	}
	return b.matrix(t, out, in)
}

// stack binds a tensor [n, out, in] as one matrix of n·out rows.
func (b *binder) stack(name string, n, out, in int) tensor.Weight {
	t, ok := b.tensor(name, n, out, in)
	if !ok {
		return nil
	}
	return b.matrix(t, n*out, in)
}

// stored binds a matrix [out, in] that multiplies in float32 until it is repacked.
func (b *binder) stored(name string, out, in int) tensor.Weight {
	t, ok := b.tensor(name, out, in)
	if !ok {
		return nil
	}
	return b.weight(t, out, in)
}

// matrix is weight; where products are to be fast, quantised values are repacked for
// integer products, and bfloat16 is multiplied as such where it lies.
func (b *binder) matrix(t weights.Tensor, out, in int) tensor.Weight {
	switch {
	case b.workers == nil || b.err != nil:
		return b.weight(t, out, in)
	case !tensor.Packable(t.DType):
		return tensor.BF16Rows(b.weight(t, out, in))
	}
	w, err := tensor.Pack(b.workers, t.DType, t.Data, out, in, t.Release)
	if err != nil {
		b.fail(fmt.Errorf("tensor %s: %w", t.Name, err))
	}
	return w
}

func (b *binder) weight(t weights.Tensor, out, in int) tensor.Weight {
	w, err := tensor.WeightOf(t.DType, t.Data, out, in)
	if err != nil {
		b.fail(fmt.Errorf("tensor %s: %w", t.Name, err))
	}
	return w
}

// vec binds a small tensor of any shape; load widens it to float32 later,
// so that binding alone reads no value.
func (b *binder) vec(name string, shape ...int) *vector {
	t, ok := b.tensor(name, shape...)
	if !ok {
		return nil
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := &vector{weight: b.weight(t, 1, n), n: n}
	b.vectors = append(b.vectors, v)
	return v
}

// table binds a matrix whose rows are read one by one from the file.
func (b *binder) table(name string, rows, cols int) *rowTable {
	t, ok := b.tensor(name, rows, cols)
	if !ok {
		return nil
	}
	return &rowTable{tensor: t, rows: rows, cols: cols}
}

// ignore names a tensor that the file may hold and the model does not use.
func (b *binder) ignore(name string) {
	b.used[name] = true
	if _, ok := b.src.Tensor(name); ok {
		b.unused[name] = true
	}
}

// under returns the tensors whose names begin with prefix.
func (b *binder) under(prefix string) []weights.Tensor {
	var list []weights.Tensor
	for _, name := range b.src.Names() {
		if strings.HasPrefix(name, prefix) {
			t, _ := b.src.Tensor(name)
			list = append(list, t)
		}
	}
	return list
}

// done returns the first error, or names a tensor of the file that nothing asked for.
func (b *binder) done() error {
	if b.err != nil {
		return b.err
	}
	for _, name := range b.src.Names() {
		if !b.used[name] {
			return FormatError(fmt.Sprintf("tensor %s is not one of this model's", name))
		}
	}
	return nil
}

// vector is a small tensor of n values, widened to float32 by load.
type vector struct {
	weight tensor.Weight
	n      int
	v      []float32
}

func (v *vector) load() {
	v.v = make([]float32, v.n)
	v.weight.Row(v.v, 0)
}

// rowTable is a matrix read row by row with pread, never through the memory map:
// the per-layer embedding table is half of E2B and a token needs 9 kB of it.
type rowTable struct {
	tensor     weights.Tensor
	rows, cols int
}

// row returns row i, valid until the next call with the same scratch.
func (t *rowTable) row(s *scratch, i int) ([]float32, error) {
	bytes := int(t.tensor.Bytes()) / t.rows
	s.stored, s.tableRow = slices.Grow(s.stored[:0], bytes)[:bytes], slices.Grow(s.tableRow[:0], t.cols)[:t.cols]
	if _, err := t.tensor.ReadAt(s.stored, int64(i)*int64(bytes)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("row %d: %w", i, err)
	}
	w, err := tensor.WeightOf(t.tensor.DType, s.stored, 1, t.cols)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", t.tensor.Name, err)
	}
	w.Row(s.tableRow, 0)
	return s.tableRow, nil
}

// bindDecoder asks for every tensor of the text decoder.
func bindDecoder(b *binder, c *TextConfig) *decoder {
	const p = "model.language_model."
	d := &decoder{
		config: c,
		embed:  b.mat(p+"embed_tokens.weight", c.VocabSize, c.HiddenSize),
		norm:   b.vec(p+"norm.weight", c.HiddenSize),
	}
	if n := c.HiddenSizePerLayerInput; n > 0 {
		d.ple = &perLayerEmbeddings{
			table:      b.table(p+"embed_tokens_per_layer.weight", c.VocabSizePerLayerInput, c.NumHiddenLayers*n),
			projection: b.mat(p+"per_layer_model_projection.weight", c.NumHiddenLayers*n, c.HiddenSize),
			norm:       b.vec(p+"per_layer_projection_norm.weight", n),
		}
	}
	for i := range c.NumHiddenLayers {
		d.layers = append(d.layers, bindLayer(b, c, i))
	}
	return d
}

func bindLayer(b *binder, c *TextConfig, i int) *layer {
	p := fmt.Sprintf("model.language_model.layers.%d.", i)
	hidden, dim, ffn := c.HiddenSize, c.headDim(i), c.intermediateSize(i)
	l := &layer{
		name:              strings.TrimSuffix(p, "."),
		inputNorm:         b.vec(p+"input_layernorm.weight", hidden),
		postAttentionNorm: b.vec(p+"post_attention_layernorm.weight", hidden),
		preMLPNorm:        b.vec(p+"pre_feedforward_layernorm.weight", hidden),
		postMLPNorm:       b.vec(p+"post_feedforward_layernorm.weight", hidden),
		scalar:            b.vec(p+"layer_scalar", 1),
		attention: attention{
			name:  p + "self_attn",
			shape: attentionShape{heads: c.heads(i), kvHeads: c.kvHeads(i), dim: dim},
			q:     linear{weight: b.mat(p+"self_attn.q_proj.weight", c.heads(i)*dim, hidden)},
			o:     linear{weight: b.mat(p+"self_attn.o_proj.weight", hidden, c.heads(i)*dim)},
			qNorm: b.vec(p+"self_attn.q_norm.weight", dim),
		},
		mlp: mlp{
			name: p + "mlp",
			gate: linear{weight: b.mat(p+"mlp.gate_proj.weight", ffn, hidden)},
			up:   linear{weight: b.mat(p+"mlp.up_proj.weight", ffn, hidden)},
			down: linear{weight: b.mat(p+"mlp.down_proj.weight", hidden, ffn)},
		},
	}
	if a := &l.attention; c.ownsKV(i) {
		a.k = linear{weight: b.mat(p+"self_attn.k_proj.weight", c.kvHeads(i)*dim, hidden)}
		a.kNorm = b.vec(p+"self_attn.k_norm.weight", dim)
		if !c.keyIsValue(i) {
			a.v = linear{weight: b.mat(p+"self_attn.v_proj.weight", c.kvHeads(i)*dim, hidden)}
		}
	} else { // released files hold these all the same
		for _, name := range []string{"k_proj.weight", "v_proj.weight", "k_norm.weight"} {
			b.ignore(p + "self_attn." + name)
		}
	}
	if n := c.HiddenSizePerLayerInput; n > 0 {
		l.ple = &layerPLE{
			gate:       linear{weight: b.mat(p+"per_layer_input_gate.weight", n, hidden)},
			projection: linear{weight: b.mat(p+"per_layer_projection.weight", hidden, n)},
			norm:       b.vec(p+"post_per_layer_input_norm.weight", hidden),
		}
	}
	if c.EnableMoEBlock {
		n, width := *c.NumExperts, *c.MoEIntermediateSize
		l.experts = &experts{
			name: strings.TrimSuffix(p, "."), count: n, topK: *c.TopKExperts, width: width,
			router:         b.stored(p+"router.proj.weight", n, hidden), // small, and a near-tie sends a token elsewhere
			routerScale:    b.vec(p+"router.scale", hidden),
			perExpertScale: b.vec(p+"router.per_expert_scale", n),
			down:           b.stack(p+"experts.down_proj", n, hidden, width),
			preNorm:        b.vec(p+"pre_feedforward_layernorm_2.weight", hidden),
			postDenseNorm:  b.vec(p+"post_feedforward_layernorm_1.weight", hidden),
			postNorm:       b.vec(p+"post_feedforward_layernorm_2.weight", hidden),
		}
		if e := l.experts; b.has(p+"experts.gate_up_proj") || !b.has(p+"experts.gate_proj") && !b.has(p+"experts.up_proj") {
			e.gateUp = b.stack(p+"experts.gate_up_proj", n, 2*width, hidden)
		} else { // as some GGUF files have them
			e.gate = b.stack(p+"experts.gate_proj", n, width, hidden)
			e.up = b.stack(p+"experts.up_proj", n, width, hidden)
		}
	}
	return l
}

// bindVision asks for every tensor of the vision tower and its projection into the decoder.
func bindVision(b *binder, v *VisionConfig, textHidden int) *visionTower {
	const p = "model.vision_tower."
	hidden := v.HiddenSize
	patch := 3 * v.PatchSize * v.PatchSize
	t := &visionTower{
		config:     v,
		patchProj:  b.stored(p+"patch_embedder.input_proj.weight", hidden, patch),
		positions:  b.stack(p+"patch_embedder.position_embedding_table", 2, v.PositionEmbeddingSize, hidden),
		projection: b.stored("model.embed_vision.embedding_projection.weight", textHidden, hidden),
	}
	if v.Standardize {
		t.stdBias = b.vec(p+"std_bias", hidden)
		t.stdScale = b.vec(p+"std_scale", hidden)
	}
	for i := range v.NumHiddenLayers {
		t.layers = append(t.layers, bindVisionLayer(b, v, fmt.Sprintf("%sencoder.layers.%d", p, i)))
	}
	t.stored = b.under(p)
	return t
}

func bindVisionLayer(b *binder, v *VisionConfig, name string) *visionLayer {
	p := name + "."
	hidden := v.HiddenSize
	q, kv := v.NumAttentionHeads*v.HeadDim, v.NumKeyValueHeads*v.HeadDim
	return &visionLayer{
		name:              name,
		inputNorm:         b.vec(p+"input_layernorm.weight", hidden),
		postAttentionNorm: b.vec(p+"post_attention_layernorm.weight", hidden),
		preMLPNorm:        b.vec(p+"pre_feedforward_layernorm.weight", hidden),
		postMLPNorm:       b.vec(p+"post_feedforward_layernorm.weight", hidden),
		attention: attention{
			name:  p + "self_attn",
			shape: attentionShape{heads: v.NumAttentionHeads, kvHeads: v.NumKeyValueHeads, dim: v.HeadDim},
			q:     bindClipped(b, v.UseClippedLinears, p+"self_attn.q_proj", q, hidden),
			k:     bindClipped(b, v.UseClippedLinears, p+"self_attn.k_proj", kv, hidden),
			v:     bindClipped(b, v.UseClippedLinears, p+"self_attn.v_proj", kv, hidden),
			o:     bindClipped(b, v.UseClippedLinears, p+"self_attn.o_proj", hidden, q),
			qNorm: b.vec(p+"self_attn.q_norm.weight", v.HeadDim),
			kNorm: b.vec(p+"self_attn.k_norm.weight", v.HeadDim),
		},
		mlp: mlp{
			name: p + "mlp",
			gate: bindClipped(b, v.UseClippedLinears, p+"mlp.gate_proj", v.IntermediateSize, hidden),
			up:   bindClipped(b, v.UseClippedLinears, p+"mlp.up_proj", v.IntermediateSize, hidden),
			down: bindClipped(b, v.UseClippedLinears, p+"mlp.down_proj", hidden, v.IntermediateSize),
		},
	}
}

// bindClipped binds a tower's linear layer with its four clip bounds, where the tower has them.
func bindClipped(b *binder, clipped bool, name string, out, in int) linear {
	l := linear{weight: b.stored(name+".linear.weight", out, in)}
	if clipped {
		l.clip = &clip{
			inMin: b.vec(name + ".input_min"), inMax: b.vec(name + ".input_max"),
			outMin: b.vec(name + ".output_min"), outMax: b.vec(name + ".output_max"),
		}
	}
	return l
}
