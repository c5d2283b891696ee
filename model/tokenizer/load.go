package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"facet/internal/strictjson"
)

// Limits on what a file may claim. Gemma 4 has a 32 MB file, 262,144 tokens of
// at most 93 bytes and 514,906 merges; the limits leave room for four times
// that and more, and keep a hostile file from filling the memory.
const (
	maxFile   = 256 << 20 // bytes
	maxTokens = 1 << 20
	maxMerges = 1 << 22
	maxToken  = 1 << 10 // bytes

	maxSpelled = 6 * maxToken // of a token in the file: JSON may write a byte as \u000a
)

const (
	spaceMark   = "▁" // U+2581 stands for a space inside tokens
	byteMissing = -1
)

// Open reads a tokenizer.json. The error names the file and the place; it
// wraps a [FormatError] if the file is broken and an [UnsupportedError] if it
// describes a tokenizer that is not of Gemma's kind.
//
// Truncation, padding and post-processing in the file are not carried out:
// Encode gives the ids of the text alone, and who asks for a prompt writes
// <bos> itself.
func Open(path string) (*Tokenizer, error) {
	data, err := strictjson.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// loader collects what a file says, in any order of its keys, until the
// Tokenizer can be built.
type loader struct {
	*strictjson.Reader
	names  []byte  // the vocabulary's strings, one after the other
	ends   []int   // where each ends in names
	ids    []int32 // its id
	merges []byte  // the "merges" value: readable once the vocabulary is known
	start  int     // where merges begins in the file, for error messages
	added  []addedToken

	kind         string // model.type
	unk          string
	byteFallback bool
	normalizer   []byte // JSON
	preTokenizer []byte
	decoder      []byte
}

type addedToken struct {
	content                           string
	id                                int32
	special, normalized               bool
	singleWord, leftStrip, rightStrip bool
}

// parse builds a Tokenizer from the bytes of a tokenizer.json.
func parse(data []byte) (*Tokenizer, error) {
	l := &loader{Reader: strictjson.NewReader(data)}
	l.file()
	l.End()
	if err := l.Err(); err != nil {
		return nil, formatError(err, data)
	}
	if err := l.checkKind(); err != nil {
		return nil, err
	}
	t, err := l.vocabulary()
	if err != nil {
		return nil, err
	}
	if err := l.addedTokens(t); err != nil {
		return nil, err
	}
	if err := t.findBytes(); err != nil {
		return nil, err
	}
	if err := l.mergeTable(t); err != nil {
		return nil, formatError(err, data)
	}
	return t, nil
}

// formatError returns what a reader of data says of it as a FormatError, and other
// errors as they are.
func formatError(err error, data []byte) error {
	var wrong *strictjson.Error
	switch {
	case !errors.As(err, &wrong):
		return err
	case !json.Valid(data):
		return FormatError("not JSON: " + err.Error())
	}
	return FormatError(err.Error())
}

func (l *loader) file() {
	l.Object(func(key string) {
		switch key {
		case "added_tokens":
			l.Array(l.addedToken)
		case "normalizer":
			l.normalizer = l.Raw()
		case "pre_tokenizer":
			l.preTokenizer = l.Raw()
		case "decoder":
			l.decoder = l.Raw()
		case "model":
			l.model()
		default: // version, truncation, padding, post_processor
			l.Skip()
		}
	})
}

func (l *loader) addedToken() {
	if len(l.added) == maxTokens {
		l.Fail("more than %d added tokens", maxTokens)
		return
	}
	a := addedToken{id: -1}
	l.Object(func(key string) {
		switch key {
		case "id":
			a.id = l.id()
		case "content":
			a.content = l.text()
		case "special":
			a.special = l.Bool()
		case "normalized":
			a.normalized = l.Bool()
		case "single_word":
			a.singleWord = l.Bool()
		case "lstrip":
			a.leftStrip = l.Bool()
		case "rstrip":
			a.rightStrip = l.Bool()
		default:
			l.Skip()
		}
	})
	if l.Err() == nil && (a.id < 0 || a.content == "" || len(a.content) > maxToken) {
		l.Fail("added token without an id or a content of 1 to %d bytes", maxToken)
	}
	l.added = append(l.added, a)
}

func (l *loader) model() {
	l.Object(func(key string) {
		switch key {
		case "type":
			l.kind = l.text()
		case "vocab":
			l.Entries(l.vocabEntry)
		case "merges":
			l.Peek()
			l.start = l.Offset()
			l.merges = l.Raw()
		case "unk_token":
			l.unk = l.text()
		case "byte_fallback":
			l.byteFallback = l.Bool()
		case "dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges":
			switch v := string(l.Raw()); v {
			case "null", "false", `""`, "0", "0.0", "":
			default:
				l.Stop(UnsupportedError(fmt.Sprintf("model.%s %.40s", key, v)))
			}
		default: // fuse_unk: no unknown is ever produced
			l.Skip()
		}
	})
}

// id reads a token id.
func (l *loader) id() int32 {
	n := l.Uint64()
	if n > math.MaxInt32 {
		l.Fail("token id %d is too large", n)
	}
	return int32(n)
}

// text reads a string or null, which is "".
func (l *loader) text() string {
	if l.Null() {
		return ""
	}
	return l.Text(maxSpelled)
}

func (l *loader) vocabEntry(key []byte) {
	if len(l.ids) == maxTokens {
		l.Fail("more than %d tokens", maxTokens)
		return
	}
	if len(key) == 0 || len(key) > maxToken {
		l.Fail("token of %d bytes, want 1 to %d", len(key), maxToken)
		return
	}
	l.names = append(l.names, key...)
	l.ends = append(l.ends, len(l.names))
	l.ids = append(l.ids, l.id())
}

// checkKind accepts what Gemma's files say and names what else they might.
func (l *loader) checkKind() error {
	if l.kind != "BPE" {
		return UnsupportedError(fmt.Sprintf("model type %q, want BPE", l.kind))
	}
	if !l.byteFallback {
		return UnsupportedError("model without byte_fallback")
	}
	for _, part := range []struct {
		name string
		got  []byte
		want string
	}{
		{"normalizer", l.normalizer, `{"type":"Replace","pattern":{"String":" "},"content":"▁"}`},
		{"decoder", l.decoder, `{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]}`},
	} {
		if !sameJSON(part.got, part.want) {
			return UnsupportedError(fmt.Sprintf("%s %.200s", part.name, orNull(part.got)))
		}
	}
	// It splits at spaces, and the normaliser leaves none.
	split := `{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false}`
	if !sameJSON(l.preTokenizer, split) && string(orNull(l.preTokenizer)) != "null" {
		return UnsupportedError(fmt.Sprintf("pre_tokenizer %.200s", l.preTokenizer))
	}
	return nil
}

func orNull(b []byte) []byte {
	if len(b) == 0 {
		return []byte("null")
	}
	return b
}

// sameJSON reports whether got is the JSON value want, in any order of keys
// and with any spacing.
func sameJSON(got []byte, want string) bool {
	var g, w any
	if json.Unmarshal(got, &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	a, _ := json.Marshal(g)
	b, _ := json.Marshal(w)
	return bytes.Equal(a, b)
}

// vocabulary makes the table of tokens: added tokens may stand in the
// vocabulary or continue it, and together the ids are 0 … n − 1.
func (l *loader) vocabulary() (*Tokenizer, error) {
	names := string(l.names)
	known := make(map[string]int32, len(l.ids)+len(l.added))
	start := 0
	for i, id := range l.ids {
		name := names[start:l.ends[i]]
		start = l.ends[i]
		if _, twice := known[name]; twice {
			return nil, FormatError(fmt.Sprintf("model.vocab: token %q occurs twice", name))
		}
		known[name] = id
	}
	for _, a := range l.added {
		if id, ok := known[a.content]; ok && id != a.id {
			return nil, FormatError(fmt.Sprintf("added_tokens: %q has id %d, and %d elsewhere", a.content, a.id, id))
		}
		known[a.content] = a.id
	}
	t := &Tokenizer{ids: known, tokens: make([]string, len(known))}
	for name, id := range known {
		if int(id) >= len(known) {
			return nil, FormatError(fmt.Sprintf("token %q has id %d, and there are only %d tokens", name, id, len(known)))
		}
		if other := t.tokens[id]; other != "" {
			return nil, FormatError(fmt.Sprintf("id %d stands for both %q and %q", id, min(name, other), max(name, other)))
		}
		t.tokens[id] = name
	}
	if _, ok := known[l.unk]; !ok && l.unk != "" {
		return nil, FormatError(fmt.Sprintf("unk_token %q is not in the vocabulary", l.unk))
	}
	return t, nil
}

// addedTokens fills the tries and marks the special ones.
func (l *loader) addedTokens(t *Tokenizer) error {
	t.special = make([]bool, len(t.tokens))
	seen := make(map[string]bool, len(l.added))
	for _, a := range l.added {
		switch {
		case seen[a.content]:
			return FormatError(fmt.Sprintf("added token %q occurs twice", a.content))
		case a.singleWord || a.leftStrip || a.rightStrip:
			return UnsupportedError(fmt.Sprintf("added token %q with single_word, lstrip or rstrip", a.content))
		}
		seen[a.content] = true
		t.special[a.id] = a.special
		if a.normalized {
			t.normalized.add(normalize(a.content), a.id)
		} else {
			t.raw.add(a.content, a.id)
		}
	}
	return nil
}

// findBytes finds <0x00> … <0xFF>. All must be there, so that any text can
// be spelled and the unknown token is never needed.
func (t *Tokenizer) findBytes() error {
	t.byteOf = make([]int16, len(t.tokens))
	for i := range t.byteOf {
		t.byteOf[i] = byteMissing
	}
	for b := range t.byteID {
		name := fmt.Sprintf("<0x%02X>", b)
		id, ok := t.ids[name]
		if !ok {
			return UnsupportedError(fmt.Sprintf("byte_fallback without the token %s", name))
		}
		if t.special[id] {
			return FormatError(fmt.Sprintf("byte token %s is marked as special", name))
		}
		t.byteID[b] = id
		t.byteOf[id] = int16(b)
	}
	return nil
}

// mergeTable reads the merges, whose order is their rank, as ["a", "b"] or "a b".
func (l *loader) mergeTable(t *Tokenizer) error {
	if l.merges == nil {
		return FormatError("model.merges is missing")
	}
	r := l.From(l.start)
	t.ranks = make(map[pair]uint32, min(len(l.merges)/24, maxMerges)) // in Gemma's file a merge takes 30 bytes
	var text []byte
	r.Array(func() {
		var cut int
		if text, cut = readMerge(r, text[:0]); r.Err() != nil {
			return
		}
		if err := t.addMerge(text, cut); err != nil {
			r.Fail("%v", err)
		}
	})
	return r.Err()
}

// addMerge adds the next merge, by rank, of text[:cut] and text[cut:].
//
// A merge with a special or a byte token in it counts and is left out: text must not
// turn into a control token because its letters say so, nor "<0x41>" into an A.
// Where added tokens are matched first, as in the reference, none can apply.
func (t *Tokenizer) addMerge(text []byte, cut int) error {
	n := len(t.merged)
	if n == maxMerges {
		return fmt.Errorf("more than %d merges", maxMerges)
	}
	left, okLeft := t.ids[string(text[:cut])]
	right, okRight := t.ids[string(text[cut:])]
	whole, ok := t.ids[string(text)]
	if !okLeft || !okRight || !ok {
		return fmt.Errorf("merge %d of %q and %q: not in the vocabulary", n, text[:cut], text[cut:])
	}
	t.merged = append(t.merged, whole)
	closed := func(id int32) bool { return t.special[id] || t.byteOf[id] != byteMissing }
	if closed(left) || closed(right) || closed(whole) {
		return nil
	}
	p := pair{left, right}
	if _, twice := t.ranks[p]; twice {
		return fmt.Errorf("merge of %q and %q occurs twice", text[:cut], text[cut:])
	}
	t.ranks[p] = uint32(n)
	return nil
}

// readMerge appends the two tokens of one merge to dst and says where the second begins.
func readMerge(r *strictjson.Reader, dst []byte) (text []byte, cut int) {
	if r.Peek() == '"' {
		s := r.Bytes(2*maxSpelled + 1)
		left, right, ok := bytes.Cut(s, []byte(" "))
		if !ok || len(left) == 0 || len(right) == 0 || bytes.Contains(right, []byte(" ")) {
			r.Fail("merge %.40q is not two tokens", s)
			return dst, 0
		}
		return append(append(dst, left...), right...), len(left)
	}
	n := 0
	r.Array(func() {
		if n++; n == 2 {
			cut = len(dst)
		}
		dst = append(dst, r.Bytes(maxSpelled)...)
	})
	switch {
	case n != 2:
		r.Fail("merge of %d tokens, want 2", n)
	case cut == 0 || cut == len(dst):
		r.Fail("merge with an empty token")
	}
	return dst, cut
}
