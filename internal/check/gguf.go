package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/internal/golden"
)

// The folder gguf holds files converted from the checkpoints. A quantised one has cases
// of its own, FILE.CASE.json beside FILE.gguf, computed from the dequantised weights. One
// that is named NAME-TYPE, with a TYPE that keeps the values, gives the answers of the
// checkpoint NAME.
const ggufFolder = "gguf/"

// keepsValues are the types, as files are named by them, in which weights that were
// bfloat16 are what they were.
var keepsValues = []string{"-bf16", "-f32"}

// ggufFiles returns the files with a model in the folder gguf as gguf/FILE, sorted.
func ggufFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, ggufFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if file, ok := strings.CutSuffix(e.Name(), ".gguf"); ok && !strings.Contains(file, "mmproj") {
			files = append(files, ggufFolder+file)
		}
	}
	return files, err
}

// modelPath is the path by which a checkpoint is opened.
func modelPath(dir, checkpoint string) string {
	if strings.HasPrefix(checkpoint, ggufFolder) {
		return filepath.Join(dir, checkpoint+".gguf")
	}
	return filepath.Join(dir, "checkpoints", checkpoint)
}

// Cases returns the names of a checkpoint's cases, sorted; none if there are none.
func Cases(dir, checkpoint string) ([]string, error) {
	file, isFile := strings.CutPrefix(checkpoint, ggufFolder)
	if !isFile {
		return casesIn(filepath.Join(dir, checkpoint))
	}
	var names []string
	if source, ok := sourceOf(file); ok {
		all, err := casesIn(filepath.Join(dir, source))
		if err != nil {
			return nil, err
		}
		names = all
	}
	own, err := casesIn(filepath.Join(dir, ggufFolder))
	for _, name := range own {
		if name, ok := strings.CutPrefix(name, file+"."); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

func casesIn(dir string) ([]string, error) {
	names, err := golden.Cases(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// caseOf returns the folder and the name of a case's files.
func caseOf(dir, checkpoint, name string) (folder, full string) {
	file, isFile := strings.CutPrefix(checkpoint, ggufFolder)
	if !isFile {
		return filepath.Join(dir, checkpoint), name
	}
	folder, full = filepath.Join(dir, ggufFolder), file+"."+name
	if _, err := os.Stat(filepath.Join(folder, full+".json")); err == nil {
		return folder, full
	}
	source, _ := sourceOf(file)
	return filepath.Join(dir, source), name
}

// sourceOf returns the checkpoint that a file was converted from without loss.
func sourceOf(file string) (checkpoint string, ok bool) {
	for _, suffix := range keepsValues {
		if checkpoint, ok = strings.CutSuffix(file, suffix); ok {
			return checkpoint, true
		}
	}
	return "", false
}
