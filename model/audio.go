package model

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"

	"facet/audio"
	"facet/internal/tensor"
)

// AudioSpec says how sound must be cut for this checkpoint; ok is false if it takes none.
func (m *Model) AudioSpec() (spec audio.Spec, ok bool) {
	if m.config.AudioConfig == nil {
		return audio.Spec{}, false
	}
	return m.config.audioSpec(), true
}

// audioSpec returns the front end of sound, with the values of every released checkpoint
// where the file says nothing, as one that was converted does not.
func (c *Config) audioSpec() audio.Spec {
	p, s := &c.Processor, audio.Gemma4
	if f := p.FeatureExtractor; f != nil {
		s = audio.Spec{
			SampleRate: f.SamplingRate, FrameLength: f.FrameLength, HopLength: f.HopLength, FFTLength: f.FFTLength,
			MelBins: f.FeatureSize, MinFrequency: f.MinFrequency, MaxFrequency: f.MaxFrequency, MelFloor: f.MelFloor,
		}
	}
	s.MaxSamples = cmp.Or(p.AudioSeqLength, 750) * cmp.Or(p.AudioMsPerToken, 40) * s.SampleRate / 1000
	if c.AudioConfig.unified() {
		return audio.Spec{SampleRate: s.SampleRate, RawFrame: c.AudioConfig.AudioEmbedDim, MaxSamples: s.MaxSamples}
	}
	return s
}

// soundEncoder turns what is heard of clips into soft tokens: an audio tower, or a 12B's
// soundEmbedder.
type soundEncoder interface {
	// encode returns the soft tokens of each clip, [S, D], with the bits that it would have
	// alone. The results are copies that the caller keeps, or lets go of, one by one.
	encode(s *scratch, clips []*audio.Features) []tensor.Mat
	// softTokens is the number S of a clip with so many valid frames.
	softTokens(frames int) int
}

// EncodeAudio runs the audio tower, or what a 12B has in place of one, on one clip: what
// audio's Extractor makes of it by AudioSpec. It fails if the checkpoint hears nothing, and if the clip is empty, is too long or has not the shape that it says.
func (m *Model) EncodeAudio(clip *audio.Features) (*SoftTokens, error) {
	soft, err := m.EncodeAudios([]*audio.Features{clip})
	if err != nil {
		return nil, err
	}
	return soft[0], nil
}

// EncodeAudios is EncodeAudio for clips of any lengths together, which is faster
// than one by one where they are short. Each gets the soft tokens that it would get alone.
func (m *Model) EncodeAudios(clips []*audio.Features) ([]*SoftTokens, error) {
	spec, ok := m.AudioSpec()
	if !ok {
		return nil, UnsupportedError("this checkpoint has no audio tower: it cannot hear")
	}
	for i, c := range clips {
		if err := checkClip(c, spec); err != nil {
			return nil, fmt.Errorf("model: clip %d: %w", i+1, err)
		}
	}
	out := make([]*SoftTokens, len(clips))
	keys := make([][32]byte, len(clips))
	var missing []int
	for i, c := range clips {
		if m.encoded != nil {
			keys[i] = clipKey(c)
			out[i] = m.encoded.get(keys[i])
		}
		if out[i] == nil {
			missing = append(missing, i)
		}
	}
	for len(missing) > 0 {
		now := missing[:m.together(clips, missing)]
		for i, soft := range m.encodeClips(clips, now) {
			out[now[i]] = soft
			if m.encoded != nil {
				m.encoded.put(keys[now[i]], soft)
			}
		}
		missing = missing[len(now):]
	}
	return out, nil
}

// audioRowsAtOnce bounds the rows, and with them the memory, of clips that are encoded
// together: two of 30 s, or many short ones.
const audioRowsAtOnce = 1536

// together is the number of the wanted clips, from the first on, that go through the tower
// at once. A trace wants each by itself.
func (m *Model) together(clips []*audio.Features, wanted []int) int {
	rows := 0
	for n, i := range wanted {
		rows += m.audio.softTokens(clips[i].Valid)
		if n > 0 && (rows > audioRowsAtOnce || m.options.Tracer != nil) {
			return n
		}
	}
	return len(wanted)
}

// encodeClips runs the tower once, on the wanted clips of a prompt.
func (m *Model) encodeClips(clips []*audio.Features, wanted []int) []*SoftTokens {
	var now []*audio.Features
	for _, i := range wanted {
		now = append(now, clips[i])
	}
	m.compute.Lock()
	defer m.compute.Unlock()
	m.tower.item = wanted[0]
	var out []*SoftTokens
	for _, mat := range m.audio.encode(m.tower, now) {
		out = append(out, &SoftTokens{Rows: mat.Rows, Width: mat.Cols, Values: mat.Data})
	}
	return out
}

// checkClip finds what cannot be encoded.
func checkClip(c *audio.Features, spec audio.Spec) error {
	most, _ := spec.Frames(spec.MaxSamples)
	switch width := spec.Width(); {
	case c.Width != width || c.Valid < 0 || c.Valid > c.Frames || len(c.Data) != c.Frames*c.Width:
		return fmt.Errorf("%d values for %d frames of %d, %d of them valid; want frames of %d", len(c.Data), c.Frames, c.Width, c.Valid, width)
	case c.Valid == 0:
		return errors.New("no sound in it: not one frame")
	case c.Valid > most:
		return fmt.Errorf("%d frames are past the %d that this checkpoint hears at once: cut it into pieces", c.Valid, most)
	}
	return nil
}

// clipKey is the content of a clip as an encoder sees it.
func clipKey(c *audio.Features) [32]byte {
	h := sha256.New()
	h.Write([]byte("sound")) // where a picture has its size
	hashFloats(h, c.Data[:c.Valid*c.Width])
	return [32]byte(h.Sum(nil))
}
