package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"facet/internal/kernel"
	"facet/model"
	"facet/vision"
)

// benchCommand measures the speed of a checkpoint on this machine.
type benchCommand struct {
	modelFlags
	Prompt  int   `help:"Tokens in the prompt." default:"512"`
	Gen     int   `help:"Tokens generated after it." default:"64"`
	Rounds  int   `help:"Times each is measured; the median is reported." default:"3"`
	Budgets []int `help:"Soft-token budgets at which an image is encoded." placeholder:"N"`
	JSON    bool  `help:"Print one JSON object."`
}

// benchReport is what bench measured.
type benchReport struct {
	Model                 string           `json:"model"`
	Kernels               string           `json:"kernels"`
	Threads               int              `json:"threads"`
	PromptTokens          int              `json:"prompt_tokens"`
	GeneratedTokens       int              `json:"generated_tokens"`
	PromptTokensPerSecond float64          `json:"prompt_tokens_per_second"`
	EveryRowPerSecond     float64          `json:"prompt_tokens_per_second_every_row"`
	StepTokensPerSecond   float64          `json:"step_tokens_per_second"`
	StepBytes             int64            `json:"step_bytes"`
	StepGBPerSecond       float64          `json:"step_gigabytes_per_second"`
	MemoryGBPerSecond     float64          `json:"memory_gigabytes_per_second"`
	MultiplyGFLOPS        float64          `json:"multiply_gflops"`
	Images                []imageBenchmark `json:"images,omitempty"`
}

type imageBenchmark struct {
	Budget           int     `json:"budget"`
	SoftTokens       int     `json:"soft_tokens"`
	EncodesPerSecond float64 `json:"encodes_per_second"`
}

func (c *benchCommand) Run(ctx context.Context, s *streams) error {
	if c.Prompt < 1 || c.Gen < 1 || c.Rounds < 1 {
		return usageError("--prompt, --gen and --rounds must be at least 1")
	}
	path, err := c.path()
	if err != nil {
		return err
	}
	m, err := model.Open(path, model.Options{Threads: c.Threads})
	if err != nil {
		return err
	}
	defer m.Close()
	r := benchReport{Model: path, Kernels: kernel.Name(), Threads: m.Threads(), PromptTokens: c.Prompt, GeneratedTokens: c.Gen, StepBytes: m.StepBytes()}
	if r.PromptTokensPerSecond, r.StepTokensPerSecond, err = c.text(ctx, m); err != nil {
		return err
	}
	if r.EveryRowPerSecond, err = c.everyRow(ctx, path); err != nil {
		return err
	}
	if r.Images, err = c.images(ctx, m); err != nil {
		return err
	}
	r.StepGBPerSecond = r.StepTokensPerSecond * float64(r.StepBytes) / 1e9
	bytes, flops := m.Limits()
	r.MemoryGBPerSecond, r.MultiplyGFLOPS = bytes/1e9, flops/1e9
	if c.JSON {
		return printJSON(s.out, r)
	}
	r.print(s)
	return nil
}

// text measures prompt and step with random ids: what the tokens are makes no difference to the time.
func (c *benchCommand) text(ctx context.Context, m *model.Model) (prompt, step float64, err error) {
	var prompts, steps []float64
	for range c.Rounds {
		times, err := c.generate(ctx, m)
		if err != nil {
			return 0, 0, err
		}
		prompts = append(prompts, float64(c.Prompt)/times[0].Seconds())
		if n := len(times) - 1; n > 0 {
			var total time.Duration
			for _, t := range times[1:] {
				total += t
			}
			steps = append(steps, float64(n)/total.Seconds())
		}
	}
	return median(prompts), median(steps), nil
}

// generate runs one request and returns the time of the prompt, up to the first
// token, and of each step after it.
func (c *benchCommand) generate(ctx context.Context, m *model.Model) ([]time.Duration, error) {
	random := rand.New(rand.NewPCG(1, 1))
	p := new(model.Prompt)
	for range c.Prompt {
		p.IDs = append(p.IDs, random.Int32N(int32(m.Config().TextConfig.VocabSize)))
	}
	p.Types = make([]model.TokenType, c.Prompt)
	var times []time.Duration
	last := time.Now()
	_, err := m.Generate(ctx, model.Request{ID: "bench", Prompt: p, MaxTokens: c.Gen, IgnoreEnd: true, OnToken: func(model.Token) {
		now := time.Now()
		times, last = append(times, now.Sub(last)), now
	}})
	return times, err
}

// everyRow measures the prompt with all rows through all layers, where a checkpoint
// has layers that a prompt can skip.
func (c *benchCommand) everyRow(ctx context.Context, path string) (float64, error) {
	m, err := model.Open(path, model.Options{Threads: c.Threads, EveryRow: true})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if m.Config().TextConfig.NumKVSharedLayers == 0 {
		return 0, nil
	}
	one := *c
	one.Gen = 1
	prompt, _, err := one.text(ctx, m)
	return prompt, err
}

func (c *benchCommand) images(ctx context.Context, m *model.Model) ([]imageBenchmark, error) {
	spec, ok := m.Spec()
	if !ok {
		return nil, nil
	}
	budgets := c.Budgets
	if len(budgets) == 0 {
		budgets = []int{70, 280}
	}
	var out []imageBenchmark
	for _, budget := range budgets {
		p, err := noise(spec, budget)
		if err != nil {
			return nil, err
		}
		var rates []float64
		soft := 0
		for range c.Rounds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := time.Now()
			tokens, err := m.EncodeImage(p)
			if err != nil {
				return nil, err
			}
			soft = tokens.Rows
			rates = append(rates, 1/time.Since(start).Seconds())
		}
		out = append(out, imageBenchmark{budget, soft, median(rates)})
	}
	return out, nil
}

// noise is a page of noise that fills the budget.
func noise(spec vision.Spec, budget int) (*vision.Patches, error) {
	const width, height = 640, 480
	img := &vision.Image{Width: width, Height: height, Pix: make([]byte, 3*width*height)}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range img.Pix {
		img.Pix[i] = byte(random.Uint32())
	}
	p, _, err := vision.Prepare(img, spec, budget)
	return p, err
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (r *benchReport) print(s *streams) {
	fmt.Fprintf(s.out, "%s · %s kernels · %d threads · float32 activations\n", r.Model, r.Kernels, r.Threads)
	fmt.Fprintf(s.out, "prompt  %10.1f tokens/s  (%d tokens)\n", r.PromptTokensPerSecond, r.PromptTokens)
	if r.EveryRowPerSecond > 0 {
		fmt.Fprintf(s.out, "        %10.1f tokens/s  with every row through every layer\n", r.EveryRowPerSecond)
	}
	fmt.Fprintf(s.out, "step    %10.1f tokens/s  (%d tokens; %s read for each, %.1f GB/s: %.0f %% of what this machine's memory gives)\n",
		r.StepTokensPerSecond, r.GeneratedTokens, size(r.StepBytes), r.StepGBPerSecond, 100*r.StepGBPerSecond/r.MemoryGBPerSecond)
	for _, i := range r.Images {
		fmt.Fprintf(s.out, "image   %10.2f encodes/s at budget %d (%d soft tokens)\n", i.EncodesPerSecond, i.Budget, i.SoftTokens)
	}
	fmt.Fprintf(s.out, "limits  %10.1f GB/s read, %.0f GFLOP/s float32\n", r.MemoryGBPerSecond, r.MultiplyGFLOPS)
}
