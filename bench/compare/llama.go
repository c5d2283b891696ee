package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// llama runs the programs of llama.cpp with what gives it its best: threads and memory
// map as asked for, weights repacked, everything else by default.
type llama struct {
	a   *arguments
	dir string // for pictures
}

func (l *llama) measure(ctx context.Context, g group) (values, error) {
	switch g.kind {
	case "prompt":
		return l.prompt(ctx, g.n)
	case "sequences":
		return l.sequences(ctx)
	case "image":
		return l.image(ctx, g.n)
	case "sound":
		return l.sound(ctx)
	case "load":
		return l.load(ctx)
	}
	return nil, fmt.Errorf("figure %q is not known: prompt, sequences, image, sound and load are", g.kind)
}

func (l *llama) tool(name string) string { return filepath.Join(l.a.Llama, name) }

// prompt runs llama-bench, which runs each test once before it measures it.
func (l *llama) prompt(ctx context.Context, n int) (values, error) {
	out, err := output(ctx, l.tool("llama-bench"), "-m", l.a.Model, "-t", strconv.Itoa(l.a.Threads), "-fa", l.a.FlashAttn,
		"-p", strconv.Itoa(n), "-n", strconv.Itoa(l.a.steps(n)), "-r", "1", "-o", "json")
	if err != nil {
		return nil, err
	}
	return parseBench(out)
}

func parseBench(out []byte) (values, error) {
	var tests []struct {
		Prompt int     `json:"n_prompt"`
		Gen    int     `json:"n_gen"`
		Rate   float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(out, &tests); err != nil {
		return nil, fmt.Errorf("llama-bench: %w", err)
	}
	v := values{}
	for _, t := range tests {
		if t.Gen > 0 {
			v[figure{stepRate, 0}] = t.Rate
		} else {
			v[figure{promptRate, t.Prompt}] = t.Rate
		}
	}
	return v, nil
}

// sequences runs llama-batched-bench: every sequence has a prompt of its own.
func (l *llama) sequences(ctx context.Context) (values, error) {
	most := 0
	for _, n := range l.a.Batch {
		most = max(most, n)
	}
	out, err := output(ctx, l.tool("llama-batched-bench"), "-m", l.a.Model, "-t", strconv.Itoa(l.a.Threads), "-fa", l.a.FlashAttn,
		"-c", strconv.Itoa(most*(batchPrompt+l.a.Gen)), "-npp", strconv.Itoa(batchPrompt), "-ntg", strconv.Itoa(l.a.Gen),
		"-npl", joined(l.a.Batch), "--output-format", "jsonl")
	if err != nil {
		return nil, err
	}
	return parseBatchedBench(string(out))
}

func parseBatchedBench(out string) (values, error) {
	v := values{}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var t struct {
			Sequences int     `json:"pl"`
			Rate      float64 `json:"speed_tg"`
		}
		if err := json.Unmarshal([]byte(line), &t); err != nil {
			return nil, fmt.Errorf("llama-batched-bench: %w", err)
		}
		v[figure{sequencesRate, t.Sequences}] = t.Rate
	}
	if len(v) == 0 {
		return nil, fmt.Errorf("llama-batched-bench: no results in %q", out)
	}
	return v, nil
}

// picture is a size in pixels that neither program resizes.
type picture struct{ width, height int }

// pictures are what fills a budget with a page of 4 to 3, as facet bench has it.
var pictures = map[int]picture{70: {432, 336}, 280: {912, 672}, 1120: {1824, 1344}}

// soft returns the soft tokens: one for 48 × 48 pixels.
func (p picture) soft() int { return p.width / 48 * (p.height / 48) }

// image runs llama-mtmd-cli on a picture of noise. The limits are raised so that it
// has as many soft tokens in both programs: unasked, llama.cpp takes at least 70.
func (l *llama) image(ctx context.Context, budget int) (values, error) {
	p, ok := pictures[budget]
	if !ok {
		return nil, fmt.Errorf("budget %d is not known: 70, 280 and 1120 are", budget)
	}
	path := filepath.Join(l.dir, fmt.Sprintf("%d.png", budget))
	if err := p.write(path); err != nil {
		return nil, err
	}
	seconds, err := l.mtmd(ctx, p.soft(), "--image", path, "--image-min-tokens", "1", "--image-max-tokens", "1200")
	if err != nil {
		return nil, err
	}
	return values{{imageTime, budget}: seconds}, nil
}

// What both programs hear: as much as the model takes at once.
const (
	soundSeconds = 30
	soundTokens  = 750
)

// sound runs llama-mtmd-cli on noise.
func (l *llama) sound(ctx context.Context) (values, error) {
	const rate = 16000
	samples := make([]byte, 2*rate*soundSeconds)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range samples {
		samples[i] = byte(random.Uint32())
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	head = binary.LittleEndian.AppendUint32(head, uint32(len(samples)))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(head)-8+len(samples)))
	path := filepath.Join(l.dir, "noise.wav")
	if err := os.WriteFile(path, append(head, samples...), 0o600); err != nil {
		return nil, err
	}
	seconds, err := l.mtmd(ctx, soundTokens, "--audio", path)
	if err != nil {
		return nil, err
	}
	return values{{soundTime, 0}: seconds}, nil
}

// mtmd runs llama-mtmd-cli on one medium and returns how long it encoded it, to so many
// soft tokens. It warms up by default: another medium is encoded before the clock starts.
func (l *llama) mtmd(ctx context.Context, want int, medium ...string) (seconds float64, err error) {
	args := []string{"-m", l.a.Model, "--mmproj", l.a.Mmproj, "-t", strconv.Itoa(l.a.Threads), "-fa", l.a.FlashAttn}
	args = append(args, medium...)
	args = append(args, "--jinja", "-c", "2048", "-n", "1", "-p", "Describe.", "-lv", "4")   // 4: says how many soft tokens it decodes
	out, err := exec.CommandContext(ctx, l.tool("llama-mtmd-cli"), args...).CombinedOutput() // what it logs goes to standard error
	if err != nil {
		return 0, fmt.Errorf("llama-mtmd-cli: %w: %s", err, out)
	}
	seconds, soft, err := parseMtmd(string(out))
	if err == nil && soft != want {
		err = fmt.Errorf("llama-mtmd-cli: %d soft tokens, want %d", soft, want)
	}
	return seconds, err
}

var (
	encoded = regexp.MustCompile(`batch encoding done in (\d+) ms`)
	decoded = regexp.MustCompile(`decoding (?:image|audio) batch .*n_tokens_batch = (\d+)`)
)

// parseMtmd returns the time that encoding took and the soft tokens that came of it.
func parseMtmd(log string) (seconds float64, soft int, err error) {
	m := encoded.FindStringSubmatch(log)
	if m == nil {
		return 0, 0, fmt.Errorf("llama-mtmd-cli does not say how long it encoded: %s", log)
	}
	ms, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, 0, err
	}
	for _, batch := range decoded.FindAllStringSubmatch(log, -1) {
		n, err := strconv.Atoi(batch[1])
		if err != nil {
			return 0, 0, err
		}
		soft += n
	}
	return float64(ms) / 1000, soft, nil
}

func (p picture) write(path string) error {
	m := image.NewNRGBA(image.Rect(0, 0, p.width, p.height))
	random := rand.New(rand.NewPCG(1, 1))
	for i := range m.Pix {
		m.Pix[i] = byte(random.Uint32())
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, m); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// load runs our own program on llama.cpp's library.
func (l *llama) load(ctx context.Context) (values, error) {
	ids := filepath.Join(l.dir, "ids")
	if err := os.WriteFile(ids, []byte{2, 0, 0, 0}, 0o600); err != nil {
		return nil, err
	}
	out, err := output(ctx, l.tool("logits"), l.a.Model, ids, os.DevNull, strconv.Itoa(l.a.Threads))
	if err != nil {
		return nil, err
	}
	var t struct {
		Seconds float64 `json:"load_seconds"`
	}
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("logits: %w", err)
	}
	return values{{loadTime, 0}: t.Seconds}, nil
}
