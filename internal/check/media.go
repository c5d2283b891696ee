package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"facet/audio"
	"facet/internal/golden"
	"facet/model"
	"facet/video"
	"facet/vision"
)

// prompt prepares the media of a case and builds its prompt.
func prompt(m *model.Model, dir string, c *golden.Case, tracer *golden.Tracer) (*model.Prompt, error) {
	var media model.Media
	var err error
	if media.Images, err = images(m, dir, c); err != nil {
		return nil, err
	}
	if c.Video != nil {
		if tracer != nil {
			tracer.Second = len(c.Images) > 0
		}
		v, err := film(m, filepath.Join(dir, "media", c.Video.File), c.Video)
		if err != nil {
			return nil, err
		}
		media.Videos = []*model.Video{v}
	}
	if media.Audio, err = sound(m, dir, c); err != nil {
		return nil, err
	}
	return m.RawPrompt(c.Prompt, media)
}

func images(m *model.Model, dir string, c *golden.Case) ([]*model.SoftTokens, error) {
	var patches []*vision.Patches
	for _, name := range c.Images {
		img, err := picture(filepath.Join(dir, "media", name))
		if err != nil {
			return nil, err
		}
		p, err := cut(m, img, c.Budget)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		patches = append(patches, p)
	}
	return m.EncodeImages(patches)
}

func picture(path string) (*vision.Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	img, err := vision.Decode(data, vision.DecodeOptions{Limits: vision.DefaultLimits})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

func cut(m *model.Model, img *vision.Image, budget int) (*vision.Patches, error) {
	spec, ok := m.Spec()
	if !ok {
		return nil, model.UnsupportedError("this checkpoint takes no images")
	}
	p, _, err := vision.Prepare(img, spec, budget)
	return p, err
}

// sound reads the recordings of a case and encodes them together.
func sound(m *model.Model, dir string, c *golden.Case) ([]*model.SoftTokens, error) {
	if len(c.Audio) == 0 {
		return nil, nil
	}
	spec, ok := m.AudioSpec()
	if !ok {
		return nil, model.UnsupportedError("this checkpoint takes no sound")
	}
	e := audio.NewExtractor(spec)
	var clips []*audio.Features
	for _, name := range c.Audio {
		clip, err := recording(filepath.Join(dir, "media", name), spec, e)
		if err != nil {
			return nil, err
		}
		clips = append(clips, clip)
	}
	return m.EncodeAudios(clips)
}

func recording(path string, spec audio.Spec, e *audio.Extractor) (*audio.Features, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stream, err := audio.Open(path, f)
	if err != nil {
		return nil, err
	}
	pcm, _, err := audio.ReadMono(stream, spec.SampleRate, audio.Mix, spec.MaxSamples)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e.Features(pcm), nil
}

func film(m *model.Model, path string, v *golden.Video) (*model.Video, error) {
	pictures, err := frames(path, v.Indices)
	if err != nil {
		return nil, err
	}
	var patches []*vision.Patches
	var at []time.Duration
	for i, img := range pictures {
		p, err := cut(m, img, v.Budget)
		if err != nil {
			return nil, fmt.Errorf("%s: frame %d: %w", path, v.Indices[i], err)
		}
		patches = append(patches, p)
		at = append(at, time.Duration(v.Indices[i])*time.Second/golden.VideoRate)
	}
	return m.EncodeVideo(patches, at)
}

// frames returns the frames of a video that the reference was given: the pictures
// FILE.frames/NUMBER.png beside it, where there are such, or what is decoded.
func frames(path string, indices []int) ([]*vision.Image, error) {
	if _, err := os.Stat(path + ".frames"); !errors.Is(err, fs.ErrNotExist) {
		var out []*vision.Image
		for _, i := range indices {
			img, err := picture(filepath.Join(path+".frames", fmt.Sprintf("%d.png", i)))
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
		return out, nil
	}
	return decode(path, indices)
}

// decode returns the frames of a video that facet takes of it, which must be those.
func decode(path string, indices []int) ([]*vision.Image, error) {
	ctx := context.Background()
	clip, err := video.Open(ctx, path, video.Options{})
	if err != nil {
		return nil, err
	}
	defer clip.Close()
	track := clip.Info().DefaultVideo()
	index, err := clip.Index(ctx, track)
	if err != nil {
		return nil, err
	}
	if got := video.Sample(len(index.Ticks), len(indices)); !slices.Equal(got, indices) {
		return nil, fmt.Errorf("%s: frames %v are taken of %d, want %v", path, got, len(index.Ticks), indices)
	}
	var out []*vision.Image
	for frame, err := range clip.Frames(ctx, track, index.TicksOf(indices)) {
		if err != nil {
			return nil, err
		}
		out = append(out, frame.Image)
	}
	if len(out) != len(indices) {
		return nil, fmt.Errorf("%s: %d frames decoded, want %d", path, len(out), len(indices))
	}
	return out, nil
}
