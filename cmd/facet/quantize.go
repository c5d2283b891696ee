package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"facet/model"
	"facet/pipeline/job"
)

// modelCommand groups the commands that make checkpoints.
type modelCommand struct {
	Quantize quantizeCommand `cmd:"" help:"Write a checkpoint as a GGUF file with smaller weights."`
}

type quantizeCommand struct {
	Src       string `arg:"" help:"Checkpoint folder, GGUF file, or OWNER/NAME in the local hub cache."`
	Dst       string `arg:"" help:"The .gguf file to write. Towers go beside it, into NAME-mmproj-bf16.gguf."`
	Type      string `help:"q4_0, q4_k: 4 bits a weight, tables in 6. q8_0: 8 bits. bf16: 16, nothing is lost. q4_0 keeps checkpoints trained for it exactly." enum:"q4_0,q8_0,q4_k,bf16" default:"q4_0"`
	Threads   int    `help:"Threads that compute. Default: one for each CPU." placeholder:"N"`
	Overwrite bool   `help:"Replace DST and the file with its towers."`
	Quiet     bool   `short:"q" help:"No progress and no summary, errors only."`
}

// Validate is called by kong once the flags are read.
func (c *quantizeCommand) Validate() error {
	if !strings.EqualFold(filepath.Ext(c.Dst), ".gguf") {
		return fmt.Errorf("%s: the name of the file to write must end in .gguf", c.Dst)
	}
	return checkThreads(c.Threads)
}

func (c *quantizeCommand) Run(ctx context.Context, s *streams) error {
	src, err := model.Locate(c.Src)
	if err != nil {
		return err
	}
	for _, path := range []string{c.Dst, model.MMProjBeside(c.Dst)} {
		if _, err := os.Lstat(path); !c.Overwrite && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: exists already; --overwrite replaces it", path)
		}
	}
	if err := checkJobs(src); err != nil {
		return err
	}
	var bar *progressbar.ProgressBar
	start := time.Now()
	mmproj, err := model.Quantize(ctx, src, c.Dst, model.QuantizeOptions{Type: c.Type, Threads: c.Threads, Progress: func(done, total int64) {
		if bar == nil && !c.Quiet && isTerminal(s.err) {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(s.err), progressbar.OptionShowBytes(true),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth())
		}
		if bar != nil {
			bar.Set64(done)
		}
	}})
	if bar != nil {
		bar.Clear()
	}
	if err != nil || c.Quiet {
		return err
	}
	for _, path := range []string{c.Dst, mmproj} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.err, "%s: %s\n", path, size(info.Size()))
	}
	fmt.Fprintf(s.err, "written in %.1f s\n", time.Since(start).Seconds())
	return nil
}

// checkJobs refuses a checkpoint whose facet.json is wrong: what is made of it would be too.
func checkJobs(path string) error {
	m, err := model.Bind(path, "")
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = job.OpenCheckpoint(m)
	return err
}
