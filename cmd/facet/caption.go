package main

import (
	"context"
	"time"

	"facet/pipeline/job"
)

// captionCommand describes images and videos.
type captionCommand struct {
	Paths []string `arg:"" name:"path" help:"Images, PDF documents and videos, folders of them, and manifests (.jsonl). Videos are read by facet-media, with FFmpeg."`
	modelFlags
	Detail     string        `help:"short: a sentence or two; long: a paragraph." enum:"short,long" default:"short"`
	WithSpeech bool          `help:"Also write down what is said in the same stretch of a video."`
	Language   string        `help:"Language that is spoken, for --with-speech." placeholder:"NAME"`
	Window     time.Duration `help:"Longest scene." default:"30s"`
	FPS        float64       `name:"fps" help:"Frames looked at a second. Default: as many as --frames spread over the scene." placeholder:"N"`
	Frames     int           `help:"Most frames of a scene. Default: 32, as the model was trained." placeholder:"N"`
	Scene      float64       `help:"End a scene where more than this share of the picture changes, 0 to 1; 0.3 suits most films. Default: scenes are as long as --window." placeholder:"SHARE"`
	FastSeek   bool          `help:"Look at keyframes only: much faster, less exact in time."`
	Track      int           `help:"Number of the picture track, from 1. Default: the one that a player shows." placeholder:"N"`
	Budget     string        `help:"Soft tokens for an image or a frame: 70, 140, 280, 560 or 1120. Default: auto for an image, 70 for a frame." default:"auto" placeholder:"N"`
	Format     []string      `help:"What to write: jsonl (records), txt, vtt, md, sidecar (NAME.txt, as training sets want). Default: jsonl." placeholder:"FORMAT"`
	documentFlags
	jobFlags
}

// Help is what --help says below the first line.
func (captionCommand) Help() string {
	return `Each image gives a line of JSON with its caption, each video one with its scenes: start and end in seconds of the video's clock, what is seen, what text is shown and, with --with-speech, what is said; and a summary of the whole.

Exit status: as of facet ocr.`
}

func (c *captionCommand) Run(ctx context.Context, s *streams) error {
	o := job.Options{Language: c.Language, Watching: job.Watching{
		Detail: job.Detail(c.Detail), WithSpeech: c.WithSpeech, Window: c.Window.Seconds(), FPS: c.FPS, Frames: c.Frames,
		Scene: c.Scene, FastSeek: c.FastSeek,
	}, Listening: job.Listening{Track: c.Track}, DPI: c.DPI}
	if c.Window <= 0 {
		return usageError("--window must be above 0")
	}
	documents, err := c.documents()
	if err != nil {
		return err
	}
	if o.Budget, err = autoBudget(c.Budget); err != nil {
		return err
	}
	return c.run(ctx, s, &c.modelFlags, jobRun{
		job: job.Caption, paths: c.Paths, options: o, formats: c.Format, unit: "files",
		documents: documents,
	})
}
