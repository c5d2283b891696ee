package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// The control tokens of the template, by their names in the vocabulary.
const (
	bos           = "<bos>"
	eos           = "<eos>"
	turnOpen      = "<|turn>"
	turnClose     = "<turn|>"
	think         = "<|think|>"
	channelOpen   = "<|channel>"
	channelClose  = "<channel|>"
	toolOpen      = "<|tool>"
	toolClose     = "<tool|>"
	callOpen      = "<|tool_call>"
	callClose     = "<tool_call|>"
	responseOpen  = "<|tool_response>"
	responseClose = "<tool_response|>"
	quote         = `<|"|>`
)

var placeholder = map[PartKind]string{PartImage: "<|image|>", PartAudio: "<|audio|>", PartVideo: "<|video|>"}

// Template is one of the two that released checkpoints carry.
type Template int

const (
	Small Template = iota // E2B, E4B
	Large                 // 12B, 26B-A4B, 31B
)

func (t Template) String() string { return [...]string{"small", "large"}[t] }

// ParseTemplate reads "small" or "large".
func ParseTemplate(name string) (Template, error) {
	for _, t := range []Template{Small, Large} {
		if t.String() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf(`chat: template %q: want "small" or "large"`, name)
}

// Options say how to render. The zero value is a conversation to look at:
// small template, no thinking, nothing that asks for a reply.
type Options struct {
	Template         Template
	Thinking         bool // ask the model to think first
	GenerationPrompt bool // end where the model is to go on
	PreserveThinking bool // keep the reasoning of earlier turns that called tools
}

// Render writes a conversation by the template that the package comment
// describes. The first span is <bos>. Errors name the message or the tool.
func Render(c Conversation, o Options) ([]Span, error) {
	r := renderer{o: o}
	if err := r.conversation(c); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	return r.spans, nil
}

type renderer struct {
	spans
	o Options
}

func (r *renderer) conversation(c Conversation) error {
	if len(c.Messages) == 0 {
		return FormatError("no messages")
	}
	r.control(bos)
	rest := c.Messages
	first := 0 // place of rest[0] in c.Messages, for errors
	opening := rest[0].Role == System || rest[0].Role == Developer
	if opening || r.o.Thinking || len(c.Tools) > 0 {
		if err := r.systemTurn(c, opening); err != nil {
			return err
		}
	}
	if opening {
		rest, first = rest[1:], 1
	}
	lastUser := -1
	for i, m := range rest {
		if m.Role == User {
			lastUser = i
		}
	}

	var last lastWritten
	previous := Role("") // of the last message that was not a tool's
	open := false        // it has calls, and tool messages may answer them
	for i, m := range rest {
		place := fmt.Sprintf("messages[%d]", first+i)
		switch m.Role {
		case Tool:
			if !open {
				return fmt.Errorf("%s: %w", place, FormatError("a tool message that answers no call"))
			}
			continue // written with its call
		case System, Developer, User, Assistant:
		default:
			return fmt.Errorf("%s: %w", place, FormatError(fmt.Sprintf("role %q", m.Role)))
		}
		keep := i > lastUser || r.o.PreserveThinking && len(m.ToolCalls) > 0
		var err error
		if last, err = r.message(m, rest[i+1:], previous, keep); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		previous = m.Role
		open = len(m.ToolCalls) > 0 && len(m.ToolResponses) == 0 && m.Role == Assistant
	}
	if r.o.GenerationPrompt {
		r.generationPrompt(last)
	}
	return nil
}

// systemTurn writes what stands before the conversation: the wish to think,
// the opening system message, the tools.
func (r *renderer) systemTurn(c Conversation, opening bool) error {
	r.control(turnOpen)
	r.text("system\n")
	if r.o.Thinking {
		r.control(think)
		r.text("\n")
	}
	if opening {
		for _, p := range c.Messages[0].Content {
			if p.Kind != PartText {
				return fmt.Errorf("messages[0]: %w", UnsupportedError(p.Kind.String()+" in the opening system message"))
			}
			r.text(trim(p.Text))
			if c.Messages[0].List {
				r.text(" ")
			}
		}
	}
	for i, f := range c.Tools {
		if err := r.declaration(f); err != nil {
			return fmt.Errorf("tools[%d] %q: %w", i, f.Name, err)
		}
	}
	r.control(turnClose)
	r.text("\n")
	return nil
}

// lastWritten is how a message left off, as far as what follows depends on it.
type lastWritten int

const (
	written   lastWritten = iota // a message without tools
	calls                        // calls without a result
	responses                    // calls or results with them
)

// message writes one message that is not a tool's. after is what follows it,
// previous the role before it, keep whether its reasoning is wanted.
func (r *renderer) message(m Message, after []Message, previous Role, keep bool) (lastWritten, error) {
	model := m.Role == Assistant
	if !model || previous != Assistant {
		role := string(m.Role)
		if model {
			role = "model"
		}
		r.control(turnOpen)
		r.text(role + "\n")
	}
	last := written
	if model {
		if m.Reasoning != "" && keep {
			r.control(channelOpen)
			r.text("thought\n" + m.Reasoning + "\n")
			r.control(channelClose)
		}
		for i, c := range m.ToolCalls {
			if err := r.call(c); err != nil {
				return 0, fmt.Errorf("tool_calls[%d]: %w", i, err)
			}
			last = calls
		}
		answered, err := r.results(m, after)
		if err != nil {
			return 0, err
		}
		if answered {
			last = responses
		}
	}
	content := r.content(m.Content, model)

	next := Role("")
	for _, a := range after {
		if a.Role != Tool {
			next = a.Role
			break
		}
	}
	switch {
	case last == calls: // the token at which the model stops after its calls
		r.control(responseOpen)
	case model && next == Assistant: // the turn goes on
	case last == responses && !content && next == "": // the model's move
	default:
		r.control(turnClose)
		r.text("\n")
	}
	return last, nil
}

// content writes the parts and reports whether that was anything.
func (r *renderer) content(parts []Part, model bool) bool {
	any := false
	for _, p := range parts {
		if p.Kind != PartText {
			r.media(p)
			any = true
			continue
		}
		text := p.Text
		if model {
			text = stripThinking(text)
		}
		text = trim(text)
		r.text(text)
		any = any || text != ""
	}
	return any
}

func (r *renderer) media(p Part) {
	r.spans = append(r.spans, Span{Text: placeholder[p.Kind], Control: true, Media: &p})
}

func (r *renderer) call(c ToolCall) error {
	arguments := any(object{})
	if len(c.Arguments) > 0 {
		var err error
		if arguments, err = parseJSON(c.Arguments); err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
	}
	if arguments == nil {
		arguments = object{}
	}
	if _, ok := arguments.(object); !ok {
		return fmt.Errorf("arguments: %w", FormatError("not a JSON object"))
	}
	r.control(callOpen)
	r.text("call:" + c.Name)
	r.value(arguments, bareKeys)
	r.control(callClose)
	return nil
}

// results writes the results of a message's calls, its own or those of the
// tool messages right after it, and reports whether there are any.
func (r *renderer) results(m Message, after []Message) (bool, error) {
	for i, t := range m.ToolResponses {
		name := t.Name
		if name == "" {
			name = "unknown"
		}
		v, err := parseJSON(t.Response)
		if err != nil {
			return false, fmt.Errorf("tool_responses[%d]: %w", i, err)
		}
		r.result(name, v)
	}
	if len(m.ToolResponses) > 0 || len(m.ToolCalls) == 0 {
		return len(m.ToolResponses) > 0, nil
	}
	answered := false
	for _, a := range after {
		if a.Role != Tool {
			break
		}
		answered = true
		name := a.Name
		if name == "" {
			name = "unknown"
		}
		for _, c := range m.ToolCalls {
			if c.ID == a.ToolCallID {
				name = c.Name
			}
		}
		var text strings.Builder
		for _, p := range a.Content {
			text.WriteString(p.Text)
		}
		r.result(name, text.String())
		for _, p := range a.Content {
			if p.Kind != PartText {
				r.media(p)
			}
		}
	}
	return answered, nil
}

func (r *renderer) result(name string, v any) {
	r.control(responseOpen)
	r.text("response:" + name)
	o, ok := v.(object)
	if !ok {
		o = object{{"value", v}}
	}
	r.value(o, bareKeys)
	r.control(responseClose)
}

func (r *renderer) generationPrompt(last lastWritten) {
	switch {
	case last == written:
		r.control(turnOpen)
		r.text("model\n")
		if r.o.Template == Large && !r.o.Thinking {
			r.control(channelOpen)
			r.text("thought\n")
			r.control(channelClose)
		}
	case last == responses && r.o.Thinking:
		r.control(channelOpen)
		r.text("thought\n")
	}
}

// keyStyle is how the keys of objects are written.
type keyStyle int

const (
	bareKeys keyStyle = iota
	quotedKeys
)

// value writes any value in Gemma's syntax.
func (s *spans) value(v any, keys keyStyle) {
	switch v := v.(type) {
	case string:
		s.quoted(v)
	case json.Number:
		s.text(string(v))
	case []any:
		s.text("[")
		for i, e := range v {
			if i > 0 {
				s.text(",")
			}
			s.value(e, keys)
		}
		s.text("]")
	case object:
		s.text("{")
		for i, m := range v.sorted() {
			if i > 0 {
				s.text(",")
			}
			if keys == quotedKeys {
				s.quoted(m.key)
			} else {
				s.text(m.key)
			}
			s.text(":")
			s.value(m.value, keys)
		}
		s.text("}")
	default: // nil, bool
		s.text(string(appendJSON(nil, v)))
	}
}

// stripThinking removes thoughts from a stored answer: what stands between
// each <|channel> and the next <channel|>, or the end.
func stripThinking(text string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(text, channelClose) {
		before, _, _ := strings.Cut(part, channelOpen)
		b.WriteString(before)
	}
	return b.String()
}

// trim cuts white space as Python's str.strip does, which also counts the
// separators U+001C to U+001F.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}
