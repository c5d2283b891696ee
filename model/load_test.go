package model

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/fixtures/sparse"
)

// The released sizes bind completely, by name and shape, without reading a value.
func TestBindReleasedSizes(t *testing.T) {
	for size, want := range map[string]struct{ stored, used int }{
		"E2B": {2011, 1951}, "E4B": {2130, 2076}, "12B": {677, 677}, "26B-A4B": {1013, 1013}, "31B": {1188, 1188},
	} {
		dir := t.TempDir()
		if err := sparse.Write(dir, size, nil); err != nil {
			t.Fatal(err)
		}
		m, err := Bind(dir, "")
		if err != nil {
			t.Errorf("%s: %v", size, err)
			continue
		}
		if n := m.Counts(); n.TensorsStored != want.stored || n.TensorsUsed != want.used {
			t.Errorf("%s: %d tensors stored and %d used, want %d and %d", size, n.TensorsStored, n.TensorsUsed, want.stored, want.used)
		}
		m.Close()
	}
}

// A tensor that is renamed or reshaped is named in the error.
func TestBindNamesTheTensor(t *testing.T) {
	for _, c := range []struct {
		name, tensor string
		edit         func(map[string][]int)
		want         string
	}{
		{"missing", "model.language_model.layers.7.mlp.up_proj.weight", func(ts map[string][]int) {
			delete(ts, "model.language_model.layers.7.mlp.up_proj.weight")
		}, "missing"},
		{"reshaped", "model.language_model.layers.34.self_attn.o_proj.weight", func(ts map[string][]int) {
			ts["model.language_model.layers.34.self_attn.o_proj.weight"] = []int{1536, 2048}
		}, "shape [1536 2048], want [1536 4096]"},
		{"in the tower", "model.vision_tower.encoder.layers.3.mlp.gate_proj.input_max", func(ts map[string][]int) {
			ts["model.vision_tower.encoder.layers.3.mlp.gate_proj.input_max"] = []int{1}
		}, "shape [1], want []"},
		{"in the audio tower", "model.audio_tower.layers.0.self_attn.post.linear.weight", func(ts map[string][]int) {
			delete(ts, "model.audio_tower.layers.0.self_attn.post.linear.weight")
		}, "missing"},
		{"left over", "model.language_model.layers.0.self_attn.q_bias", func(ts map[string][]int) {
			ts["model.language_model.layers.0.self_attn.q_bias"] = []int{2048}
		}, "not one of this model's"},
	} {
		dir := t.TempDir()
		if err := sparse.Write(dir, "E2B", c.edit); err != nil {
			t.Fatal(err)
		}
		m, err := Bind(dir, "")
		if err == nil {
			m.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		var format FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.tensor) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want the tensor %s and %q", c.name, err, c.tensor, c.want)
		}
	}
}

// copied returns a folder with the files of a checkpoint, by link.
func copied(t *testing.T, name string, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(fixtures.Path(name))
	if err != nil {
		t.Fatal(err)
	}
files:
	for _, e := range entries {
		for _, w := range without {
			if e.Name() == w {
				continue files
			}
		}
		if err := os.Symlink(filepath.Join(fixtures.Path(name), e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenRefuses(t *testing.T) {
	const tiny = "golden/checkpoints/tiny-e"
	write := func(dir, name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct{ name, path, want string }{
		{"nothing there", filepath.Join(t.TempDir(), "no"), "no such file"},
		{"an empty folder", t.TempDir(), "no config.json"},
		{"no config", copied(t, tiny, "config.json"), "no config.json"},
		{"config is not JSON", write(copied(t, tiny, "config.json"), "config.json", "{"), "config.json"},
		{"no weights", copied(t, tiny, "model.safetensors"), "model.safetensors"},
		{"no tokenizer", copied(t, tiny, "tokenizer.json"), "tokenizer.json"},
		{"tokenizer is not JSON", write(copied(t, tiny, "tokenizer.json"), "tokenizer.json", "hello"), "tokenizer.json"},
		{"a pickle", write(copied(t, tiny, "model.safetensors"), "pytorch_model.bin", "\x80\x02}"), "pytorch_model.bin"},
		{"a file", write(t.TempDir(), "model.ckpt", "\x80\x02}") + "/model.ckpt", "pickle"},
	} {
		m, err := Open(c.path, Options{})
		if err == nil {
			m.Close()
			t.Errorf("%s: no error", c.name)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Base(c.path)) && !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %q, want the path and %q", c.name, err, c.want)
		}
	}
}

// A checkpoint without a chat template continues a text after exactly one <bos>.
func TestCompletionPrompt(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	if m.HasChat() {
		t.Fatal("this checkpoint should have no chat template")
	}
	p, err := m.CompletionPrompt("<bos> Hello <turn|>", Media{})
	if err != nil {
		t.Fatal(err)
	}
	bos, end := 0, 0
	for i, id := range p.IDs {
		switch m.tokenizer.Token(id) {
		case "<bos>":
			if bos++; i != 0 {
				t.Errorf("<bos> at position %d", i)
			}
		case "<turn|>":
			end++
		}
	}
	if bos != 1 || end != 0 {
		t.Errorf("%d <bos> and %d <turn|> in %v, want 1 and 0: the text's own are text", bos, end, p.IDs)
	}
	if n := open(t, "nano", Options{}); !n.HasChat() {
		t.Error("nano has a chat template")
	}
}

func TestPromptCountsImages(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	soft := &SoftTokens{Rows: 2, Width: 48, Values: make([]float32, 96)}
	for _, c := range []struct {
		text   string
		images int
		want   string
	}{
		{"<|image|>", 0, "more places"}, {"a", 1, "1 images for 0 places"}, {"<|image|><|image|>", 1, "more places"},
		{"<|audio|>", 0, "more places for sound"}, {"<|video|>", 0, "more places for videos"}, {"<|image|>", 1, ""},
	} {
		var images []*SoftTokens
		for range c.images {
			images = append(images, soft)
		}
		p, err := m.RawPrompt(c.text, Media{Images: images})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q with %d images: got %v, want %q", c.text, c.images, err, c.want)
		case err == nil && (p.Len() != 4 || p.Count(ImageToken) != 2 || p.Types[0] != TextToken || p.Types[1] != ImageToken || p.Types[3] != TextToken):
			t.Errorf("%q: ids %v of types %v", c.text, p.IDs, p.Types)
		}
	}
}

// A soft token that the model generated, or that stands where no picture does, is
// embedded as padding.
func TestSoftTokenWithoutMedia(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	logits := func(id int32) []float32 {
		p := &Prompt{IDs: []int32{m.ids.bos, id}, Types: make([]TokenType, 2)}
		l, err := m.Logits(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	pad := logits(m.ids.pad)
	for _, id := range m.ids.soft() {
		for i, v := range logits(id) {
			if v != pad[i] {
				t.Fatalf("token %d: logit %d is %g, padding gives %g", id, i, v, pad[i])
			}
		}
	}
	if other := logits(5); other[0] == pad[0] && other[1] == pad[1] {
		t.Error("another token gives padding's logits: the test cannot fail")
	}
}

// Add refuses what cannot be run and takes nothing in.
func TestAddRefuses(t *testing.T) {
	m := open(t, "golden/checkpoints/tiny-e", Options{})
	good := &Prompt{IDs: []int32{2}, Types: make([]TokenType, 1)}
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{MaxTokens: 1}, "empty"},
		{Request{Prompt: new(Prompt), MaxTokens: 1}, "empty"},
		{Request{Prompt: good}, "max tokens 0"},
		{Request{Prompt: &Prompt{IDs: make([]int32, 131072)}, MaxTokens: 1}, "context"},
		{Request{Prompt: &Prompt{IDs: []int32{2, 1024}}, MaxTokens: 1}, "token id 1024 at position 1"},
		{Request{Prompt: &Prompt{IDs: []int32{2, 3}, media: []mediaSpan{{lo: 0, hi: 1, soft: &SoftTokens{Rows: 1, Width: 7, Values: make([]float32, 7)}}}}, MaxTokens: 1}, "width 48"},
		{Request{Prompt: good, MaxTokens: 1, Sampling: Sampling{Temperature: -1}}, "temperature"},
		{Request{Prompt: good, MaxTokens: 1, Sampling: Sampling{TopP: 2}}, "top-p"},
	} {
		b := m.NewBatch()
		if err := b.Add(c.r); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() != 0 {
			t.Errorf("got %v with %d requests taken, want %q and none", err, b.Len(), c.want)
		}
	}
}
