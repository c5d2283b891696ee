package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"facet/audio"
	"facet/internal/golden"
	"facet/model"
	"facet/vision"
)

// prompt prepares the media of a case and builds its prompt.
func prompt(m *model.Model, dir string, c *golden.Case, o Options, tracer *golden.Tracer) (*model.Prompt, error) {
	var media model.Media
	var err error
	if media.Images, err = images(m, dir, c); err != nil {
		return nil, err
	}
	if c.Video != nil {
		if tracer != nil {
			tracer.Second = len(c.Images) > 0
		}
		v, err := video(m, filepath.Join(dir, "media", c.Video.File), c.Video, o)
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
	var clips []*audio.Mel
	for _, name := range c.Audio {
		mel, err := recording(filepath.Join(dir, "media", name), spec, e)
		if err != nil {
			return nil, err
		}
		clips = append(clips, mel)
	}
	return m.EncodeAudios(clips)
}

func recording(path string, spec audio.Spec, e *audio.Extractor) (*audio.Mel, error) {
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
	return e.Mel(pcm), nil
}

func video(m *model.Model, path string, v *golden.Video, o Options) (*model.Video, error) {
	pictures, err := frames(path, v.Indices, o)
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

// frames returns frames of a video: what Options.Frames decodes, or the pictures
// FILE.frames/NUMBER.png beside it.
func frames(path string, indices []int, o Options) ([]*vision.Image, error) {
	if o.Frames != nil {
		return o.Frames(path, indices)
	}
	var out []*vision.Image
	for _, i := range indices {
		img, err := picture(filepath.Join(path+".frames", fmt.Sprintf("%d.png", i)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, model.UnsupportedError("its video cannot be decoded here")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	return out, nil
}
