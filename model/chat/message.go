package chat

import "encoding/json"

// Role says who speaks. The template writes Assistant as "model".
type Role string

const (
	System    Role = "system"
	Developer Role = "developer" // as System, if it comes first
	User      Role = "user"
	Assistant Role = "assistant"
	Tool      Role = "tool" // the result of a call of the assistant message before
)

// PartKind says what a [Part] is.
type PartKind int

const (
	PartText PartKind = iota
	PartImage
	PartAudio
	PartVideo
)

func (k PartKind) String() string { return [...]string{"text", "image", "audio", "video"}[k] }

// A Part is one piece of a message: text or one medium.
type Part struct {
	Kind   PartKind
	Text   string // of text
	Source string // of a medium: path, URL or data URL as the conversation gives it; may be ""
}

// A ToolCall is a call that the assistant made.
type ToolCall struct {
	ID        string
	Name      string
	Arguments json.RawMessage // a JSON object; nil is {}
}

// A ToolResponse is a result that stands in the assistant's own message, in
// place of [Tool] messages after it.
type ToolResponse struct {
	Name     string          // "" is "unknown"
	Response json.RawMessage // any JSON; an object is written member by member
}

// A Message is one turn or, between consecutive assistant and tool messages, a
// part of one.
type Message struct {
	Role    Role
	Content []Part

	// List says that the content was given as a list of parts, not as one
	// string. The template writes a system message differently then.
	List bool

	Reasoning     string // of an Assistant: what it thought before it spoke
	ToolCalls     []ToolCall
	ToolResponses []ToolResponse

	ToolCallID string // of a Tool message: the call that it answers
	Name       string // of a Tool message: the function, if no call has the id
}

// A Function is a tool that the model may call.
type Function struct {
	Name        string
	Description string
	Parameters  json.RawMessage // a JSON schema of type object; nil: no parameters
	Response    json.RawMessage // a JSON schema of the result; nil: not declared
}

// A Conversation is what is said so far and which tools there are. Its JSON
// form is OpenAI's: see [Conversation.UnmarshalJSON].
type Conversation struct {
	Messages []Message
	Tools    []Function
}
