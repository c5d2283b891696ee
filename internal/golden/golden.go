// Package golden reads reference data, what another implementation computed for a
// prompt, and compares an engine's activations with it as they are computed.
//
// A case is two files: NAME.json with the prompt, its media, the expanded ids and the
// greedy reply, and NAME.safetensors with named activations. fixtures/README.md says
// how they were made and how large tensors were cut.
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/internal/weights"
	"facet/internal/weights/safetensors"
)

// Tolerance is the largest difference allowed, as a share of the largest absolute
// value of the reference tensor. Engines that compute in float32 or float64 over the
// same bfloat16 weights differ from the reference, which is float32, by up to 4e-4.
const Tolerance = 5e-4

// Case is one prompt with what the reference makes of it.
type Case struct {
	Name         string    `json:"-"`
	Prompt       string    `json:"prompt"` // placeholders not expanded
	Images       []string  `json:"images"` // files in the folder media, as those of sound and video
	Budget       int       `json:"budget"`
	Audio        []string  `json:"audio"`
	Video        *Video    `json:"video"`
	InputIDs     []int32   `json:"input_ids"`
	TokenTypes   []int     `json:"token_types"`
	GreedyIDs    []int32   `json:"greedy_ids"`
	GreedyMargin []float64 `json:"greedy_margin"` // logit of the best token less that of the second

	tensors weights.Source
}

// Video is a clip of a case and the frames of it that the reference was given.
type Video struct {
	File    string `json:"file"`
	Budget  int    `json:"budget"`
	Indices []int  `json:"frames_indices"`
}

// VideoRate is the frames a second that the reference was told of every clip.
const VideoRate = 10

// OpenCase reads the case NAME in dir.
func OpenCase(dir, name string) (*Case, error) {
	path := filepath.Join(dir, name+".json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Case{Name: name}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.TokenTypes != nil && len(c.InputIDs) != len(c.TokenTypes) || len(c.GreedyIDs) != len(c.GreedyMargin) {
		return nil, fmt.Errorf("%s: %d ids with %d types, %d greedy ids with %d margins", path, len(c.InputIDs), len(c.TokenTypes), len(c.GreedyIDs), len(c.GreedyMargin))
	}
	c.tensors, err = safetensors.Open(filepath.Join(dir, name+".safetensors"))
	return c, err
}

// Cases lists the names of the cases in dir, sorted.
func Cases(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if _, err := os.Stat(filepath.Join(dir, name+".safetensors")); ok && !errors.Is(err, fs.ErrNotExist) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// IsPrompt reports whether the case is a prompt with its reply; a drafter's is not.
func (c *Case) IsPrompt() bool { return c.TokenTypes != nil }

// Close releases the case's files.
func (c *Case) Close() error { return c.tensors.Close() }
