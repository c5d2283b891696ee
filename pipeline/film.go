package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"facet/audio"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/video"
	"facet/vision"
)

const (
	// sceneWindow is the longest scene where the user says nothing, in seconds.
	sceneWindow = 30.0
	// leastScene is the shortest scene that is asked about by itself.
	leastScene = time.Second / 2
)

// Positions of the context that are not for a frame's soft tokens.
const (
	stampTokens = 12   // its time, and the marks around it
	otherTokens = 2048 // the question and its reply
)

// sceneFrames is how many frames a scene may have: as many as are asked for, if the context
// holds them, or else what the model was trained with, or what it holds.
func (s specs) sceneFrames(asked, budget int) (int, error) {
	if s.context == 0 {
		return cmp.Or(asked, video.ReferenceFrames), nil
	}
	most := (s.context - otherTokens) / (budget + stampTokens)
	if most < max(1, asked) {
		return 0, fmt.Errorf("%d frames of %d soft tokens are more than the checkpoint's context of %d holds: ask for fewer frames, or a smaller budget", max(1, asked), budget, s.context)
	}
	return cmp.Or(asked, min(video.ReferenceFrames, most)), nil
}

// watch sends a part for each scene of a film and, where its speech is wanted, for each
// piece of its sound. It returns the part that ends them.
func (r *run) watch(ctx context.Context, w *work, item source.Item, send sender) (last *part, err error) {
	clip, err := video.Open(ctx, item.File, r.Video)
	if err != nil {
		return nil, Unnamed(err, item.File)
	}
	defer clip.Close()
	o, info := w.options, clip.Info()
	switch {
	case len(info.Video) == 0 && len(info.Audio) == 0:
		return nil, errors.New("there is neither picture nor sound in this file")
	case len(info.Video) == 0:
		return nil, errors.New("there are no pictures in this file, only sound: facet transcribe takes it")
	}
	speech := o.WithSpeech && len(info.Audio) > 0
	if speech {
		if err := r.specs.takes(job.Sound); err != nil { // before hours of pictures
			return nil, err
		}
	}
	budget := cmp.Or(w.plan.Budget, r.specs.videoBudget)
	most, err := r.specs.sceneFrames(w.plan.Frames, budget)
	if err != nil {
		return nil, err
	}
	number := info.DefaultVideo()
	if o.Track > 0 {
		number = o.Track - 1
	}
	index, err := clip.Index(ctx, number)
	if err != nil {
		return nil, Unnamed(err, item.File)
	}
	plan := video.PlanOptions{
		Frames: most, Window: time.Duration(cmp.Or(w.plan.Window, sceneWindow) * float64(time.Second)),
		FPS: o.FPS, MinScene: leastScene, Keyframes: o.FastSeek,
	}
	if o.Scene > 0 {
		if plan.Cuts, err = clip.Cuts(ctx, number, o.Scene); err != nil {
			return nil, Unnamed(err, item.File)
		}
	}
	watched := &job.Watched{VideoSeconds: job.Seconds(index.Duration()), VideoTrack: number + 1}
	w.record.Effective.Watched = watched
	var total *job.Heard
	if speech {
		total = new(job.Heard)
		w.record.Effective.Heard = total
	}
	var seen *job.Seen
	frames := 0
	var broken string
	for _, window := range index.Windows(plan) {
		f := film{}
		var err error
		for frame, e := range clip.Frames(ctx, number, index.TicksOf(window.Frames)) {
			if err = e; err != nil {
				break
			}
			patches, as, e := vision.Prepare(frame.Image, *r.specs.vision, budget)
			if err = e; err != nil {
				break
			}
			if seen == nil {
				seen = seenAs(budget, 0, as, frame.Image)
			}
			f.frames = append(f.frames, patches)
			f.at = append(f.at, time.Duration(max(0, frame.Seconds)*float64(time.Second)))
		}
		if err != nil && frames == 0 {
			return nil, Unnamed(err, item.File)
		}
		if err != nil { // what was seen is worth keeping, as of a recording
			broken = fmt.Sprintf("the film breaks off at %s: %v", job.Clock(max(0, index.Seconds(window.Start))), Unnamed(err, item.File))
			break
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
	if broken != "" {
		warnings = append(warnings, broken)
	}
	var sound heard
	if speech {
		var more []string
		if sound, more, err = r.speech(ctx, w, item, send); err != nil {
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
			sound.tell(total)
		}
		record.Warnings = append(record.Warnings, warnings...)
	}}, nil
}

// speech sends the pieces of a film's sound, with the question of the job that transcribes.
func (r *run) speech(ctx context.Context, w *work, item source.Item, send sender) (heard, []string, error) {
	rec, err := OpenSound(ctx, item.File, 0, r.Video)
	if err != nil {
		return heard{}, nil, err
	}
	defer rec.Close()
	plan, err := job.Transcribe.Plan(job.Options{Language: w.options.Language, Listening: w.options.Listening}, r.checkpoint, job.Sound)
	if err != nil {
		return heard{}, nil, err
	}
	return r.pieces(w, rec, audio.Subtitles(), plan.Prompt, send)
}
