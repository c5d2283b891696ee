package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is the deepest nesting of JSON and of the model's values that is read.
const maxDepth = 64

// A value is nil, bool, json.Number, string, []any or an object: JSON with its
// numbers as they are spelled and its keys in order.
type object []member

type member struct {
	key   string
	value any
}

func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// sorted returns the members as Jinja's dictsort does: by key in lower case,
// equal ones in the order they had.
func (o object) sorted() object {
	o = slices.Clone(o)
	slices.SortStableFunc(o, func(a, b member) int {
		return strings.Compare(strings.ToLower(a.key), strings.ToLower(b.key))
	})
	return o
}

// parseJSON reads one JSON value. Equal keys in an object and anything after
// the value are errors.
func parseJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, FormatError("JSON that is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = FormatError("more text after the JSON value")
		}
	}
	return v, err
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, FormatError(fmt.Sprintf("JSON nested deeper than %d", maxDepth))
	}
	token, err := d.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, notJSON(err)
	case json.Delim('{'):
		o := object{}
		seen := make(map[string]bool)
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, notJSON(err)
			}
			key := token.(string) // the decoder allows nothing else here
			if seen[key] {
				return nil, FormatError(fmt.Sprintf("key %q occurs twice", key))
			}
			seen[key] = true
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key, v})
		}
		_, err = d.Token()
		return o, notJSON(err)
	}
	return token, nil
}

func notJSON(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return FormatError("not JSON: " + strings.TrimPrefix(err.Error(), "json: "))
}

// appendJSON writes a value back, keys in order, numbers as they were.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(dst, v)
	case json.Number:
		return append(dst, v...)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.key), ':')
			dst = appendJSON(dst, m.value)
		}
		return append(dst, '}')
	case bool:
		return strconv.AppendBool(dst, v)
	default:
		return append(dst, "null"...)
	}
}

// appendString writes a JSON string. Unlike json.Marshal it leaves <, > and &
// as they are: nothing here goes into a web page.
func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string can always be written
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
