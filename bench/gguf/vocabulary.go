package main

import (
	"fmt"
	"strings"

	"facet/internal/weights/gguf"
)

// Token types of GGUF (enum llama_token_type).
const (
	normal      = 1
	control     = 3
	userDefined = 4 // a control token that is shown
	byteToken   = 6
)

// firstByte is where the 256 tokens for single bytes begin, firstText where text does.
const (
	firstByte = 238
	firstText = firstByte + 256
)

// controls are Gemma's tokens that are no text, at their places in the vocabulary.
var controls = []struct {
	id   int
	text string
	kind int32
}{
	{0, "<pad>", control}, {1, "<eos>", control}, {2, "<bos>", control}, {3, "<unk>", control}, {4, "<mask>", control},
	{46, "<|tool>", control}, {47, "<tool|>", control}, {48, "<|tool_call>", userDefined}, {49, "<tool_call|>", userDefined},
	{50, "<|tool_response>", userDefined}, {51, "<tool_response|>", userDefined}, {52, `<|"|>`, userDefined},
	{98, "<|think|>", control}, {100, "<|channel>", userDefined}, {101, "<channel|>", userDefined},
	{105, "<|turn>", control}, {106, "<turn|>", control}, {107, "\n", normal},
	{255999, "<|image>", control}, {256000, "<|audio>", control}, {258880, "<|image|>", control}, {258881, "<|audio|>", control},
	{258882, "<image|>", control}, {258883, "<audio|>", control}, {258884, "<|video|>", normal},
}

// words get merges, so that a prompt of plain English has about as many tokens as it
// would have with the real vocabulary.
const words = `the of and to in is that for it as was with be by on not he his but at are this have from or had an they which
one you were all her she there would their we him been has when who will no more if out so said what up its about into than them
can only other time new some could these two may first then do any like my now over such our man me even most made after also did
many off before must well back through years where much your way down should because long each just state those people too mr how
little good world make very year still see work life being under day page text image describe write read model token story`

// chatTemplate is enough for llama.cpp to put a prompt into turns.
const chatTemplate = `{{ bos_token }}{% for m in messages %}{{ '<|turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] + '<turn|>\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}`

// vocabulary returns the tokenizer's keys: n tokens, of which the control tokens, the
// bytes, the letters of some alphabets and a few hundred English pieces are real, and
// the rest are words that no text leads to.
func vocabulary(n int) []gguf.KV {
	tokens := make([]string, n)
	kinds := make([]int32, n)
	scores := make([]float32, n)
	for i := range kinds {
		kinds[i], scores[i] = normal, -1000
	}
	for _, c := range controls {
		if c.id < n {
			tokens[c.id], kinds[c.id] = c.text, c.kind
		}
	}
	for b := range 256 {
		tokens[firstByte+b], kinds[firstByte+b] = fmt.Sprintf("<0x%02X>", b), byteToken
	}
	pieces, merges := pieces()
	next := firstText
	for i := range tokens {
		if tokens[i] != "" {
			continue
		}
		tokens[i] = fmt.Sprintf("▁word%d", i)
		if i >= firstText && next-firstText < len(pieces) {
			tokens[i] = pieces[next-firstText]
			next++
		}
	}
	const p = "tokenizer.ggml."
	return []gguf.KV{
		{Key: p + "model", Value: "gemma4"},
		{Key: p + "tokens", Value: tokens},
		{Key: p + "scores", Value: scores},
		{Key: p + "token_type", Value: kinds},
		{Key: p + "merges", Value: merges},
		{Key: p + "bos_token_id", Value: uint32(2)},
		{Key: p + "eos_token_id", Value: uint32(1)},
		{Key: p + "unknown_token_id", Value: uint32(3)},
		{Key: p + "padding_token_id", Value: uint32(0)},
		{Key: p + "mask_token_id", Value: uint32(4)},
		{Key: p + "add_space_prefix", Value: false},
		{Key: p + "add_bos_token", Value: true},
		{Key: "tokenizer.chat_template", Value: chatTemplate},
	}
}

// pieces returns letters and the pieces of words, and the merges that lead from the
// letters to them, from the left: "▁ t", "▁t h", "▁th e".
func pieces() (pieces, merges []string) {
	seen := map[string]bool{}
	add := func(piece string) bool {
		if seen[piece] {
			return false
		}
		seen[piece] = true
		pieces = append(pieces, piece)
		return true
	}
	add("▁")
	for _, alphabet := range [][2]rune{{'!', '~'}, {'¡', 'ÿ'}, {'Α', 'ω'}, {'А', 'я'}} {
		for c := alphabet[0]; c <= alphabet[1]; c++ {
			add(string(c))
		}
	}
	for word := range strings.FieldsSeq(words) {
		left := "▁"
		for _, c := range word {
			if add(left + string(c)) {
				merges = append(merges, left+" "+string(c))
			}
			left += string(c)
		}
	}
	return pieces, merges
}
