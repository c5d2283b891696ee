package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"facet/audio"
	"facet/pipeline"
	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/video"
	"facet/vision"
)

type inspectAudio struct {
	File     string `arg:"" help:"Recording, or a video with sound."`
	Channels string `help:"mix, split or the number of a channel, as facet transcribe takes it." default:"mix"`
	Track    int    `help:"Number of the sound track, from 1. Default: the one that a player plays." placeholder:"N"`
	Segment  int    `help:"Most seconds of a piece, 5 to 30; 0 cuts as for subtitles." default:"30"`
	Out      string `help:"Write the log-mel spectrogram of what is heard, one piece below another, to this PNG file." placeholder:"FILE"`
	JSON     bool   `help:"Print one JSON object."`
	sandboxFlag
}

type audioReport struct {
	File       string       `json:"file"`
	Codec      string       `json:"codec"`
	SampleRate int          `json:"sample_rate"`
	Channels   int          `json:"channels"`
	Track      int          `json:"track"`
	Seconds    float64      `json:"seconds"`
	Heard      float64      `json:"heard_seconds"`
	SoftTokens int          `json:"soft_tokens"`
	Pieces     []audioPiece `json:"pieces"`
	Warnings   []string     `json:"warnings"`
}

type audioPiece struct {
	Start      float64 `json:"start"`
	End        float64 `json:"end"`
	Channel    int     `json:"channel,omitempty"`
	SoftTokens int     `json:"soft_tokens"`
	Severed    bool    `json:"severed,omitempty"` // no pause was near
}

func (c *inspectAudio) Run(ctx context.Context, s *streams) error {
	channels, err := audio.ParseChannels(c.Channels)
	if err != nil {
		return usageError("--channels " + c.Channels + ": want mix, split or a number")
	}
	cut := audio.Subtitles()
	if c.Segment != 0 {
		if c.Segment < 5 || c.Segment > 30 {
			return usageError("--segment must be from 5 to 30, or 0")
		}
		cut = audio.Segments(time.Duration(c.Segment) * time.Second)
	}
	c.warn(s)
	rec, err := pipeline.OpenSound(ctx, c.File, c.Track, video.Options{Sandbox: c.mode()})
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	defer rec.Close()
	info := rec.Info()
	r := audioReport{File: c.File, Codec: info.Codec, SampleRate: info.SampleRate, Channels: info.Channels, Track: rec.Track, Pieces: []audioPiece{}, Warnings: []string{}}
	mels := audio.NewExtractor(audio.Gemma4)
	var rows [][]float32
	for p, err := range audio.Pieces(rec, audio.Gemma4.SampleRate, channels, cut) {
		if err != nil {
			return fmt.Errorf("%s: %w", c.File, pipeline.Unnamed(err, c.File))
		}
		soft := audio.Gemma4.SoftTokens(len(p.PCM))
		r.Pieces = append(r.Pieces, audioPiece{job.Seconds(p.Heard.Start), job.Seconds(p.Heard.End), p.Channel, soft, p.Severed})
		r.SoftTokens += soft
		r.Heard += p.Heard.End - p.Heard.Start
		if c.Out != "" && len(rows) < mostMelRows {
			mel := mels.Features(p.PCM)
			for f := range mel.Valid {
				rows = append(rows, mel.Data[f*mel.Width:][:mel.Width])
			}
		}
	}
	r.Seconds, r.Heard = job.Seconds(float64(rec.Position())/float64(info.SampleRate)), job.Seconds(r.Heard)
	r.Warnings = append(r.Warnings, rec.Warnings()...)
	if c.Out != "" {
		if err := writePNG(c.Out, melPicture(rows)); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(s.out, r)
	}
	fmt.Fprintf(s.out, "%s: %s, %d Hz, %d channels, %s: %s heard in %d pieces, %d soft tokens\n", c.File, cmp.Or(r.Codec, "sound"), r.SampleRate, r.Channels,
		job.Clock(r.Seconds), job.Clock(r.Heard), len(r.Pieces), r.SoftTokens)
	for _, p := range r.Pieces {
		fmt.Fprintf(s.out, "%10.2f – %8.2f s  %4d soft tokens", p.Start, p.End, p.SoftTokens)
		if p.Channel > 0 {
			fmt.Fprintf(s.out, "  channel %d", p.Channel)
		}
		if p.Severed {
			fmt.Fprint(s.out, "  cut within sound")
		}
		fmt.Fprintln(s.out)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(s.out, "warning:", sink.PrintableLine(w))
	}
	return nil
}

const (
	// melColumns is how many mel frames stand beside each other: 12 s.
	melColumns = 1200
	// mostMelRows bounds the picture: five minutes.
	mostMelRows = 30000
)

// melPicture shows mel frames from left to right, low frequencies at the bottom, in strips
// one below the other; the louder the brighter.
func melPicture(frames [][]float32) *vision.Image {
	if len(frames) == 0 {
		return &vision.Image{Width: 1, Height: 1, Pix: make([]byte, 3)}
	}
	bins := len(frames[0])
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, f := range frames {
		for _, v := range f {
			low, high = min(low, v), max(high, v)
		}
	}
	strips := (len(frames) + melColumns - 1) / melColumns
	width, strip := min(len(frames), melColumns), bins+2
	img := &vision.Image{Width: width, Height: strips * strip}
	img.Pix = make([]byte, 3*img.Width*img.Height)
	for i, f := range frames {
		x, top := i%melColumns, i/melColumns*strip
		for b, v := range f {
			y := top + bins - 1 - b
			level := byte(255 * (v - low) / max(high-low, 1e-6))
			at := 3 * (y*width + x)
			img.Pix[at], img.Pix[at+1], img.Pix[at+2] = level, level, level
		}
	}
	return img
}

type inspectVideo struct {
	File     string        `arg:"" help:"Video."`
	Frames   int           `help:"Most frames of a scene; without --window, of the whole video." default:"32"`
	FPS      float64       `name:"fps" help:"Frames each second." placeholder:"N"`
	Window   time.Duration `help:"Longest scene, as facet caption takes it. Default: the whole video is one, as for facet generate." placeholder:"30s"`
	Scene    float64       `help:"End a scene where more than this share of the picture changes, 0 to 1." placeholder:"SHARE"`
	FastSeek bool          `help:"Keyframes only."`
	Track    int           `help:"Number of the picture track, from 1. Default: the one that a player shows." placeholder:"N"`
	Budget   int           `help:"Soft tokens of a frame: 70, 140, 280, 560 or 1120." default:"70"`
	Out      string        `help:"Write the frames as one picture to this PNG file." placeholder:"FILE"`
	JSON     bool          `help:"Print one JSON object."`
	sandboxFlag
}

type videoReport struct {
	File       string        `json:"file"`
	Container  *video.Info   `json:"container"`
	Track      int           `json:"track"`
	Seconds    float64       `json:"seconds"`
	Stored     int           `json:"frames_stored"`
	Scenes     []videoScene  `json:"scenes"`
	Frames     int           `json:"frames"`
	SizeSeen   [2]int        `json:"size_seen"`
	FrameCost  int           `json:"soft_tokens_a_frame"`
	SoftTokens int           `json:"soft_tokens"`
	Decoding   time.Duration `json:"-"`
	Warnings   []string      `json:"warnings"`
}

type videoScene struct {
	Start  float64   `json:"start"`
	End    float64   `json:"end"`
	Frames []float64 `json:"frames"` // seconds
}

func (c *inspectVideo) Run(ctx context.Context, s *streams) error {
	switch {
	case c.Frames < 1 || c.Frames > mostFrames:
		return usageError(fmt.Sprintf("--frames must be from 1 to %d", mostFrames))
	case c.FPS < 0 || c.Window < 0 || c.Scene < 0 || c.Scene > 1 || c.Track < 0:
		return usageError("--fps, --window, --scene and --track must not be negative, and --scene at most 1")
	}
	if err := checkBudget("--budget", c.Budget); err != nil {
		return err
	}
	c.warn(s)
	clip, err := video.Open(ctx, c.File, video.Options{Sandbox: c.mode()})
	if err != nil {
		return err
	}
	defer clip.Close()
	info := clip.Info()
	r := videoReport{File: c.File, Container: info, Scenes: []videoScene{}, Warnings: []string{}}
	if len(info.Video) > 0 {
		if err := c.frames(ctx, clip, &r); err != nil {
			return err
		}
	}
	r.Warnings = append(r.Warnings, clip.Warnings()...)
	if c.JSON {
		return printJSON(s.out, r)
	}
	fmt.Fprintf(s.out, "%s: %s, %s\n", c.File, info.Format, job.Clock(max(0, info.Duration)))
	for i, v := range info.Video {
		fmt.Fprintf(s.out, "picture track %d: %s, %d × %d, %.4g frames/s%s\n", i+1, v.Codec, v.Width, v.Height, v.Rate.Float(), language(v.Language))
	}
	for i, a := range info.Audio {
		fmt.Fprintf(s.out, "sound track %d: %s, %d Hz, %d channels%s\n", i+1, a.Codec, a.Rate, a.Channels, language(a.Language))
	}
	if len(info.Video) > 0 {
		fmt.Fprintf(s.out, "%d of %d frames in %d scenes, seen as %d × %d: %d soft tokens each, %d in all; decoded in %.2f s\n",
			r.Frames, r.Stored, len(r.Scenes), r.SizeSeen[0], r.SizeSeen[1], r.FrameCost, r.SoftTokens, r.Decoding.Seconds())
		for _, scene := range r.Scenes {
			fmt.Fprintf(s.out, "%10.2f – %8.2f s  %d frames\n", scene.Start, scene.End, len(scene.Frames))
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(s.out, "warning:", sink.PrintableLine(w))
	}
	return nil
}

func language(code string) string {
	if code == "" || code == "und" {
		return ""
	}
	return ", " + sink.PrintableLine(code) // it is what the file says
}

// frames plans and decodes the frames.
func (c *inspectVideo) frames(ctx context.Context, clip *video.Clip, r *videoReport) error {
	info := clip.Info()
	track := info.DefaultVideo()
	if c.Track > 0 {
		track = c.Track - 1
	}
	index, err := clip.Index(ctx, track)
	if err != nil {
		return err
	}
	plan := video.PlanOptions{Frames: c.Frames, Window: c.Window, FPS: c.FPS, Keyframes: c.FastSeek}
	if c.Scene > 0 {
		if plan.Cuts, err = clip.Cuts(ctx, track, c.Scene); err != nil {
			return err
		}
	}
	r.Track, r.Seconds, r.Stored = track+1, job.Seconds(index.Duration()), len(index.Ticks)
	var ticks []int64
	for _, w := range index.Windows(plan) {
		scene := videoScene{Start: job.Seconds(index.Seconds(w.Start)), End: job.Seconds(index.Seconds(w.End))}
		for _, tick := range index.TicksOf(w.Frames) {
			scene.Frames = append(scene.Frames, job.Seconds(index.Seconds(tick)))
			ticks = append(ticks, tick)
		}
		r.Scenes = append(r.Scenes, scene)
	}
	r.Frames = len(ticks)
	spec := vision.Gemma4
	var sheet contactSheet
	start := time.Now()
	for frame, err := range clip.Frames(ctx, track, ticks) {
		if err != nil {
			return err
		}
		w, h, err := spec.Size(frame.Image.Width, frame.Image.Height, c.Budget)
		if err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		r.SizeSeen, r.FrameCost = [2]int{w, h}, spec.SoftTokens(w, h)
		r.SoftTokens += r.FrameCost
		if c.Out != "" {
			sheet.add(frame.Image)
		}
	}
	r.Decoding = time.Since(start)
	if c.Out != "" {
		return writePNG(c.Out, sheet.picture())
	}
	return nil
}

// contactSheet shows frames in rows.
type contactSheet struct{ thumbs []*vision.Image }

const (
	thumbWidth   = 240
	sheetColumns = 8
	mostThumbs   = 256
	thumbMargin  = 4
)

func (s *contactSheet) add(img *vision.Image) {
	if len(s.thumbs) < mostThumbs {
		s.thumbs = append(s.thumbs, img.Resize(thumbWidth, max(1, thumbWidth*img.Height/img.Width)))
	}
}

func (s *contactSheet) picture() *vision.Image {
	height := 1
	for _, t := range s.thumbs {
		height = max(height, t.Height)
	}
	columns := max(1, min(len(s.thumbs), sheetColumns))
	rows := max(1, (len(s.thumbs)+columns-1)/columns)
	img := &vision.Image{Width: columns*(thumbWidth+thumbMargin) + thumbMargin, Height: rows*(height+thumbMargin) + thumbMargin}
	img.Pix = make([]byte, 3*img.Width*img.Height)
	for i := range img.Pix {
		img.Pix[i] = 32
	}
	for i, t := range s.thumbs {
		x, y := thumbMargin+i%columns*(thumbWidth+thumbMargin), thumbMargin+i/columns*(height+thumbMargin)
		for row := range t.Height {
			copy(img.Pix[3*((y+row)*img.Width+x):], t.Pix[3*row*t.Width:][:3*t.Width])
		}
	}
	return img
}
