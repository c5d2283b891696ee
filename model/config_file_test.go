package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/weights"
)

// What config.json says has one meaning, or is refused.
func TestConfigIsStrict(t *testing.T) {
	good, err := os.ReadFile(fixtures.Path("nano/config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"text after the end", string(good) + "{}", "'{' after the end"},
		{"key twice", strings.Replace(string(good), "{", `{"model_type": "gemma4",`, 1), `key "model_type" is there twice`},
		{"cut", strings.TrimRight(string(good), "}\n"), "found the end"},
		{"value of another kind", `{"model_type": 4}`, "cannot unmarshal number"},
		{"too long", string(good) + strings.Repeat(" ", maxConfigBytes), "more than 33554432 bytes"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := loadConfig(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want the file and %q", c.name, err, c.want)
		}
	}
}

// A chat template may stand in three files, and one that cannot be read is not none.
func TestChatTemplate(t *testing.T) {
	for _, c := range []struct{ name, file, content, template, err string }{
		{"none", "other.json", `{}`, "", ""},
		{"jinja", "chat_template.jinja", "{{ bos }}", "{{ bos }}", ""},
		{"JSON", "chat_template.json", `{"chat_template":"a"}`, "a", ""},
		{"tokenizer", "tokenizer_config.json", `{"bos_token":"x","chat_template":"b"}`, "b", ""},
		{"tokenizer with none", "tokenizer_config.json", `{"bos_token":"x"}`, "", ""},
		{"tokenizer with null", "tokenizer_config.json", `{"chat_template":null}`, "", ""},
		{"megabytes", "tokenizer_config.json", `{"more":"` + strings.Repeat("x", 4<<20) + `","chat_template":"c"}`, "c", ""},
		{"tokenizer broken", "tokenizer_config.json", `{"chat_template":"b"`, "", "tokenizer_config.json: not valid JSON"},
		{"JSON broken", "chat_template.json", ``, "", "chat_template.json: not valid JSON"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		has, err := hasChatTemplate(dir)
		text, textErr := chatTemplate(dir)
		if c.err != "" {
			for _, err := range []error{err, textErr} {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%s: got %v, want %q", c.name, err, c.err)
				}
			}
			continue
		}
		if err != nil || textErr != nil || has != (c.template != "") || text != c.template {
			t.Errorf("%s: %v %q, %v, %v", c.name, has, text, err, textErr)
		}
	}

	// As a folder is opened: its weights are not looked for before this is known.
	dir := copied(t, "nano", "chat_template.jinja", "tokenizer_config.json")
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := Bind(dir, "")
	if err == nil {
		m.Close()
		t.Fatal("opened with a broken tokenizer_config.json")
	}
	if !strings.Contains(err.Error(), "tokenizer_config.json") {
		t.Errorf("got %v", err)
	}
}

// FuzzConfig: any bytes are refused, or give a configuration with which everything can be
// computed that needs no weights. Of those, the first that is missing is named.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"golden/checkpoints/tiny-e", "golden/checkpoints/tiny-dense", "golden/checkpoints/tiny-moe", "golden/checkpoints/tiny-unified", "nano"} {
		data, err := os.ReadFile(filepath.Join(fixtures.Path(name), "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir() // every process has its own
	path := filepath.Join(dir, "config.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(dir)
		if err != nil {
			return
		}
		m := &Model{checkpoint: checkpoint{config: c, source: new(weights.Set)}}
		if err := m.bind(nil); err == nil {
			t.Error("bound to an empty file")
		}
		for kind, r := range c.TextConfig.RopeParameters {
			for i := range c.TextConfig.NumHiddenLayers {
				if c.TextConfig.LayerTypes[i] == kind {
					newRope(r, c.TextConfig.headDim(i))
				}
			}
		}
		if v := c.VisionConfig; v != nil && !v.unified() {
			newRope(v.RopeParameters, v.HeadDim/2)
		}
		if n := m.Memory(4096, 2, 280); n.Cache < 0 || n.Pass < 0 || n.Tower < 0 {
			t.Errorf("memory below zero: %+v", n)
		}
	})
}
