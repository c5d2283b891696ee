package model

import (
	"fmt"
	"slices"

	"facet/model/tokenizer"
)

// specialIDs are the control tokens the engine itself writes or looks for. They are
// resolved by string: the ids of small checkpoints differ from the released ones.
type specialIDs struct {
	pad, bos             int32
	image, video, audio  int32 // soft tokens; −1 where the vocabulary lacks one
	imageBegin, imageEnd int32
	audioBegin, audioEnd int32
	turnEnd              int32   // −1 where the vocabulary lacks it
	end                  []int32 // every id that ends a reply
	suppressed           []int32 // never part of a reply, unlike the same ids in a prompt
}

// resolveIDs looks the control tokens up in the tokenizer, which may be nil. A
// checkpoint with a vision tower must have those of pictures.
func resolveIDs(t *tokenizer.Tokenizer, c *Config) (specialIDs, error) {
	find := func(token string) int32 {
		if t == nil {
			return -1
		}
		if id, ok := t.ID(token); ok {
			return id
		}
		return -1
	}
	ids := specialIDs{
		pad: c.TextConfig.PadTokenID, bos: find("<bos>"),
		image: find("<|image|>"), video: find(videoToken), audio: find("<|audio|>"),
		imageBegin: find(imageBeginToken), imageEnd: find(imageEndToken),
		audioBegin: find("<|audio>"), audioEnd: find("<audio|>"), turnEnd: find("<turn|>"),
	}
	if ids.bos < 0 {
		ids.bos = c.TextConfig.BOSTokenID
	}
	if t != nil && c.VisionConfig != nil && (ids.image < 0 || ids.imageBegin < 0 || ids.imageEnd < 0) {
		return ids, FormatError("the tokenizer lacks <|image>, <|image|> or <image|>, which a checkpoint with a vision tower needs")
	}
	if t != nil && c.AudioConfig != nil && (ids.audio < 0 || ids.audioBegin < 0 || ids.audioEnd < 0) {
		return ids, FormatError("the tokenizer lacks <|audio>, <|audio|> or <audio|>, which a checkpoint with an audio tower needs")
	}
	// What the files name, and by string what a converted checkpoint may have lost:
	// the end of a turn, and the place where a tool's answer is waited for.
	for _, list := range [][]int32{c.EOSTokenID, c.TextConfig.EOSTokenID, c.Generation.EOSTokenID, {find("<eos>"), find("<turn|>"), find("<|tool_response>")}} {
		for _, id := range list {
			if int(id) >= c.TextConfig.VocabSize {
				return ids, FormatError(fmt.Sprintf("eos_token_id %d is outside the vocabulary of %d", id, c.TextConfig.VocabSize))
			}
			if id >= 0 && !slices.Contains(ids.end, id) {
				ids.end = append(ids.end, id)
			}
		}
	}
	for _, id := range c.Generation.SuppressTokens {
		if id < 0 || int(id) >= c.TextConfig.VocabSize {
			return ids, FormatError(fmt.Sprintf("suppress_tokens has %d, outside the vocabulary of %d", id, c.TextConfig.VocabSize))
		}
	}
	ids.suppressed = c.Generation.SuppressTokens
	return ids, nil
}

// soft lists the ids of media soft tokens that the vocabulary has.
func (s *specialIDs) soft() []int32 {
	return slices.DeleteFunc([]int32{s.image, s.video, s.audio}, func(id int32) bool { return id < 0 })
}
