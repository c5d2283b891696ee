package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"facet/pipeline/job"
)

// transcribeCommand writes down what is said in recordings.
type transcribeCommand struct {
	Paths []string `arg:"" name:"path" help:"Recordings and videos, folders of them, and manifests (.jsonl). WAV is read by facet itself, everything else by facet-media, with FFmpeg."`
	modelFlags
	Language  string   `help:"Language that is spoken, by its English name. Default: whatever is heard." placeholder:"NAME"`
	Detect    bool     `name:"detect-language" help:"Ask the model which language is spoken, for the record: one question more for each recording."`
	Translate string   `help:"Translate what is said into this language as well." placeholder:"NAME"`
	Context   string   `help:"Names and words that may be said; @FILE reads them from a file." placeholder:"TEXT|@FILE"`
	Numbers   string   `help:"digits writes 3 for three; words leaves numbers as they are said." enum:"digits,words" default:"digits"`
	Segment   int      `help:"Most seconds of a segment, 5 to 30. Default: 30, and 2 to 12 between pauses where subtitles are written." placeholder:"N"`
	Channels  string   `help:"mix hears all channels together, split each by itself, a number that one." default:"mix"`
	Track     int      `help:"Number of the sound track, from 1. Default: the one that a player plays." placeholder:"N"`
	Format    []string `help:"What to write: jsonl (records), txt, srt, vtt, verbose_json (as OpenAI's), tsv (as Whisper's). Default: jsonl." placeholder:"FORMAT"`
	jobFlags
}

// Help is what --help says below the first line.
func (transcribeCommand) Help() string {
	return `A recording of any length is cut in its pauses into pieces that the model hears one by one; silence is left out. Each recording gives one line of JSON with its segments, whose times are seconds on the recording's clock. A recording in which nobody speaks is blank: true.

Exit status: as of facet ocr.`
}

func (c *transcribeCommand) Run(ctx context.Context, s *streams) error {
	words := c.Context
	if name, ok := strings.CutPrefix(words, "@"); ok {
		data, err := readTextFile(ctx, name)
		if err != nil {
			return err
		}
		words = string(data)
	}
	o := job.Options{Language: c.Language, Listening: job.Listening{
		Detect: c.Detect, Translate: c.Translate, Context: words, Numbers: job.Numbers(c.Numbers), Segment: c.Segment,
		Channels: c.Channels, Track: c.Track,
	}}
	formats := c.Format
	if len(formats) == 0 { // as the name of the output has it
		formats = []string{strings.ToLower(strings.TrimPrefix(filepath.Ext(c.Out), "."))}
	}
	o.Subtitles = c.Segment == 0 && (slices.Contains(formats, "srt") || slices.Contains(formats, "vtt"))
	return c.run(ctx, s, &c.modelFlags, jobRun{
		job: job.Transcribe, paths: c.Paths, options: o, formats: c.Format, unit: "recordings",
	})
}
