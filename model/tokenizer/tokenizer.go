package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Tokenizer is a vocabulary with its merges. It does not change after [Open]
// and is safe for concurrent use.
type Tokenizer struct {
	tokens  []string         // by id
	ids     map[string]int32 // by token
	special []bool           // by id
	byteOf  []int16          // by id: the byte it stands for, or byteMissing
	byteID  [256]int32       // by byte

	raw        trie // added tokens that are looked for in the text as it is
	normalized trie // and those looked for once spaces are ▁

	ranks  map[pair]uint32 // two neighbours → rank of their merge
	merged []int32         // by rank: what they become
}

// Size is the number of tokens; ids are 0 … Size − 1.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// ID returns the id of a token as it is written in the vocabulary, with ▁ for
// spaces: ID("<|turn>"), ID("▁the").
func (t *Tokenizer) ID(token string) (id int32, ok bool) {
	id, ok = t.ids[token]
	return id, ok
}

// Token returns a token as it is written in the vocabulary, or "" for an id
// out of range.
func (t *Tokenizer) Token(id int32) string {
	if !t.valid(id) {
		return ""
	}
	return t.tokens[id]
}

// IsSpecial reports whether id is a control token: an added token that the
// file marks as special. Ids out of range are not.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.valid(id) && t.special[id] }

// Bytes returns the bytes of output that a token stands for: one for a byte
// token, which need not be UTF-8 by itself, otherwise its text with ▁ as space.
// Control tokens and ids out of range stand for none.
func (t *Tokenizer) Bytes(id int32) []byte {
	if !t.valid(id) || t.special[id] {
		return nil
	}
	if b := t.byteOf[id]; b != byteMissing {
		return []byte{byte(b)}
	}
	return []byte(plain(t.tokens[id]))
}

func (t *Tokenizer) valid(id int32) bool { return id >= 0 && int(id) < len(t.tokens) }

// Encode appends the ids of text to dst. No control token comes out of it,
// whatever text says; added tokens that are not special are matched. Bytes of
// text that are not UTF-8 are read as U+FFFD.
//
// It takes O(n log n) time for n bytes and about 40 n bytes of memory while it
// runs, and panics if there is a GiB of text between two added tokens.
func (t *Tokenizer) Encode(text string, dst []int32) []int32 {
	return t.encode(text, dst, func(id int32) bool { return !t.special[id] })
}

// EncodeSpecial is Encode for trusted text: strings like "<|turn>" become the
// control tokens they name, the longest at each place, from left to right.
func (t *Tokenizer) EncodeSpecial(text string, dst []int32) []int32 {
	return t.encode(text, dst, func(int32) bool { return true })
}

func (t *Tokenizer) encode(text string, dst []int32, allow func(int32) bool) []int32 {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return cut(text, &t.raw, allow, dst, func(run string, dst []int32) []int32 {
		return cut(normalize(run), &t.normalized, allow, dst, t.merge)
	})
}

// cut appends the ids of the added tokens in text to dst and, in their places
// between them, what rest appends for the runs that are not empty.
func cut(text string, added *trie, allow func(int32) bool, dst []int32, rest func(string, []int32) []int32) []int32 {
	for text != "" {
		start, end, id, ok := added.find(text, allow)
		if !ok {
			return rest(text, dst)
		}
		if start > 0 {
			dst = rest(text[:start], dst)
		}
		dst = append(dst, id)
		text = text[end:]
	}
	return dst
}

// normalize writes spaces the way tokens spell them, plain undoes it. A ▁ that
// was in the text comes back as a space: Gemma cannot tell them apart.
func normalize(text string) string { return strings.ReplaceAll(text, " ", spaceMark) }
func plain(token string) string    { return strings.ReplaceAll(token, spaceMark, " ") }

// Decode returns the text of ids. With skipSpecial control tokens are left
// out, otherwise they are written as in the vocabulary. Byte tokens in a row
// are read as UTF-8 together; if the row as a whole is not UTF-8, each of them
// becomes one U+FFFD, as in the reference. Ids out of range are left out.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.NewStream(skipSpecial)
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(s.Add(id))
	}
	text.WriteString(s.Flush())
	return text.String()
}

// Stream decodes ids one by one. The texts that Add and Flush return, one
// after the other, are what [Tokenizer.Decode] returns for all ids. A Stream
// is for one goroutine.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	run         []byte // byte tokens not yet written: their row may go on
}

// NewStream starts a text.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	return &Stream{t: t, skipSpecial: skipSpecial}
}

// Add takes the next id and returns the text that is now certain, often "":
// a row of byte tokens is held back until it ends, since a later byte can
// still spoil it.
func (s *Stream) Add(id int32) string {
	if !s.t.valid(id) || s.skipSpecial && s.t.special[id] {
		return ""
	}
	if b := s.t.byteOf[id]; b != byteMissing {
		s.run = append(s.run, byte(b))
		return ""
	}
	return s.Flush() + plain(s.t.tokens[id])
}

// Flush ends the text: it returns what was held back. The Stream is then as
// new.
func (s *Stream) Flush() string {
	run := s.run
	s.run = s.run[:0]
	if utf8.Valid(run) {
		return string(run)
	}
	return strings.Repeat("\uFFFD", len(run))
}
