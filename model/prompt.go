package model

import (
	"fmt"
	"strings"

	"facet/model/chat"
)

// TokenType says what a position of a prompt holds, as transformers' mm_token_type_ids does.
type TokenType uint8

// The kinds of positions. The tokens that stand around media are text.
const (
	TextToken TokenType = iota
	ImageToken
	VideoToken
	AudioToken
)

// Prompt is the input of one sequence: token ids, and in the places of its soft
// tokens the embeddings of media.
type Prompt struct {
	IDs   []int32
	Types []TokenType
	media []mediaSpan // in order of position, not touching each other
}

// mediaSpan is a row of soft tokens: positions [lo, hi), the first of which takes row 0 of soft.
type mediaSpan struct {
	lo, hi int
	soft   *SoftTokens
	causal bool // sound: its tokens never see later ones
	inside bool // a frame of a video that goes on after it
}

// Len is the number of positions.
func (p *Prompt) Len() int { return len(p.IDs) }

// check finds what a pass cannot run: ids outside the vocabulary, media of another width.
func (p *Prompt) check(c *TextConfig) error {
	for i, id := range p.IDs {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("model: token id %d at position %d is outside the vocabulary of %d", id, i, c.VocabSize)
		}
	}
	for _, s := range p.media {
		if s.soft.Width != c.HiddenSize || s.hi-s.lo != s.soft.Rows || len(s.soft.Values) != s.soft.Rows*s.soft.Width {
			return fmt.Errorf("model: soft tokens [%d, %d] with %d values at %d positions of a decoder of width %d", s.soft.Rows, s.soft.Width, len(s.soft.Values), s.hi-s.lo, c.HiddenSize)
		}
	}
	return nil
}

// Count is the number of positions of a kind.
func (p *Prompt) Count(kind TokenType) int {
	n := 0
	for _, t := range p.Types {
		if t == kind {
			n++
		}
	}
	return n
}

// ChatPrompt turns a rendered conversation into a prompt. The i-th <|image|> of its
// control spans stands for the i-th image, and likewise <|audio|> and <|video|>: see Media.
func (m *Model) ChatPrompt(spans []chat.Span, media Media) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	spans, err := media.stamp(spans)
	if err != nil {
		return nil, err
	}
	ids, err := chat.Encode(m.tokenizer, spans, nil)
	if err != nil {
		return nil, err
	}
	return m.expand(ids, media)
}

// RawPrompt turns a text in which control tokens count into a prompt; <|image|>,
// <|audio|> and <|video|> mark the places of media. Nothing is added, not even <bos>.
func (m *Model) RawPrompt(text string, media Media) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	var spans []chat.Span
	for i, part := range strings.Split(text, videoToken) {
		if i > 0 {
			spans = append(spans, chat.Span{Text: videoToken, Control: true})
		}
		spans = append(spans, chat.Span{Text: part})
	}
	spans, err := media.stamp(spans)
	if err != nil {
		return nil, err
	}
	return m.expand(m.tokenizer.EncodeSpecial(chat.Text(spans), nil), media)
}

// CompletionPrompt is the prompt of a checkpoint without a chat template: <bos>, the
// images, the sound, the videos, and the text, in which no control token counts.
func (m *Model) CompletionPrompt(text string, media Media) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	ids := []int32{m.ids.bos}
	for range media.Images {
		ids = append(ids, m.ids.image)
	}
	for range media.Audio {
		ids = append(ids, m.ids.audio)
	}
	var spans []chat.Span
	for range media.Videos {
		spans = append(spans, chat.Span{Text: videoToken, Control: true})
	}
	spans, err := media.stamp(append(spans, chat.Span{Text: text}))
	if err != nil {
		return nil, err
	}
	if ids, err = chat.Encode(m.tokenizer, spans, ids); err != nil {
		return nil, err
	}
	return m.expand(ids, media)
}

// expand replaces each placeholder of an image or a clip by the tokens that stand around
// it and its soft tokens, and that of a video's frame by its soft tokens.
func (m *Model) expand(ids []int32, media Media) (*Prompt, error) {
	p := new(Prompt)
	text := func(id int32) { p.IDs, p.Types = append(p.IDs, id), append(p.Types, TextToken) }
	soft := func(id int32, kind TokenType, span mediaSpan) {
		span.lo, span.hi = len(p.IDs), len(p.IDs)+span.soft.Rows
		for range span.soft.Rows {
			p.IDs, p.Types = append(p.IDs, id), append(p.Types, kind)
		}
		p.media = append(p.media, span)
	}
	images, clips, frames := media.Images, media.Audio, media.frames()
	for _, id := range ids {
		switch {
		case id < 0:
			return nil, UnsupportedError("the tokenizer has no token for this kind of media")
		case id == m.ids.image:
			if len(images) == 0 {
				return nil, fmt.Errorf("model: the prompt has more places for images than the %d images given", len(media.Images))
			}
			text(m.ids.imageBegin)
			soft(id, ImageToken, mediaSpan{soft: images[0]})
			text(m.ids.imageEnd)
			images = images[1:]
		case id == m.ids.audio:
			if len(clips) == 0 {
				return nil, fmt.Errorf("model: the prompt has more places for sound than the %d clips given", len(media.Audio))
			}
			text(m.ids.audioBegin)
			soft(id, AudioToken, mediaSpan{soft: clips[0], causal: true})
			text(m.ids.audioEnd)
			clips = clips[1:]
		case id == m.ids.video:
			if len(frames) == 0 {
				return nil, fmt.Errorf("model: the prompt has more places for videos than the %d videos given", len(media.Videos))
			}
			soft(id, VideoToken, frames[0]) // what stands around it is in the text: see stamp
			frames = frames[1:]
		default:
			text(id)
		}
	}
	if len(frames) > 0 {
		return nil, UnsupportedError("the tokenizer has no token for the frames of a video")
	}
	for _, left := range []struct {
		name     string
		n, given int
	}{{"images", len(images), len(media.Images)}, {"clips of sound", len(clips), len(media.Audio)}} {
		if left.n > 0 {
			return nil, fmt.Errorf("model: %d %s for %d places in the prompt", left.given, left.name, left.given-left.n)
		}
	}
	return p, nil
}

// softAt returns the media embedding at a position, or nil for a text token.
func (p *Prompt) softAt(position int) []float32 {
	for i := range p.media {
		if s := &p.media[i]; position >= s.lo && position < s.hi {
			r := position - s.lo
			return s.soft.Values[r*s.soft.Width : (r+1)*s.soft.Width]
		}
	}
	return nil
}

// block returns the bounds of the picture, which may be a video's frame, that a position
// lies in; ok is false for text and sound.
func (p *Prompt) block(position int) (lo, hi int, ok bool) {
	for i := range p.media {
		if s := &p.media[i]; position >= s.lo && position < s.hi && !s.causal {
			return s.lo, s.hi, true
		}
	}
	return 0, 0, false
}

// cut returns where a pass that begins at position from and should take at most
// room positions ends. Where pictures see themselves in both directions a cut that
// would fall into one moves to its end, past the room if need be.
func (p *Prompt) cut(from, room int, whole bool) int {
	end := min(len(p.IDs), from+room)
	if lo, hi, ok := p.block(end); ok && whole && lo < end {
		return hi
	}
	return end
}
