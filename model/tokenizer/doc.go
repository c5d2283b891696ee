// Package tokenizer turns text into Gemma's token ids and back.
//
// It reads the tokenizer.json that stands beside a checkpoint, or takes the same
// vocabulary as a GGUF file keeps it ([New]): a byte-pair encoding whose normaliser
// writes spaces as ▁ (U+2581), whose pre-tokeniser therefore never splits, and which
// spells unknown characters byte by byte with the tokens <0x00> … <0xFF>. Any other
// kind of tokenizer is refused by name.
//
// Encoding is four steps:
//
//  1. cut the text at added tokens; their ids are fixed       (trie.go)
//  2. write every space of the remaining runs as ▁            (tokenizer.go)
//  3. one symbol a character, or one a byte if the vocabulary
//     lacks the character                                     (bpe.go)
//  4. merge neighbours, best rank first, leftmost first       (bpe.go)
//
// Decoding joins the tokens' text, turns ▁ back into spaces and runs of byte
// tokens back into characters.
//
// # Control tokens
//
// Added tokens that the file marks as special (<|turn>, <eos>, <|image|> …)
// steer the model. [Tokenizer.Encode] never produces one, whatever the text
// says: it neither looks for their strings nor lets a merge build them, so text
// from a user or a file stays text. [Tokenizer.EncodeSpecial] is for prompts
// that are trusted as a whole and finds them in the text, as Hugging Face's
// tokenizers does by default. Added tokens that are not special are ordinary
// vocabulary that merging cannot reach; both functions match them.
//
// The reference is Hugging Face's tokenizers library; fixtures/golden/text
// holds what it answers.
package tokenizer
