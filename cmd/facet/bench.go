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
	Batch   []int `help:"Also measure the steps of this many sequences at once." placeholder:"N"`
	Rounds  int   `help:"Times each is measured; the median is reported." default:"3"`
	Budgets []int `help:"Soft-token budgets at which an image is encoded." placeholder:"N"`
	JSON    bool  `help:"Print one JSON object."`
}

// benchReport is what bench measured.
type benchReport struct {
	Model                 string           `json:"model"`
	Kernels               string           `json:"kernels"`
	Threads               int              `json:"threads"`
	Precision             string           `json:"precision"`
	LoadSeconds           float64          `json:"load_seconds"`
	PromptTokens          int              `json:"prompt_tokens"`
	GeneratedTokens       int              `json:"generated_tokens"`
	PromptTokensPerSecond float64          `json:"prompt_tokens_per_second"`
	EveryRowPerSecond     float64          `json:"prompt_tokens_per_second_every_row"`
	StepTokensPerSecond   float64          `json:"step_tokens_per_second"`
	StepBytes             int64            `json:"step_bytes"`
	StepGBPerSecond       float64          `json:"step_gigabytes_per_second"`
	MemoryGBPerSecond     float64          `json:"memory_gigabytes_per_second"`
	MultiplyGFLOPS        float64          `json:"multiply_gflops"`
	Batches               []batchBenchmark `json:"batches,omitempty"`
	Images                []imageBenchmark `json:"images,omitempty"`
}

type batchBenchmark struct {
	Sequences           int     `json:"sequences"`
	StepTokensPerSecond float64 `json:"step_tokens_per_second"`
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
	for _, n := range c.Batch {
		if n < 1 || n > mostSequences {
			return usageError(fmt.Sprintf("--batch must be from 1 to %d", mostSequences))
		}
	}
	for _, n := range c.Budgets {
		if err := checkBudget("--budgets", n); err != nil {
			return err
		}
	}
	start := time.Now()
	m, err := c.open(model.Options{EncoderCache: -1})
	if err != nil {
		return err
	}
	defer m.Close()
	if context := m.Config().TextConfig.MaxPositionEmbeddings; c.Prompt >= context || c.Gen >= context-c.Prompt {
		return usageError(fmt.Sprintf("--prompt and --gen together must be less than the checkpoint's context of %d", context))
	}
	r := benchReport{Model: m.Path(), Kernels: kernel.Name(), Threads: m.Threads(), Precision: m.Precision().String(), LoadSeconds: time.Since(start).Seconds(), PromptTokens: c.Prompt, GeneratedTokens: c.Gen, StepBytes: m.StepBytes()}
	if r.PromptTokensPerSecond, r.StepTokensPerSecond, err = c.text(ctx, m); err != nil {
		return err
	}
	if r.EveryRowPerSecond, err = c.everyRow(ctx, m); err != nil {
		return err
	}
	if r.Batches, err = c.batches(ctx, m); err != nil {
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

// generate runs one request and returns the time of the prompt, up to the first
// token, and of each step after it.
func (c *benchCommand) generate(ctx context.Context, b *model.Batch, prompt *model.Prompt, gen int) ([]time.Duration, error) {
	var times []time.Duration
	last := time.Now()
	err := b.Add(model.Request{ID: "bench", Prompt: prompt, MaxTokens: gen, IgnoreEnd: true, OnToken: func(model.Token) {
		now := time.Now()
		times, last = append(times, now.Sub(last)), now
	}})
	if err != nil {
		return nil, err
	}
	return times, drain(ctx, b)
}

// drain runs a batch to its end.
func drain(ctx context.Context, b *model.Batch) error {
	defer b.Drop()
	for b.Len() > 0 {
		if err := step(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// step runs one pass.
func step(ctx context.Context, b *model.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done, err := b.Step()
	if err != nil {
		return err
	}
	for _, f := range done {
		if f.Reply.Err != nil {
			return f.Reply.Err
		}
	}
	return nil
}

// random is a prompt of random ids: what the tokens are makes no difference to the time.
func random(m *model.Model, length int, seed uint64) *model.Prompt {
	r := rand.New(rand.NewPCG(1, seed))
	p := &model.Prompt{Types: make([]model.TokenType, length)}
	for range length {
		p.IDs = append(p.IDs, r.Int32N(int32(m.Config().TextConfig.VocabSize)))
	}
	return p
}

// text measures prompt and step of one sequence.
func (c *benchCommand) text(ctx context.Context, m *model.Model) (prompt, step float64, err error) {
	var prompts, steps []float64
	for range c.Rounds {
		times, err := c.generate(ctx, m.NewBatch(), random(m, c.Prompt, 0), c.Gen)
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

// everyRow measures the prompt with all rows through all layers, where a checkpoint
// has layers that a prompt can skip.
func (c *benchCommand) everyRow(ctx context.Context, m *model.Model) (float64, error) {
	if m.Config().TextConfig.NumKVSharedLayers == 0 {
		return 0, nil
	}
	var prompts []float64
	for range c.Rounds {
		b := m.NewBatch()
		b.EveryRow = true
		times, err := c.generate(ctx, b, random(m, c.Prompt, 0), 1)
		if err != nil {
			return 0, err
		}
		prompts = append(prompts, float64(c.Prompt)/times[0].Seconds())
	}
	return median(prompts), nil
}

// batches measures the steps of several sequences at once: the tokens that all of them
// get in a second, once every prompt is through.
func (c *benchCommand) batches(ctx context.Context, m *model.Model) ([]batchBenchmark, error) {
	var out []batchBenchmark
	for _, n := range c.Batch {
		var rates []float64
		for range c.Rounds {
			rate, err := c.batch(ctx, m, n)
			if err != nil {
				return nil, err
			}
			rates = append(rates, rate)
		}
		out = append(out, batchBenchmark{n, median(rates)})
	}
	return out, nil
}

// mostSequences is the most of them that bench lets run together: a pass takes 512
// positions, so that half of it is left for the prompts that still wait.
const mostSequences = 256

// batchPrompt is the most tokens that each of several sequences begins with.
const batchPrompt = 128

func (c *benchCommand) batch(ctx context.Context, m *model.Model, sequences int) (float64, error) {
	b := m.NewBatch()
	defer b.Drop()
	ready, tokens := 0, 0
	for i := range sequences {
		first := true
		// The first to be ready steps on until the last prompt is through: in at most half
		// as many passes as there are sequences, by the two constants, and one.
		err := b.Add(model.Request{ID: fmt.Sprint(i), Prompt: random(m, min(c.Prompt, batchPrompt), uint64(i)), MaxTokens: sequences + 1 + c.Gen, IgnoreEnd: true, OnToken: func(model.Token) {
			tokens++
			if first {
				first, ready = false, ready+1
			}
		}})
		if err != nil {
			return 0, err
		}
	}
	together := func() error {
		if b.Len() < sequences {
			return fmt.Errorf("the context is full before %d sequences have %d tokens each: ask for less with --gen", sequences, c.Gen)
		}
		return step(ctx, b)
	}
	for ready < sequences {
		if err := together(); err != nil {
			return 0, err
		}
	}
	start, before := time.Now(), tokens
	for tokens-before < sequences*c.Gen {
		if err := together(); err != nil {
			return 0, err
		}
	}
	return float64(tokens-before) / time.Since(start).Seconds(), nil
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
	fmt.Fprintf(s.out, "%s · %s kernels · %d threads · %s · loaded in %.2f s\n", r.Model, r.Kernels, r.Threads, r.Precision, r.LoadSeconds)
	fmt.Fprintf(s.out, "prompt  %10.1f tokens/s  (%d tokens)\n", r.PromptTokensPerSecond, r.PromptTokens)
	if r.EveryRowPerSecond > 0 {
		fmt.Fprintf(s.out, "        %10.1f tokens/s  with every row through every layer\n", r.EveryRowPerSecond)
	}
	fmt.Fprintf(s.out, "step    %10.1f tokens/s  (%d tokens; %s read for each, %.1f GB/s: %.0f %% of what this machine's memory gives)\n",
		r.StepTokensPerSecond, r.GeneratedTokens, size(r.StepBytes), r.StepGBPerSecond, 100*r.StepGBPerSecond/r.MemoryGBPerSecond)
	for _, b := range r.Batches {
		fmt.Fprintf(s.out, "steps   %10.1f tokens/s  of %d sequences together\n", b.StepTokensPerSecond, b.Sequences)
	}
	for _, i := range r.Images {
		fmt.Fprintf(s.out, "image   %10.2f encodes/s at budget %d (%d soft tokens)\n", i.EncodesPerSecond, i.Budget, i.SoftTokens)
	}
	fmt.Fprintf(s.out, "limits  %10.1f GB/s read, %.0f GFLOP/s float32\n", r.MemoryGBPerSecond, r.MultiplyGFLOPS)
}
