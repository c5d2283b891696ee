package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"facet/internal/strictjson"
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
	readJobs     func() (data []byte, place string, err error) // JobSettings
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
	chat, err := hasChatTemplate(path)
	if err != nil {
		return nil, err
	}
	source, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	return &checkpoint{
		config: config, source: source, chat: chat,
		beside:        []string{filepath.Join(path, "config.json"), filepath.Join(path, tokenizerFile)},
		readTokenizer: func() (*tokenizer.Tokenizer, error) { return tokenizer.Open(filepath.Join(path, tokenizerFile)) },
		readTemplate:  func() (string, error) { return chatTemplate(path) },
		readJobs:      func() ([]byte, string, error) { return jobsFile(path) },
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

// The places of a folder's chat template, the newest first.
const (
	templateFile        = "chat_template.jinja"
	templateJSONFile    = "chat_template.json"
	tokenizerConfigFile = "tokenizer_config.json"
)

// hasChatTemplate reports whether the folder brings a chat template. Its text is not
// read: facet renders Gemma 4's templates itself. A file that is there and cannot be read
// is an error, since a checkpoint taken for one without a template answers otherwise.
func hasChatTemplate(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, templateFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	value, err := templateValue(dir)
	return value != nil, err
}

// chatTemplate reads the folder's chat template; "" if there is none.
func chatTemplate(dir string) (string, error) {
	text, err := strictjson.ReadFile(filepath.Join(dir, templateFile), maxConfigBytes)
	if !errors.Is(err, fs.ErrNotExist) {
		return string(text), err
	}
	value, err := templateValue(dir)
	if value == nil {
		return "", err
	}
	var template string
	if err := json.Unmarshal(value, &template); err != nil {
		return "", fmt.Errorf("%s: chat_template: %w", dir, err)
	}
	return template, nil
}

// templateValue returns the "chat_template" of the first JSON file of the folder that has
// one: a string, or a list of named ones. It is nil if there is none.
func templateValue(dir string) (json.RawMessage, error) {
	for _, name := range []string{templateJSONFile, tokenizerConfigFile} {
		var c struct {
			ChatTemplate json.RawMessage `json:"chat_template"`
		}
		err := readJSON(filepath.Join(dir, name), &c)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case len(c.ChatTemplate) > 0 && string(c.ChatTemplate) != "null":
			return c.ChatTemplate, nil
		}
	}
	return nil, nil
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
