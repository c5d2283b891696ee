package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"facet/internal/quant"
	"facet/internal/tensor"
	"facet/internal/weights"
	"facet/internal/weights/gguf"
)

// recipe says which tensor of a GGUF file is stored in which format. Where a row is no
// whole number of blocks, the next of fallbacks is taken.
type recipe struct {
	fileType uint32 // key general.file_type: llama.cpp's number for the mix
	matrices string // the decoder's
	tables   string // token and per-layer embeddings, of which the first is the output head too
	better   string // for the matrices that moreBits names
}

// recipes follow llama.cpp's quantiser: tables lose most by rounding and get more bits.
var recipes = map[string]recipe{
	"q4_0": {2, "Q4_0", "Q6_K", "Q4_0"},
	"q8_0": {7, "Q8_0", "Q8_0", "Q8_0"},
	"q4_k": {15, "Q4_K", "Q6_K", "Q6_K"}, // known as Q4_K_M
	"bf16": {32, "BF16", "BF16", "BF16"},
}

var fallbacks = []string{"Q8_0", "BF16"}

// QuantizeTypes are the types that Quantize knows.
func QuantizeTypes() []string { return []string{"q4_0", "q8_0", "q4_k", "bf16"} }

// QuantizeOptions say how a checkpoint is quantised.
type QuantizeOptions struct {
	Type    string // one of QuantizeTypes
	Threads int    // 0 means one for each CPU
	// Progress, if not nil, is called with the bytes that were read and those there are.
	Progress func(done, total int64)
}

// Quantize writes the checkpoint at src, a folder or a GGUF file, as a GGUF file dst that
// llama.cpp reads as well, and its towers, if it has any, in bfloat16 beside it, by
// the name that is returned. The files appear when they are complete, in place of those
// that were there. Weights are read and written piece by piece, the vocabulary at once.
//
// What facet.json and the other files say besides goes into keys of our own. The keys and
// values that shared layers do not use are left out. Values that lie on a
// Q4_0 grid, as those of checkpoints trained for it do, are kept exactly by q4_0.
func Quantize(ctx context.Context, src, dst string, o QuantizeOptions) (mmproj string, err error) {
	r, ok := recipes[o.Type]
	if !ok {
		return "", UnsupportedError(fmt.Sprintf("type %q: want one of %s", o.Type, strings.Join(QuantizeTypes(), ", ")))
	}
	m, err := Bind(src, "") // everything is there before anything is written
	if err != nil {
		return "", err
	}
	defer m.source.Close()
	q := &quantizer{model: m, recipe: r, pool: tensor.NewPool(o.Threads), progress: o.Progress, ctx: ctx}
	defer q.pool.Close()
	text, towers, err := q.tensors()
	if err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	keys, err := m.ggufKeys(r.fileType)
	if err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	if err := gguf.Write(dst, keys, text); err != nil {
		return "", err
	}
	if len(towers) == 0 {
		return "", nil
	}
	mmproj = MMProjBeside(dst)
	return mmproj, gguf.Write(mmproj, m.mmprojKeys(), towers)
}

// MMProjBeside is the name under which Quantize writes the towers of the file dst.
func MMProjBeside(dst string) string {
	return strings.TrimSuffix(dst, filepath.Ext(dst)) + "-mmproj-bf16.gguf"
}

// quantizer writes the tensors of one checkpoint.
type quantizer struct {
	model       *Model
	recipe      recipe
	pool        *tensor.Pool
	ctx         context.Context
	progress    func(done, total int64)
	done, total int64
}

// tensors lists what both files will hold: of the decoder first the whole, then layer by layer.
func (q *quantizer) tensors() (text, towers []gguf.Tensor, err error) {
	text = append(text, ropeFreqsTensor(&q.model.config.TextConfig))
	for _, t := range q.model.Tensors() {
		if !t.Used {
			continue
		}
		r, ok := byHFName.find(t.Name)
		if !ok {
			return nil, nil, UnsupportedError(fmt.Sprintf("tensor %s has no name in GGUF files", t.Name))
		}
		source, _ := q.model.source.Tensor(t.Name)
		q.total += source.Bytes()
		x, err := q.tensor(r, source)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if isTower(r.gguf) {
			towers = append(towers, x)
		} else {
			text = append(text, x)
		}
	}
	for _, list := range [][]gguf.Tensor{text, towers} {
		slices.SortStableFunc(list, func(a, b gguf.Tensor) int { return naturalOrder(a.Name, b.Name) })
	}
	return text, towers, nil
}

// isTower reports whether a tensor belongs in the mmproj file.
func isTower(name string) bool {
	return strings.HasPrefix(name, "v.") || strings.HasPrefix(name, "a.") || strings.HasPrefix(name, "mm.")
}

// naturalOrder puts layer 2 before layer 10: names are compared with their numbers
// padded, and those without first.
func naturalOrder(a, b string) int {
	padded := func(name string) string {
		pattern, layer := withoutLayer(name)
		if layer == "" {
			return " " + name
		}
		return strings.Replace(pattern, "*", fmt.Sprintf("%06s", layer), 1)
	}
	return strings.Compare(padded(a), padded(b))
}

// tensor returns the source as the GGUF tensor r names, to be written when its time comes.
func (q *quantizer) tensor(r rename, source weights.Tensor) (gguf.Tensor, error) {
	read := source.Bytes() // also where source is replaced by what a change made of it
	if r.change != nil {
		var err error
		if source, err = r.change.toGGUF(source); err != nil {
			return gguf.Tensor{}, err
		}
	}
	f := q.format(r.gguf, source.Shape)
	return gguf.Tensor{Name: r.gguf, DType: f.Name, Shape: source.Shape, Write: func(w io.Writer) error {
		return q.write(w, f, source, read)
	}}, nil
}

// asFloat32 are the matrices that ggml wants in F32, besides all that is no matrix.
var asFloat32 = []string{
	"blk.*.ffn_gate_inp.weight", "v.patch_embd.weight", "v.position_embd.weight", "a.input_projection.weight",
	"a.conv1d.0.weight", "a.conv1d.1.weight", "a.blk.*.conv_dw.weight",
}

// format returns the format in which a tensor is stored.
func (q *quantizer) format(name string, shape []int) *quant.Format {
	pattern, layer := withoutLayer(name)
	want := q.recipe.matrices
	switch {
	case len(shape) < 2 || slices.Contains(asFloat32, name) || slices.Contains(asFloat32, pattern):
		want = "F32"
	case isTower(name) || name == "per_layer_model_proj.weight":
		want = "BF16"
	case name == "token_embd.weight" || name == "per_layer_token_embd.weight":
		want = q.recipe.tables
	case moreBits(pattern, layer, q.model.config.TextConfig.NumHiddenLayers):
		want = q.recipe.better
	}
	for _, candidate := range append([]string{want}, fallbacks...) {
		if f, ok := quant.Named(candidate); ok && (len(shape) == 0 || f.Fits(shape[len(shape)-1])) {
			return f
		}
	}
	panic("model: format: BF16 fits every row")
}

// moreBits reports whether llama.cpp's mixes give a matrix more bits: values and the
// MLP's way down in the first and the last eighth of the layers and every third between.
func moreBits(pattern, layer string, layers int) bool {
	if pattern != "blk.*.attn_v.weight" && pattern != "blk.*.ffn_down.weight" && pattern != "blk.*.ffn_down_exps.weight" {
		return false
	}
	i, _ := strconv.Atoi(layer) // withoutLayer found it to be a number
	return i < layers/8 || i >= 7*layers/8 || (i-layers/8)%3 == 2
}

// pieceValues is how many values each thread has at a time.
const pieceValues = 1 << 20

// write writes a tensor in format f, piece by piece. read is what it counts for in the
// progress.
func (q *quantizer) write(w io.Writer, f *quant.Format, t weights.Tensor, read int64) error {
	rows, in := 1, 1
	if n := len(t.Shape); n > 0 {
		in = t.Shape[n-1]
		rows = int(t.Elements()) / in
	}
	step := min(rows, max(1, pieceValues*q.pool.Threads()/in))
	from := make([]byte, int(t.Bytes())/rows*step)
	to := make([]byte, f.Size(in)*step)
	before := q.done
	for lo := 0; lo < rows; lo += step {
		if err := q.ctx.Err(); err != nil {
			return err
		}
		n := min(step, rows-lo)
		from, to := from[:len(from)/step*n], to[:len(to)/step*n]
		if _, err := t.ReadAt(from, int64(len(from)/n)*int64(lo)); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := q.piece(to, from, f, t.DType, n, in, lo); err != nil {
			return err
		}
		if _, err := w.Write(to); err != nil {
			return err
		}
		q.done = before + read*int64(lo+n)/int64(rows)
		if q.progress != nil {
			q.progress(q.done, q.total)
		}
	}
	return nil
}

// piece sets to to the rows in from, of which the first is row lo of its tensor, in format f.
func (q *quantizer) piece(to, from []byte, f *quant.Format, dtype string, rows, in, lo int) error {
	if dtype == f.Name {
		copy(to, from)
		return nil
	}
	source, err := tensor.WeightOf(dtype, from, rows, in)
	if err != nil {
		return err
	}
	errs := make([]error, rows)
	size := f.Size(in)
	q.pool.Run(rows, max(1, pieceValues/8/in), func(a, b int) {
		values := make([]float32, in)
		for i := a; i < b; i++ {
			source.Row(values, i)
			if err := f.Quantize(to[i*size:(i+1)*size], values); err != nil {
				errs[i] = fmt.Errorf("row %d: %w", lo+i, err)
			}
		}
	})
	return errors.Join(errs[:min(rows, firstError(errs)+1)]...)
}

// firstError returns the index of the first error, or the number of errors if all are nil.
func firstError(errs []error) int {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return len(errs)
	}
	return i
}
