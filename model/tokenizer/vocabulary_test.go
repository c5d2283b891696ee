package tokenizer

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/internal/weights/gguf"
)

// vocabulary reads the vocabulary of a GGUF file.
func vocabulary(t *testing.T, name string) (v Vocabulary) {
	t.Helper()
	f, err := gguf.Open(fixtures.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var errs [3]error
	var types []uint64
	v.Tokens, _, errs[0] = f.Strings("tokenizer.ggml.tokens")
	v.Merges, _, errs[1] = f.Strings("tokenizer.ggml.merges")
	types, _, errs[2] = f.Uints("tokenizer.ggml.token_type")
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for _, n := range types {
		v.Types = append(v.Types, int(n))
	}
	return v
}

// A converted file has the tokenizer of the checkpoint it was made from, in every part.
func TestNewAsOpen(t *testing.T) {
	for _, name := range []string{"tiny-e", "tiny-dense", "tiny-moe", "tiny-unified"} {
		want := open(t, "golden/checkpoints/"+name)
		v := vocabulary(t, "golden/gguf/"+name+"-bf16.gguf")
		got, err := New(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range reflect.TypeFor[Tokenizer]().NumField() {
			field := reflect.TypeFor[Tokenizer]().Field(i).Name
			a, b := reflect.ValueOf(got).Elem().Field(i), reflect.ValueOf(want).Elem().Field(i)
			// Fields are unexported: their printed form is compared, maps of it in order of keys.
			if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
				t.Errorf("%s: %s differs: %.200s, want %.200s", name, field, x, y)
			}
		}

		// Without types, which count for nothing here.
		v.Types = nil
		plain, err := New(v)
		if err != nil || !slices.Equal(plain.special, want.special) {
			t.Errorf("%s: without types: %v, or other control tokens", name, err)
		}
	}
}

// bytesAnd is a vocabulary of the byte tokens, then more.
func bytesAnd(more ...string) (v Vocabulary) {
	for b := range 256 {
		v.Tokens = append(v.Tokens, fmt.Sprintf("<0x%02X>", b))
	}
	v.Tokens = append(v.Tokens, more...)
	return v
}

// A vocabulary taken from a tokenizer makes it again, and is what a converter writes,
// except that <|video|> is a control token.
func TestVocabulary(t *testing.T) {
	for _, name := range []string{"golden/checkpoints/tiny-e", "nano"} {
		tok := open(t, name)
		v := tok.Vocabulary()
		again, err := New(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(again, tok) {
			t.Errorf("%s: another tokenizer", name)
		}
		if name == "nano" {
			continue
		}
		want := vocabulary(t, "golden/gguf/tiny-e-bf16.gguf")
		video, _ := tok.ID("<|video|>")
		want.Types[video] = typeControl
		if !reflect.DeepEqual(v, want) {
			t.Errorf("%s: tokens equal: %v, merges: %v, types: %v", name, slices.Equal(v.Tokens, want.Tokens), slices.Equal(v.Merges, want.Merges), slices.Equal(v.Types, want.Types))
		}
	}

	// A merge that reads a control token's letters is left out.
	with := bytesAnd("a", "b", "ab", "<|tool>", "<|", "tool>")
	with.Merges = []string{"a b", "<| tool>"}
	tok, err := New(with)
	if err != nil {
		t.Fatal(err)
	}
	if v := tok.Vocabulary(); !slices.Equal(v.Merges, []string{"a b"}) {
		t.Errorf("merges %q", v.Merges)
	}
}

func TestNewTypes(t *testing.T) {
	v := bytesAnd("a", "b", "ab", "<x>", "<|video|>", "<|tool>", "▁")
	v.Types = make([]int, len(v.Tokens))
	v.Types[258] = typeAdded
	v.Types[259] = typeControl
	v.Types[261] = typeAdded // as converters have it
	tok, err := New(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text          string
		plain, prompt []int32
	}{
		{"a b", []int32{256, 262, 257}, []int32{256, 262, 257}},
		{"ab", []int32{258}, []int32{258}}, // no merge makes it
		{"<x>", []int32{'<', 'x', '>'}, []int32{259}},
		{"<|tool>", []int32{'<', '|', 't', 'o', 'o', 'l', '>'}, []int32{261}},
		{"<|video|>", nil, []int32{260}},
	} {
		if got := tok.Encode(c.text, nil); c.plain != nil && !slices.Equal(got, c.plain) {
			t.Errorf("Encode(%q) = %v, want %v", c.text, got, c.plain)
		}
		if got := tok.EncodeSpecial(c.text, nil); !slices.Equal(got, c.prompt) {
			t.Errorf("EncodeSpecial(%q) = %v, want %v", c.text, got, c.prompt)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	with := func(change func(v *Vocabulary)) Vocabulary {
		v := bytesAnd("a", "b", "ab")
		change(&v)
		return v
	}
	for name, c := range map[string]struct {
		v    Vocabulary
		want string
	}{
		"empty":                 {Vocabulary{}, "0 tokens"},
		"too many":              {Vocabulary{Tokens: make([]string, maxTokens+1)}, "1048577 tokens"},
		"a token empty":         {bytesAnd(""), "token 256 has 0 bytes"},
		"a token too long":      {bytesAnd(strings.Repeat("x", maxToken+1)), "token 256 has 1025 bytes"},
		"a token not UTF-8":     {bytesAnd("\xff"), "token 256 has 1 bytes or is not UTF-8"},
		"a token twice":         {bytesAnd("a", "a"), `token "a" is both 256 and 257`},
		"types too few":         {with(func(v *Vocabulary) { v.Types = []int{1} }), "1 token types for 259 tokens"},
		"no bytes":              {Vocabulary{Tokens: []string{"a"}}, "byte_fallback without the token <0x00>"},
		"a byte for control":    {with(func(v *Vocabulary) { v.Types = make([]int, 259); v.Types[65] = typeControl }), "byte token <0x41> is marked as special"},
		"merge of one":          {with(func(v *Vocabulary) { v.Merges = []string{"ab"} }), `merge 0, "ab", is not two tokens`},
		"merge of three":        {with(func(v *Vocabulary) { v.Merges = []string{"a b ab"} }), `is not two tokens`},
		"merge without a left":  {with(func(v *Vocabulary) { v.Merges = []string{" a"} }), `is not two tokens`},
		"merge without a right": {with(func(v *Vocabulary) { v.Merges = []string{"a "} }), `is not two tokens`},
		"merge of no token":     {with(func(v *Vocabulary) { v.Merges = []string{"a b", "a c"} }), `merge 1 of "a" and "c": not in the vocabulary`},
		"merge to no token":     {with(func(v *Vocabulary) { v.Merges = []string{"b a"} }), `not in the vocabulary`},
		"merge twice":           {with(func(v *Vocabulary) { v.Merges = []string{"a b", "a b"} }), `merge of "a" and "b" occurs twice`},
	} {
		_, err := New(c.v)
		var format FormatError
		var unsupported UnsupportedError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &format) && !errors.As(err, &unsupported) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
