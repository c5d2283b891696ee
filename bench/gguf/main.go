// Gguf writes Gemma 4 checkpoints of the released shapes with random weights, for
// measuring speed where the released ones are not at hand.
//
//	go run ./bench/gguf E2B out/e2b.gguf --mmproj out/e2b-mmproj.gguf
//
// Shapes, tensor types and metadata are those of the released files, so that facet and
// llama.cpp load the result and do with it what they would do with the real one; what
// it answers means nothing. The stages:
//
//  1. shape    sizes of the checkpoint, layer by layer          shape.go
//  2. list     every tensor with its type and distribution      decoder.go, tower.go, audio.go, unified.go
//  3. draw     a pool of random blocks for each distribution    random.go
//  4. write    tensors of blocks drawn from the pools
//
// The same arguments give the same bytes. Tensors are written as they are drawn:
// memory stays below 200 MB for files of any size.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"facet/internal/weights/gguf"
)

type arguments struct {
	Size   string `arg:"" help:"E2B, E4B, 12B, 26B-A4B or 31B."`
	Dst    string `arg:"" help:"The file to write." type:"path"`
	Type   string `help:"Type of the matrices: ${enum}." enum:"q4_0,q8_0,q4_k_m" default:"q4_0"`
	Mix    string `help:"released: tables, projections and some layers in the types that the released mix gives them; plain: --type for every matrix." enum:"released,plain" default:"released"`
	Layers int    `help:"Fewer layers than the size has; kinds follow its pattern, the last is a full one." placeholder:"N"`
	Mmproj string `help:"Also write the towers of this size, in BF16." type:"path" placeholder:"FILE"`
	Seed   uint64 `help:"Of the random numbers." default:"1"`
}

func main() {
	var a arguments
	kong.Parse(&a, kong.Name("gguf"), kong.Description("Writes a Gemma 4 checkpoint with random weights."))
	if err := a.run(); err != nil {
		fmt.Fprintln(os.Stderr, "gguf:", err)
		os.Exit(1)
	}
}

func (a *arguments) run() error {
	s, ok := released[strings.ToUpper(a.Size)]
	if !ok {
		return fmt.Errorf("size %q is not known: E2B, E4B, 12B, 26B-A4B and 31B are", a.Size)
	}
	if a.Layers != 0 {
		if a.Layers < s.period || a.Layers > s.layers {
			return fmt.Errorf("--layers %d: %s has %d layers, and at least %d show every kind", a.Layers, s.name, s.layers, s.period)
		}
		s = s.cut(a.Layers)
	}
	m := mix{name: a.Type, plain: a.Mix == "plain", layers: s.layers}
	if err := write(a.Dst, s.metadata(m), s.decoder(m), a.Seed); err != nil {
		return err
	}
	if a.Mmproj == "" {
		return nil
	}
	metadata, tensors := s.mmproj()
	return write(a.Mmproj, metadata, tensors, a.Seed)
}

// write writes the tensors with values drawn by seed, and says what it wrote.
func write(path string, metadata []gguf.KV, list []matrix, seed uint64) error {
	values := newRandom(seed)
	tensors := make([]gguf.Tensor, len(list))
	parameters := 0
	for i, m := range list {
		tensors[i] = gguf.Tensor{Name: m.name, DType: m.dtype, Shape: m.shape, Write: values.writer(m)}
		parameters += m.elements()
	}
	if err := gguf.Write(path, metadata, tensors); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d tensors, %.2f billion parameters, %.3f GB\n", path, len(list), float64(parameters)/1e9, float64(info.Size())/1e9)
	return nil
}
