package model

import (
	"fmt"
	"time"

	"facet/model/chat"
	"facet/vision"
)

// Media is what stands in the places of a prompt, each kind in the order of its
// placeholders, of which there must be as many:
//
//	<|image|>  <|image> + n × <|image|> + <image|>
//	<|audio|>  <|audio> + n × <|audio|> + <audio|>
//	<|video|>  00:00 <|image> + n × <|video|> + <image|> for each frame, a space between them
type Media struct {
	Images []*SoftTokens
	Audio  []*SoftTokens
	Videos []*Video
}

// Video is the frames of a clip, in order.
type Video struct{ Frames []VideoFrame }

// VideoFrame is one picture with its time from the start of the clip, which the model
// is told in whole seconds.
type VideoFrame struct {
	At   time.Duration
	Soft *SoftTokens
}

// Control tokens that stand in the text of a video.
const (
	videoToken      = "<|video|>"
	imageBeginToken = "<|image>"
	imageEndToken   = "<image|>"
)

// Stamp writes the time of a frame as the model reads it: minutes, of which there may be
// more than 59, and seconds, both rounded down.
func Stamp(at time.Duration) string {
	seconds := int(at / time.Second)
	return fmt.Sprintf("%02d:%02d", seconds/60, seconds%60)
}

// stamp replaces each placeholder of a video by those of its frames, with their times and
// the tokens around them. The times become one text with what stands beside them, and are
// encoded with it.
func (m *Media) stamp(spans []chat.Span) ([]chat.Span, error) {
	var out []chat.Span
	text := func(t string) {
		if n := len(out); n > 0 && !out[n-1].Control {
			out[n-1].Text += t
		} else if t != "" {
			out = append(out, chat.Span{Text: t})
		}
	}
	used := 0
	for _, s := range spans {
		switch {
		case !s.Control:
			text(s.Text)
			continue
		case s.Text != videoToken:
			out = append(out, s)
			continue
		case used == len(m.Videos):
			return nil, fmt.Errorf("model: the prompt has more places for videos than the %d videos given", len(m.Videos))
		case len(m.Videos[used].Frames) == 0:
			return nil, fmt.Errorf("model: video %d has no frames", used+1)
		}
		for i, f := range m.Videos[used].Frames {
			if i > 0 {
				text(" ")
			}
			text(Stamp(f.At) + " ")
			for _, token := range []string{imageBeginToken, videoToken, imageEndToken} {
				out = append(out, chat.Span{Text: token, Control: true, Media: s.Media})
			}
		}
		used++
	}
	if used < len(m.Videos) {
		return nil, fmt.Errorf("model: %d videos for %d places in the prompt", len(m.Videos), used)
	}
	return out, nil
}

// frames are the spans of all frames, without their places.
func (m *Media) frames() []mediaSpan {
	var out []mediaSpan
	for _, v := range m.Videos {
		for i, f := range v.Frames {
			out = append(out, mediaSpan{soft: f.Soft, inside: i+1 < len(v.Frames)})
		}
	}
	return out
}

// VideoBudget is the soft-token budget for a frame of a video that the checkpoint is set
// to by default; 70 where it says nothing.
func (m *Model) VideoBudget() int {
	if n := m.config.Processor.VideoProcessor.MaxSoftTokens; n > 0 {
		return n
	}
	return 70
}

// EncodeVideo is EncodeImage for the frames of a clip, which are at the times given.
func (m *Model) EncodeVideo(frames []*vision.Patches, at []time.Duration) (*Video, error) {
	if len(frames) != len(at) {
		panic(fmt.Sprintf("model: EncodeVideo: %d frames at %d times", len(frames), len(at)))
	}
	v := new(Video)
	for i, p := range frames {
		soft, err := m.encodeImage(p, i)
		if err != nil {
			return nil, fmt.Errorf("frame %d, at %s: %w", i+1, Stamp(at[i]), err)
		}
		v.Frames = append(v.Frames, VideoFrame{at[i], soft})
	}
	return v, nil
}
