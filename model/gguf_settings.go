package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"facet/internal/strictjson"
	"facet/internal/weights/gguf"
)

// What the JSON files of a folder say and GGUF has no key for is in keys of our own. They
// are read as the files are: with every check, since others may have written them.
const (
	jobsKey      = "facet.json"                  // the content of facet.json
	processorKey = "facet.processor_config.json" // ProcessorConfig
	endsKey      = "facet.eos_token_ids"         // of config.json and generation_config.json
)

// JobsFile is the name of the file in which a checkpoint says what it wants to be asked.
const JobsFile = "facet.json"

// maxEnds bounds the tokens that end a reply; released checkpoints have three.
const maxEnds = 256

// JobSettings returns the content of the checkpoint's facet.json, and for errors the
// place where it stands; nil where it has none. A GGUF file has it in a key, or else in
// the file of that name beside it. Package job knows what it means.
func (m *Model) JobSettings() (data []byte, place string, err error) { return m.readJobs() }

// jobsFile reads facet.json in a folder; nil if there is none.
func jobsFile(dir string) (data []byte, place string, err error) {
	place = filepath.Join(dir, JobsFile)
	data, err = strictjson.ReadFile(place, maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, place, nil
	}
	return data, place, err
}

// ggufJobs is jobsFile for a GGUF file.
func ggufJobs(f *gguf.File) (data []byte, place string, err error) {
	place = fmt.Sprintf("%s: key %q", f.Path(), jobsKey)
	text, ok, err := f.String(jobsKey)
	switch {
	case err != nil:
		return nil, place, fmt.Errorf("%s: %w", f.Path(), err)
	case !ok:
		return jobsFile(filepath.Dir(f.Path()))
	}
	return []byte(text), place, nil
}

// settingsKeys are the keys of our own that the checkpoint needs.
func (m *Model) settingsKeys() ([]gguf.KV, error) {
	var keys []gguf.KV
	jobs, _, err := m.readJobs()
	if err != nil {
		return nil, err
	}
	if jobs != nil {
		keys = append(keys, gguf.KV{Key: jobsKey, Value: string(jobs)})
	}
	c := m.config
	p := c.Processor
	if v := c.VisionConfig; v != nil && p.ImageProcessor.MaxSoftTokens == 0 {
		p.ImageProcessor.MaxSoftTokens = v.DefaultOutputLength // which has no key either
	}
	if p != (ProcessorConfig{}) {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		keys = append(keys, gguf.KV{Key: processorKey, Value: string(text)})
	}
	var ends []uint32
	for _, id := range slices.Concat(c.EOSTokenID, c.TextConfig.EOSTokenID, c.Generation.EOSTokenID) {
		if id >= 0 && !slices.Contains(ends, uint32(id)) {
			ends = append(ends, uint32(id))
		}
	}
	if len(ends) > 0 {
		keys = append(keys, gguf.KV{Key: endsKey, Value: ends})
	}
	return keys, nil
}

// ggufSettings reads the keys of our own into c, all but facet.json.
func ggufSettings(k *ggufKeys, c *Config) {
	if k.file.Has(processorKey) {
		text := required(k, processorKey, k.file.String)
		if err := strictjson.Unmarshal([]byte(text), &c.Processor, strictjson.AllowUnknown); err != nil {
			k.fail(fmt.Errorf("key %q: %w", processorKey, FormatError("not valid JSON for this key: "+err.Error())))
		}
	}
	ends := optional(k, endsKey, k.file.Uints, nil)
	if len(ends) > maxEnds {
		k.fail(FormatError(fmt.Sprintf("key %q has %d values, more than %d", endsKey, len(ends), maxEnds)))
		return
	}
	for _, id := range ends {
		c.EOSTokenID = append(c.EOSTokenID, int32(min(id, math.MaxInt32)))
	}
}
