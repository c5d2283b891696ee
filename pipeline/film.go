package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"facet/audio"
	"facet/pipeline/job"
	"facet/video"
	"facet/vision"
)

// What a scene is where the user says nothing: Gemma 4 was trained with 32 frames.
const (
	sceneWindow = 30.0 // seconds
	sceneFrames = 32
	// leastScene is the shortest scene that is asked about by itself.
	leastScene = time.Second / 2
)

// watch sends a part for each scene of a film and, where its speech is wanted, for each
// piece of its sound. It returns the part that ends them.
func (r *run) watch(ctx context.Context, w *work, item Item, send sender) (last *part, err error) {
	clip, err := video.Open(ctx, item.Path, r.Video)
	if err != nil {
		return nil, Unnamed(err, item.Path)
	}
	defer clip.Close()
	o, info := w.options, clip.Info()
	if len(info.Video) == 0 {
		return nil, fmt.Errorf("there are no pictures in this file, only sound: facet transcribe takes it")
	}
	number := info.DefaultVideo()
	if o.Track > 0 {
		number = o.Track - 1
	}
	if number >= len(info.Video) {
		return nil, fmt.Errorf("there is no track %d of pictures: the file has %d", number+1, len(info.Video))
	}
	index, err := clip.Index(ctx, number)
	if err != nil {
		return nil, Unnamed(err, item.Path)
	}
	plan := video.PlanOptions{
		Frames: cmp.Or(o.Frames, sceneFrames), Window: time.Duration(cmp.Or(o.Window, sceneWindow) * float64(time.Second)),
		FPS: o.FPS, MinScene: leastScene, Keyframes: o.FastSeek,
	}
	if o.Scene > 0 {
		if plan.Cuts, err = clip.Cuts(ctx, number, o.Scene); err != nil {
			return nil, Unnamed(err, item.Path)
		}
	}
	budget := cmp.Or(w.plan.Budget, r.specs.videoBudget)
	watched := &job.Watched{VideoSeconds: milli(index.Duration()), VideoTrack: number + 1}
	w.record.Effective.Watched = watched
	speech := o.WithSpeech && len(info.Audio) > 0
	if speech {
		w.record.Effective.Heard = new(job.Heard)
	}
	total := w.record.Effective // of which the model's side counts tokens from the first part on
	var seen *job.Seen
	frames := 0
	for _, window := range index.Windows(plan) {
		f := film{}
		for frame, err := range clip.Frames(ctx, number, index.TicksOf(window.Frames)) {
			if err != nil {
				return nil, Unnamed(err, item.Path)
			}
			patches, as, err := vision.Prepare(frame.Image, *r.specs.vision, budget)
			if err != nil {
				return nil, err
			}
			if seen == nil {
				seen = seenAs(budget, as, frame.Image)
			}
			f.frames = append(f.frames, patches)
			f.at = append(f.at, time.Duration(max(0, frame.Seconds)*float64(time.Second)))
		}
		frames += len(f.frames)
		q := r.questionOf(w, w.plan.Prompt)
		q.film = []film{f}
		if !send(&part{question: q, reply: job.Reply{
			Medium: job.Film, Start: max(0, index.Seconds(window.Start)), End: index.Seconds(window.End),
		}}) {
			return nil, errStopped
		}
	}
	warnings := clip.Warnings()
	var heard job.Heard
	if speech {
		more, err := r.speech(ctx, w, item, &heard, send)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, more...)
	} else if o.WithSpeech {
		warnings = append(warnings, "this video has no sound")
	}
	return &part{last: true, finish: func(record *job.Record) {
		watched.Frames = frames
		record.Effective.Seen = seen
		if speech {
			heard.AudioTokens = total.AudioTokens
			heard.AudioSeconds, heard.HeardSeconds = milli(heard.AudioSeconds), milli(heard.HeardSeconds)
			*total.Heard = heard
		}
		record.Warnings = append(record.Warnings, warnings...)
	}}, nil
}

// speech sends the pieces of a film's sound, with the question of the job that transcribes.
func (r *run) speech(ctx context.Context, w *work, item Item, h *job.Heard, send sender) ([]string, error) {
	if err := r.specs.takes(job.Sound); err != nil {
		return nil, err
	}
	rec, err := OpenSound(ctx, item.Path, 0, r.Video)
	if err != nil {
		return nil, err
	}
	defer rec.Close()
	*h = job.Heard{SampleRate: rec.Info().SampleRate, Channels: rec.Info().Channels, AudioTrack: rec.Track}
	plan, err := job.Transcribe.Plan(job.Options{Language: w.options.Language, Listening: w.options.Listening}, r.checkpoint, job.Sound)
	if err != nil {
		return nil, err
	}
	return r.pieces(w, rec, audio.Subtitles(), plan.Prompt, h, send)
}
