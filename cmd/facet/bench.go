package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"facet/audio"
	"facet/internal/kernel"
	"facet/model"
	"facet/vision"
)

// benchCommand measures the speed of a checkpoint on this machine.
type benchCommand struct {
	modelFlags
	Figures []string `help:"What to measure: prompt (with the steps after it), every-row (the prompt with no layer left out), sequences, images, sound, limits (of the machine)." enum:"prompt,every-row,sequences,images,sound,limits" default:"prompt,sequences,images,sound,limits"`
	Prompt  int      `help:"Tokens in the prompt." default:"512"`
	Gen     int      `help:"Tokens generated after it." default:"64"`
	Batch   []int    `help:"Numbers of sequences whose steps are measured together." placeholder:"N"`
	Rounds  int      `help:"Times each is measured, after a warm-up; the median is reported." default:"3"`
	Budgets []int    `help:"Soft-token budgets at which an image is encoded." default:"70,280" placeholder:"N"`
	JSON    bool     `help:"Print one JSON object."`
}

// benchReport is what bench measured; what it did not is left out.
type benchReport struct {
	Model                 string           `json:"model"`
	Kernels               string           `json:"kernels"`
	Threads               int              `json:"threads"`
	Precision             string           `json:"precision"`
	LoadSeconds           float64          `json:"load_seconds"`
	PromptTokens          int              `json:"prompt_tokens"`
	GeneratedTokens       int              `json:"generated_tokens"`
	PromptTokensPerSecond float64          `json:"prompt_tokens_per_second,omitempty"`
	PromptShare           float64          `json:"prompt_share_of_limit,omitempty"` // of what the multipliers could do
	EveryRowPerSecond     float64          `json:"prompt_tokens_per_second_every_row,omitempty"`
	StepTokensPerSecond   float64          `json:"step_tokens_per_second,omitempty"`
	StepBytes             int64            `json:"step_bytes"`
	StepGBPerSecond       float64          `json:"step_gigabytes_per_second,omitempty"`
	StepShare             float64          `json:"step_share_of_limit,omitempty"` // of what the memory gives
	Batches               []batchBenchmark `json:"batches,omitempty"`
	Images                []imageBenchmark `json:"images,omitempty"`
	Sound                 *soundBenchmark  `json:"sound,omitempty"`
	Limits                *limitBenchmark  `json:"limits,omitempty"`
}

// limitBenchmark is what the machine can do with as many threads.
type limitBenchmark struct {
	MemoryGBPerSecond float64 `json:"memory_gigabytes_per_second"`
	Float32GFLOPS     float64 `json:"float32_gflops"`
	BF16GFLOPS        float64 `json:"bf16_gflops"`
	Int8GOPS          float64 `json:"int8_gops"`
}

type batchBenchmark struct {
	Sequences           int     `json:"sequences"`
	StepTokensPerSecond float64 `json:"step_tokens_per_second"`
}

type imageBenchmark struct {
	Budget           int     `json:"budget"`
	SoftTokens       int     `json:"soft_tokens"`
	EncodesPerSecond float64 `json:"encodes_per_second"`
	Share            float64 `json:"share_of_limit,omitempty"` // of what the multipliers could do

	patches int
}

// soundBenchmark is the encoding of one piece of sound, from mel to soft tokens.
type soundBenchmark struct {
	Seconds          float64 `json:"seconds"`
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
	for _, measure := range []struct {
		figure string
		run    func(context.Context, *model.Model, *benchReport) error
	}{
		{"prompt", c.text}, {"every-row", c.everyRow}, {"sequences", c.batches}, {"images", c.images}, {"sound", c.sound}, {"limits", limits},
	} {
		if !slices.Contains(c.Figures, measure.figure) {
			continue
		}
		if err := measure.run(ctx, m, &r); err != nil {
			return err
		}
	}
	r.share(m)
	if c.JSON {
		return printJSON(s.out, r)
	}
	r.print(s)
	return nil
}

// share sets how near the figures come to what the machine could do, if that was measured.
func (r *benchReport) share(m *model.Model) {
	if r.Limits == nil {
		return
	}
	l := model.Limits{
		Float32: 1e9 * r.Limits.Float32GFLOPS, BFloat16: 1e9 * r.Limits.BF16GFLOPS,
		Int8: 1e9 * r.Limits.Int8GOPS, Read: 1e9 * r.Limits.MemoryGBPerSecond,
	}
	r.PromptShare = m.PromptLimit(l, r.PromptTokens) * r.PromptTokensPerSecond / float64(r.PromptTokens)
	r.StepShare = r.StepGBPerSecond / r.Limits.MemoryGBPerSecond
	for i := range r.Images {
		r.Images[i].Share = m.ImageLimit(l, r.Images[i].patches) * r.Images[i].EncodesPerSecond
	}
}

// shareOf shows a share, if it is known.
func shareOf(share float64, what string) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf(": %.0f %% of what this machine's %s", 100*share, what)
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

// median runs measure once to warm up, so that buffers and the pages of a memory map are
// there, and then for every round, and returns the median.
func (c *benchCommand) median(measure func() (float64, error)) (float64, error) {
	var values []float64
	for round := range c.Rounds + 1 {
		v, err := measure()
		if err != nil {
			return 0, err
		}
		if round > 0 {
			values = append(values, v)
		}
	}
	return median(values), nil
}

// text measures prompt and step of one sequence.
func (c *benchCommand) text(ctx context.Context, m *model.Model, r *benchReport) (err error) {
	var steps []float64
	r.PromptTokensPerSecond, err = c.median(func() (float64, error) {
		times, err := c.generate(ctx, m.NewBatch(), random(m, c.Prompt, 0), c.Gen)
		if err != nil {
			return 0, err
		}
		if n := len(times) - 1; n > 0 {
			var total time.Duration
			for _, t := range times[1:] {
				total += t
			}
			steps = append(steps, float64(n)/total.Seconds())
		}
		return float64(c.Prompt) / times[0].Seconds(), nil
	})
	if len(steps) > 0 {
		r.StepTokensPerSecond = median(steps[1:])
		r.StepGBPerSecond = r.StepTokensPerSecond * float64(r.StepBytes) / 1e9
	}
	return err
}

// everyRow measures the prompt with all rows through all layers, where a checkpoint
// has layers that a prompt can skip.
func (c *benchCommand) everyRow(ctx context.Context, m *model.Model, r *benchReport) (err error) {
	if m.Config().TextConfig.NumKVSharedLayers == 0 {
		return nil
	}
	r.EveryRowPerSecond, err = c.median(func() (float64, error) {
		b := m.NewBatch()
		b.EveryRow = true
		times, err := c.generate(ctx, b, random(m, c.Prompt, 0), 1)
		if err != nil {
			return 0, err
		}
		return float64(c.Prompt) / times[0].Seconds(), nil
	})
	return err
}

// batches measures the steps of several sequences at once: the tokens that all of them
// get in a second, once every prompt is through.
func (c *benchCommand) batches(ctx context.Context, m *model.Model, r *benchReport) error {
	for _, n := range c.Batch {
		rate, err := c.median(func() (float64, error) { return c.batch(ctx, m, n) })
		if err != nil {
			return err
		}
		r.Batches = append(r.Batches, batchBenchmark{n, rate})
	}
	return nil
}

// limits measures the machine.
func limits(_ context.Context, m *model.Model, r *benchReport) error {
	l := m.Limits()
	r.Limits = &limitBenchmark{l.Read / 1e9, l.Float32 / 1e9, l.BFloat16 / 1e9, l.Int8 / 1e9}
	return nil
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

// images measures the encoding of a page, from patches to soft tokens.
func (c *benchCommand) images(ctx context.Context, m *model.Model, r *benchReport) error {
	spec, ok := m.Spec()
	if !ok {
		return nil
	}
	for _, budget := range c.Budgets {
		p, err := noise(spec, budget)
		if err != nil {
			return err
		}
		soft := 0
		rate, err := c.median(func() (float64, error) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			start := time.Now()
			tokens, err := m.EncodeImage(p)
			if err != nil {
				return 0, err
			}
			soft = tokens.Rows
			return 1 / time.Since(start).Seconds(), nil
		})
		if err != nil {
			return err
		}
		r.Images = append(r.Images, imageBenchmark{Budget: budget, SoftTokens: soft, EncodesPerSecond: rate, patches: p.Columns * p.Rows})
	}
	return nil
}

// sound measures the encoding of as much noise as the model hears at once.
func (c *benchCommand) sound(ctx context.Context, m *model.Model, r *benchReport) error {
	spec, ok := m.AudioSpec()
	if !ok {
		return nil
	}
	pcm, random := make([]float32, spec.MaxSamples), rand.New(rand.NewPCG(1, 1))
	for i := range pcm {
		pcm[i] = random.Float32() - 0.5
	}
	features := audio.NewExtractor(spec).Features(pcm)
	b := &soundBenchmark{Seconds: float64(spec.MaxSamples) / float64(spec.SampleRate)}
	var err error
	b.EncodesPerSecond, err = c.median(func() (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		tokens, err := m.EncodeAudio(features)
		if err != nil {
			return 0, err
		}
		b.SoftTokens = tokens.Rows
		return 1 / time.Since(start).Seconds(), nil
	})
	r.Sound = b
	return err
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
	if r.PromptTokensPerSecond > 0 {
		fmt.Fprintf(s.out, "prompt  %10.1f tokens/s  (%d tokens)%s\n", r.PromptTokensPerSecond, r.PromptTokens, shareOf(r.PromptShare, "multipliers could do"))
	}
	if r.EveryRowPerSecond > 0 {
		fmt.Fprintf(s.out, "prompt  %10.1f tokens/s  with every row through every layer\n", r.EveryRowPerSecond)
	}
	if r.StepTokensPerSecond > 0 {
		fmt.Fprintf(s.out, "step    %10.1f tokens/s  (%d tokens; %s read for each, %.1f GB/s%s)\n",
			r.StepTokensPerSecond, r.GeneratedTokens, size(r.StepBytes), r.StepGBPerSecond, shareOf(r.StepShare, "memory gives"))
	}
	for _, b := range r.Batches {
		fmt.Fprintf(s.out, "steps   %10.1f tokens/s  of %d sequences together\n", b.StepTokensPerSecond, b.Sequences)
	}
	for _, i := range r.Images {
		fmt.Fprintf(s.out, "image   %10.2f encodes/s at budget %d (%d soft tokens)%s\n", i.EncodesPerSecond, i.Budget, i.SoftTokens, shareOf(i.Share, "multipliers could do"))
	}
	if b := r.Sound; b != nil {
		fmt.Fprintf(s.out, "sound   %10.2f encodes/s of %.0f s (%d soft tokens): %.0f× real time\n", b.EncodesPerSecond, b.Seconds, b.SoftTokens, b.EncodesPerSecond*b.Seconds)
	}
	if l := r.Limits; l != nil {
		fmt.Fprintf(s.out, "limits  %10.1f GB/s read, %.0f GFLOP/s float32, %.0f GFLOP/s bfloat16, %.0f GOP/s int8\n", l.MemoryGBPerSecond, l.Float32GFLOPS, l.BF16GFLOPS, l.Int8GOPS)
	}
}
