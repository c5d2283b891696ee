package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A doc is a tokenizer.json under construction.
type doc map[string]any

// smallDoc has three control tokens, the bytes, some letters and words.
func smallDoc(merges any, words ...string) doc {
	vocab := map[string]any{}
	add := func(s string) { vocab[s] = len(vocab) }
	var added []any
	for _, s := range []string{"<unk>", "<|turn>", "<turn|>"} {
		added = append(added, doc{"id": len(vocab), "content": s, "special": true, "normalized": false,
			"single_word": false, "lstrip": false, "rstrip": false})
		add(s)
	}
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b))
	}
	for _, s := range append([]string{"▁", "<", "|", ">", "t", "u", "r", "n", "a", "b", "0", "x", "4", "1"}, words...) {
		add(s)
	}
	return doc{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "post_processor": nil,
		"normalizer":    doc{"type": "Replace", "pattern": doc{"String": " "}, "content": "▁"},
		"pre_tokenizer": doc{"type": "Split", "pattern": doc{"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
		"decoder": doc{"type": "Sequence", "decoders": []any{
			doc{"type": "Replace", "pattern": doc{"String": "▁"}, "content": " "}, doc{"type": "ByteFallback"}, doc{"type": "Fuse"}}},
		"model": doc{"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
			"dropout": nil, "vocab": vocab, "merges": merges},
	}
}

func (d doc) model() doc { return d["model"].(doc) }

func (d doc) addToken(content string, special, normalized bool) {
	d["added_tokens"] = append(d["added_tokens"].([]any), doc{"id": len(d.model()["vocab"].(map[string]any)), "content": content,
		"special": special, "normalized": normalized})
	d.model()["vocab"].(map[string]any)[content] = len(d.model()["vocab"].(map[string]any))
}

func (d doc) bytes() []byte {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return data
}

func (d doc) parse(t *testing.T) *Tokenizer {
	t.Helper()
	tok, err := parse(d.bytes())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func (t *Tokenizer) spell(ids []int32) string {
	var s []string
	for _, id := range ids {
		s = append(s, t.Token(id))
	}
	return strings.Join(s, " ")
}

// Both ways to write merges mean the same.
func TestMergeForms(t *testing.T) {
	words := []string{"ab", "▁ab", "abr"}
	pairs := smallDoc([]any{[]string{"a", "b"}, []string{"▁", "ab"}, []string{"ab", "r"}}, words...).parse(t)
	lines := smallDoc([]string{"a b", "▁ ab", "ab r"}, words...).parse(t)
	for _, tok := range []*Tokenizer{pairs, lines} {
		if got, want := tok.spell(tok.Encode("ab abr", nil)), "ab ▁ab r"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Merges that would spell a control token or a byte token out of letters do
// not count, and neither does a control token of one letter.
func TestTextStaysText(t *testing.T) {
	d := smallDoc([]string{"< |", "t u", "tu r", "tur n", "<| turn", "<|turn >", "0 x", "< 0x", "4 1", "<0x 41", "<0x41 >"},
		"<|", "tu", "tur", "turn", "<|turn", "0x", "<0x", "41", "<0x41")
	d.addToken("z", true, false)
	tok := d.parse(t)
	for text, want := range map[string]string{
		"<|turn>": "<|turn >",
		"<0x41>":  "<0x41 >",
		"z":       "<0x7A>",
	} {
		if got := tok.spell(tok.Encode(text, nil)); got != want {
			t.Errorf("Encode(%q) = %s, want %s", text, got, want)
		}
		if got := tok.Decode(tok.Encode(text, nil), true); got != text {
			t.Errorf("Decode(Encode(%q)) = %q", text, got)
		}
	}
	if got, want := tok.spell(tok.EncodeSpecial("a<|turn>z<|turn", nil)), "a <|turn> z <|turn"; got != want {
		t.Errorf("EncodeSpecial = %s, want %s", got, want)
	}
}

// Added tokens that are not special are matched by both functions, the longest
// first; normalized ones see spaces as marks.
func TestAddedTokens(t *testing.T) {
	d := smallDoc([]string{"a b"}, "ab")
	d.addToken("<tab>", false, false)
	d.addToken("<tab><tab>", false, false)
	d.addToken("<tab><tab>!", true, false)
	d.addToken("a b", false, true)
	d.addToken("▁▁", false, false)
	tok := d.parse(t)
	for _, c := range []struct{ text, plain, special string }{
		{"<tab>b", "<tab> b", "<tab> b"},
		{"<tab><tab><tab>", "<tab><tab> <tab>", "<tab><tab> <tab>"},
		{"<tab><tab>!", "<tab><tab> <0x21>", "<tab><tab>!"},
		{"a ba▁bab", "a b a b ab", "a b a b ab"},
		{"a  ▁▁b", "a ▁ ▁ ▁▁ b", "a ▁ ▁ ▁▁ b"}, // spaces are no marks where the raw text is matched
		{"<|turn>ab", "< | t u r n > ab", "<|turn> ab"},
	} {
		if got := tok.spell(tok.Encode(c.text, nil)); got != c.plain {
			t.Errorf("Encode(%q) = %s, want %s", c.text, got, c.plain)
		}
		if got := tok.spell(tok.EncodeSpecial(c.text, nil)); got != c.special {
			t.Errorf("EncodeSpecial(%q) = %s, want %s", c.text, got, c.special)
		}
	}
	if got := tok.Encode("a", []int32{7}); !slices.Equal(got, []int32{7, tok.ids["a"]}) {
		t.Errorf("Encode does not append: %v", got)
	}
}

func TestOpenErrors(t *testing.T) {
	vocab := func(d doc) map[string]any { return d.model()["vocab"].(map[string]any) }
	added := func(d doc, i int) doc { return d["added_tokens"].([]any)[i].(doc) }
	for name, c := range map[string]struct {
		change func(d doc)
		want   string
		kind   any
	}{
		"model type":         {func(d doc) { d.model()["type"] = "WordPiece" }, `model type "WordPiece"`, new(UnsupportedError)},
		"no byte fallback":   {func(d doc) { d.model()["byte_fallback"] = false }, "byte_fallback", new(UnsupportedError)},
		"normalizer":         {func(d doc) { d["normalizer"] = doc{"type": "NFKC"} }, `normalizer {"type":"NFKC"}`, new(UnsupportedError)},
		"no normalizer":      {func(d doc) { d["normalizer"] = nil }, "normalizer null", new(UnsupportedError)},
		"pre-tokenizer":      {func(d doc) { d["pre_tokenizer"] = doc{"type": "ByteLevel"} }, "ByteLevel", new(UnsupportedError)},
		"decoder":            {func(d doc) { delete(d, "decoder") }, "decoder null", new(UnsupportedError)},
		"dropout":            {func(d doc) { d.model()["dropout"] = 0.1 }, "model.dropout 0.1", new(UnsupportedError)},
		"ignore merges":      {func(d doc) { d.model()["ignore_merges"] = true }, "ignore_merges", new(UnsupportedError)},
		"prefix":             {func(d doc) { d.model()["continuing_subword_prefix"] = "##" }, "##", new(UnsupportedError)},
		"strip":              {func(d doc) { added(d, 0)["lstrip"] = true }, `"<unk>" with single_word`, new(UnsupportedError)},
		"byte token missing": {func(d doc) { v := vocab(d); v["new"] = v["<0x0A>"]; delete(v, "<0x0A>") }, "<0x0A>", new(UnsupportedError)},
		"byte is special":    {func(d doc) { a := added(d, 1); a["content"], a["id"] = "<0x41>", vocab(d)["<0x41>"] }, "<0x41>", new(FormatError)},
		"gap in ids":         {func(d doc) { vocab(d)["a"] = 5000 }, `"a" has id 5000`, new(FormatError)},
		"id twice":           {func(d doc) { vocab(d)["a"] = vocab(d)["b"] }, `"a" and "b"`, new(FormatError)},
		"negative id":        {func(d doc) { vocab(d)["a"] = -1 }, "want a whole number of 0 or more, found '-'", new(FormatError)},
		"fraction as id":     {func(d doc) { vocab(d)["a"] = 1.5 }, "want a whole number of 0 or more, found '.'", new(FormatError)},
		"id as text":         {func(d doc) { vocab(d)["a"] = "1" }, `want a whole number of 0 or more, found '"'`, new(FormatError)},
		"id of 32 bits":      {func(d doc) { vocab(d)["a"] = 1 << 31 }, "token id 2147483648 is too large", new(FormatError)},
		"empty token":        {func(d doc) { vocab(d)[""] = 3 }, "token of 0 bytes", new(FormatError)},
		"long token":         {func(d doc) { vocab(d)[strings.Repeat("a", maxToken+1)] = 3 }, "1025 bytes", new(FormatError)},
		"added id differs":   {func(d doc) { added(d, 2)["id"] = 7 }, `"<turn|>" has id 7`, new(FormatError)},
		"added twice":        {func(d doc) { added(d, 2)["content"], added(d, 2)["id"] = "<unk>", 0 }, `"<unk>" occurs twice`, new(FormatError)},
		"added without id":   {func(d doc) { delete(added(d, 2), "id") }, "without an id", new(FormatError)},
		"added empty":        {func(d doc) { added(d, 2)["content"] = "" }, "content of 1", new(FormatError)},
		"unknown unk":        {func(d doc) { d.model()["unk_token"] = "[UNK]" }, "[UNK]", new(FormatError)},
		"unknown merge":      {func(d doc) { d.model()["merges"] = []string{"a b", "a x"} }, `merge 1 of "a" and "x"`, new(FormatError)},
		"merge of one":       {func(d doc) { d.model()["merges"] = []string{"ab"} }, "not two tokens", new(FormatError)},
		"merge of three":     {func(d doc) { d.model()["merges"] = []any{[]string{"a", "b", "a"}} }, "merge of 3 tokens", new(FormatError)},
		"merge of nothing":   {func(d doc) { d.model()["merges"] = []any{[]string{"", "ab"}} }, "empty token", new(FormatError)},
		"merge of numbers":   {func(d doc) { d.model()["merges"] = []any{[]int{1, 2}} }, `want '"', found '1'`, new(FormatError)},
		"merge twice":        {func(d doc) { d.model()["merges"] = []string{"a b", "a b"} }, "occurs twice", new(FormatError)},
		"no merges":          {func(d doc) { delete(d.model(), "merges") }, "merges is missing", new(FormatError)},
		"no model":           {func(d doc) { delete(d, "model") }, `model type ""`, new(UnsupportedError)},
	} {
		d := smallDoc([]string{"a b"}, "ab")
		c.change(d)
		_, err := parse(d.bytes())
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, c.kind) {
			t.Errorf("%s: error %v, want a %T with %q", name, err, c.kind, c.want)
		}
	}

	good := string(smallDoc([]string{"a b"}, "ab").bytes())
	for name, text := range map[string]string{
		"empty":          "",
		"no JSON":        "GGUF",
		"cut":            good[:len(good)-1],
		"more":           good + "{}",
		"comma":          strings.Replace(good, `"version"`, `,"version"`, 1),
		"key twice":      strings.Replace(good, `"version":"1.0"`, `"padding":null`, 1),
		"token twice":    strings.Replace(good, `"ab":`, `"\u0061b":0,"ab":`, 1),
		"bare newline":   strings.Replace(good, `"1.0"`, "\"1\n0\"", 1),
		"bad escape":     strings.Replace(good, `"1.0"`, `"\q"`, 1),
		"no UTF-8":       strings.Replace(good, `"1.0"`, "\"\xff\"", 1),
		"deeply nested":  strings.Replace(good, `"1.0"`, strings.Repeat("[", 10000)+strings.Repeat("]", 10000), 1),
		"literal":        strings.Replace(good, `"1.0"`, "nul", 1),
		"wrong brackets": strings.Replace(good, `"1.0"`, "[1}", 1),
	} {
		_, err := parse([]byte(text))
		var format FormatError
		if !errors.As(err, &format) {
			t.Errorf("%s: error %v, want a FormatError", name, err)
		}
	}

	dir := t.TempDir()
	path := filepath.Join(dir, "tokenizer.json")
	if _, err := Open(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("broken file: %v does not name it", err)
	}
}

// What opens is JSON by the standard library's measure, and works.
func FuzzOpen(f *testing.F) {
	d := smallDoc([]any{[]string{"a", "b"}}, "ab")
	d.addToken("<tab>", false, true)
	f.Add(d.bytes())
	f.Add(smallDoc([]string{"a b", "▁ a"}, "ab", "▁a").bytes())
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":["\ud800 b"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := parse(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("opened, but no JSON: %q", data)
		}
		for _, text := range []string{"ab <|turn>\n<tab>é", string(data[:min(len(data), 300)])} {
			checkRoundTrip(t, tok, text)
		}
	})
}

// gemmaSized writes a tokenizer.json with the counts of Gemma 4: 262,144
// tokens and 514,906 merges. The words are all strings of twelve letters,
// shortest first, so that each can be cut in two anywhere.
func gemmaSized() []byte {
	const tokens, merges = 262144, 514906
	d := smallDoc(nil)
	vocab := d.model()["vocab"].(map[string]any)
	words := strings.Split("абвгдежзиклм", "")
	for _, w := range words {
		vocab[w] = len(vocab)
	}
	var pairs [][2]string
	for i, letters := 0, words[:12:12]; len(vocab) < tokens; i++ {
		for _, c := range letters {
			w := words[i] + c
			words = append(words, w)
			if len(vocab) < tokens {
				vocab[w] = len(vocab)
				pairs = append(pairs, [2]string{words[i], c})
			}
		}
	}
	for _, w := range words {
		for i := range w[:len(w)-2] { // letters of two bytes; the last cut is above
			if i > 0 && len(pairs) < merges && vocab[w] != nil {
				pairs = append(pairs, [2]string{w[:i], w[i:]})
			}
		}
	}
	d.model()["merges"] = pairs
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(err)
	}
	return data
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, gemmaSized(), 0o666); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		tok, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(tok.Size()), "tokens")
		b.ReportMetric(float64(len(tok.merged)), "merges")
	}
}

func BenchmarkEncode(b *testing.B) {
	tok := open(b, "golden/checkpoints/tiny-e")
	for name, text := range map[string]string{
		"prompt": "Read the text in this image and give the box of every line as JSON.",
		"1MB":    strings.Repeat("The committee will meet again on Tuesday.\n", 1<<20/42),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var ids []int32
			for b.Loop() {
				ids = tok.Encode(text, ids[:0])
			}
		})
	}
}
