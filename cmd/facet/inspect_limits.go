package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"facet/internal/sandbox"
	"facet/video"
	"facet/vision"
	"facet/vision/pdf"
	"facet/vision/still"
)

type inspectLimits struct {
	sandboxFlag
	JSON bool `help:"Print one JSON object."`
}

// limitsReport is what inspect limits prints.
type limitsReport struct {
	Sandbox  string          `json:"sandbox"`
	Decoders []decoderReport `json:"decoders"`
	Image    imageLimits     `json:"image"`
	PDF      pdfLimits       `json:"pdf"`
	Video    videoLimits     `json:"video"`
}

// decoderReport says how the kernel confines the processes of one kind. What has no limit is -1.
type decoderReport struct {
	Kind     string  `json:"kind"`
	Error    string  `json:"error,omitempty"` // why there is none; all else is then 0
	Memory   int64   `json:"memory_bytes"`
	CPU      float64 `json:"cpu_seconds"`
	Files    int64   `json:"open_files"`
	FileSize int64   `json:"file_size_bytes"` // of a file that is written
	Landlock int     `json:"landlock"`        // version, 0 if it is not in force
	Seccomp  bool    `json:"seccomp"`
}

type imageLimits struct {
	Bytes  int64 `json:"bytes"`
	Pixels int64 `json:"pixels"`
	Side   int   `json:"side"`
	Pages  int   `json:"pages"`
}

type pdfLimits struct {
	Pixels int64 `json:"pixels"` // of a page
	Pages  int   `json:"pages"`
}

type videoLimits struct {
	Pixels int64 `json:"pixels"` // of a frame
	Frames int   `json:"frames"` // of a track
}

func (c *inspectLimits) Run(ctx context.Context, s *streams) error {
	r := limitsReport{
		Sandbox: c.Sandbox,
		Image:   imageLimits{vision.DefaultLimits.Bytes, vision.DefaultLimits.Pixels, vision.DefaultLimits.Side, vision.DefaultLimits.Pages},
		PDF:     pdfLimits{pdf.DefaultLimits.Pixels, pdf.DefaultLimits.Pages},
		Video:   videoLimits{video.DefaultLimits.Pixels, video.DefaultLimits.Frames},
	}
	mode := c.mode()
	failed := false
	for _, kind := range []struct {
		name  string
		start func() (json.RawMessage, error)
	}{
		{"image", func() (json.RawMessage, error) { return confinedImages(ctx, mode) }},
		{"pdf", func() (json.RawMessage, error) { return pdf.Sandbox(ctx, pdf.Options{Sandbox: mode}) }},
		{"media", func() (json.RawMessage, error) { return confinedMedia(mode) }},
	} {
		confined, err := kind.start()
		if errors.Is(err, context.Canceled) {
			return err
		}
		d, err := newDecoderReport(kind.name, confined, err)
		if err != nil {
			return err
		}
		failed = failed || d.Error != "" && kind.name != "media" // which is a program of its own, and often missing
		r.Decoders = append(r.Decoders, d)
	}
	if err := r.print(s, c.JSON); err != nil {
		return err
	}
	if failed {
		return fmt.Errorf("not every decoder starts")
	}
	return nil
}

func confinedImages(ctx context.Context, mode still.Sandbox) (json.RawMessage, error) {
	pool, err := still.Open(still.Options{Sandbox: mode})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	return pool.Confinement(ctx)
}

func confinedMedia(mode still.Sandbox) (json.RawMessage, error) {
	d, err := video.FindDecoder(video.Options{Sandbox: mode})
	if err != nil {
		return nil, err
	}
	return d.Sandbox, nil
}

// newDecoderReport puts together what a decoder says of itself, or why it did not start.
func newDecoderReport(kind string, confined json.RawMessage, err error) (decoderReport, error) {
	if err != nil {
		return decoderReport{Kind: kind, Error: err.Error()}, nil
	}
	var r sandbox.Report
	if err := json.Unmarshal(confined, &r); err != nil {
		return decoderReport{}, fmt.Errorf("the %s decoder's report: %w", kind, err)
	}
	d := decoderReport{Kind: kind, Memory: r.Memory, CPU: -1, Files: r.Files, FileSize: r.FileSize, Landlock: r.Landlock, Seccomp: r.Seccomp}
	if r.CPU >= 0 {
		d.CPU = r.CPU.Seconds()
	}
	return d, nil
}

func (r limitsReport) print(s *streams, asJSON bool) error {
	if asJSON {
		return printJSON(s.out, r)
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "decoder\tmemory\tCPU time\topen files\tfiles written\tLandlock\tseccomp")
	for _, d := range r.Decoders {
		if d.Error != "" {
			fmt.Fprintf(t, "%s\tnone: %s\n", d.Kind, d.Error)
			continue
		}
		landlock, seccomp := "no", "no"
		if d.Landlock > 0 {
			landlock = fmt.Sprintf("version %d", d.Landlock)
		}
		if d.Seccomp {
			seccomp = "yes"
		}
		cpu := limited(int64(d.CPU), func(n int64) string { return (time.Duration(n) * time.Second).String() })
		files := limited(d.Files, func(n int64) string { return fmt.Sprint(n) })
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Kind, limited(d.Memory, size), cpu, files, limited(d.FileSize, size), landlock, seccomp)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "\nimage  %s a file, %s pixels, %d a side, %d pages\npdf    %s pixels a page, %d pages\nvideo  %s pixels a frame, %d frames a track\n",
		size(r.Image.Bytes), count(r.Image.Pixels), r.Image.Side, r.Image.Pages, count(r.PDF.Pixels), r.PDF.Pages, count(r.Video.Pixels), r.Video.Frames)
	return err
}

// limited writes a limit, or that there is none.
func limited(n int64, write func(int64) string) string {
	if n < 0 {
		return "any"
	}
	return write(n)
}
