package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"facet/audio"
	"facet/model"
	"facet/model/chat"
	"facet/pipeline"
	"facet/video"
	"facet/vision"
)

// mediaKinds are what a prompt may be about besides text.
var mediaKinds = []struct {
	kind chat.PartKind
	name string // of several
	mark string // its place in a raw prompt
}{
	{chat.PartImage, "images", "<|image|>"},
	{chat.PartAudio, "recordings", "<|audio|>"},
	{chat.PartVideo, "videos", "<|video|>"},
}

func nameOf(kind chat.PartKind) string {
	for _, k := range mediaKinds {
		if k.kind == kind {
			return k.name
		}
	}
	return kind.String()
}

// mostFrames is the most that are taken of a video.
const mostFrames = 4096

// mediaLoader reads and encodes the media of a prompt.
type mediaLoader struct {
	ctx   context.Context
	s     *streams
	m     *model.Model
	c     *generateCommand
	media model.Media

	warned bool // of the sandbox
}

// load takes in one file, or a data URL. Nothing is fetched from the network.
func (l *mediaLoader) load(kind chat.PartKind, source string) error {
	if !l.warned {
		l.warned = true
		l.c.warn(l.s)
	}
	path, name, done, err := localFile(source)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer done()
	switch kind {
	case chat.PartImage:
		err = l.image(path)
	case chat.PartAudio:
		err = l.audio(path)
	case chat.PartVideo:
		err = l.video(path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// localFile is the path of a file that a source names, and what people call it. What a data
// URL holds is a temporary file, which done takes away. Errors do not say the name.
func localFile(source string) (path, name string, done func(), err error) {
	done = func() {}
	if rest, ok := strings.CutPrefix(source, "data:"); ok {
		name = "a data URL in the conversation"
		head, body, ok := strings.Cut(rest, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return "", name, done, errors.New("not in base64")
		}
		data, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return "", name, done, err
		}
		dir, err := os.MkdirTemp("", "facet")
		if err != nil {
			return "", name, done, err
		}
		path = filepath.Join(dir, "data")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			os.RemoveAll(dir)
			return "", name, done, err
		}
		return path, name, func() { os.RemoveAll(dir) }, nil
	}
	if path, ok := strings.CutPrefix(source, "file://"); ok {
		return path, source, done, nil
	}
	if scheme, _, ok := strings.Cut(source, "://"); ok {
		return "", source, done, fmt.Errorf("%s addresses are not fetched: give a file", scheme)
	}
	return source, source, done, nil
}

func (l *mediaLoader) image(path string) error {
	spec, ok := l.m.Spec()
	if !ok {
		return fmt.Errorf("%s takes no images", l.m.Path())
	}
	img, _, err := decodePage(l.ctx, path, 1, l.c.mode())
	if err != nil {
		return err
	}
	p, _, err := vision.Prepare(img, spec, cmp.Or(l.c.Budget, l.m.Budget()))
	if err != nil {
		return err
	}
	soft, err := l.m.EncodeImage(p)
	l.media.Images = append(l.media.Images, soft)
	return err
}

// audio hears as much of a recording as a model does at once, as the reference does.
func (l *mediaLoader) audio(path string) error {
	spec, ok := l.m.AudioSpec()
	if !ok {
		return fmt.Errorf("%s takes no sound", l.m.Path())
	}
	rec, err := pipeline.OpenSound(l.ctx, path, 0, video.Options{Sandbox: l.c.mode()})
	if err != nil {
		return err
	}
	defer rec.Close()
	pcm, more, err := audio.ReadMono(rec, spec.SampleRate, audio.Mix, spec.MaxSamples)
	if err != nil {
		return err
	}
	if more {
		report(l.s.err, fmt.Errorf("%s: only the first %d seconds are heard: facet transcribe hears all", path, spec.MaxSamples/spec.SampleRate))
	}
	soft, err := l.m.EncodeAudio(audio.NewExtractor(spec).Features(pcm))
	l.media.Audio = append(l.media.Audio, soft)
	return err
}

// video looks at the frames that the reference takes.
func (l *mediaLoader) video(path string) error {
	spec, ok := l.m.Spec()
	if !ok {
		return fmt.Errorf("%s takes no videos", l.m.Path())
	}
	clip, err := video.Open(l.ctx, path, video.Options{Sandbox: l.c.mode()})
	if err != nil {
		return pipeline.Unnamed(err, path)
	}
	defer clip.Close()
	frames, err := chooseFrames(l.ctx, clip, l.c.Frames, l.c.FPS)
	if err != nil {
		return pipeline.Unnamed(err, path)
	}
	budget := cmp.Or(l.c.VideoBudget, l.m.VideoBudget())
	film := new(model.Video)
	for frame, err := range clip.Frames(l.ctx, frames.track, frames.ticks) {
		if err != nil {
			return pipeline.Unnamed(err, path)
		}
		p, _, err := vision.Prepare(frame.Image, spec, budget)
		if err != nil {
			return err
		}
		i := len(film.Frames)
		soft, err := l.m.EncodeVideo([]*vision.Patches{p}, frames.at[i:i+1]) // at once: a frame's patches are megabytes
		if err != nil {
			return err
		}
		film.Frames = append(film.Frames, soft.Frames...)
	}
	for _, w := range clip.Warnings() {
		report(l.s.err, fmt.Errorf("%s: %s", path, w))
	}
	l.media.Videos = append(l.media.Videos, film)
	return nil
}

// chosenFrames are the frames of a video that the reference takes, and the times that it
// tells the model: their numbers by the mean rate, not when they are shown.
type chosenFrames struct {
	track int
	ticks []int64
	at    []time.Duration
}

// chooseFrames takes n frames, or so many a second; 32 if neither is given.
func chooseFrames(ctx context.Context, clip *video.Clip, n int, fps float64) (chosenFrames, error) {
	info := clip.Info()
	if len(info.Video) == 0 {
		return chosenFrames{}, errors.New("there are no pictures in this file, only sound")
	}
	c := chosenFrames{track: info.DefaultVideo()}
	index, err := clip.Index(ctx, c.track)
	if err != nil {
		return c, err
	}
	rate := info.Video[c.track].Rate.Float()
	if !(rate > 0) {
		rate = 24 // as the reference assumes
	}
	var places []int
	switch {
	case fps > 0:
		places = video.SampleRate(len(index.Ticks), rate, fps)
	default:
		places = video.Sample(len(index.Ticks), cmp.Or(n, video.ReferenceFrames))
	}
	if len(places) > mostFrames {
		return c, fmt.Errorf("%d frames are more than %d: take fewer with --fps or --frames", len(places), mostFrames)
	}
	for _, p := range places {
		c.at = append(c.at, time.Duration(float64(p)/rate*float64(time.Second)))
	}
	c.ticks = index.TicksOf(places)
	return c, nil
}
