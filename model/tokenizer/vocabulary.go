package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Vocabulary is a tokenizer as a GGUF file keeps it: the same tokens and merges as in
// tokenizer.json, without a word on how they are applied, which is Gemma's way.
type Vocabulary struct {
	// Tokens by id, with ▁ for spaces (key tokenizer.ggml.tokens).
	Tokens []string
	// Types by id, in ggml's numbers (key tokenizer.ggml.token_type): 1 is an ordinary
	// token, 3 a control token, 4 an added one, 6 a byte. Empty means that the file says
	// nothing.
	Types []int
	// Merges are two tokens each with a space between them, in order of their rank
	// (key tokenizer.ggml.merges).
	Merges []string
}

// ggml's types of tokens (enum llama_token_type), as far as Gemma has such.
const (
	typeOrdinary = 1
	typeControl  = 3
	typeAdded    = 4
	typeByte     = 6
)

// control are Gemma 4's control tokens. The types of a GGUF file do not tell them:
// converters write those that a chat parser wants to see as added tokens, and
// <|video|> as an ordinary one.
var control = []string{
	"<pad>", "<eos>", "<bos>", "<unk>", "<mask>",
	"<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", `<|"|>`,
	"<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
	"<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>",
}

// visible are the control tokens that llama.cpp writes as added ones, so that it shows
// them in replies, where its chat parser looks for them.
var visible = []string{"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", `<|"|>`}

// New builds a Tokenizer from a vocabulary, which it does not keep. It is the one that
// [Open] builds from the tokenizer.json that the vocabulary was taken from.
//
// It returns a [FormatError] if the vocabulary contradicts itself and an
// [UnsupportedError] if it has no byte tokens.
func New(v Vocabulary) (*Tokenizer, error) {
	t, err := v.table()
	if err != nil {
		return nil, err
	}
	v.mark(t)
	if err := t.findBytes(); err != nil {
		return nil, err
	}
	return t, v.merge(t)
}

// table checks the tokens and numbers them.
func (v *Vocabulary) table() (*Tokenizer, error) {
	switch n := len(v.Tokens); {
	case n == 0 || n > maxTokens:
		return nil, FormatError(fmt.Sprintf("%d tokens, want 1 to %d", n, maxTokens))
	case len(v.Types) != 0 && len(v.Types) != n:
		return nil, FormatError(fmt.Sprintf("%d token types for %d tokens", len(v.Types), n))
	}
	t := &Tokenizer{ids: make(map[string]int32, len(v.Tokens)), tokens: make([]string, len(v.Tokens))}
	for id, token := range v.Tokens {
		other, twice := t.ids[token]
		switch {
		case token == "" || len(token) > maxToken || !utf8.ValidString(token):
			return nil, FormatError(fmt.Sprintf("token %d has %d bytes or is not UTF-8, want 1 to %d bytes of text", id, len(token), maxToken))
		case twice:
			return nil, FormatError(fmt.Sprintf("token %q is both %d and %d", token, other, id))
		}
		t.ids[token], t.tokens[id] = int32(id), token
	}
	return t, nil
}

// mark tells t which tokens are control tokens or added ones.
func (v *Vocabulary) mark(t *Tokenizer) {
	t.special = make([]bool, len(t.tokens))
	for id, kind := range v.Types {
		switch kind {
		case typeControl:
			t.special[id] = true
			t.raw.add(t.tokens[id], int32(id))
		case typeAdded:
			t.raw.add(t.tokens[id], int32(id))
		}
	}
	for _, token := range control {
		if id, ok := t.ids[token]; ok {
			t.special[id] = true
			t.raw.add(token, id)
		}
	}
}

// merge fills t's table of merges.
func (v *Vocabulary) merge(t *Tokenizer) error {
	t.ranks = make(map[pair]uint32, min(len(v.Merges), maxMerges))
	var text []byte
	for i, m := range v.Merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return FormatError(fmt.Sprintf("merge %d, %.40q, is not two tokens", i, m))
		}
		text = append(append(text[:0], left...), right...)
		if err := t.addMerge(text, len(left)); err != nil {
			return FormatError(err.Error())
		}
	}
	return nil
}

// Vocabulary returns what New makes the same tokenizer of, as llama.cpp writes it.
// Merges that can never be applied, since a control or byte token is in them, are left
// out.
func (t *Tokenizer) Vocabulary() Vocabulary {
	v := Vocabulary{Tokens: slices.Clone(t.tokens), Types: make([]int, len(t.tokens))}
	for id := range v.Types {
		switch {
		case t.byteOf[id] != byteMissing:
			v.Types[id] = typeByte
		case t.special[id] && !slices.Contains(visible, t.tokens[id]):
			v.Types[id] = typeControl
		default:
			v.Types[id] = typeOrdinary
		}
	}
	for _, added := range []*trie{&t.raw, &t.normalized} {
		for _, id := range added.ids {
			if id >= 0 && v.Types[id] != typeControl {
				v.Types[id] = typeAdded
			}
		}
	}
	merges := make([]string, len(t.merged))
	for p, rank := range t.ranks {
		merges[rank] = t.tokens[p.left] + " " + t.tokens[p.right]
	}
	v.Merges = slices.DeleteFunc(merges, func(m string) bool { return m == "" })
	return v
}
