package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"facet/model"
	"facet/model/chat"
	"facet/model/tokenizer"
	"facet/pipeline/job"
	"facet/pipeline/sink"
)

// generateCommand answers one prompt.
type generateCommand struct {
	Prompt string `arg:"" optional:"" help:"The prompt; @FILE reads it from a file, - from standard input."`
	modelFlags
	Raw         bool     `help:"Use the prompt as it stands: control tokens count, nothing is added, <|image|>, <|audio|> and <|video|> mark the places of media."`
	System      string   `help:"System instruction." placeholder:"TEXT"`
	Thinking    bool     `help:"Let the model think first; its thoughts go to standard error."`
	Tools       string   `help:"JSON file with the functions the model may call, in OpenAI's form." placeholder:"FILE"`
	Messages    string   `help:"JSON file with a conversation in OpenAI's form, in place of a prompt." placeholder:"FILE"`
	Image       []string `help:"Image; may be given several times." placeholder:"FILE" sep:"none"`
	Audio       []string `help:"Recording, of which the model hears the first 30 seconds; may be given several times." placeholder:"FILE" sep:"none"`
	Video       []string `help:"Video, of which frames are looked at; may be given several times." placeholder:"FILE" sep:"none"`
	Budget      int      `help:"Soft tokens for an image: 70, 140, 280, 560 or 1120. Default: the checkpoint's." placeholder:"N"`
	Frames      int      `help:"Frames of a video, evenly spread. Default: 32." placeholder:"N"`
	FPS         float64  `name:"fps" help:"Frames of a video each second, in place of --frames." placeholder:"N"`
	VideoBudget int      `help:"Soft tokens for a frame. Default: the checkpoint's." placeholder:"N"`
	MaxTokens   int      `help:"Bound of the reply, in tokens." default:"1024"`
	Temperature *float32 `help:"0 takes the likeliest token each time. Default: what generation_config.json says." placeholder:"T"`
	TopK        *int     `help:"Draw from the K likeliest tokens." placeholder:"K"`
	TopP        *float32 `help:"Draw from the fewest tokens that reach this probability." placeholder:"P"`
	MinP        *float32 `help:"Draw from tokens at least this times as likely as the likeliest." placeholder:"P"`
	Seed        uint64   `help:"Start of the random numbers." default:"0"`
	IgnoreEos   bool     `name:"ignore-eos" help:"Go on past end tokens, up to --max-tokens."`
	JSON        bool     `help:"Print one JSON object at the end instead of text as it comes."`
	sandboxFlag
}

// generateReply is what --json prints.
type generateReply struct {
	InputIDs   []int32        `json:"input_ids"`
	TokenTypes []int          `json:"token_types"`
	OutputIDs  []int32        `json:"output_ids"`
	LogProbs   []float32      `json:"logprobs"`
	Text       string         `json:"text"`
	Thinking   string         `json:"thinking"`
	ToolCalls  []generateCall `json:"tool_calls"`
	Finish     string         `json:"finish"`
	Usage      job.Usage      `json:"usage"`
}

type generateCall struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

func (c *generateCommand) Run(ctx context.Context, s *streams) error {
	if err := c.check(); err != nil {
		return err
	}
	text, err := c.text(ctx, s)
	if err != nil {
		return err
	}
	conversation, err := c.conversation(ctx, text)
	if err != nil {
		return err
	}
	m, err := c.open(model.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	prompt, spans, err := c.prompt(ctx, s, m, text, conversation)
	if err != nil {
		return err
	}
	out := c.output(s, m, spans)
	reply, err := m.Generate(ctx, model.Request{
		ID: "prompt", Prompt: prompt, MaxTokens: c.MaxTokens, Sampling: c.sampling(m), IgnoreEnd: c.IgnoreEos, OnToken: out.add,
	})
	if err != nil {
		if !c.JSON && len(reply.Tokens) > 0 {
			fmt.Fprintln(s.out) // ends the line that the reply broke off in
		}
		return err
	}
	if err := out.end(prompt, reply); err != nil {
		return err
	}
	if !c.JSON && !c.IgnoreEos {
		c.explain(s, reply)
	}
	return nil
}

// explain tells a person who waits for an end why there is none.
func (c *generateCommand) explain(s *streams, reply model.Reply) {
	switch {
	case reply.Finish == model.FinishLoop:
		report(s.err, errors.New("the reply repeated itself and was ended"))
	case reply.Finish == model.FinishLength && len(reply.Tokens) == c.MaxTokens:
		report(s.err, fmt.Errorf("the reply was cut at --max-tokens %d", c.MaxTokens))
	case reply.Finish == model.FinishLength:
		report(s.err, errors.New("the reply was cut: the checkpoint's context is full"))
	}
}

// check finds flags that contradict each other.
func (c *generateCommand) check() error {
	switch {
	case c.MaxTokens < 1:
		return usageError("--max-tokens must be at least 1")
	case c.Prompt == "" && c.Messages == "":
		return usageError("no prompt: give one, or a conversation with --messages")
	case c.Prompt != "" && c.Messages != "":
		return usageError("a prompt and --messages exclude each other: the conversation holds the prompt")
	case c.Raw && (c.Messages != "" || c.System != "" || c.Thinking || c.Tools != ""):
		return usageError("--raw uses the prompt as it stands: it excludes --messages, --system, --thinking and --tools")
	case c.System != "" && c.Messages != "":
		return usageError("--system and --messages exclude each other: the conversation holds the system message")
	case c.Temperature != nil && !(*c.Temperature >= 0 && *c.Temperature <= 100): // as model.Sampling has it
		return usageError("--temperature must be from 0 to 100")
	case c.TopK != nil && *c.TopK < 0:
		return usageError("--top-k must be 0 or more")
	case c.TopP != nil && !(*c.TopP > 0 && *c.TopP <= 1):
		return usageError("--top-p must be above 0 and at most 1")
	case c.MinP != nil && !(*c.MinP >= 0 && *c.MinP <= 1):
		return usageError("--min-p must be from 0 to 1")
	case c.Frames < 0 || c.Frames > mostFrames:
		return usageError(fmt.Sprintf("--frames must be from 1 to %d", mostFrames))
	case c.FPS < 0 || c.FPS > 0 && c.Frames > 0:
		return usageError("--fps must be above 0, and excludes --frames")
	case c.Budget != 0:
		return checkBudget("--budget", c.Budget)
	case c.VideoBudget != 0:
		return checkBudget("--video-budget", c.VideoBudget)
	}
	return nil
}

// text is the prompt, read from where its argument says.
func (c *generateCommand) text(ctx context.Context, s *streams) (string, error) {
	var data []byte
	var err error
	if name, ok := strings.CutPrefix(c.Prompt, "@"); ok {
		data, err = readTextFile(ctx, name)
	} else if c.Prompt == "-" {
		data, err = readStdin(ctx, s.in)
	} else {
		return c.Prompt, nil
	}
	if err == nil && len(data) == 0 {
		return "", usageError(fmt.Sprintf("no prompt: %s is empty", c.Prompt))
	}
	return string(data), err
}

// conversation is that of --messages, or one of the system instruction and the
// prompt with the images before it.
func (c *generateCommand) conversation(ctx context.Context, text string) (conversation chat.Conversation, err error) {
	if c.Messages != "" {
		data, err := readTextFile(ctx, c.Messages)
		if err != nil {
			return conversation, err
		}
		if conversation, err = chat.ParseOpenAI(data); err != nil {
			return conversation, fmt.Errorf("%s: %w", c.Messages, err)
		}
	} else {
		if c.System != "" {
			conversation.Messages = append(conversation.Messages, chat.Message{Role: chat.System, Content: []chat.Part{{Text: c.System}}})
		}
		// What is seen stands before the text and what is heard after it, as in Google's examples.
		user := chat.Message{Role: chat.User, List: len(c.Image)+len(c.Audio)+len(c.Video) > 0}
		for range c.Image {
			user.Content = append(user.Content, chat.Part{Kind: chat.PartImage})
		}
		for range c.Video {
			user.Content = append(user.Content, chat.Part{Kind: chat.PartVideo})
		}
		user.Content = append(user.Content, chat.Part{Text: text})
		for range c.Audio {
			user.Content = append(user.Content, chat.Part{Kind: chat.PartAudio})
		}
		conversation.Messages = append(conversation.Messages, user)
	}
	if c.Tools != "" {
		data, err := readTextFile(ctx, c.Tools)
		if err != nil {
			return conversation, err
		}
		if !json.Valid(data) {
			return conversation, fmt.Errorf("%s: not valid JSON", c.Tools)
		}
		// Tools travel in a request, so the reader of requests reads them.
		request, err := chat.ParseOpenAI(slices.Concat([]byte(`{"messages": [{"role": "user", "content": ""}], "tools": `), data, []byte("}")))
		if err != nil {
			return conversation, fmt.Errorf("%s: %w", c.Tools, err)
		}
		conversation.Tools = append(conversation.Tools, request.Tools...)
	}
	return conversation, nil
}

// prompt reads and encodes the media and builds the prompt. A conversation's spans are
// returned as well, nil for other prompts.
func (c *generateCommand) prompt(ctx context.Context, s *streams, m *model.Model, text string, conversation chat.Conversation) (*model.Prompt, []chat.Span, error) {
	files := map[chat.PartKind][]string{chat.PartImage: c.Image, chat.PartAudio: c.Audio, chat.PartVideo: c.Video}
	if c.Raw {
		for _, k := range mediaKinds {
			if n := strings.Count(text, k.mark); n != len(files[k.kind]) {
				return nil, nil, usageError(fmt.Sprintf("the prompt has %d places for %d %s: %s marks one", n, len(files[k.kind]), k.name, k.mark))
			}
		}
	}
	l := mediaLoader{ctx: ctx, s: s, m: m, c: c}
	if c.Raw || !m.HasChat() {
		for _, k := range mediaKinds {
			for _, path := range files[k.kind] {
				if err := l.load(k.kind, path); err != nil {
					return nil, nil, err
				}
			}
		}
		if c.Raw {
			prompt, err := m.RawPrompt(text, l.media)
			return prompt, nil, err
		}
		if c.Messages != "" || c.System != "" || c.Thinking || c.Tools != "" {
			return nil, nil, fmt.Errorf("%s: this checkpoint has no chat template: it continues a text and knows no conversation", m.Path())
		}
		prompt, err := m.CompletionPrompt(text, l.media)
		return prompt, nil, err
	}
	spans, err := chat.Render(conversation, chat.Options{Template: m.Template(), Thinking: c.Thinking, GenerationPrompt: true})
	if err != nil {
		return nil, nil, err
	}
	for _, span := range spans {
		if span.Media == nil {
			continue
		}
		kind, source := span.Media.Kind, span.Media.Source
		if source == "" { // takes the next file of its kind
			if len(files[kind]) == 0 {
				return nil, nil, usageError(fmt.Sprintf("the conversation has more %s than --%s gives", nameOf(kind), kind))
			}
			source, files[kind] = files[kind][0], files[kind][1:]
		}
		if err := l.load(kind, source); err != nil {
			return nil, nil, err
		}
	}
	for _, k := range mediaKinds {
		if len(files[k.kind]) > 0 {
			return nil, nil, usageError(fmt.Sprintf("more --%s files than places for them in the conversation", k.kind))
		}
	}
	prompt, err := m.ChatPrompt(spans, l.media)
	return prompt, spans, err
}

// sampling is what generation_config.json says, changed by the flags.
func (c *generateCommand) sampling(m *model.Model) model.Sampling {
	s := m.Config().Sampling()
	s.Seed = c.Seed
	if c.Temperature != nil {
		s.Temperature = *c.Temperature
	}
	if c.TopK != nil {
		s.TopK = *c.TopK
	}
	if c.TopP != nil {
		s.TopP = *c.TopP
	}
	if c.MinP != nil {
		s.MinP = *c.MinP
	}
	return s
}

// generateOutput shows a reply as it comes, or collects it for --json.
type generateOutput struct {
	s      *streams
	json   bool
	safe   func(string) string // what a reply may show where it is shown
	parser *chat.Parser        // nil: everything is text
	text   *tokenizer.Stream   // of such a reply
	reply  generateReply
}

// output takes the reply to a prompt, and to the spans of a conversation.
func (c *generateCommand) output(s *streams, m *model.Model, spans []chat.Span) *generateOutput {
	o := &generateOutput{s: s, json: c.JSON, safe: func(text string) string { return text }}
	if isTerminal(s.out) {
		o.safe = sink.Printable // a reply may hold what an image made the model write
	}
	if spans == nil {
		o.text = m.Tokenizer().NewStream(true)
	} else {
		o.parser = chat.NewParserAfter(m.Tokenizer(), spans)
	}
	return o
}

// add takes the next token.
func (o *generateOutput) add(t model.Token) {
	if o.parser == nil {
		o.write(chat.Event{Kind: chat.EventText, Text: o.text.Add(t.ID)})
		return
	}
	for _, e := range o.parser.Add(t.ID) {
		o.write(e)
	}
}

// write shows one event: text on standard output, thoughts on standard error, a call
// as a line of JSON.
func (o *generateOutput) write(e chat.Event) {
	switch e.Kind {
	case chat.EventText:
		o.reply.Text += e.Text
		if !o.json {
			io.WriteString(o.s.out, o.safe(e.Text))
		}
	case chat.EventThinking:
		o.reply.Thinking += e.Text
		if !o.json {
			io.WriteString(o.s.err, sink.Printable(e.Text))
		}
	case chat.EventMalformed: // shown as it was written: a person can tell what was meant
		o.write(chat.Event{Kind: chat.EventText, Text: e.Text})
	case chat.EventCall:
		call := generateCall{e.Call.Name, e.Call.Arguments}
		o.reply.ToolCalls = append(o.reply.ToolCalls, call)
		if !o.json {
			printJSON(o.s.out, call)
		}
	}
}

// end shows what the parser held back and, with --json, the whole reply.
func (o *generateOutput) end(p *model.Prompt, reply model.Reply) error {
	if o.parser == nil {
		o.write(chat.Event{Kind: chat.EventText, Text: o.text.Flush()})
	} else {
		events, _ := o.parser.Close()
		for _, e := range events {
			o.write(e)
		}
	}
	if !o.json {
		_, err := fmt.Fprintln(o.s.out)
		return err
	}
	r := &o.reply
	r.InputIDs, r.OutputIDs, r.Finish = p.IDs, reply.IDs(), string(reply.Finish)
	for _, t := range p.Types {
		r.TokenTypes = append(r.TokenTypes, int(t))
	}
	for _, t := range reply.Tokens {
		r.LogProbs = append(r.LogProbs, t.LogProb)
	}
	if r.ToolCalls == nil {
		r.ToolCalls = []generateCall{}
	}
	r.Usage = job.Usage{PromptTokens: p.Len(), OutputTokens: len(reply.Tokens)}
	return printJSON(o.s.out, r)
}
