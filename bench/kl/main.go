// Kl compares what facet and llama.cpp compute from the same GGUF file: the distributions
// of the next token at every position of a text, which both are told (teacher forcing).
//
//		bench/llama.cpp/build.sh
//		go run ./bench/kl MODEL.gguf
//
//	 1. the text becomes ids by facet's tokenizer, with <bos> in front
//	 2. llama.cpp computes the logits of every position      bench/llama.cpp/logits
//	 3. facet computes them, in one pass
//	 4. at each position: the Kullback-Leibler divergence of facet's distribution from
//	    llama.cpp's, and whether the likeliest token is the same
//
// llama.cpp rounds activations to 8 bits before it multiplies them with quantised weights,
// to bfloat16 with those of that type, and GELU to float16; facet's exact rounds nothing. Small
// random models amplify a rounding until another token is likelier, and tell nothing
// here. Files without quantised weights do, even of such models: what
//
//	llama-quantize --allow-requantize MODEL.gguf F32.gguf F32
//
// makes of one leaves nothing but GELU and the sums' order.
// The exit status is 1 where the bounds given by flags are not met.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"facet/model"
)

type arguments struct {
	Model     string  `arg:"" help:"The GGUF file." type:"existingfile"`
	Text      string  `help:"What both are told." type:"existingfile" default:"LICENSE"`
	Positions int     `help:"Positions of it." default:"500"`
	Precision string  `help:"facet's precision: exact or fast." enum:"exact,fast" default:"fast"`
	Threads   int     `help:"Threads that compute." default:"2"`
	Llama     string  `help:"Folder of llama.cpp's programs." default:"out/llama.cpp/build/bin"`
	MaxKL     float64 `help:"Largest mean divergence, in nats." default:"0.01"`
	MaxMargin float64 `help:"Largest margin, in logits, by which llama.cpp may prefer a token that facet does not." default:"0.1"`
	JSON      bool    `help:"Print one JSON object."`
}

func main() {
	var a arguments
	kong.Parse(&a, kong.Name("kl"), kong.Description("Compares the distributions of facet and llama.cpp."))
	if err := a.run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kl:", err)
		os.Exit(1)
	}
}

func (a *arguments) run(ctx context.Context, out io.Writer) error {
	if a.Positions < 1 {
		return fmt.Errorf("--positions %d: at least one is needed", a.Positions)
	}
	text, err := os.ReadFile(a.Text)
	if err != nil {
		return err
	}
	precision, err := model.ParsePrecision(a.Precision)
	if err != nil {
		return err
	}
	m, err := model.Open(a.Model, model.Options{Threads: a.Threads, Precision: precision})
	if err != nil {
		return err
	}
	defer m.Close()
	prompt, err := m.CompletionPrompt(string(text), model.Media{})
	if err != nil {
		return err
	}
	if prompt.Len() < a.Positions {
		return fmt.Errorf("%s has %d tokens, fewer than %d", a.Text, prompt.Len(), a.Positions)
	}
	prompt.IDs, prompt.Types = prompt.IDs[:a.Positions], prompt.Types[:a.Positions]

	want, width, err := a.llamaLogits(ctx, prompt.IDs)
	if err != nil {
		return err
	}
	got, err := m.Logits(prompt, a.Positions)
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("facet has %d logits a position, llama.cpp %d", len(got)/a.Positions, width)
	}
	r := compare(got, want, width)
	r.Model, r.Precision = a.Model, a.Precision
	if a.JSON {
		err = json.NewEncoder(out).Encode(r)
	} else {
		_, err = fmt.Fprintf(out, "%s · %s · %d positions\nKL     mean %.6f, largest %.6f nats\ntop-1  %.2f %% the same; where it differs llama.cpp prefers its own by at most %.4f\n",
			r.Model, r.Precision, r.Positions, r.MeanKL, r.LargestKL, 100*r.SameTop, r.LargestMargin)
	}
	switch {
	case err != nil:
		return err
	case !(r.MeanKL <= a.MaxKL):
		return fmt.Errorf("mean divergence %g is above %g", r.MeanKL, a.MaxKL)
	case !(r.LargestMargin <= a.MaxMargin):
		return fmt.Errorf("another token where the margin is %g, above %g", r.LargestMargin, a.MaxMargin)
	}
	return nil
}

// llamaLogits returns llama.cpp's logits, [ids, width].
func (a *arguments) llamaLogits(ctx context.Context, ids []int32) (logits []float32, width int, err error) {
	dir, err := os.MkdirTemp("", "kl")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "ids"), filepath.Join(dir, "logits")
	b, err := binary.Append(nil, binary.NativeEndian, ids)
	if err != nil {
		return nil, 0, err
	}
	if err := os.WriteFile(in, b, 0o600); err != nil {
		return nil, 0, err
	}
	tool := filepath.Join(a.Llama, "logits")
	cmd := exec.CommandContext(ctx, tool, a.Model, in, out, strconv.Itoa(a.Threads))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w: %s", tool, err, strings.TrimSpace(stderr.String()))
	}
	var sizes struct{ Vocabulary int }
	if err := json.Unmarshal(printed, &sizes); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", tool, err)
	}
	f, err := os.Open(out)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	logits = make([]float32, len(ids)*sizes.Vocabulary)
	return logits, sizes.Vocabulary, binary.Read(f, binary.NativeEndian, logits)
}

// result is how two sets of logits differ.
type result struct {
	Model         string  `json:"model"`
	Precision     string  `json:"precision"`
	Positions     int     `json:"positions"`
	MeanKL        float64 `json:"mean_kl"` // nats
	LargestKL     float64 `json:"largest_kl"`
	SameTop       float64 `json:"same_top"`       // share of positions with the same likeliest token
	LargestMargin float64 `json:"largest_margin"` // of llama.cpp's first over its second, where it is not
}

// compare compares logits of the same positions, [positions, width] each.
func compare(got, want []float32, width int) result {
	r := result{Positions: len(want) / width}
	same := 0
	for at := 0; at < len(want); at += width {
		g, w := got[at:at+width], want[at:at+width]
		kl := divergence(w, g)
		r.MeanKL += kl / float64(r.Positions)
		if !(kl <= r.LargestKL) { // also NaN
			r.LargestKL = kl
		}
		top, margin := first(w)
		if other, _ := first(g); other == top {
			same++
		} else {
			r.LargestMargin = max(r.LargestMargin, margin)
		}
	}
	r.SameTop = float64(same) / float64(r.Positions)
	return r
}

// divergence returns Σ p·log(p/q), where p and q are the softmax of two sets of logits.
func divergence(p, q []float32) float64 {
	np, nq := logSum(p), logSum(q)
	sum := 0.0
	for i := range p {
		lp := float64(p[i]) - np
		sum += math.Exp(lp) * (lp - (float64(q[i]) - nq))
	}
	return sum
}

// logSum returns log Σ exp x.
func logSum(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// first returns the place of the largest value, and how far it is above the next.
func first(x []float32) (place int, margin float64) {
	second := float32(math.Inf(-1))
	for i, v := range x {
		switch {
		case i == 0:
		case v > x[place]:
			place, second = i, x[place]
		case v > second:
			second = v
		}
	}
	return place, float64(x[place] - second)
}
