// Package check runs reference cases through the engine and reports, for each, the
// first activation that departs from the reference or the largest difference.
//
//  1. open checkpoints/NAME with a tracer over the case's tensors, or gguf/FILE  gguf.go
//  2. prepare the images and build the prompt          ids and token types must be equal
//  3. run the towers and one pass of every row         every named activation within the tolerance
//  4. generate greedily without the tracer             ids equal, up to margins below the tolerance
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"facet/internal/golden"
	"facet/model"
	"facet/vision"
)

// Options choose what is run.
type Options struct {
	Threads   int
	Tolerance float64 // 0: golden.Tolerance
}

// Result is what became of one case.
type Result struct {
	Checkpoint, Case string
	Skipped          string  // why the case was not run; empty if it was
	Compared         int     // reference tensors
	Worst            float64 // largest difference, as a share of the tensor's largest value
	WorstName        string
	Diverged         int   // number of the reply's first token, from 1, where a small margin let another win; 0: none
	Err              error // the first difference, or why the case could not be run
}

// Folder runs the cases of a folder laid out as checkpoints/NAME beside NAME/CASE.json
// and media/, and those of the GGUF files in gguf/, and calls report after each. It
// fails only if there is nothing to run.
func Folder(dir string, o Options, report func(Result)) error {
	checkpoints, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no folder named checkpoints in it: reference data holds checkpoints/NAME beside NAME/CASE.json and media", dir)
	}
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range checkpoints {
		names = append(names, entry.Name())
	}
	files, err := ggufFiles(dir)
	if err != nil {
		return err
	}
	n := 0
	for _, checkpoint := range append(names, files...) {
		cases, err := Cases(dir, checkpoint)
		if err != nil {
			return err
		}
		for _, name := range cases {
			report(Case(dir, checkpoint, name, o))
			n++
		}
	}
	if n == 0 {
		return fmt.Errorf("%s: no case to run: reference data holds NAME/CASE.json and NAME/CASE.safetensors for checkpoints/NAME", dir)
	}
	return nil
}

// Case runs one case of a checkpoint: of the folder checkpoints/NAME, or of the file
// gguf/FILE.gguf where checkpoint is gguf/FILE.
func Case(dir, checkpoint, name string, o Options) Result {
	r := Result{Checkpoint: checkpoint, Case: name}
	if o.Tolerance == 0 {
		o.Tolerance = golden.Tolerance
	}
	folder, full := caseOf(dir, checkpoint, name)
	c, err := golden.OpenCase(folder, full)
	if err != nil {
		r.Err = err
		return r
	}
	defer c.Close()
	var unsupported model.UnsupportedError
	if !c.IsPrompt() {
		r.Skipped = "a drafter's case, not a prompt"
	} else if !c.NeedsOnlyImages() {
		r.Skipped = "sound and video are not supported yet"
	} else if r.Err = r.run(dir, c, o); errors.As(r.Err, &unsupported) {
		r.Skipped, r.Err = r.Err.Error(), nil
	}
	return r
}

func (r *Result) run(dir string, c *golden.Case, o Options) error {
	tracer, err := golden.NewTracer(c, o.Tolerance)
	if err != nil {
		return err
	}
	path := modelPath(dir, r.Checkpoint)
	m, err := model.Open(path, model.Options{Threads: o.Threads, Precision: model.Exact, Tracer: tracer})
	if err != nil {
		return err
	}
	defer m.Close()
	p, err := prompt(m, dir, c)
	if err != nil {
		return err
	}
	if err := samePrompt(p, c); err != nil {
		return err
	}
	if _, err := m.Logits(p, p.Len()); err != nil {
		return err
	}
	r.Compared, r.Worst, r.WorstName = tracer.Compared, tracer.Worst, tracer.WorstName
	if tracer.First != nil {
		return tracer.First
	}
	if missing := tracer.Missing(); len(missing) > 0 {
		return fmt.Errorf("%s: no activation of this name was computed (%d such)", missing[0], len(missing))
	}
	r.Diverged, err = greedy(path, p, c, o)
	return err
}

// prompt prepares the images of a case and builds its prompt.
func prompt(m *model.Model, dir string, c *golden.Case) (*model.Prompt, error) {
	spec, ok := m.Spec()
	if !ok && len(c.Images) > 0 {
		return nil, model.UnsupportedError("this checkpoint takes no images")
	}
	var patches []*vision.Patches
	for _, name := range c.Images {
		path := filepath.Join(dir, "media", name)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		img, err := vision.Decode(data, vision.DecodeOptions{Limits: vision.DefaultLimits})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		p, _, err := vision.Prepare(img, spec, c.Budget)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		patches = append(patches, p)
	}
	soft, err := m.EncodeImages(patches)
	if err != nil {
		return nil, err
	}
	return m.RawPrompt(c.Prompt, soft)
}

func samePrompt(p *model.Prompt, c *golden.Case) error {
	if !slices.Equal(p.IDs, c.InputIDs) {
		for i := range min(len(p.IDs), len(c.InputIDs)) {
			if p.IDs[i] != c.InputIDs[i] {
				return fmt.Errorf("input_ids: position %d is %d, want %d", i, p.IDs[i], c.InputIDs[i])
			}
		}
		return fmt.Errorf("input_ids: %d positions, want %d", len(p.IDs), len(c.InputIDs))
	}
	for i, t := range p.Types {
		if int(t) != c.TokenTypes[i] {
			return fmt.Errorf("token_types: position %d is %d, want %d", i, t, c.TokenTypes[i])
		}
	}
	return nil
}

// greedy generates the reply as a user would get it: prompt in passes, shared layers
// on wanted rows only. An id may differ where the reference's margin is within the
// tolerance of the logits, whose largest value is the soft cap of 30; what follows it
// is then another reply. diverged is the number of that token, from 1, or 0.
func greedy(path string, p *model.Prompt, c *golden.Case, o Options) (diverged int, err error) {
	m, err := model.Open(path, model.Options{Threads: o.Threads, Precision: model.Exact})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	reply, err := m.Generate(context.Background(), model.Request{ID: c.Name, Prompt: p, MaxTokens: len(c.GreedyIDs), IgnoreEnd: true})
	if err != nil {
		return 0, err
	}
	for i, id := range reply.IDs() {
		if id == c.GreedyIDs[i] {
			continue
		}
		if c.GreedyMargin[i] < 2*30*o.Tolerance {
			return i + 1, nil
		}
		return 0, fmt.Errorf("greedy_ids: token %d is %d, want %d, with a margin of %.4f", i+1, id, c.GreedyIDs[i], c.GreedyMargin[i])
	}
	return 0, nil
}
