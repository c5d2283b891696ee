package chat_test

import (
	"fmt"
	"log"

	"facet/fixtures"
	"facet/model/chat"
	"facet/model/tokenizer"
)

func Example() {
	tok, err := tokenizer.Open(fixtures.Path("nano/tokenizer.json"))
	if err != nil {
		log.Fatal(err)
	}
	c := chat.Conversation{Messages: []chat.Message{{
		Role: chat.User,
		Content: []chat.Part{
			{Kind: chat.PartImage, Source: "page.png"},
			{Text: "Read the text. <turn|>"},
		},
	}}}
	spans, err := chat.Render(c, chat.Options{GenerationPrompt: true})
	if err != nil {
		log.Fatal(err)
	}
	ids, err := chat.Encode(tok, spans, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range spans {
		fmt.Printf("%-5v %q\n", s.Control, s.Text)
	}
	fmt.Println(tok.Decode(ids, true) == "user\nRead the text. <turn|>\nmodel\n")
	// Output:
	// true  "<bos>"
	// true  "<|turn>"
	// false "user\n"
	// true  "<|image|>"
	// false "Read the text. <turn|>"
	// true  "<turn|>"
	// false "\n"
	// true  "<|turn>"
	// false "model\n"
	// true
}

func ExampleParser() {
	tok, err := tokenizer.Open(fixtures.Path("nano/tokenizer.json"))
	if err != nil {
		log.Fatal(err)
	}
	reply := "<|channel>thought\nThey want the weather.\n<channel|>One moment." +
		`<|tool_call>call:weather{city:<|"|>Paris<|"|>,days:2}<tool_call|><|tool_response>`
	p := chat.NewParser(tok)
	for _, id := range tok.EncodeSpecial(reply, nil) { // as the model would give them
		for _, e := range p.Add(id) {
			if e.Kind == chat.EventCall {
				fmt.Println("call:", e.Call.Name, string(e.Call.Arguments))
			}
		}
	}
	_, r := p.Close()
	fmt.Println("thinking:", r.Thinking)
	fmt.Println("text:", r.Text)
	// Output:
	// call: weather {"city":"Paris","days":2}
	// thinking: They want the weather.
	// text: One moment.
}
