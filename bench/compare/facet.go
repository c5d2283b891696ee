package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// facet runs facet bench.
type facet struct{ a *arguments }

// facetReport is what facet bench --json prints, as far as it is wanted here.
type facetReport struct {
	LoadSeconds           float64 `json:"load_seconds"`
	PromptTokensPerSecond float64 `json:"prompt_tokens_per_second"`
	StepTokensPerSecond   float64 `json:"step_tokens_per_second"`
	Limits                struct {
		MemoryGBPerSecond float64 `json:"memory_gigabytes_per_second"`
		Float32GFLOPS     float64 `json:"float32_gflops"`
		BF16GFLOPS        float64 `json:"bf16_gflops"`
		Int8GOPS          float64 `json:"int8_gops"`
	} `json:"limits"`
	Batches []struct {
		Sequences           int     `json:"sequences"`
		StepTokensPerSecond float64 `json:"step_tokens_per_second"`
	} `json:"batches"`
	Images []struct {
		Budget           int     `json:"budget"`
		SoftTokens       int     `json:"soft_tokens"`
		EncodesPerSecond float64 `json:"encodes_per_second"`
	} `json:"images"`
	Sound struct {
		SoftTokens       int     `json:"soft_tokens"`
		EncodesPerSecond float64 `json:"encodes_per_second"`
	} `json:"sound"`
}

func (f *facet) measure(ctx context.Context, g group) (values, error) {
	r, err := f.bench(ctx, g)
	if err != nil {
		return nil, err
	}
	v := values{
		{memoryLimit, 0}: r.Limits.MemoryGBPerSecond, {floatLimit, 0}: r.Limits.Float32GFLOPS,
		{bfloatLimit, 0}: r.Limits.BF16GFLOPS, {intLimit, 0}: r.Limits.Int8GOPS,
	}
	switch g.kind {
	case "prompt":
		v[figure{promptRate, g.n}] = r.PromptTokensPerSecond
		if f.a.steps(g.n) > 0 {
			v[figure{stepRate, 0}] = r.StepTokensPerSecond
		}
	case "sequences":
		for _, b := range r.Batches {
			v[figure{sequencesRate, b.Sequences}] = b.StepTokensPerSecond
		}
	case "image":
		for _, i := range r.Images {
			if want := pictures[i.Budget].soft(); i.SoftTokens != want {
				return v, fmt.Errorf("budget %d gives %d soft tokens, and llama.cpp's picture %d", i.Budget, i.SoftTokens, want)
			}
			if i.EncodesPerSecond > 0 {
				v[figure{imageTime, i.Budget}] = 1 / i.EncodesPerSecond
			}
		}
	case "sound":
		if r.Sound.SoftTokens != soundTokens {
			return v, fmt.Errorf("%d s of sound give %d soft tokens, and in llama.cpp %d", soundSeconds, r.Sound.SoftTokens, soundTokens)
		}
		v[figure{soundTime, 0}] = 1 / r.Sound.EncodesPerSecond
	case "load":
		v[figure{loadTime, 0}] = r.LoadSeconds
	}
	return v, nil
}

func (f *facet) bench(ctx context.Context, g group) (r facetReport, err error) {
	args := []string{"bench", "--json", "--rounds", "1", "--model", f.a.Model, "--threads", strconv.Itoa(f.a.Threads), "--precision", f.a.Precision}
	switch g.kind {
	case "prompt":
		args = append(args, "--figures", "prompt,limits", "--prompt", strconv.Itoa(g.n), "--gen", strconv.Itoa(max(1, f.a.steps(g.n))))
	case "sequences":
		args = append(args, "--figures", "sequences", "--prompt", strconv.Itoa(batchPrompt), "--gen", strconv.Itoa(f.a.Gen), "--batch", joined(f.a.Batch))
	case "image":
		args = append(args, "--figures", "images", "--mmproj", f.a.Mmproj, "--budgets", strconv.Itoa(g.n))
	case "sound":
		args = append(args, "--figures", "sound", "--mmproj", f.a.Mmproj)
	case "load":
		args = append(args, "--figures", "prompt", "--prompt", "1", "--gen", "1")
	}
	out, err := output(ctx, f.a.Facet, args...)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// output runs a program and returns its standard output. An error carries the end of
// what it wrote to standard error.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return out, err
}
