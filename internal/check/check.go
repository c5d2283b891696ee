// Package check runs reference cases through the engine and reports, for each, the
// first activation that departs from the reference or the largest difference.
//
//  1. open checkpoints/NAME with a tracer over the case's tensors, or gguf/FILE  gguf.go
//  2. prepare the media and build the prompt           ids and token types must be equal  media.go
//  3. run the towers and one pass of every row         every named activation within the tolerance
//  4. generate greedily without the tracer             ids equal, up to margins below the tolerance
//
// That is what an exact engine must do. In fast, which rounds, steps 3 and 4 measure how
// far it is from the reference instead: its logits and its reply (distance.go).
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"facet/internal/golden"
	"facet/model"
	"facet/video"
)

// Options choose what is run.
type Options struct {
	Threads   int
	Tolerance float64         // of exact; 0: golden.Tolerance
	Precision model.Precision // Auto: Exact, for any checkpoint
}

// Result is what became of one case.
type Result struct {
	Checkpoint, Case string
	Skipped          string  // why the case was not run; empty if it was
	Compared         int     // reference tensors
	Worst            float64 // largest difference, as a share of the tensor's largest value
	WorstName        string
	Diverged         int       // number of the reply's first token, from 1, where a small margin, or fast's rounding, let another win; 0: none
	Distance         *Distance // in fast, of the logits; nil otherwise
	Err              error     // the first difference, or why the case could not be run
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
	if o.Precision == model.Auto {
		o.Precision = model.Exact
	}
	folder, full := caseOf(dir, checkpoint, name)
	c, err := golden.OpenCase(folder, full)
	if err != nil {
		r.Err = err
		return r
	}
	defer c.Close()
	var unsupported model.UnsupportedError
	var unavailable video.UnavailableError
	if !c.IsPrompt() {
		r.Skipped = "a drafter's case, not a prompt"
	} else if r.Err = r.run(dir, c, o); errors.As(r.Err, &unsupported) || errors.As(r.Err, &unavailable) {
		r.Skipped, r.Err = r.Err.Error(), nil
	}
	return r
}

func (r *Result) run(dir string, c *golden.Case, o Options) error {
	opened := model.Options{Threads: o.Threads, Precision: o.Precision}
	var tracer *golden.Tracer
	if o.Precision == model.Exact {
		var err error
		if tracer, err = golden.NewTracer(c, o.Tolerance); err != nil {
			return err
		}
		opened.Tracer = tracer
	}
	path := modelPath(dir, r.Checkpoint)
	m, err := model.Open(path, opened)
	if err != nil {
		return err
	}
	defer m.Close()
	p, err := prompt(m, dir, c, tracer)
	if err != nil {
		return err
	}
	if err := samePrompt(p, c); err != nil {
		return err
	}
	if o.Precision == model.Fast {
		if r.Distance, err = distance(m, p, c); err == nil {
			r.Diverged, err = greedy(m, p, c, math.Inf(1))
		}
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
	opened.Tracer = nil
	user, err := model.Open(path, opened)
	if err != nil {
		return err
	}
	defer user.Close()
	r.Diverged, err = greedy(user, p, c, 2*softCap*o.Tolerance)
	return err
}

// softCap is the largest value that a logit of Gemma 4 can have.
const softCap = 30

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
// on wanted rows only. An id may differ where the reference's margin, in logits, is below
// the one given; what follows it is then another reply. diverged is the number of that
// token, from 1, or 0.
func greedy(m *model.Model, p *model.Prompt, c *golden.Case, margin float64) (diverged int, err error) {
	reply, err := m.Generate(context.Background(), model.Request{ID: c.Name, Prompt: p, MaxTokens: len(c.GreedyIDs), IgnoreEnd: true})
	if err != nil {
		return 0, err
	}
	for i, id := range reply.IDs() {
		if id == c.GreedyIDs[i] {
			continue
		}
		if c.GreedyMargin[i] < margin {
			return i + 1, nil
		}
		return 0, fmt.Errorf("greedy_ids: token %d is %d, want %d, with a margin of %.4f", i+1, id, c.GreedyIDs[i], c.GreedyMargin[i])
	}
	return 0, nil
}
