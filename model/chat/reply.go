package chat

import (
	"slices"
	"strings"
	"unicode"

	"facet/model/tokenizer"
)

// Limits on what the parser keeps back while it does not know what it is.
const (
	maxCall = 1 << 20 // bytes of one call
	maxHeld = 1 << 16 // bytes of text that may turn out to be a call or a thought
	maxName = 128     // bytes of a function's name
)

// A Reply is what the model said, taken apart.
type Reply struct {
	Text      string
	Thinking  string   // thoughts, each trimmed, one after the other in lines
	Calls     []Call   // in order
	Malformed []string // calls that could not be read, as written
}

// EventKind says what an [Event] is.
type EventKind int

const (
	EventText      EventKind = iota // more text
	EventThinking                   // more thinking
	EventCall                       // a call
	EventMalformed                  // a call that could not be read; Text is what the model wrote
)

// An Event is the next bit of a reply. All events of a kind together are the
// [Reply]'s field of that name.
type Event struct {
	Kind EventKind
	Text string
	Call Call
}

// A Parser takes a reply apart while it is generated. It is fed with ids, so a
// text that looks like a control token is text.
//
// Slips that Gemma is known for are forgiven: a thought whose opening token is
// missing, a call whose opening or closing token is missing, superfluous
// closing tokens, and the slips in arguments that parseCall lists. To tell those apart, text is
// held back while it might be the start of one: at the beginning of the reply
// as long as it spells "thought\n", at the beginning of a line as long as it
// spells call:NAME{.
//
// A Parser is for one reply and one goroutine.
type Parser struct {
	t        *tokenizer.Tokenizer
	stream   *tokenizer.Stream
	controls map[int32]string

	state   state
	held    string          // not given out yet; with mark for <|"|>
	fresh   bool            // in text: nothing has come yet
	line    bool            // in text: held begins a line
	sure    bool            // in text: held is a thought or call without its opening token
	named   bool            // in a thought: its channel name is gone
	begun   bool            // in a thought: some of it is given out
	call    strings.Builder // in a call: all of it, with mark for <|"|>
	full    bool            // in a call: it is longer than maxCall
	events  []Event
	reply   Reply
	text    strings.Builder
	thought strings.Builder
}

type state int

const (
	inText state = iota
	inThought
	inCall
	inResponse // a result that the model made up: not part of the reply
	done
)

// NewParser starts a reply that stands alone, or after a prompt that ends with
// a closed or no thought.
func NewParser(t *tokenizer.Tokenizer) *Parser {
	p := &Parser{t: t, stream: t.NewStream(true), controls: make(map[int32]string), fresh: true, line: true}
	for _, token := range []string{eos, turnOpen, turnClose, channelOpen, channelClose, callOpen, callClose, responseOpen, responseClose, quote} {
		if id, ok := t.ID(token); ok && t.IsSpecial(id) {
			p.controls[id] = token
		}
	}
	return p
}

// NewParserAfter starts the reply to a prompt that [Render] wrote. It differs
// from NewParser where the prompt ends in an open thought, as it does after a
// tool's result with Options.Thinking.
func NewParserAfter(t *tokenizer.Tokenizer, prompt []Span) *Parser {
	p := NewParser(t)
	if n := len(prompt); n >= 2 && !prompt[n-1].Control && prompt[n-2].Control && prompt[n-2].Text == channelOpen {
		p.openThought()
		p.add(prompt[n-1].Text)
	}
	return p
}

// ParseReply takes a whole reply apart.
func ParseReply(t *tokenizer.Tokenizer, ids []int32) Reply {
	p := NewParser(t)
	for _, id := range ids {
		p.Add(id)
	}
	_, reply := p.Close()
	return reply
}

// Add takes the next id and returns what it makes certain, often nothing. After
// the end of the turn ids are ignored.
func (p *Parser) Add(id int32) []Event {
	p.events = nil
	token, ok := p.controls[id]
	if !ok {
		p.add(p.stream.Add(id))
		return p.events
	}
	p.add(p.stream.Flush())
	switch {
	case p.state == done:
	case token == quote:
		p.quote()
	case token == channelClose && p.state == inText:
		p.closeStrayThought()
	case token == callClose && p.state == inText:
		p.closeStrayCall()
	case token == channelOpen:
		p.openThought()
	case token == callOpen:
		p.next(inCall, repair)
	case token == responseOpen:
		p.next(inResponse, repair)
	case token == eos, token == turnOpen, token == turnClose:
		p.next(done, repair)
	case token == channelClose && p.state == inThought,
		token == callClose && p.state == inCall,
		token == responseClose && p.state == inResponse:
		p.next(inText, repair)
	}
	return p.events
}

// Close ends the reply, wherever it was, and returns the events that were held
// back and all of it. A call without an end counts only if nothing but its
// closing token is missing. Close again returns no events and the same reply.
func (p *Parser) Close() ([]Event, Reply) {
	p.events = nil
	if p.state != done {
		p.add(p.stream.Flush())
		p.next(done, strict)
	}
	reply := p.reply
	reply.Text, reply.Thinking = p.text.String(), p.thought.String()
	reply.Calls, reply.Malformed = slices.Clone(reply.Calls), slices.Clone(reply.Malformed)
	return p.events, reply
}

// add takes the next text.
func (p *Parser) add(s string) {
	if s == "" {
		return
	}
	switch p.state {
	case inText:
		p.held += s
		p.releaseText()
	case inThought:
		p.held += s
		p.releaseThought()
	case inCall:
		p.extendCall(s)
	}
}

func (p *Parser) quote() {
	switch {
	case p.state == inCall:
		p.extendCall(mark)
	case p.state == inText && p.sure:
		p.held += mark
	}
}

// next ends the present state with what it still holds and enters another.
func (p *Parser) next(s state, m mercy) {
	switch p.state {
	case inText:
		p.emitText(strings.ReplaceAll(p.held, mark, quote))
	case inThought:
		p.endThought()
	case inCall:
		p.endCall(m)
	}
	p.held, p.state = "", s
	p.line, p.sure, p.full = true, false, false
}

// releaseText gives out the text of which it is certain that it is text.
func (p *Parser) releaseText() {
	const name = "thought\n"
	switch {
	case p.sure:
		if len(p.held) > maxHeld { // too long to be either
			text := strings.ReplaceAll(p.held, mark, quote)
			p.held, p.sure = "", false
			p.emitText(text)
		}
		return
	case p.fresh && strings.HasPrefix(p.held, name):
		p.sure = true
		return
	case p.fresh && strings.HasPrefix(name, p.held):
		return
	}
	var n int
	n, p.sure = callStart(p.held, p.line)
	text := p.held[:n]
	p.held = p.held[n:]
	p.emitText(text)
}

// callStart finds the first line of s that begins with call:NAME{, sure, or
// might do so once more text comes; without one n is len(s). The first line
// counts only if line says that s begins one.
func callStart(s string, line bool) (n int, sure bool) {
	const word = "call:"
	for i := 0; i < len(s); {
		rest := strings.TrimLeft(s[i:], " \t")
		name, ok := strings.CutPrefix(rest, word)
		end := strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) })
		short := len(s)-i <= maxName // so that a line of spaces does not wait
		switch {
		case !line:
		case !ok && strings.HasPrefix(word, rest) && short, ok && end < 0 && short:
			return i, false
		case ok && end > 0 && name[end] == '{' && end <= maxName:
			return i, true
		}
		newline := strings.IndexByte(s[i:], '\n')
		if newline < 0 {
			break
		}
		i, line = i+newline+1, true
	}
	return len(s), false
}

func (p *Parser) emitText(s string) {
	if s == "" {
		return
	}
	p.fresh = false
	p.line = strings.HasSuffix(s, "\n")
	p.text.WriteString(s)
	p.events = append(p.events, Event{Kind: EventText, Text: s})
}

// closeStrayThought is for <channel|> in text: if the reply began like a
// thought it was one. Otherwise the token is superfluous.
func (p *Parser) closeStrayThought() {
	if p.thoughtHeld() || p.fresh && p.held == "thought" {
		held := p.held
		p.held = ""
		p.openThought()
		p.add(held)
		p.next(inText, repair)
	}
}

// closeStrayCall is for <tool_call|> in text.
func (p *Parser) closeStrayCall() {
	if p.sure && !p.thoughtHeld() {
		p.state = inCall
		p.extendCall(p.held)
		p.next(inText, repair)
	}
}

// thoughtHeld tells the two reasons of sure apart.
func (p *Parser) thoughtHeld() bool { return p.fresh && strings.HasPrefix(p.held, "thought\n") }

func (p *Parser) openThought() {
	p.next(inThought, repair)
	p.named, p.begun, p.fresh = false, false, false
}

// releaseThought gives out a thought without its channel's name and without
// white space around it.
func (p *Parser) releaseThought() {
	const name = "thought"
	if !p.named {
		rest, ok := strings.CutPrefix(p.held, name)
		switch {
		case !ok && strings.HasPrefix(name, p.held), ok && rest == "":
			return
		case ok && strings.TrimLeftFunc(rest, unicode.IsSpace) != rest:
			p.held = rest
		}
		p.named = true
	}
	if !p.begun {
		p.held = strings.TrimLeftFunc(p.held, unicode.IsSpace)
	}
	text := strings.TrimRightFunc(p.held, unicode.IsSpace)
	p.held = p.held[len(text):]
	p.emitThought(text)
}

func (p *Parser) emitThought(s string) {
	if s == "" {
		return
	}
	if !p.begun && p.thought.Len() > 0 {
		s = "\n" + s
	}
	p.begun = true
	p.thought.WriteString(s)
	p.events = append(p.events, Event{Kind: EventThinking, Text: s})
}

func (p *Parser) endThought() {
	if !p.named && p.held != "thought" {
		p.emitThought(p.held) // less than the name
	}
}

func (p *Parser) extendCall(s string) {
	if p.full = p.full || p.call.Len()+len(s) > maxCall; !p.full {
		p.call.WriteString(s)
	}
}

func (p *Parser) endCall(m mercy) {
	p.fresh = false
	written := p.call.String()
	p.call.Reset()
	call, err := parseCall(written, m)
	if err != nil || p.full {
		text := strings.ReplaceAll(written, mark, quote)
		p.reply.Malformed = append(p.reply.Malformed, text)
		p.events = append(p.events, Event{Kind: EventMalformed, Text: text})
		return
	}
	p.reply.Calls = append(p.reply.Calls, call)
	p.events = append(p.events, Event{Kind: EventCall, Call: call})
}
