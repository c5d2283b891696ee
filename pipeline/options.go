package pipeline

import (
	"cmp"
	"errors"
	"io/fs"

	"facet/pipeline/job"
)

// over returns o with the fields that it leaves open filled from d.
func over(o, d job.Options) job.Options {
	if o.Subtitles { // which have pieces of their own length
		d.Segment = 0
	}
	return job.Options{
		Budget:        cmp.Or(o.Budget, d.Budget),
		Boxes:         cmp.Or(o.Boxes, d.Boxes),
		Blank:         cmp.Or(o.Blank, d.Blank),
		Language:      cmp.Or(o.Language, d.Language),
		Prompt:        cmp.Or(o.Prompt, d.Prompt),
		MaxTokens:     cmp.Or(o.MaxTokens, d.MaxTokens),
		Temperature:   cmp.Or(o.Temperature, d.Temperature),
		Seed:          cmp.Or(o.Seed, d.Seed),
		Rotate:        cmp.Or(o.Rotate, d.Rotate),
		SkipTextLayer: o.SkipTextLayer || d.SkipTextLayer,
		DPI:           cmp.Or(o.DPI, d.DPI),
		Find:          cmp.Or(o.Find, d.Find),
		Listening: job.Listening{
			Translate: cmp.Or(o.Translate, d.Translate),
			Context:   cmp.Or(o.Context, d.Context),
			Numbers:   cmp.Or(o.Numbers, d.Numbers),
			Segment:   cmp.Or(o.Segment, d.Segment),
			Subtitles: o.Subtitles || d.Subtitles && o.Segment == 0,
			Channels:  cmp.Or(o.Channels, d.Channels),
			Detect:    o.Detect || d.Detect && o.Language == "",
			Track:     cmp.Or(o.Track, d.Track),
		},
		Watching: job.Watching{
			Detail:     cmp.Or(o.Detail, d.Detail),
			WithSpeech: o.WithSpeech || d.WithSpeech,
			Window:     cmp.Or(o.Window, d.Window),
			FPS:        cmp.Or(o.FPS, d.FPS),
			Frames:     cmp.Or(o.Frames, d.Frames),
			Scene:      cmp.Or(o.Scene, d.Scene),
			FastSeek:   o.FastSeek || d.FastSeek,
		},
	}
}

// bare takes the path out of an error of the file system, since it is named already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
