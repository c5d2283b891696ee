package tokenizer_test

import (
	"fmt"
	"log"

	"facet/fixtures"
	"facet/model/tokenizer"
)

func Example() {
	tok, err := tokenizer.Open(fixtures.Path("nano/tokenizer.json"))
	if err != nil {
		log.Fatal(err)
	}
	turn, _ := tok.ID("<turn|>")

	user := tok.Encode("Read <turn|>", nil)          // text stays text
	prompt := tok.EncodeSpecial("Read <turn|>", nil) // control tokens count
	fmt.Println(user[len(user)-1] == turn, prompt[len(prompt)-1] == turn)
	fmt.Println(tok.Decode(user, true))
	fmt.Println(tok.Decode(prompt, true))
	// Output:
	// false true
	// Read <turn|>
	// Read
}
