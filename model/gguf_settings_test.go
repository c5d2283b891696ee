package model

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"

	"github.com/google/go-cmp/cmp"
)

// settings are what a checkpoint sets where the user says nothing.
type settings struct {
	Budget    int
	Processor ProcessorConfig
	Sampling  Sampling
	Ends      []int32 // sorted
	Chat      bool
	Jobs      string
}

func settingsOf(t *testing.T, path string) settings {
	t.Helper()
	m, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	jobs, _, err := m.JobSettings()
	if err != nil {
		t.Fatal(err)
	}
	return settings{m.Budget(), m.Config().Processor, m.Config().Sampling(), slices.Sorted(slices.Values(m.ids.end)), m.HasChat(), string(jobs)}
}

// A quantised checkpoint is set as the one it was made from, and so is what is made of it.
func TestQuantizeKeepsSettings(t *testing.T) {
	const nanoEnds = 3
	sampled := changedNano(t, map[string]string{
		"generation_config.json": `{"do_sample": true, "min_p": 0.25, "eos_token_id": [1, 7, 5, 33]}`,
		"processor_config.json":  `{"image_processor": {"patch_size": 16}, "video_processor": {"max_soft_tokens": 35}, "audio_seq_length": 75}`,
		JobsFile:                 "",
	})
	for _, c := range []struct {
		path string
		ends int
	}{{fixtures.Path("nano"), nanoEnds}, {sampled, nanoEnds + 1}} {
		want := settingsOf(t, c.path)
		dir := t.TempDir()
		first, second := filepath.Join(dir, "first.gguf"), filepath.Join(dir, "second.gguf")
		for _, step := range [][2]string{{c.path, first}, {first, second}} {
			if _, err := Quantize(t.Context(), step[0], step[1], QuantizeOptions{Type: "q8_0"}); err != nil {
				t.Fatal(err)
			}
			got := settingsOf(t, step[1])
			if want.Processor.ImageProcessor.MaxSoftTokens == 0 { // the tower's default_output_length, which becomes it
				got.Processor.ImageProcessor.MaxSoftTokens = 0
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-as it was +quantised):\n%s", step[1], diff)
			}
		}
		if want.Budget != 70 || len(want.Ends) != c.ends || (want.Jobs != "") != (c.ends == nanoEnds) {
			t.Errorf("%s is not what this test is about: %+v", c.path, want)
		}
	}
}

// changedNano is nano with other files, of which an empty one is left out.
func changedNano(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json", "processor_config.json", JobsFile} {
		content, changed := files[name]
		if changed && content == "" {
			continue
		}
		data := []byte(content)
		if !changed {
			var err error
			if data, err = os.ReadFile(fixtures.Path("nano/" + name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Keys of our own are no more trusted than files.
func TestGGUFSettingsErrors(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		keys m
		want string
	}{
		"none":                {m{}, ""},
		"empty":               {m{processorKey: "{}", endsKey: []uint32{}, jobsKey: ""}, ""},
		"an end twice":        {m{endsKey: []uint32{7, 7}}, ""},
		"no JSON":             {m{processorKey: ""}, `key "facet.processor_config.json": not valid JSON for this key`},
		"a list":              {m{processorKey: "[]"}, "not valid JSON for this key"},
		"a key twice":         {m{processorKey: `{"audio_seq_length": 1, "audio_seq_length": 2}`}, "is there twice"},
		"a number":            {m{processorKey: uint32(1)}, `key "facet.processor_config.json" is of kind u32, want a string`},
		"a budget too large":  {m{processorKey: `{"image_processor": {"max_soft_tokens": 100000}}`}, "image_processor.max_soft_tokens is 100000"},
		"other patches":       {m{processorKey: `{"image_processor": {"patch_size": 14}}`}, "disagree on patch_size"},
		"an end outside":      {m{endsKey: []uint32{1024}}, "eos_token_id 1024 is outside the vocabulary"},
		"an end far outside":  {m{endsKey: []uint64{math.MaxUint64}}, "eos_token_id 2147483647 is outside the vocabulary"},
		"a negative end":      {m{endsKey: []int32{-1}}, "want an array, each an integer of 0 or more"},
		"an end as text":      {m{endsKey: "1"}, `key "facet.eos_token_ids" is of kind string`},
		"ends without number": {m{endsKey: make([]uint32, maxEnds+1)}, `key "facet.eos_token_ids" has 257 values, more than 256`},
	} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		edit{keys: c.keys}.write(t, textFile("tiny-e"), path)
		opened, err := Open(path, Options{Threads: 1, MMProj: fixtures.Path("golden/gguf/tiny-e-mmproj-bf16.gguf")})
		if err == nil {
			opened.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// facet.json comes from the key of the file, then from the folder, then from nowhere.
func TestGGUFJobSettings(t *testing.T) {
	dir := t.TempDir()
	with, without := filepath.Join(dir, "with.gguf"), filepath.Join(dir, "without.gguf")
	edit{keys: map[string]any{jobsKey: `{"jobs": {}}`}}.write(t, textFile("tiny-e"), with)
	edit{}.write(t, textFile("tiny-e"), without)
	check := func(path, want, place string) {
		t.Helper()
		m, err := Bind(path, "")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		data, got, err := m.JobSettings()
		if err != nil || string(data) != want || (data == nil) != (want == "") || !strings.HasPrefix(got, place) {
			t.Errorf("%s: %q from %s, %v; want %q from %s", path, data, got, err, want, place)
		}
	}
	check(with, `{"jobs": {}}`, with+`: key "facet.json"`)
	check(without, "", "")
	beside := filepath.Join(dir, JobsFile)
	if err := os.WriteFile(beside, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(with, `{"jobs": {}}`, with)
	check(without, "{}", beside)

	bad := filepath.Join(dir, "bad.gguf")
	edit{keys: map[string]any{jobsKey: uint32(3)}}.write(t, textFile("tiny-e"), bad)
	m, err := Bind(bad, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, _, err := m.JobSettings(); err == nil || !strings.Contains(err.Error(), bad+`: key "facet.json" is of kind u32`) {
		t.Errorf("a number: %v", err)
	}
	if _, err := Quantize(t.Context(), bad, filepath.Join(dir, "again.gguf"), QuantizeOptions{Type: "bf16"}); err == nil {
		t.Error("was quantised all the same")
	}
}
