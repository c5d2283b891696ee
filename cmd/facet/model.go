package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"facet/model"
	"facet/vision"
)

// modelFlags choose the checkpoint and how it is run.
type modelFlags struct {
	Model     string `help:"Checkpoint folder, GGUF file, or OWNER/NAME in the local hub cache. Default: the small model in fixtures/nano." env:"FACET_MODEL" placeholder:"PATH"`
	MMProj    string `name:"mmproj" help:"File with the towers of a GGUF file. Default: the one beside it that fits." type:"existingfile" placeholder:"FILE"`
	Threads   int    `help:"Threads that compute. Default: one for each CPU." placeholder:"N"`
	Precision string `help:"exact: float32 products. fast: bfloat16 and int8. auto: fast for quantised weights." enum:"auto,exact,fast" default:"auto"`
}

// Validate is called by kong once the flags are read.
func (f *modelFlags) Validate() error { return checkThreads(f.Threads) }

// checkBudget refuses numbers of soft tokens that no model was trained with.
func checkBudget(flag string, n int) error {
	if !slices.Contains(vision.Budgets, n) {
		return usageError(fmt.Sprintf("%s %d: want one of %v", flag, n, vision.Budgets))
	}
	return nil
}

// autoBudget reads a --budget that may be auto, which is 0.
func autoBudget(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || !slices.Contains(vision.Budgets, n) {
		return 0, usageError(fmt.Sprintf("--budget %s: want auto or one of %v", s, vision.Budgets))
	}
	return n, nil
}

// checkThreads refuses numbers that are no use on any machine.
func checkThreads(n int) error {
	if most := 1024; n < 0 || n > most {
		return fmt.Errorf("--threads must be from 1 to %d", most)
	}
	return nil
}

// path returns the checkpoint's folder or file.
func (f *modelFlags) path() (string, error) {
	if f.Model != "" {
		return model.Locate(f.Model)
	}
	return nano()
}

// open opens the checkpoint. What the flags say is filled into o.
func (f *modelFlags) open(o model.Options) (*model.Model, error) {
	path, err := f.path()
	if err != nil {
		return nil, err
	}
	if o.Precision, err = model.ParsePrecision(f.Precision); err != nil {
		return nil, usageError(err.Error())
	}
	o.MMProj, o.Threads = f.MMProj, f.Threads
	return model.Open(path, o)
}

// nano finds the small model that a checkout of the project brings: beside the
// program's folder (bin/facet and fixtures/nano), or below the working directory.
func nano() (string, error) {
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			roots = append(roots, filepath.Dir(filepath.Dir(exe)))
		}
	}
	for _, root := range append(roots, ".") {
		dir := filepath.Join(root, "fixtures", "nano")
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
			return dir, nil
		}
	}
	return "", usageError("no model: name one with --model (the small model of a checkout, fixtures/nano, was not found)")
}
