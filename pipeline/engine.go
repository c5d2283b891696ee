package pipeline

import (
	"errors"
	"math"
	"time"

	"facet/audio"
	"facet/model"
	"facet/model/chat"
	"facet/model/tokenizer"
	"facet/pipeline/job"
	"facet/vision"
)

// question is what is asked about one part of an item.
type question struct {
	text      string
	textFirst bool // before the media, as Gemma 4 was trained for speech
	images    []*vision.Patches
	sound     []*audio.Features
	film      []film
	shared    *shared // of several questions about one image

	maxTokens   int
	temperature float64
	seed        uint64
	stream      string // begins the random numbers, with the seed

	// asked is the prompt once it is made. It has what the media were encoded to, so that
	// they are let go of and a question that is asked again costs no more towers.
	asked *model.Prompt
}

// shared is what the image of several questions was encoded to, once the first of them was asked.
type shared struct{ image []*model.SoftTokens }

// bytes is what the media of a question take in memory.
func (q *question) bytes() (n int64) {
	if q == nil {
		return 0
	}
	for _, p := range q.images {
		n += 4 * int64(len(p.Values))
	}
	for _, s := range q.sound {
		n += 4 * int64(len(s.Data))
	}
	for _, f := range q.film {
		for _, p := range f.frames {
			n += 4 * int64(len(p.Values))
		}
	}
	return n
}

// film is frames, and the times at which they are shown.
type film struct {
	frames []*vision.Patches
	at     []time.Duration
}

// cost is what asking took.
type cost struct{ prompt, soft int } // tokens

// answer is the reply to a question.
type answer struct {
	id     string
	tokens []job.Token // what is for the reader: no thoughts, no calls, no control tokens
	output int         // tokens generated
	finish job.Finish
	loop   job.Loop // of job.FinishLoop
	err    error
}

// engine answers questions, several at a time. The model does; tests have one that follows
// a script. It belongs to one goroutine.
type engine interface {
	// ask encodes what a question is about and takes it in. An error is this question's.
	ask(id string, q *question, onToken func()) (cost, error)
	// step goes on with all that is asked and returns what is answered. An error is the engine's.
	step() ([]answer, error)
	// open is how many questions are under way.
	open() int
	// drop forgets them.
	drop()
}

// modelEngine is the engine that is a model.
type modelEngine struct {
	model *model.Model
	batch *model.Batch
}

func (e *modelEngine) ask(id string, q *question, onToken func()) (cost, error) {
	soft := 0
	if q.asked == nil {
		var err error
		if q.asked, soft, err = e.prompt(q); err != nil {
			return cost{}, err
		}
		q.images, q.sound, q.film = nil, nil, nil
	}
	return cost{q.asked.Len(), soft}, e.batch.Add(model.Request{
		ID: id, Stream: q.stream, Prompt: q.asked, MaxTokens: q.maxTokens,
		Sampling: model.Sampling{Temperature: float32(q.temperature), Seed: q.seed},
		OnToken:  func(model.Token) { onToken() },
	})
}

// prompt encodes the media of a question and puts them before its text, as Gemma 4 was
// trained, or after it.
func (e *modelEngine) prompt(q *question) (p *model.Prompt, soft int, err error) {
	var media model.Media
	var parts []chat.Part
	if len(q.images) > 0 {
		known := q.shared != nil && q.shared.image != nil
		if known {
			media.Images = q.shared.image
		} else if media.Images, err = e.model.EncodeImages(q.images); err != nil {
			return nil, 0, err
		}
		if q.shared != nil {
			q.shared.image = media.Images
		}
		for _, s := range media.Images {
			if !known {
				soft += s.Rows
			}
			parts = append(parts, chat.Part{Kind: chat.PartImage})
		}
	}
	if len(q.sound) > 0 {
		if media.Audio, err = e.model.EncodeAudios(q.sound); err != nil {
			return nil, 0, err
		}
		for _, s := range media.Audio {
			soft += s.Rows
			parts = append(parts, chat.Part{Kind: chat.PartAudio})
		}
	}
	for _, f := range q.film {
		v, err := e.model.EncodeVideo(f.frames, f.at)
		if err != nil {
			return nil, 0, err
		}
		media.Videos = append(media.Videos, v)
		for _, frame := range v.Frames {
			soft += frame.Soft.Rows
		}
		parts = append(parts, chat.Part{Kind: chat.PartVideo})
	}
	if !e.model.HasChat() {
		p, err = e.model.CompletionPrompt(q.text, media)
		return p, soft, err
	}
	text := chat.Part{Text: q.text}
	if q.textFirst {
		parts = append([]chat.Part{text}, parts...)
	} else {
		parts = append(parts, text)
	}
	c := chat.Conversation{Messages: []chat.Message{{Role: chat.User, Content: parts}}}
	spans, err := chat.Render(c, chat.Options{Template: e.model.Template(), GenerationPrompt: true})
	if err != nil {
		return nil, 0, err
	}
	p, err = e.model.ChatPrompt(spans, media)
	return p, soft, err
}

func (e *modelEngine) step() ([]answer, error) {
	done, err := e.batch.Step()
	if err != nil {
		return nil, err
	}
	var out []answer
	for _, f := range done {
		out = append(out, answer{
			id: f.Request.ID, tokens: visible(e.model.Tokenizer(), f.Reply.Tokens), output: len(f.Reply.Tokens),
			finish: job.Finish(f.Reply.Finish), loop: job.Loop(f.Reply.Loop), err: f.Reply.Err,
		})
	}
	return out, nil
}

func (e *modelEngine) open() int { return e.batch.Len() }
func (e *modelEngine) drop()     { e.batch.Drop() }

// visible gives the tokens of a reply the text that each adds to the answer; those of
// a thought, of a tool call and control tokens add none.
func visible(t *tokenizer.Tokenizer, tokens []model.Token) []job.Token {
	parser := chat.NewParser(t)
	out := make([]job.Token, len(tokens))
	for i, token := range tokens {
		out[i] = job.Token{Text: said(parser.Add(token.ID)), LogProb: token.LogProb}
		if token.Forced {
			out[i].LogProb = float32(math.NaN())
		}
	}
	events, _ := parser.Close()
	if rest := said(events); rest != "" {
		out = append(out, job.Token{Text: rest, LogProb: float32(math.NaN())})
	}
	return out
}

func said(events []chat.Event) string {
	text := ""
	for _, e := range events {
		if e.Kind == chat.EventText {
			text += e.Text
		}
	}
	return text
}

// specs are what a checkpoint sees and hears; nil where it does not.
type specs struct {
	vision      *vision.Spec
	audio       *audio.Spec
	videoBudget int // soft tokens of a frame; 0: it takes no films
	context     int // positions; 0: any
}

func specsOf(m *model.Model) specs {
	s := specs{context: m.Config().TextConfig.MaxPositionEmbeddings}
	if v, ok := m.Spec(); ok {
		s.vision, s.videoBudget = &v, m.VideoBudget()
	}
	if a, ok := m.AudioSpec(); ok {
		s.audio = &a
	}
	return s
}

// takes returns an error if the checkpoint takes nothing of a kind.
func (s specs) takes(m job.Medium) error {
	switch {
	case m == job.Image && s.vision == nil:
		return errors.New("this checkpoint takes no images")
	case m == job.Film && s.vision == nil:
		return errors.New("this checkpoint takes no videos")
	case m == job.Sound && s.audio == nil:
		return errors.New("this checkpoint takes no sound")
	}
	return nil
}
