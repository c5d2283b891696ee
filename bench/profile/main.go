// Profile says where facet's time goes at each stage: the shares that perf sees of what runs
// after loading, by kind of work, and facet bench's figure with its share of the machine.
//
//	go run ./bench/profile out/e2b.gguf --mmproj out/e2b-mmproj.gguf
//
// It needs Linux, perf and the right to use it; ARCHITECTURE.md has a table of its output.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

type arguments struct {
	Model  string `arg:"" help:"The checkpoint." type:"existingfile"`
	Mmproj string `help:"Its towers." type:"existingfile" placeholder:"FILE"`
	Load   int    `help:"Milliseconds from the start that are left out: loading and warming up." default:"5500"`
	Facet  string `help:"facet's program." default:"bin/facet"`
}

// stages are what is measured, with the arguments of facet bench: as many rounds as take
// some seconds on two cores.
var stages = []struct {
	name string
	args string
	line string // what the figure's line begins with
}{
	{"prompt of 512", "--figures prompt,limits --prompt 512 --gen 1 --rounds 14", "prompt"},
	{"prompt of 4,096", "--figures prompt,limits --prompt 4096 --gen 1 --rounds 2", "prompt"},
	{"step", "--figures prompt,limits --prompt 8 --gen 250 --rounds 1", "step"},
	{"8 sequences", "--figures sequences --batch 8 --gen 64 --rounds 2", "steps"},
	{"image, budget 280", "--figures images,limits --budgets 280 --rounds 7", "image"},
	{"image, budget 1120", "--figures images,limits --budgets 1120 --rounds 1", "image"},
	{"30 s of sound", "--figures sound --rounds 12", "sound"},
}

// kinds are the kinds of work, by names of functions; the first that fits counts.
var kinds = []struct {
	name  string
	match *regexp.Regexp
}{
	{"limits", regexp.MustCompile(`peak`)}, // facet bench measures the machine, which is no work
	{"products", regexp.MustCompile(`product_|mat_mul|row_strips|strip_|panels`)},
	{"attention", regexp.MustCompile(`^attend$|put_keys|merge|^finish$|model\.attend|packedWorker|\(\*Attention\)`)},
	{"norms, activations, rounding", regexp.MustCompile(`gelu|rms_norm|rope|^add|quantize_rows|round_rows|soft_cap|sigmoid|scale|clamp|exp_sum|widen|memmove|convolve`)},
	{"waiting", regexp.MustCompile(`nextJob|spinUntil|await|clock_gettime|time\.Since|nanotime|\(\*job\)\.run`)},
}

func main() {
	var a arguments
	kong.Parse(&a, kong.Name("profile"), kong.Description("Says where facet's time goes at each stage."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := a.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func (a *arguments) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "profile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\t")
	for _, k := range kinds[1:] {
		fmt.Fprintf(t, "%s\t", k.name)
	}
	fmt.Fprintln(t, "system\tfacet bench")
	for _, s := range stages {
		samples, figure, err := a.stage(ctx, filepath.Join(dir, "perf"), s.args, s.line)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(t, "%s\t", s.name)
		whole := 100 - samples["limits"]
		for _, k := range kinds[1:] {
			fmt.Fprintf(t, "%.0f %%\t", 100*samples[k.name]/whole)
		}
		fmt.Fprintf(t, "%.0f %%\t%s\n", 100*samples["system"]/whole, figure)
	}
	return t.Flush()
}

// stage runs one stage and returns the percent of samples of each kind and the figure.
func (a *arguments) stage(ctx context.Context, file, args, line string) (map[string]float64, string, error) {
	command := []string{"record", "-D", strconv.Itoa(a.Load), "-F", "999", "-o", file, a.Facet, "bench", "--model", a.Model}
	if a.Mmproj != "" {
		command = append(command, "--mmproj", a.Mmproj)
	}
	out, err := exec.CommandContext(ctx, "perf", append(command, strings.Fields(args)...)...).Output()
	if err != nil {
		return nil, "", fmt.Errorf("perf record: %w", err)
	}
	report, err := exec.CommandContext(ctx, "perf", "report", "-i", file, "--no-children", "-g", "none", "--stdio").Output()
	if err != nil {
		return nil, "", fmt.Errorf("perf report: %w", err)
	}
	figure := "not measured"
	for l := range strings.Lines(string(out)) {
		if name, rest, ok := strings.Cut(l, " "); ok && name == line {
			figure = strings.TrimSpace(rest)
		}
	}
	return sum(string(report)), figure, nil
}

// sample is a line of a report: percent, program, object, [k]ernel or not, symbol.
var sample = regexp.MustCompile(`^ +([0-9.]+)% +\S+ +\S+ +\[(.)\] +(.*?)\s*$`)

// sum adds the percents of each kind of work, of the system, and of the rest.
func sum(report string) map[string]float64 {
	sums := map[string]float64{}
	for l := range strings.Lines(report) {
		m := sample.FindStringSubmatch(strings.TrimRight(l, "\n"))
		if m == nil {
			continue
		}
		percent, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		sums[kindOf(m[2], m[3])] += percent
	}
	return sums
}

func kindOf(mode, symbol string) string {
	if mode == "k" {
		return "system"
	}
	for _, k := range kinds {
		if k.match.MatchString(symbol) {
			return k.name
		}
	}
	return "rest"
}
