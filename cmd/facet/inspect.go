package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"strings"
	"time"

	"facet/model"
	"facet/model/chat"
	"facet/pipeline"
	"facet/pipeline/sink"
	"facet/vision"
)

// inspectCommand groups the commands that look without inference.
type inspectCommand struct {
	Config  inspectConfig  `cmd:"" help:"The configuration of a checkpoint, as the engine reads it."`
	Tensors inspectTensors `cmd:"" help:"Every stored tensor with type, shape and size."`
	Tokens  inspectTokens  `cmd:"" help:"Read text on standard input; print its token ids and what they decode to."`
	Chat    inspectChat    `cmd:"" help:"Read a conversation on standard input, as OpenAI's API takes it; print the text the model sees."`
	Image   inspectImage   `cmd:"" help:"What an image becomes at a budget: size and soft tokens."`
	Audio   inspectAudio   `cmd:"" help:"What a recording becomes: pieces, times and soft tokens."`
	Video   inspectVideo   `cmd:"" help:"What a video becomes: tracks, scenes, frames and soft tokens."`
	Memory  inspectMemory  `cmd:"" help:"The memory that weights, caches and activations will take."`
	Limits  inspectLimits  `cmd:"" help:"What the kernel leaves to the processes that decode files, and the largest files."`
}

// bindFlags name a checkpoint of which no weight is read.
type bindFlags struct {
	Model string `help:"Checkpoint folder, GGUF file, or OWNER/NAME in the local hub cache. Default: the small model in fixtures/nano." env:"FACET_MODEL" placeholder:"PATH"`
}

func (f *bindFlags) path() (string, error) { return (&modelFlags{Model: f.Model}).path() }

// headerFlags name a checkpoint with its towers, of which only headers are read.
type headerFlags struct {
	bindFlags
	MMProj string `name:"mmproj" help:"File with the towers of a GGUF file. Default: the one beside it that fits." type:"existingfile" placeholder:"FILE"`
}

// bind opens the checkpoint's headers.
func (f *headerFlags) bind() (*model.Model, error) {
	path, err := f.path()
	if err != nil {
		return nil, err
	}
	return model.Bind(path, f.MMProj)
}

type inspectConfig struct {
	headerFlags
	JSON bool `help:"Print one JSON object."`
}

// configReport is what inspect config prints.
type configReport struct {
	Model         string        `json:"model"`
	TensorsStored int           `json:"tensors_stored"`
	TensorsUsed   int           `json:"tensors_used"`
	Parameters    int64         `json:"parameters_stored"`
	FileBytes     int64         `json:"file_bytes"`
	ChatTemplate  bool          `json:"chat_template"`
	Template      string        `json:"template"`
	Config        *model.Config `json:"config"`
}

// heard is the length of sound that the model hears at once.
func heard(m *model.Model) time.Duration {
	spec, _ := m.AudioSpec()
	return time.Duration(spec.MaxSamples) * time.Second / time.Duration(spec.SampleRate)
}

func (c *inspectConfig) Run(s *streams) error {
	m, err := c.bind()
	if err != nil {
		return err
	}
	defer m.Close()
	n := m.Counts()
	r := configReport{
		Model: m.Path(), TensorsStored: n.TensorsStored, TensorsUsed: n.TensorsUsed, Parameters: n.Parameters,
		FileBytes: n.FileBytes, ChatTemplate: m.HasChat(), Template: m.Template().String(), Config: m.Config(),
	}
	if c.JSON {
		return printJSON(s.out, r)
	}
	t := &r.Config.TextConfig
	fmt.Fprintf(s.out, "%s\n", r.Model)
	fmt.Fprintf(s.out, "file        %s in %d tensors, %d of them used; %s parameters stored\n", size(r.FileBytes), r.TensorsStored, r.TensorsUsed, count(r.Parameters))
	fmt.Fprintf(s.out, "decoder     %d layers of %d, %s\n", t.NumHiddenLayers, t.HiddenSize, layerPattern(t))
	fmt.Fprintf(s.out, "attention   %d heads, %s, window %d, context %d\n", t.NumAttentionHeads, headShapes(t), t.SlidingWindow, t.MaxPositionEmbeddings)
	if t.NumKVSharedLayers > 0 {
		fmt.Fprintf(s.out, "sharing     the last %d layers use the keys and values of earlier ones\n", t.NumKVSharedLayers)
	}
	if t.HiddenSizePerLayerInput > 0 {
		fmt.Fprintf(s.out, "per layer   embeddings of %d for each layer and token\n", t.HiddenSizePerLayerInput)
	}
	if t.EnableMoEBlock {
		fmt.Fprintf(s.out, "experts     %d, %d for each token, of %d\n", *t.NumExperts, *t.TopKExperts, *t.MoEIntermediateSize)
	}
	if v := r.Config.VisionConfig; v != nil && v.NumHiddenLayers == 0 {
		spec, _ := m.Spec()
		fmt.Fprintf(s.out, "vision      no tower: patches of %d pixels go into the decoder, default budget %d\n", spec.PatchSize, m.Budget())
	} else if v != nil {
		fmt.Fprintf(s.out, "vision      %d layers of %d, patches of %d pixels pooled %d × %d, default budget %d\n", v.NumHiddenLayers, v.HiddenSize, v.PatchSize, v.PoolingKernelSize, v.PoolingKernelSize, m.Budget())
	}
	if a := r.Config.AudioConfig; a != nil && a.NumHiddenLayers == 0 {
		spec, _ := m.AudioSpec()
		fmt.Fprintf(s.out, "audio       no tower: frames of %d samples go into the decoder, up to %s at once, %d soft tokens a second\n", spec.RawFrame, heard(m), spec.SampleRate/spec.RawFrame)
	} else if a != nil {
		fmt.Fprintf(s.out, "audio       %d layers of %d, up to %s at once, 25 soft tokens a second\n", a.NumHiddenLayers, a.HiddenSize, heard(m))
	}
	template := "none: the checkpoint continues a text"
	if r.ChatTemplate {
		template = r.Template + " template"
	}
	fmt.Fprintf(s.out, "chat        %s\n", template)
	return nil
}

func layerPattern(t *model.TextConfig) string {
	sliding := 0
	for i := range t.NumHiddenLayers {
		if t.Sliding(i) {
			sliding++
		}
	}
	return fmt.Sprintf("%d sliding and %d full", sliding, t.NumHiddenLayers-sliding)
}

// headShapes describes the KV heads of both kinds of layers.
func headShapes(t *model.TextConfig) string {
	var out []string
	seen := map[string]bool{}
	for i := range t.NumHiddenLayers {
		kind := "full"
		if t.Sliding(i) {
			kind = "sliding"
		}
		if !seen[kind] {
			seen[kind] = true
			heads, dim := t.KVShape(i)
			plural := "s"
			if heads == 1 {
				plural = ""
			}
			out = append(out, fmt.Sprintf("%s: %d KV head%s of %d", kind, heads, plural, dim))
		}
	}
	return strings.Join(out, ", ")
}

type inspectTensors struct {
	headerFlags
	JSON bool `help:"One JSON object for each tensor."`
}

func (c *inspectTensors) Run(s *streams) error {
	m, err := c.bind()
	if err != nil {
		return err
	}
	defer m.Close()
	for _, t := range m.Tensors() {
		if c.JSON {
			if err := printJSON(s.out, t); err != nil {
				return err
			}
			continue
		}
		note := ""
		if !t.Used {
			note = "  (unused)"
		}
		fmt.Fprintf(s.out, "%-90s %-5s %-22s %10s%s\n", t.Name, t.DType, fmt.Sprint(t.Shape), size(t.Bytes), note)
	}
	return nil
}

type inspectTokens struct {
	bindFlags
	Special bool `help:"Honour control tokens such as <bos>; without it they are text."`
}

func (c *inspectTokens) Run(s *streams) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	t, err := model.OpenTokenizer(path)
	if err != nil {
		return err
	}
	text, err := readStdin(context.Background(), s.in)
	if err != nil {
		return err
	}
	ids := []int32{}
	if c.Special {
		ids = t.EncodeSpecial(string(text), ids)
	} else {
		ids = t.Encode(string(text), ids)
	}
	return printJSON(s.out, struct {
		IDs     []int32 `json:"ids"`
		Decoded string  `json:"decoded"`
	}{ids, t.Decode(ids, false)})
}

type inspectChat struct {
	Thinking           bool   `help:"Ask the model to think first."`
	NoGenerationPrompt bool   `help:"End after the last message, without the opening of a reply."`
	Template           string `help:"Template family: small is E2B and E4B, large the others." enum:"small,large" default:"small"`
}

func (c *inspectChat) Run(s *streams) error {
	data, err := readStdin(context.Background(), s.in)
	if err != nil {
		return err
	}
	conversation, err := chat.ParseOpenAI(data)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	template, err := chat.ParseTemplate(c.Template)
	if err != nil {
		return err
	}
	spans, err := chat.Render(conversation, chat.Options{Template: template, Thinking: c.Thinking, GenerationPrompt: !c.NoGenerationPrompt})
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, chat.Text(spans))
	return err
}

type inspectImage struct {
	File   string `arg:"" help:"Image."`
	Page   int    `help:"Page of a TIFF, or frame of a GIF." default:"1"`
	Budget int    `help:"Soft tokens the image may take: 70, 140, 280, 560 or 1120." default:"280"`
	Out    string `help:"Write the resized image to this PNG file." placeholder:"FILE"`
	JSON   bool   `help:"Print one JSON object."`
	sandboxFlag
}

func (c *inspectImage) Run(ctx context.Context, s *streams) error {
	if err := checkBudget("--budget", c.Budget); err != nil {
		return err
	}
	c.warn(s)
	img, pages, err := decodePage(ctx, c.File, c.Page, c.mode())
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	spec := vision.Gemma4
	w, h, err := spec.Size(img.Width, img.Height, c.Budget)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if c.Out != "" {
		if err := writePNG(c.Out, img.Resize(w, h)); err != nil {
			return err
		}
	}
	r := struct {
		File       string `json:"file"`
		Type       string `json:"type"`
		Page       int    `json:"page"`
		Pages      int    `json:"pages"`
		Original   [2]int `json:"size_original"`
		Target     [2]int `json:"size_seen"`
		Budget     int    `json:"budget"`
		SoftTokens int    `json:"soft_tokens"`
	}{c.File, img.Format, c.Page, pages, [2]int{img.Width, img.Height}, [2]int{w, h}, c.Budget, spec.SoftTokens(w, h)}
	if c.JSON {
		return printJSON(s.out, r)
	}
	place := ""
	if pages > 1 {
		place = fmt.Sprintf(", page %d of %d", c.Page, pages)
	}
	_, err = fmt.Fprintf(s.out, "%s: %s%s, %d × %d pixels upright → %d × %d, %d soft tokens of %d\n",
		c.File, img.Format, place, img.Width, img.Height, w, h, r.SoftTokens, c.Budget)
	return err
}

func writePNG(path string, img *vision.Image) error {
	f, err := sink.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := png.Encode(f, img.NRGBA()); err != nil {
		return err
	}
	return f.Commit()
}

type inspectMemory struct {
	headerFlags
	Context   int  `help:"Positions of a sequence: prompt and reply. Default: 8192, or the checkpoint's if that is less." placeholder:"N"`
	Sequences int  `help:"Sequences at once." default:"1"`
	Budget    int  `help:"Soft tokens of an image: 70, 140, 280, 560 or 1120." default:"1120"`
	JSON      bool `help:"Print one JSON object."`
}

func (c *inspectMemory) Run(s *streams) error {
	if c.Context < 0 || c.Sequences < 1 || c.Sequences > pipeline.MaxBatch {
		return usageError(fmt.Sprintf("--context must be at least 1, --sequences from 1 to %d", pipeline.MaxBatch))
	}
	if err := checkBudget("--budget", c.Budget); err != nil {
		return err
	}
	m, err := c.bind()
	if err != nil {
		return err
	}
	defer m.Close()
	most := m.Config().TextConfig.MaxPositionEmbeddings
	if c.Context > most {
		return usageError(fmt.Sprintf("--context %d: the checkpoint's is %d", c.Context, most))
	}
	if c.Context == 0 {
		c.Context = min(8192, most)
	}
	r := m.Memory(c.Context, c.Sequences, c.Budget)
	if c.JSON {
		return printJSON(s.out, r)
	}
	weights, tower := "weights, in the memory map", "weights, in the memory map"
	if m.Precision() == model.Fast {
		weights, tower = "weights, repacked for integer products", "weights, repacked in bfloat16 for the first image"
	}
	for _, l := range []struct {
		name  string
		bytes int64
		note  string
	}{
		{"decoder", r.Decoder, weights},
		{"vision tower", r.Vision, tower},
		{"audio tower", r.Audio, "weights, in the memory map"},
		{"keys and values", r.Cache, fmt.Sprintf("%d × %d positions", c.Sequences, c.Context)},
		{"a pass", r.Pass, "activations"},
		{"an image", r.Tower, fmt.Sprintf("activations at budget %d", c.Budget)},
		{"sound", r.Sound, "activations"},
		{"together", r.Resident(), "resident at most"},
		{"per-layer table", r.Table, "read row by row, not resident"},
		{"unused", r.Unused, "stored, never read"},
	} {
		if l.bytes > 0 {
			fmt.Fprintf(s.out, "%-16s %10s  %s\n", l.name, size(l.bytes), l.note)
		}
	}
	return nil
}
