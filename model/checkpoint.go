package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/internal/weights"
	"facet/internal/weights/gguf"
	"facet/internal/weights/safetensors"
	"facet/model/tokenizer"
)

// checkpoint is what a model is made of, in whatever form its files are.
type checkpoint struct {
	config *Config
	source weights.Source // names, shapes and values as in safetensors files
	chat   bool           // it has a chat template, so it was made for conversations
	beside []string       // the files that make it besides those of source
	// readTokenizer returns nil for a file without a vocabulary.
	readTokenizer func() (*tokenizer.Tokenizer, error)
	// readTemplate returns the text of the chat template, "" if there is none. Only files
	// that are converted need it: facet renders Gemma 4's templates itself.
	readTemplate func() (string, error)
}

// openCheckpoint opens a folder with config.json, tokenizer.json and safetensors
// files, or a GGUF file, which may stand alone in a folder. The towers of a GGUF file are
// those of mmproj, or if that is "" of the mmproj file beside it that fits.
func openCheckpoint(path, mmproj string) (*checkpoint, error) {
	file, err := findGGUF(path)
	switch {
	case err != nil:
		return nil, err
	case file != "":
		return openGGUF(file, mmproj)
	case mmproj != "":
		return nil, fmt.Errorf("%s: %w", mmproj, FormatError("an mmproj file goes with a GGUF file, and the model is none"))
	}
	return openFolder(path)
}

// openFolder opens a folder as it is published.
func openFolder(path string) (*checkpoint, error) {
	config, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	source, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	return &checkpoint{
		config: config, source: source, chat: hasChatTemplate(path),
		beside:        []string{filepath.Join(path, "config.json"), filepath.Join(path, tokenizerFile)},
		readTokenizer: func() (*tokenizer.Tokenizer, error) { return tokenizer.Open(filepath.Join(path, tokenizerFile)) },
		readTemplate:  func() (string, error) { return chatTemplate(path) },
	}, nil
}

// tokenizerFile is the name of the vocabulary in a folder.
const tokenizerFile = "tokenizer.json"

// OpenTokenizer reads the tokenizer of the checkpoint at path and nothing else of it.
func OpenTokenizer(path string) (*tokenizer.Tokenizer, error) {
	file, err := findGGUF(path)
	switch {
	case err != nil:
		return nil, err
	case file == "":
		return tokenizer.Open(filepath.Join(path, tokenizerFile))
	}
	f, err := gguf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := ggufTokenizer(f)
	if err == nil && t == nil {
		err = fmt.Errorf("%s: %w", file, errNoVocabulary)
	}
	return t, err
}

// folderOf returns path if it is a folder, otherwise the folder it is in.
func folderOf(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return filepath.Dir(path)
	}
	return path
}

// The places of a folder's chat template, the first of which is the newer one.
const (
	templateFile        = "chat_template.jinja"
	tokenizerConfigFile = "tokenizer_config.json"
)

// hasChatTemplate reports whether the folder brings a chat template. Its text is not
// read: facet renders Gemma 4's templates itself.
func hasChatTemplate(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, templateFile)); err == nil {
		return true
	}
	var c struct {
		ChatTemplate any `json:"chat_template"`
	}
	return readJSON(filepath.Join(dir, tokenizerConfigFile), &c) == nil && c.ChatTemplate != nil
}

// chatTemplate reads the folder's chat template; "" if there is none.
func chatTemplate(dir string) (string, error) {
	path := filepath.Join(dir, templateFile)
	if info, err := os.Stat(path); err == nil && info.Size() > maxConfigBytes {
		return "", fmt.Errorf("%s: %w", path, FormatError(fmt.Sprintf("%d bytes, more than any template has", info.Size())))
	}
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return string(text), err
	}
	var c struct {
		ChatTemplate string `json:"chat_template"`
	}
	err = readJSON(filepath.Join(dir, tokenizerConfigFile), &c)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c.ChatTemplate, err
}

// findGGUF returns the GGUF file that path names or that stands alone in the folder
// path; "" for a folder with config.json. It gives the errors that other paths deserve.
func findGGUF(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.IsDir() && isGGUF(path):
		return path, nil
	case !info.IsDir():
		if err := weights.Sniff(path); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%s: %w", path, FormatError("a checkpoint is a folder with config.json, tokenizer.json and safetensors files, or a GGUF file"))
	}
	if _, err := os.Stat(filepath.Join(path, "config.json")); !errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	files, err := textFiles(path)
	switch {
	case err != nil:
		return "", err
	case len(files) == 0:
		return "", fmt.Errorf("%s: %w", path, FormatError("no config.json and no GGUF file in this folder: not a checkpoint"))
	case len(files) > 1:
		return "", fmt.Errorf("%s: %w", path, FormatError(fmt.Sprintf("%d GGUF files in this folder: name one of %s", len(files), strings.Join(files, ", "))))
	}
	return filepath.Join(path, files[0]), nil
}

// isGGUF reports whether the file is one by its name or its first bytes.
func isGGUF(path string) bool {
	if strings.EqualFold(filepath.Ext(path), ".gguf") {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	n, _ := f.Read(magic[:])
	return n == 4 && gguf.IsMagic(magic)
}

// textFiles returns the names of the GGUF files in a folder that hold a model and not
// its towers, the first of each that is in shards.
func textFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.EqualFold(filepath.Ext(name), ".gguf") && !isMMProj(name) && gguf.IsFirstShard(name) && !e.IsDir() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
