package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"facet/internal/tensor"
	"facet/internal/weights"
	"facet/internal/weights/gguf"
)

// rename is the name of a tensor in GGUF and in safetensors files, with * for the number
// of its layer, and what its values go through on the way.
type rename struct {
	gguf, hf string
	change   *change
}

// change turns the values of a GGUF file into those of a safetensors file, and back.
type change struct {
	toHF, toGGUF func(t weights.Tensor) (weights.Tensor, error)
}

// The names follow llama.cpp's converter. Two pairs of the audio tower look swapped and
// are not: its conv_norm is the norm before the convolution block, norm_conv the one
// within.
var renames = slices.Concat(
	under("", "model.language_model.", []rename{
		{"token_embd.weight", "embed_tokens.weight", nil},
		{"output_norm.weight", "norm.weight", nil},
		{"per_layer_token_embd.weight", "embed_tokens_per_layer.weight", nil},
		{"per_layer_model_proj.weight", "per_layer_model_projection.weight", nil},
		{"per_layer_proj_norm.weight", "per_layer_projection_norm.weight", nil},
	}),
	under("blk.*.", "model.language_model.layers.*.", []rename{
		{"attn_norm.weight", "input_layernorm.weight", nil},
		{"post_attention_norm.weight", "post_attention_layernorm.weight", nil},
		{"ffn_norm.weight", "pre_feedforward_layernorm.weight", nil},
		{"post_ffw_norm.weight", "post_feedforward_layernorm.weight", nil},
		{"attn_q.weight", "self_attn.q_proj.weight", nil},
		{"attn_k.weight", "self_attn.k_proj.weight", nil},
		{"attn_v.weight", "self_attn.v_proj.weight", nil},
		{"attn_output.weight", "self_attn.o_proj.weight", nil},
		{"attn_q_norm.weight", "self_attn.q_norm.weight", nil},
		{"attn_k_norm.weight", "self_attn.k_norm.weight", nil},
		{"ffn_gate.weight", "mlp.gate_proj.weight", nil},
		{"ffn_up.weight", "mlp.up_proj.weight", nil},
		{"ffn_down.weight", "mlp.down_proj.weight", nil},
		{"layer_output_scale.weight", "layer_scalar", nil},
		{"inp_gate.weight", "per_layer_input_gate.weight", nil},
		{"proj.weight", "per_layer_projection.weight", nil},
		{"post_norm.weight", "post_per_layer_input_norm.weight", nil},
		{"ffn_gate_inp.weight", "router.proj.weight", nil},
		{"ffn_gate_inp.scale", "router.scale", nil},
		{"ffn_down_exps.scale", "router.per_expert_scale", nil},
		{"ffn_gate_up_exps.weight", "experts.gate_up_proj", nil},
		{"ffn_gate_exps.weight", "experts.gate_proj", nil}, // or these two: safetensors files have no such
		{"ffn_up_exps.weight", "experts.up_proj", nil},
		{"ffn_down_exps.weight", "experts.down_proj", nil},
		{"pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight", nil},
		{"post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight", nil},
		{"post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight", nil},
	}),
	under("v.", "model.vision_tower.", []rename{
		{"patch_embd.weight", "patch_embedder.input_proj.weight", &patchOrder},
		{"position_embd.weight", "patch_embedder.position_embedding_table", nil},
		{"std_bias", "std_bias", nil},
		{"std_scale", "std_scale", nil},
	}),
	under("v.blk.*.", "model.vision_tower.encoder.layers.*.", slices.Concat([]rename{
		{"ln1.weight", "input_layernorm.weight", nil},
		{"attn_post_norm.weight", "post_attention_layernorm.weight", nil},
		{"ln2.weight", "pre_feedforward_layernorm.weight", nil},
		{"ffn_post_norm.weight", "post_feedforward_layernorm.weight", nil},
		{"attn_q_norm.weight", "self_attn.q_norm.weight", nil},
		{"attn_k_norm.weight", "self_attn.k_norm.weight", nil},
	},
		clippedLinear("attn_q", "self_attn.q_proj"), clippedLinear("attn_k", "self_attn.k_proj"),
		clippedLinear("attn_v", "self_attn.v_proj"), clippedLinear("attn_out", "self_attn.o_proj"),
		clippedLinear("ffn_gate", "mlp.gate_proj"), clippedLinear("ffn_up", "mlp.up_proj"), clippedLinear("ffn_down", "mlp.down_proj"),
	)),
	under("a.", "model.audio_tower.", []rename{
		{"conv1d.0.weight", "subsample_conv_projection.layer0.conv.weight", nil},
		{"conv1d.0.norm.weight", "subsample_conv_projection.layer0.norm.weight", nil},
		{"conv1d.1.weight", "subsample_conv_projection.layer1.conv.weight", nil},
		{"conv1d.1.norm.weight", "subsample_conv_projection.layer1.norm.weight", nil},
		{"input_projection.weight", "subsample_conv_projection.input_proj_linear.weight", nil},
		{"pre_encode.out.weight", "output_proj.weight", nil},
		{"pre_encode.out.bias", "output_proj.bias", nil},
	}),
	under("a.blk.*.", "model.audio_tower.layers.*.", slices.Concat([]rename{
		{"ffn_norm.weight", "feed_forward1.pre_layer_norm.weight", nil},
		{"ffn_post_norm.weight", "feed_forward1.post_layer_norm.weight", nil},
		{"ffn_norm_1.weight", "feed_forward2.pre_layer_norm.weight", nil},
		{"ffn_post_norm_1.weight", "feed_forward2.post_layer_norm.weight", nil},
		{"attn_pre_norm.weight", "norm_pre_attn.weight", nil},
		{"attn_post_norm.weight", "norm_post_attn.weight", nil},
		{"attn_k_rel.weight", "self_attn.relative_k_proj.weight", nil},
		{"per_dim_scale.weight", "self_attn.per_dim_scale", &softplus},
		{"conv_norm.weight", "lconv1d.pre_layer_norm.weight", nil},
		{"norm_conv.weight", "lconv1d.conv_norm.weight", nil},
		{"conv_dw.weight", "lconv1d.depthwise_conv1d.weight", &squeeze},
		{"ln2.weight", "norm_out.weight", nil},
	},
		clippedLinear("ffn_up", "feed_forward1.ffw_layer_1"), clippedLinear("ffn_down", "feed_forward1.ffw_layer_2"),
		clippedLinear("ffn_up_1", "feed_forward2.ffw_layer_1"), clippedLinear("ffn_down_1", "feed_forward2.ffw_layer_2"),
		clippedLinear("attn_q", "self_attn.q_proj"), clippedLinear("attn_k", "self_attn.k_proj"),
		clippedLinear("attn_v", "self_attn.v_proj"), clippedLinear("attn_out", "self_attn.post"),
		clippedLinear("conv_pw1", "lconv1d.linear_start"), clippedLinear("conv_pw2", "lconv1d.linear_end"),
	)),
	[]rename{
		{"mm.input_projection.weight", "model.embed_vision.embedding_projection.weight", nil},
		{"mm.a.input_projection.weight", "model.embed_audio.embedding_projection.weight", nil},
	},
)

// unifiedRenames are the names of what a 12B has in place of towers, some of which are those
// of other tensors in other sizes.
var unifiedRenames = slices.Concat(
	under("v.", "model.vision_embedder.", []rename{
		{"patch_norm.1.weight", "patch_ln1.weight", &planes},
		{"patch_norm.1.bias", "patch_ln1.bias", &planes},
		{"patch_embd.weight", "patch_dense.weight", &planes},
		{"patch_embd.bias", "patch_dense.bias", nil},
		{"patch_norm.2.weight", "patch_ln2.weight", nil},
		{"patch_norm.2.bias", "patch_ln2.bias", nil},
		{"position_embd.weight", "pos_embedding", &axes},
		{"patch_norm.3.weight", "pos_norm.weight", nil},
		{"patch_norm.3.bias", "pos_norm.bias", nil},
	}),
)

// under puts prefixes before the names of a list.
func under(ggufPrefix, hfPrefix string, list []rename) []rename {
	for i := range list {
		list[i].gguf, list[i].hf = ggufPrefix+list[i].gguf, hfPrefix+list[i].hf
	}
	return list
}

// clippedLinear is a linear layer of a tower with the bounds beside it.
func clippedLinear(gguf, hf string) []rename {
	list := []rename{{gguf + ".weight", hf + ".linear.weight", nil}}
	for _, bound := range []string{".input_min", ".input_max", ".output_min", ".output_max"} {
		list = append(list, rename{gguf + bound, hf + bound, &scalar})
	}
	return list
}

// ropeFreqs is the one tensor of a text file that has no counterpart: ggufConfig reads it.
const ropeFreqs = "rope_freqs.weight"

// names looks up renames by one of the two names.
type names map[string]rename

var (
	byGGUFName        = namesBy(func(r rename) string { return r.gguf }, renames)
	byGGUFNameUnified = namesBy(func(r rename) string { return r.gguf }, renames, unifiedRenames) // of a 12B's files
	byHFName          = namesBy(func(r rename) string { return r.hf }, renames, unifiedRenames)
)

// namesBy indexes lists, of which a later one counts where names are the same.
func namesBy(name func(rename) string, lists ...[]rename) names {
	n := names{}
	for _, r := range slices.Concat(lists...) {
		n[name(r)] = r
	}
	return n
}

// find returns the rename of a tensor, with its layer in place of *.
func (n names) find(name string) (r rename, ok bool) {
	if r, ok = n[name]; ok {
		return r, true
	}
	pattern, layer := withoutLayer(name)
	if r, ok = n[pattern]; ok {
		r.gguf = strings.Replace(r.gguf, "*", layer, 1)
		r.hf = strings.Replace(r.hf, "*", layer, 1)
	}
	return r, ok
}

// withoutLayer replaces the first part of a dotted name that is a number, as numbers
// are written, by *.
func withoutLayer(name string) (pattern, layer string) {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if n, err := strconv.Atoi(part); err == nil && n >= 0 && strconv.Itoa(n) == part {
			parts[i] = "*"
			return strings.Join(parts, "."), part
		}
	}
	return name, ""
}

// ggufSource gives the tensors of a text file and its mmproj file the names, shapes and
// values that they have in safetensors files. Tensors that have no such name keep their
// own, so that an error can name them.
type ggufSource struct {
	files   []*gguf.File
	tensors map[string]weights.Tensor
}

// newGGUFSource takes over the files, of which towers may be nil, unless it fails. unified says
// that they are a 12B's.
func newGGUFSource(text, towers *gguf.File, unified bool) (*ggufSource, error) {
	s := &ggufSource{files: []*gguf.File{text}, tensors: map[string]weights.Tensor{}}
	known := byGGUFName
	if unified {
		known = byGGUFNameUnified
	}
	if towers != nil {
		s.files = append(s.files, towers)
	}
	for _, f := range s.files {
		for _, name := range f.Names() {
			if name == ropeFreqs {
				continue
			}
			if err := s.add(f, name, known); err != nil {
				return nil, fmt.Errorf("%s: tensor %s: %w", f.Path(), name, err)
			}
		}
	}
	return s, nil
}

// add takes the tensor of this name from f.
func (s *ggufSource) add(f *gguf.File, name string, known names) error {
	t, _ := f.Tensor(name)
	if r, ok := known.find(name); ok {
		if r.change != nil {
			var err error
			if t, err = r.change.toHF(t); err != nil {
				return err
			}
		}
		t.Name = r.hf
	}
	if _, twice := s.tensors[t.Name]; twice {
		return FormatError("there already as " + t.Name)
	}
	s.tensors[t.Name] = t
	return nil
}

func (s *ggufSource) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

func (s *ggufSource) Tensor(name string) (weights.Tensor, bool) {
	t, ok := s.tensors[name]
	return t, ok
}

func (s *ggufSource) Files() []string {
	var paths []string
	for _, f := range s.files {
		paths = append(paths, f.Files()...)
	}
	return paths
}

func (s *ggufSource) Size() int64 {
	var n int64
	for _, f := range s.files {
		n += f.Size()
	}
	return n
}

func (s *ggufSource) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// scalar: GGUF files hold one number as a list of one.
var scalar = change{
	toHF:   func(t weights.Tensor) (weights.Tensor, error) { return reshaped(t, []int{1}) },
	toGGUF: func(t weights.Tensor) (weights.Tensor, error) { return reshaped(t, nil, 1) },
}

// squeeze: a kernel [C, 1, K] of a depthwise convolution is kept as [C, K].
var squeeze = change{
	toHF: func(t weights.Tensor) (weights.Tensor, error) {
		if len(t.Shape) != 2 {
			return t, FormatError(fmt.Sprintf("shape %v, want 2 dimensions", t.Shape))
		}
		return reshaped(t, t.Shape, t.Shape[0], 1, t.Shape[1])
	},
	toGGUF: func(t weights.Tensor) (weights.Tensor, error) {
		if len(t.Shape) != 3 || t.Shape[1] != 1 {
			return t, FormatError(fmt.Sprintf("shape %v, want [C, 1, K]", t.Shape))
		}
		return reshaped(t, t.Shape, t.Shape[0], t.Shape[2])
	},
}

// reshaped returns t, which must have the shape from, with the shape to.
func reshaped(t weights.Tensor, from []int, to ...int) (weights.Tensor, error) {
	if !slices.Equal(t.Shape, from) {
		return t, FormatError(fmt.Sprintf("shape %v, want %v", t.Shape, from))
	}
	t.Shape = to
	return t, nil
}

// patchOrder: the weights of the patch embedding are [n, 3, 16, 16] in a GGUF file, a
// colour after the other, and [n, 768] with the colours of a pixel together elsewhere.
var patchOrder = change{
	toHF: func(t weights.Tensor) (weights.Tensor, error) {
		s := t.Shape
		if len(s) != 4 {
			return t, FormatError(fmt.Sprintf("shape %v, want [n, colours, rows, columns]", s))
		}
		return transposed(t, s[0], s[1], s[2]*s[3], 1, []int{s[0], s[1] * s[2] * s[3]})
	},
	toGGUF: func(t weights.Tensor) (weights.Tensor, error) {
		if len(t.Shape) != 2 {
			return t, FormatError(fmt.Sprintf("shape %v, want [n, values]", t.Shape))
		}
		side := int(math.Sqrt(float64(t.Shape[1] / 3)))
		if 3*side*side != t.Shape[1] {
			return t, FormatError(fmt.Sprintf("shape %v: rows are no squares of three colours", t.Shape))
		}
		return transposed(t, t.Shape[0], side*side, 3, 1, []int{t.Shape[0], 3, side, side})
	},
}

// planes: what a 12B has for each value of a patch stands in GGUF files a colour after the
// other, and with the colours of a pixel together elsewhere. It is a matrix or a vector.
var planes = change{
	toHF: func(t weights.Tensor) (weights.Tensor, error) {
		n, pixels, err := patchRows(t.Shape)
		if err != nil {
			return t, err
		}
		return transposed(t, n, 3, pixels, 1, t.Shape)
	},
	toGGUF: func(t weights.Tensor) (weights.Tensor, error) {
		n, pixels, err := patchRows(t.Shape)
		if err != nil {
			return t, err
		}
		return transposed(t, n, pixels, 3, 1, t.Shape)
	},
}

// patchRows takes a shape [n, values] or [values] for n rows of pixels with three colours each.
func patchRows(shape []int) (n, pixels int, err error) {
	if len(shape) != 1 && len(shape) != 2 || shape[len(shape)-1]%3 != 0 {
		return 0, 0, FormatError(fmt.Sprintf("shape %v: no rows of three colours", shape))
	}
	n = 1
	if len(shape) == 2 {
		n = shape[0]
	}
	return n, shape[len(shape)-1] / 3, nil
}

// axes: the table of positions is [2, N, D] in a GGUF file, those of columns first, and [N, 2, D]
// elsewhere.
var axes = change{
	toHF: func(t weights.Tensor) (weights.Tensor, error) {
		if len(t.Shape) != 3 || t.Shape[0] != 2 {
			return t, FormatError(fmt.Sprintf("shape %v, want [2, positions, n]", t.Shape))
		}
		return transposed(t, 1, 2, t.Shape[1], t.Shape[2], []int{t.Shape[1], 2, t.Shape[2]})
	},
	toGGUF: func(t weights.Tensor) (weights.Tensor, error) {
		if len(t.Shape) != 3 || t.Shape[1] != 2 {
			return t, FormatError(fmt.Sprintf("shape %v, want [positions, 2, n]", t.Shape))
		}
		return transposed(t, 1, t.Shape[0], 2, t.Shape[2], []int{2, t.Shape[0], t.Shape[2]})
	},
}

// transposed returns t, taken as [n, rows, cols, width], as [n, cols, rows, width] in new
// memory, with the shape given.
func transposed(t weights.Tensor, n, rows, cols, width int, shape []int) (weights.Tensor, error) {
	size := map[string]int{"F32": 4, "F16": 2, "BF16": 2}[t.DType]
	if size == 0 {
		return t, UnsupportedError("type " + t.DType + ", whose values cannot be put in another order")
	}
	size *= width
	data := make([]byte, len(t.Data))
	for i := range n {
		for r := range rows {
			for c := range cols {
				from, to := (i*rows+r)*cols+c, (i*cols+c)*rows+r
				copy(data[to*size:(to+1)*size], t.Data[from*size:])
			}
		}
	}
	t.Release(0, len(t.Data))
	return weights.Tensor{Name: t.Name, DType: t.DType, Shape: shape, Data: data}, nil
}

// softplus: the factor of each dimension of a head is softplus(per_dim_scale), and GGUF
// files keep the factor.
var softplus = change{
	toHF:   eachFloat(func(y float64) float64 { return math.Log(math.Expm1(y)) }),
	toGGUF: eachFloat(func(x float64) float64 { return math.Log1p(math.Exp(x)) }),
}

// eachFloat returns a change of every value by itself, to F32 in new memory.
func eachFloat(f func(float64) float64) func(weights.Tensor) (weights.Tensor, error) {
	return func(t weights.Tensor) (weights.Tensor, error) {
		values, err := floats(t)
		if err != nil {
			return t, err
		}
		data := make([]byte, 0, 4*len(values))
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(f(float64(v)))))
		}
		return weights.Tensor{Name: t.Name, DType: "F32", Shape: t.Shape, Data: data}, nil
	}
}

// floats returns the values of a small tensor.
func floats(t weights.Tensor) ([]float32, error) {
	w, err := tensor.WeightOf(t.DType, t.Data, 1, int(t.Elements()))
	if err != nil {
		return nil, err
	}
	values := make([]float32, w.In())
	w.Row(values, 0)
	return values, nil
}
