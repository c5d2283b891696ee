package chat

import (
	"fmt"
	"strings"

	"facet/model/tokenizer"
)

// A Span is a piece of a rendered conversation: one control token, named as in
// the vocabulary, or text that is never read as one.
type Span struct {
	Text    string
	Control bool
	Media   *Part // of a placeholder (<|image|>, <|audio|>, <|video|>): what it stands for
}

// spans is a list under construction. It joins text with text before it: one
// run of text between control tokens is one unit of byte-pair encoding, and in
// pieces it would get other ids.
type spans []Span

func (s *spans) text(text string) {
	if text == "" {
		return
	}
	if n := len(*s); n > 0 && !(*s)[n-1].Control {
		(*s)[n-1].Text += text
		return
	}
	*s = append(*s, Span{Text: text})
}

func (s *spans) control(tokens ...string) {
	for _, token := range tokens {
		*s = append(*s, Span{Text: token, Control: true})
	}
}

// quoted writes a string value.
func (s *spans) quoted(text string) {
	s.control(quote)
	s.text(text)
	s.control(quote)
}

// Text returns what the spans look like when written out, which is what the
// checkpoint's own template renders. For reading only: encoded again as text it
// may say something else, see [Encode].
func Text(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Encode appends the ids of spans to dst: a control span is its token's id, a
// text span is encoded without control tokens. A media placeholder is one id.
// The error names a control token that t lacks, as the vocabulary of a model
// other than Gemma 4 does. Text spans that are neighbours must have been joined,
// as Render does.
func Encode(t *tokenizer.Tokenizer, spans []Span, dst []int32) ([]int32, error) {
	for _, s := range spans {
		if !s.Control {
			dst = t.Encode(s.Text, dst)
			continue
		}
		id, ok := t.ID(s.Text)
		if !ok || !t.IsSpecial(id) {
			return dst, fmt.Errorf("chat: %w", UnsupportedError(fmt.Sprintf("the tokenizer has no control token %s", s.Text)))
		}
		dst = append(dst, id)
	}
	return dst, nil
}
