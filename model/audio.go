package model

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"facet/audio"
)

// AudioSpec says how sound must be cut for this checkpoint; ok is false if it takes none.
func (m *Model) AudioSpec() (spec audio.Spec, ok bool) {
	if m.config.AudioConfig == nil {
		return audio.Spec{}, false
	}
	return m.config.Processor.audioSpec(), true
}

// audioSpec returns the front end of sound, with the values of every released checkpoint
// where the file says nothing, as one that was converted does not.
func (p *ProcessorConfig) audioSpec() audio.Spec {
	f := p.FeatureExtractor
	if f == nil {
		f = &FeatureExtractor{
			FeatureSize: melBins, SamplingRate: 16_000, FrameLength: 320, HopLength: 160, FFTLength: 512,
			MaxFrequency: 8000, MelFloor: 1e-3,
		}
	}
	tokens, milliseconds := p.AudioSeqLength, p.AudioMsPerToken
	if tokens == 0 {
		tokens = 750
	}
	if milliseconds == 0 {
		milliseconds = 40
	}
	return audio.Spec{
		SampleRate: f.SamplingRate, FrameLength: f.FrameLength, HopLength: f.HopLength, FFTLength: f.FFTLength,
		MelBins: f.FeatureSize, MinFrequency: f.MinFrequency, MaxFrequency: f.MaxFrequency, MelFloor: f.MelFloor,
		MaxSamples: tokens * milliseconds * f.SamplingRate / 1000,
	}
}

// EncodeAudio runs the audio tower on one clip. It fails if the checkpoint has no tower,
// and if the clip is empty, is too long or has not the shape that it says.
func (m *Model) EncodeAudio(clip *audio.Mel) (*SoftTokens, error) {
	soft, err := m.EncodeAudios([]*audio.Mel{clip})
	if err != nil {
		return nil, err
	}
	return soft[0], nil
}

// EncodeAudios runs the audio tower on clips of any lengths together, which is faster
// than one by one where they are short. Each gets the soft tokens that it would get alone.
func (m *Model) EncodeAudios(clips []*audio.Mel) ([]*SoftTokens, error) {
	spec, ok := m.AudioSpec()
	if !ok {
		return nil, UnsupportedError("this checkpoint has no audio tower: it cannot hear")
	}
	for i, c := range clips {
		if err := checkMel(c, spec); err != nil {
			return nil, fmt.Errorf("model: clip %d: %w", i+1, err)
		}
	}
	out := make([]*SoftTokens, len(clips))
	keys := make([][32]byte, len(clips))
	var missing []int
	for i, c := range clips {
		if m.encoded != nil {
			keys[i] = melKey(c)
			out[i] = m.encoded.get(keys[i])
		}
		if out[i] == nil {
			missing = append(missing, i)
		}
	}
	for len(missing) > 0 {
		n, rows := 0, 0
		var together []*audio.Mel
		for n < len(missing) && (n == 0 || rows+audioTokens(clips[missing[n]].Valid) <= audioRowsAtOnce) && (n == 0 || m.options.Tracer == nil) {
			together = append(together, clips[missing[n]])
			rows += audioTokens(clips[missing[n]].Valid)
			n++
		}
		for j, soft := range m.encodeTogether(together, missing[0]) {
			out[missing[j]] = soft
			if m.encoded != nil {
				m.encoded.put(keys[missing[j]], soft)
			}
		}
		missing = missing[n:]
	}
	return out, nil
}

// audioRowsAtOnce bounds the rows, and with them the memory, of clips that are encoded
// together: two of 30 s, or many short ones.
const audioRowsAtOnce = 1536

// encodeTogether runs the tower once. item is the number of the first clip in its prompt.
func (m *Model) encodeTogether(clips []*audio.Mel, item int) []*SoftTokens {
	m.compute.Lock()
	defer m.compute.Unlock()
	m.tower.item = item
	var out []*SoftTokens
	for _, mat := range m.audio.encode(m.tower, clips) {
		out = append(out, &SoftTokens{Rows: mat.Rows, Width: mat.Cols, Values: mat.Data})
	}
	return out
}

// checkMel finds what cannot be encoded.
func checkMel(m *audio.Mel, spec audio.Spec) error {
	most, _ := spec.Frames(spec.MaxSamples)
	switch {
	case m.Bins != melBins || m.Valid < 0 || m.Valid > m.Frames || len(m.Data) != m.Frames*m.Bins:
		return fmt.Errorf("%d mel values for %d frames of %d, %d of them valid; want frames of %d", len(m.Data), m.Frames, m.Bins, m.Valid, melBins)
	case m.Valid == 0:
		return errors.New("no sound in it: not one mel frame")
	case m.Valid > most:
		return fmt.Errorf("%d mel frames are past the %d that this checkpoint hears at once: cut it into pieces", m.Valid, most)
	}
	return nil
}

// melKey is the content of a clip as the tower sees it.
func melKey(c *audio.Mel) [32]byte {
	h := sha256.New()
	h.Write([]byte("sound")) // where a picture has its size
	hashFloats(h, c.Data[:c.Valid*melBins])
	return [32]byte(h.Sum(nil))
}
