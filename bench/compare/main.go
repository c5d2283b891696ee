// Compare measures facet and llama.cpp in turns on the same file and prints the medians
// and their ratios.
//
//	bench/llama.cpp/build.sh
//	go run ./bench/gguf E2B out/e2b.gguf --mmproj out/e2b-mmproj.gguf
//	go run ./bench/compare out/e2b.gguf --mmproj out/e2b-mmproj.gguf
//
// A round runs every figure once with each program, as processes of their own that
// follow one another, first facet and then llama.cpp, in the next round the other way
// round. What disturbs the machine for minutes disturbs both, so ratios hold where
// absolute figures do not; the load average is printed with them.
//
//	prompt     one prompt, tokens a second                facet bench    llama-bench
//	step       one sequence, tokens a second              facet bench    llama-bench
//	sequences  steps of several, tokens a second          facet bench    llama-batched-bench
//	image      from pixels to soft tokens, seconds        facet bench    llama-mtmd-cli
//	sound      of 30 s to soft tokens, seconds            facet bench    llama-mtmd-cli
//	load       until ready to answer, file in the cache   facet bench    bench/llama.cpp/logits
//
// A figure that a program does not give is left out, and the reason goes to standard error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type arguments struct {
	Model     string   `arg:"" help:"The GGUF file." type:"existingfile"`
	Mmproj    string   `help:"Its towers; without it neither image nor sound is measured." type:"existingfile" placeholder:"FILE"`
	Rounds    int      `help:"Times each figure is measured with each program." default:"7"`
	Threads   int      `help:"Threads that compute." default:"2"`
	Prompt    []int    `help:"Lengths of prompts." default:"512,4096"`
	Gen       int      `help:"Steps after the prompt." default:"64"`
	Batch     []int    `help:"Numbers of sequences." default:"1,4,8,16"`
	Budget    []int    `help:"Soft-token budgets: 70, 280 or 1120." default:"70,280,1120"`
	Precision string   `help:"facet's --precision." default:"fast"`
	FlashAttn string   `help:"llama.cpp's --flash-attn; on is its best: a twentieth more on prompts, a third on images." enum:"on,off,auto" default:"on"`
	Facet     string   `help:"facet's program." default:"bin/facet"`
	Llama     string   `help:"Folder of llama.cpp's programs." default:"out/llama.cpp/build/bin"`
	Programs  []string `help:"Which to run: facet, llama.cpp." default:"facet,llama.cpp"`
	Figures   []string `help:"Which to measure: prompt, sequences, image, sound, load." default:"prompt,sequences,image,sound,load"`
	JSON      bool     `help:"Print one JSON object."`
}

func main() {
	var a arguments
	kong.Parse(&a, kong.Name("compare"), kong.Description("Measures facet and llama.cpp in turns."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := a.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func (a *arguments) run(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("only Linux tells how busy it is") // /proc/loadavg
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := map[string]program{"facet": &facet{a: a}, "llama.cpp": &llama{a: a, dir: dir}}
	r := newReport(a)
	for round := range a.Rounds {
		for _, g := range a.groups() {
			programs := slices.Clone(a.Programs)
			if round%2 == 1 {
				slices.Reverse(programs)
			}
			for _, name := range programs {
				p, ok := all[name]
				if !ok {
					return fmt.Errorf("program %q is not known: facet and llama.cpp are", name)
				}
				load, err := loadAverage()
				if err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s (load %.1f)\n", round+1, a.Rounds, g, name, load)
				values, err := p.measure(ctx, g)
				if ctx.Err() != nil {
					break // what was measured so far is worth printing
				}
				r.loads = append(r.loads, load)
				if err != nil {
					fmt.Fprintf(os.Stderr, "%s: %s: %v\n", name, g, err)
				}
				r.add(name, values)
			}
		}
	}
	if a.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r.summary())
	}
	r.summary().print(os.Stdout)
	return nil
}

// program is facet or llama.cpp.
type program interface {
	// measure runs one group and returns what it measured. With an error the values
	// may be some of those wanted.
	measure(ctx context.Context, g group) (values, error)
}

// values are figures by what they measure; a figure in seconds is better when it is less.
type values map[figure]float64

// figure is a line of the table.
type figure struct {
	kind kind
	n    int // tokens of a prompt, sequences or budget
}

type kind int

// The order is that of the table.
const (
	promptRate kind = iota
	stepRate
	sequencesRate
	imageTime
	soundTime
	loadTime
	// What a machine can do, as facet measures it.
	memoryLimit
	floatLimit
	bfloatLimit
	intLimit
)

// group is what one process measures.
type group struct {
	kind string // as in --figures
	n    int    // tokens of a prompt, or budget
}

func (g group) String() string {
	if g.n == 0 {
		return g.kind
	}
	return fmt.Sprintf("%s %d", g.kind, g.n)
}

func (a *arguments) groups() []group {
	var groups []group
	for _, f := range a.Figures {
		switch f {
		case "prompt":
			for _, n := range a.Prompt {
				groups = append(groups, group{f, n})
			}
		case "image":
			for _, n := range a.Budget {
				if a.Mmproj != "" {
					groups = append(groups, group{f, n})
				}
			}
		case "sound":
			if a.Mmproj != "" {
				groups = append(groups, group{f, 0})
			}
		default:
			groups = append(groups, group{f, 0})
		}
	}
	return groups
}

// steps returns how many steps follow a prompt of n tokens: they are measured after
// the first length only.
func (a *arguments) steps(n int) int {
	if n == a.Prompt[0] {
		return a.Gen
	}
	return 0
}

// batchPrompt is the number of tokens that each of several sequences begins with; facet
// bench takes as many.
const batchPrompt = 128

// loadAverage returns the mean number of running tasks over the last minute.
func loadAverage() (float64, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	var load float64
	_, err = fmt.Sscan(string(b), &load)
	return load, err
}

// joined writes numbers as a flag takes them.
func joined(list []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ","), "[]")
}
