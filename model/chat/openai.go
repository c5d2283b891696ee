package chat

import (
	"encoding/json"
	"fmt"
)

// ParseOpenAI reads a conversation in the form of OpenAI's chat completions:
//
//	{"messages": [{"role": "user", "content": "Hello"}], "tools": [{"type": "function", "function": {…}}]}
//
// Content is a string, null or a list of parts: {"type": "text", "text": …},
// and for media {"type": "image_url", "image_url": {"url": …}}, "audio_url" and
// "video_url" likewise, {"type": "input_audio", "input_audio": {"data", "format"}},
// or {"type": "image", "image" | "url" | "path": …} with "audio" and "video" as
// in Hugging Face's form; the source may be missing. A call's arguments are a
// string of JSON or an object. Messages may have "reasoning" (or
// "reasoning_content") and "tool_responses" as Gemma's template reads them.
// Other keys are not looked at.
//
// The error names the place, as in messages[2].content[0].
func ParseOpenAI(data []byte) (Conversation, error) {
	var c Conversation
	err := c.UnmarshalJSON(data)
	return c, err
}

// UnmarshalJSON reads what [ParseOpenAI] reads.
func (c *Conversation) UnmarshalJSON(data []byte) error {
	v, err := parseJSON(data)
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	var r openAI
	*c = r.conversation(v)
	if r.err != nil {
		return fmt.Errorf("chat: %w", r.err)
	}
	return nil
}

// openAI walks a JSON value and keeps the first error, with its place. The
// methods take the place, then the value, and read null as nothing.
type openAI struct{ err error }

func (r *openAI) fail(place string, kind error) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", place, kind)
	}
}

func (r *openAI) object(place string, v any) object {
	o, ok := v.(object)
	if !ok && v != nil {
		r.fail(place, FormatError("want an object"))
	}
	return o
}

func (r *openAI) list(place string, v any) []any {
	l, ok := v.([]any)
	if !ok && v != nil {
		r.fail(place, FormatError("want a list"))
	}
	return l
}

func (r *openAI) str(place string, v any) string {
	s, ok := v.(string)
	if !ok && v != nil {
		r.fail(place, FormatError("want a string"))
	}
	return s
}

func (r *openAI) name(place string, v any) string {
	s := r.str(place, v)
	if s == "" {
		r.fail(place, FormatError("want a name"))
	}
	return s
}

func (r *openAI) conversation(v any) (c Conversation) {
	top := r.object("the conversation", v)
	for i, m := range r.list("messages", top.get("messages")) {
		place := fmt.Sprintf("messages[%d]", i)
		c.Messages = append(c.Messages, r.message(place, r.object(place, m)))
	}
	if len(c.Messages) == 0 {
		r.fail("messages", FormatError("there are none"))
	}
	for i, t := range r.list("tools", top.get("tools")) {
		place := fmt.Sprintf("tools[%d]", i)
		c.Tools = append(c.Tools, r.function(place, r.object(place, t)))
	}
	return c
}

func (r *openAI) function(place string, o object) Function {
	if kind := r.str(place+".type", o.get("type")); kind != "function" && kind != "" {
		r.fail(place+".type", UnsupportedError(fmt.Sprintf("tool type %q", kind)))
	}
	place += ".function"
	o = r.object(place, o.get("function"))
	f := Function{
		Name:        r.name(place+".name", o.get("name")),
		Description: r.str(place+".description", o.get("description")),
	}
	if p := r.object(place+".parameters", o.get("parameters")); p != nil {
		f.Parameters = appendJSON(nil, p)
	}
	if p := r.object(place+".response", o.get("response")); p != nil {
		f.Response = appendJSON(nil, p)
	}
	return f
}

func (r *openAI) message(place string, o object) Message {
	m := Message{
		Role:       Role(r.name(place+".role", o.get("role"))),
		Reasoning:  r.str(place+".reasoning", o.get("reasoning")),
		ToolCallID: r.str(place+".tool_call_id", o.get("tool_call_id")),
		Name:       r.str(place+".name", o.get("name")),
	}
	switch m.Role {
	case System, Developer, User, Assistant, Tool:
	default:
		r.fail(place+".role", FormatError(fmt.Sprintf("role %q", m.Role)))
	}
	if m.Reasoning == "" {
		m.Reasoning = r.str(place+".reasoning_content", o.get("reasoning_content"))
	}
	switch content := o.get("content").(type) {
	case nil:
	case string:
		m.Content = []Part{{Text: content}}
	default:
		m.List = true
		for i, p := range r.list(place+".content", content) {
			place := fmt.Sprintf("%s.content[%d]", place, i)
			m.Content = append(m.Content, r.part(place, r.object(place, p)))
		}
	}
	for i, c := range r.list(place+".tool_calls", o.get("tool_calls")) {
		place := fmt.Sprintf("%s.tool_calls[%d]", place, i)
		m.ToolCalls = append(m.ToolCalls, r.call(place, r.object(place, c)))
	}
	for i, t := range r.list(place+".tool_responses", o.get("tool_responses")) {
		place := fmt.Sprintf("%s.tool_responses[%d]", place, i)
		o := r.object(place, t)
		m.ToolResponses = append(m.ToolResponses, ToolResponse{
			Name:     r.str(place+".name", o.get("name")),
			Response: appendJSON(nil, o.get("response")),
		})
	}
	return m
}

func (r *openAI) call(place string, o object) ToolCall {
	f := r.object(place+".function", o.get("function"))
	c := ToolCall{ID: r.str(place+".id", o.get("id")), Name: r.name(place+".function.name", f.get("name"))}
	place += ".function.arguments"
	arguments := f.get("arguments")
	if text, ok := arguments.(string); ok && text != "" {
		var err error
		if arguments, err = parseJSON([]byte(text)); err != nil {
			r.fail(place, err)
		}
	} else if ok {
		arguments = nil
	}
	c.Arguments = json.RawMessage("{}")
	if a := r.object(place, arguments); a != nil {
		c.Arguments = appendJSON(nil, a)
	}
	return c
}

// mediaKinds are the types of media parts; the source of one is under a key
// with the same name, in an object with a "url" or as a string.
var mediaKinds = map[string]PartKind{
	"image": PartImage, "image_url": PartImage,
	"audio": PartAudio, "audio_url": PartAudio,
	"video": PartVideo, "video_url": PartVideo,
}

func (r *openAI) part(place string, o object) Part {
	kind := r.name(place+".type", o.get("type"))
	switch kind {
	case "text":
		return Part{Text: r.str(place+".text", o.get("text"))}
	case "input_audio":
		place += ".input_audio"
		in := r.object(place, o.get("input_audio"))
		data, format := r.str(place+".data", in.get("data")), r.str(place+".format", in.get("format"))
		return Part{Kind: PartAudio, Source: "data:audio/" + format + ";base64," + data}
	}
	medium, ok := mediaKinds[kind]
	if !ok {
		r.fail(place+".type", UnsupportedError(fmt.Sprintf("content of type %q", kind)))
		return Part{}
	}
	p := Part{Kind: medium}
	for _, key := range []string{kind, "url", "path"} {
		v := o.get(key)
		if in, ok := v.(object); ok {
			v = in.get("url")
		}
		if s := r.str(place+"."+key, v); s != "" && p.Source == "" {
			p.Source = s
		}
	}
	return p
}
