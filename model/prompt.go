package model

import (
	"fmt"

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

// ImageTokens is the number of positions that hold soft tokens of pictures.
func (p *Prompt) ImageTokens() int {
	n := 0
	for _, t := range p.Types {
		if t == ImageToken {
			n++
		}
	}
	return n
}

// ChatPrompt turns a rendered conversation into a prompt. The i-th <|image|> of its
// control spans stands for images[i] and becomes <|image>, its soft tokens and
// <image|>; their numbers must be equal.
func (m *Model) ChatPrompt(spans []chat.Span, images []*SoftTokens) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	ids, err := chat.Encode(m.tokenizer, spans, nil)
	if err != nil {
		return nil, err
	}
	return m.expand(ids, images)
}

// RawPrompt turns a text in which control tokens count into a prompt; <|image|> marks
// the places of the images. Nothing is added, not even <bos>.
func (m *Model) RawPrompt(text string, images []*SoftTokens) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	return m.expand(m.tokenizer.EncodeSpecial(text, nil), images)
}

// CompletionPrompt is the prompt of a checkpoint without a chat template: <bos>, the
// images, and the text, in which no control token counts.
func (m *Model) CompletionPrompt(text string, images []*SoftTokens) (*Prompt, error) {
	if m.tokenizer == nil {
		return nil, errNoVocabulary
	}
	ids := []int32{m.ids.bos}
	for range images {
		ids = append(ids, m.ids.image)
	}
	return m.expand(m.tokenizer.Encode(text, ids), images)
}

// expand replaces each placeholder of a picture by the tokens that stand around it
// and its soft tokens (spec: image → boi + n × image + eoi).
func (m *Model) expand(ids []int32, images []*SoftTokens) (*Prompt, error) {
	p := new(Prompt)
	used := 0
	text := func(id int32) { p.IDs, p.Types = append(p.IDs, id), append(p.Types, TextToken) }
	for _, id := range ids {
		switch {
		case id == m.ids.image && id >= 0:
			if used == len(images) {
				return nil, fmt.Errorf("model: the prompt has more places for images than the %d images given", len(images))
			}
			soft := images[used]
			used++
			text(m.ids.imageBegin)
			span := mediaSpan{lo: len(p.IDs), hi: len(p.IDs) + soft.Rows, soft: soft}
			for range soft.Rows {
				p.IDs, p.Types = append(p.IDs, id), append(p.Types, ImageToken)
			}
			p.media = append(p.media, span)
			text(m.ids.imageEnd)
		case id == m.ids.audio && id >= 0, id == m.ids.video && id >= 0:
			return nil, UnsupportedError(fmt.Sprintf("the prompt has a %s: sound and video are not supported yet", m.tokenizer.Token(id)))
		default:
			text(id)
		}
	}
	if used < len(images) {
		return nil, fmt.Errorf("model: %d images for %d places in the prompt", len(images), used)
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

// block returns the bounds of the picture that a position lies in; ok is false for text.
func (p *Prompt) block(position int) (lo, hi int, ok bool) {
	for i := range p.media {
		if s := &p.media[i]; position >= s.lo && position < s.hi {
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
