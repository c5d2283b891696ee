package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"facet/internal/strictjson"
)

// maxDepth is the deepest nesting of the model's values that is read: what becomes of
// them must be JSON that is read again.
const maxDepth = strictjson.MaxDepth

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
	r := strictjson.NewReader(data)
	v := readValue(r)
	r.End()
	switch err := r.Err(); {
	case err == nil:
		return v, nil
	case !json.Valid(data):
		return nil, FormatError("not JSON: " + err.Error())
	default:
		return nil, FormatError(err.Error())
	}
}

func readValue(r *strictjson.Reader) any {
	switch r.Peek() {
	case '{':
		o := object{}
		r.Object(func(key string) { o = append(o, member{key, readValue(r)}) })
		return o
	case '[':
		list := []any{}
		r.Array(func() { list = append(list, readValue(r)) })
		return list
	case '"':
		return r.Text(strictjson.NoLimit)
	case 't', 'f':
		return r.Bool()
	case 'n':
		r.Skip()
		return nil
	default:
		return json.Number(r.Raw())
	}
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
