package chat

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/model/tokenizer"
)

// show writes a reply on one line, what is empty left out.
func show(r Reply) string {
	var s []string
	if r.Thinking != "" {
		s = append(s, fmt.Sprintf("thinking %q", r.Thinking))
	}
	if r.Text != "" {
		s = append(s, fmt.Sprintf("text %q", r.Text))
	}
	for _, c := range r.Calls {
		s = append(s, "call "+c.Name+string(c.Arguments))
	}
	for _, m := range r.Malformed {
		s = append(s, "malformed "+m)
	}
	return strings.Join(s, " | ")
}

// stream feeds a parser id by id and checks that its events add up to the
// reply.
func stream(t *testing.T, p *Parser, ids []int32) Reply {
	t.Helper()
	var events []Event
	for _, id := range ids {
		events = append(events, p.Add(id)...)
	}
	rest, reply := p.Close()
	var sum Reply
	for _, e := range append(events, rest...) {
		switch e.Kind {
		case EventText:
			sum.Text += e.Text
		case EventThinking:
			sum.Thinking += e.Text
		case EventCall:
			sum.Calls = append(sum.Calls, e.Call)
		case EventMalformed:
			sum.Malformed = append(sum.Malformed, e.Text)
		}
	}
	if show(sum) != show(reply) {
		t.Errorf("events say %s\nreply says %s", show(sum), show(reply))
	}
	for _, c := range reply.Calls {
		if v, err := parseJSON(c.Arguments); err != nil || reflect.TypeOf(v) != reflect.TypeFor[object]() || !json.Valid(c.Arguments) {
			t.Errorf("arguments %q: %v", c.Arguments, err)
		}
	}
	if again, same := p.Close(); again != nil || show(same) != show(reply) {
		t.Errorf("Close again: %v, %s, want %s", again, show(same), show(reply))
	}
	return reply
}

func TestReply(t *testing.T) {
	tok := openTokenizer(t, "golden/checkpoints/tiny-e")
	for _, c := range []struct{ name, reply, want string }{
		{"text", "Hello\nworld <turn|>", `text "Hello\nworld "`},
		{"nothing", "<turn|>", ``},
		{"no end", "Hel", `text "Hel"`},
		{"after the end", "a<turn|>b<|channel>thought\nc<channel|>", `text "a"`},
		{"end of file token", "a<eos>b", `text "a"`},
		{"next turn", "a<|turn>user\nb", `text "a"`},
		{"placeholders", "a<|image|><pad><mask>b", `text "ab"`},
		{"quote in text", `a<|"|>b`, `text "ab"`},

		{"thought", "<|channel>thought\nIt is\n2.\n<channel|>Two.<turn|>", `thinking "It is\n2." | text "Two."`},
		{"empty thought", "<|channel>thought\n<channel|>Two.<turn|>", `text "Two."`},
		{"thought without a name", "<|channel>hm<channel|>x", `thinking "hm" | text "x"`},
		{"thought that begins with its name", "<|channel>thoughtful<channel|>x", `thinking "thoughtful" | text "x"`},
		{"thought of a part of the name", "<|channel>thou<channel|>x", `thinking "thou" | text "x"`},
		{"two thoughts", "<|channel>thought\na<channel|>x<|channel>thought\nb<channel|>y", `thinking "a\nb" | text "xy"`},
		{"thought in a thought", "<|channel>thought\na<|channel>thought\nb<channel|>y", `thinking "a\nb" | text "y"`},
		{"thought without an end", "<|channel>thought\nab ", `thinking "ab"`},
		{"thought that calls", "<|channel>thought\na<|tool_call>call:f{}<tool_call|>", `thinking "a" | call f{}`},
		{"thought not opened", "thought\nhm\n<channel|>x", `thinking "hm" | text "x"`},
		{"empty thought not opened", "thought<channel|>x", `text "x"`},
		{"page that reads thought", "thought\nprovoking", `text "thought\nprovoking"`},
		{"page that reads thought, only", "thought", `text "thought"`},
		{"thought later", "a\nthought\nhm<channel|>x", `text "a\nthought\nhmx"`},
		{"bytes before a control token", "Ä<|channel>thought\nÖ<channel|>Ü<turn|>", `thinking "Ö" | text "ÄÜ"`},
		{"channel closed twice", "<|channel>thought\na<channel|><channel|>x", `thinking "a" | text "x"`},

		{"call", `<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2,flags:[true,null,1.50],o:{k:<|"|>v<|"|>}}<tool_call|><|tool_response>`,
			`call get_weather{"city":"Paris","days":2,"flags":[true,null,1.50],"o":{"k":"v"}}`},
		{"no arguments", "<|tool_call>call:a{}<tool_call|>", `call a{}`},
		{"two calls", "<|tool_call>call:b{z:1,a:-2e3}<tool_call|><|tool_call>call:c{}<tool_call|>", `call b{"z":1,"a":-2e3} | call c{}`},
		{"text and call", "Let me look.\n<|tool_call>call:a{}<tool_call|>", `text "Let me look.\n" | call a{}`},
		{"string with everything", "<|tool_call>call:a{s:<|\"|>{x:[\"y\"],'z'\n\\<|\"|>}<tool_call|>", `call a{"s":"{x:[\"y\"],'z'\n\\"}`},
		{"empty values", `<|tool_call>call:a{s:<|"|><|"|>,l:[],o:{}}<tool_call|>`, `call a{"s":"","l":[],"o":{}}`},
		{"spaces", "<|tool_call> call:a { s : 1 , t : [ 2 , 3 ] } <tool_call|>", `call a{"s":1,"t":[2,3]}`},
		{"angle brackets", `<|tool_call>call:a{s:<|"|><b>&<|"|>}<tool_call|>`, `call a{"s":"<b>&"}`},
		{"made-up result", `<|tool_call>call:a{}<tool_call|><|tool_response>response:a{value:1}<tool_response|>Done`, `text "Done" | call a{}`},

		{"no prefix", "<|tool_call>a{s:1}<tool_call|>", `call a{"s":1}`},
		{"no braces", "<|tool_call>call:a<tool_call|>", `call a{}`},
		{"double quotes", `<|tool_call>call:a{"s":"x, \"y\"\n","t":"a"b"}<tool_call|>`, `call a{"s":"x, \"y\"\n","t":"a\"b"}`},
		{"single quotes", `<|tool_call>call:a{'s':'it's','t':['b']}<tool_call|>`, `call a{"s":"it's","t":["b"]}`},
		{"marked keys", `<|tool_call>call:a{<|"|>s<|"|>:1}<tool_call|>`, `call a{"s":1}`},
		{"bare words", "<|tool_call>call:a{s:New York,t:12:30}<tool_call|>", `call a{"s":"New York","t":"12:30"}`},
		{"comma too many", "<|tool_call>call:a{s:[1,],}<tool_call|>", `call a{"s":[1]}`},
		{"last mark missing", `<|tool_call>call:a{o:{s:<|"|>New York}}<tool_call|>`, `call a{"o":{"s":"New York"}}`},
		{"last mark and brace missing", `<|tool_call>call:a{o:[<|"|>x]<tool_call|>`, `call a{"o":["x"]}`},
		{"last quote missing", `<|tool_call>call:a{s:"x}<tool_call|>`, `call a{"s":"x"}`},
		{"braces missing", `<|tool_call>call:a{o:{s:[<|"|>x<|"|><tool_call|>`, `call a{"o":{"s":["x"]}}`},
		{"braces too many", "<|tool_call>call:a{s:1}}}<tool_call|>", `call a{"s":1}`},
		{"closed twice", "<|tool_call>call:a{}<tool_call|><tool_call|>x", `text "x" | call a{}`},
		{"not closed, next call", "<|tool_call>call:a{s:1<|tool_call>call:b{}<tool_call|>", `call a{"s":1} | call b{}`},
		{"not closed, end of turn", "<|tool_call>call:a{s:1<turn|>", `call a{"s":1}`},
		{"not closed, but complete", "<|tool_call>call:a{s:1}", `call a{"s":1}`},
		{"cut off", `<|tool_call>call:delete{path:<|"|>/tmp`, `malformed call:delete{path:<|"|>/tmp`},
		{"cut off in a number", `<|tool_call>call:pay{euros:1`, `malformed call:pay{euros:1`},
		{"cut off after the name", `<|tool_call>call:a`, `malformed call:a`},

		{"not opened", `call:f{s:<|"|>x<|"|>}<tool_call|>`, `call f{"s":"x"}`},
		{"not opened, after text", "Let me look.\n call:f{}<tool_call|>", `text "Let me look.\n" | call f{}`},
		{"not opened, after a thought", "<|channel>thought\na<channel|>call:f{}<tool_call|>ok", `thinking "a" | text "ok" | call f{}`},
		{"not opened, after text and a thought", "b<|channel>thought\na<channel|>call:f{}<tool_call|>", `thinking "a" | text "b" | call f{}`},
		{"not opened, in a line", "I call:f{}<tool_call|>", `text "I call:f{}"`},
		{"text like a call", "call:f{x}\n", `text "call:f{x}\n"`},
		{"text like a call with a mark", `call:f{<|"|>x`, `text "call:f{<|\"|>x"`},
		{"text like the start of one", "call:", `text "call:"`},
		{"text a bit like one", "call: me\ncall:me\n\n cal", `text "call: me\ncall:me\n\n cal"`},

		{"malformed", "<|tool_call>call:a{s}<tool_call|>x", `text "x" | malformed call:a{s}`},
		{"nested name", "<|tool_call>call:a b{}<tool_call|>", `malformed call:a b{}`},
		{"no name", "<|tool_call>{}<tool_call|>", `malformed {}`},
		{"key twice", "<|tool_call>call:a{s:1,s:2}<tool_call|>", `malformed call:a{s:1,s:2}`},
		{"empty key", "<|tool_call>call:a{:1}<tool_call|>", `malformed call:a{:1}`},
		{"wrong brackets", "<|tool_call>call:a{s:[1}}<tool_call|>", `malformed call:a{s:[1}}`},
		{"mark in the middle missing", `<|tool_call>call:a{s:<|"|>x,t:<|"|>y<|"|>}<tool_call|>`, `malformed call:a{s:<|"|>x,t:<|"|>y<|"|>}`},
		{"two in one", "<|tool_call>call:a{}call:b{}<tool_call|>", `malformed call:a{}call:b{}`},
	} {
		ids := tok.EncodeSpecial(c.reply, nil)
		if got := show(stream(t, NewParser(tok), ids)); got != c.want {
			t.Errorf("%s: %q\n got %s\nwant %s", c.name, c.reply, got, c.want)
		}
		if got := show(ParseReply(tok, ids)); got != c.want {
			t.Errorf("%s: ParseReply = %s, want %s", c.name, got, c.want)
		}
	}
}

// Control strings that the model spells out in letters are text.
func TestReplySpelledOut(t *testing.T) {
	tok := openTokenizer(t, "golden/checkpoints/tiny-e")
	const text = `<|channel>thought` + "\n" + `x<channel|><|tool_call>call:f{s:<|"|>x<|"|>}<tool_call|><turn|>`
	if got := ParseReply(tok, tok.Encode(text, nil)); show(got) != show(Reply{Text: text}) {
		t.Errorf("got %s", show(got))
	}
}

// A prompt that ends in an open thought makes the reply begin in it.
func TestReplyAfterPrompt(t *testing.T) {
	tok := openTokenizer(t, "golden/checkpoints/tiny-e")
	ids := tok.EncodeSpecial("Sunny, so say it.\n<channel|>It is sunny.<turn|>", nil)
	for _, c := range goldenCases(t) {
		prompt, err := Render(c.Conversation, c.options(t))
		if err != nil {
			t.Fatal(err)
		}
		want := Reply{Text: "Sunny, so say it.\nIt is sunny."}
		if strings.HasSuffix(c.Text, "<|channel>thought\n") {
			want = Reply{Text: "It is sunny.", Thinking: "Sunny, so say it."}
		}
		if got := stream(t, NewParserAfter(tok, prompt), ids); show(got) != show(want) {
			t.Errorf("%s: got %s, want %s", c.Name, show(got), show(want))
		}
	}
}

// What Render writes for calls, reasoning and content, the parser reads back.
func TestReplyReadsRender(t *testing.T) {
	tok := openTokenizer(t, "nano")
	calls := 0
	for _, c := range goldenCases(t) {
		for _, m := range c.Conversation.Messages {
			if m.Role != Assistant {
				continue
			}
			messages := []Message{{Role: User}, m}
			for _, call := range m.ToolCalls { // so that the content comes after a result
				messages = append(messages, Message{Role: Tool, ToolCallID: call.ID})
			}
			spans, err := Render(Conversation{Messages: messages}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ids, err := Encode(tok, spans, nil)
			if err != nil {
				t.Fatal(err)
			}
			header := tok.EncodeSpecial("<bos><|turn>user\n<turn|>\n<|turn>model\n", nil)
			var want Reply
			want.Thinking = m.Reasoning
			for _, p := range m.Content {
				want.Text += trim(stripThinking(p.Text))
			}
			for _, call := range m.ToolCalls {
				v, err := parseJSON(call.Arguments)
				if err != nil {
					t.Fatal(err)
				}
				want.Calls = append(want.Calls, Call{Name: call.Name, Arguments: sortedJSON(v)})
				calls++
			}
			if got := ParseReply(tok, ids[len(header):]); show(got) != show(want) {
				t.Errorf("%s: %q\n got %s\nwant %s", c.Name, Text(spans), show(got), show(want))
			}
		}
	}
	if calls == 0 {
		t.Error("no calls in the reference data")
	}
}

func sortedJSON(v any) []byte {
	var sorted func(v any) any
	sorted = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = sorted(v[i])
			}
		case object:
			v = v.sorted()
			for i := range v {
				v[i].value = sorted(v[i].value)
			}
			return v
		}
		return v
	}
	return appendJSON(nil, sorted(v))
}

func TestReplyLimits(t *testing.T) {
	tok := openTokenizer(t, "golden/checkpoints/tiny-e")
	feed := func(text string) Reply { return stream(t, NewParser(tok), tok.EncodeSpecial(text, nil)) }

	long := strings.Repeat(" committee", maxCall/10)
	if got := feed(`<|tool_call>call:f{s:<|"|>` + long + `<|"|>}<tool_call|>ok`); len(got.Malformed) != 1 || len(got.Malformed[0]) > maxCall+10 || got.Text != "ok" {
		t.Errorf("a long call: %d calls, %d malformed, text %.20q", len(got.Calls), len(got.Malformed), got.Text)
	}
	deep := strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)
	if got := feed("<|tool_call>call:f{s:" + deep + "}<tool_call|>"); len(got.Calls) != 1 {
		t.Errorf("%d levels: %s", maxDepth, show(got))
	}
	if got := feed("<|tool_call>call:f{s:[" + deep + "]}<tool_call|>"); len(got.Malformed) != 1 {
		t.Errorf("%d levels: %s", maxDepth+1, show(got))
	}
	name := strings.Repeat("f", maxName)
	if got := feed("<|tool_call>call:" + name + "{}<tool_call|><|tool_call>call:" + name + "f{}<tool_call|>"); len(got.Calls) != 1 || len(got.Malformed) != 1 {
		t.Errorf("long names: %s", show(got))
	}

	// Text that looks like a call or a thought is not held for ever, nor lost.
	for begin, limit := range map[string]int{
		"call:f{" + strings.Repeat(" committee", maxHeld/5):   maxHeld,
		"thought\n" + strings.Repeat(" committee", maxHeld/5): maxHeld,
		"call:" + strings.Repeat("f", 1000):                   maxName,
		"a\ncall:f" + strings.Repeat(" ", 1000):               maxName,
		strings.Repeat(" ", 1000):                             maxName,
		strings.Repeat("\n", 1000):                            10,
		strings.Repeat(" call:", 1000):                        maxName,
	} {
		p := NewParser(tok)
		held := 0
		for _, id := range tok.Encode(begin, nil) {
			held += len(tok.Bytes(id))
			for _, e := range p.Add(id) {
				held -= len(e.Text)
			}
			if held > limit+10 { // a token's length more
				t.Errorf("%.20q…: %d bytes held back, want %d", begin, held, limit)
				break
			}
		}
		if got := feed(begin); got.Text != begin {
			t.Errorf("%.20q… of %d bytes came out as %d", begin, len(begin), len(got.Text))
		}
	}
}

// randomReply is control tokens, bits of calls and any other tokens.
func randomReply(rng *rand.Rand, tok *tokenizer.Tokenizer) []int32 {
	bits := []string{"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", `<|"|>`, "<|tool_response>", "<tool_response|>",
		"thought\n", "thought", "call:f{", "call:", "}", "{", "[", "]", ",", "a:", "1", "\n", "'", `"`, "true", " ", "\\"}
	var ids []int32
	for range rng.IntN(30) {
		if rng.IntN(8) == 0 {
			ids = append(ids, rng.Int32N(int32(tok.Size())))
			continue
		}
		ids = tok.EncodeSpecial(bits[rng.IntN(len(bits))], ids)
	}
	return ids
}

// Whatever the model says, the parser takes it, its events add up, and the
// events of a beginning are the beginning of the events.
func TestReplyOfAnything(t *testing.T) {
	tok := openTokenizer(t, "golden/checkpoints/tiny-e")
	rng := rand.New(rand.NewPCG(8, 0))
	calls := 0
	for range 20000 {
		ids := randomReply(rng, tok)
		calls += len(stream(t, NewParser(tok), ids).Calls)
		if t.Failed() {
			t.Fatalf("reply %q", tok.Decode(ids, false))
		}
		cut := rng.IntN(len(ids) + 1)
		whole, part := NewParser(tok), NewParser(tok)
		for i, id := range ids {
			a := whole.Add(id)
			if i < cut {
				if b := part.Add(id); !reflect.DeepEqual(a, b) {
					t.Fatalf("%q: %v, then %v", tok.Decode(ids, false), a, b)
				}
			}
		}
	}
	if calls < 100 {
		t.Errorf("only %d calls in all replies", calls)
	}
}

func FuzzReply(f *testing.F) {
	tok, err := tokenizer.Open(fixtures.Path("golden/checkpoints/tiny-e/tokenizer.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`<|channel>thought` + "\n" + `hm<channel|>call:f{a:<|"|>x<|"|>,b:[1,'it's',{}]}<tool_call|>ok<turn|>`)
	f.Add(`thought` + "\n" + `<channel|><|tool_call>call:f{"a":"\u00e9","b":{c:<|"|>x}}<tool_call|><|tool_response>`)
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.EncodeSpecial(text, nil)
		stream(t, NewParser(tok), ids)
		// Without the tokens that make up its structure a reply is its text,
		// in one piece as in many.
		plain := tok.Encode(text, nil)
		if got, want := stream(t, NewParser(tok), plain), tok.Decode(plain, true); show(got) != show(Reply{Text: want}) {
			t.Errorf("got %s, want text %q", show(got), want)
		}
	})
}
