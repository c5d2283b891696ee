package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// judge is the slow and obvious check: encoding/json reads the text token by token.
func judge(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if !judgeValue(d, 0) {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

func judgeValue(d *json.Decoder, depth int) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	open, ok := token.(json.Delim)
	if !ok {
		return true
	}
	if depth == MaxDepth || open == ']' || open == '}' {
		return false
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil || seen[key.(string)] {
				return false
			}
			seen[key.(string)] = true
		}
		if !judgeValue(d, depth+1) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// texts are read by Skip and End; want is the error, "" where there is none. They are
// the fuzzer's seeds as well.
var texts = []struct{ text, want string }{
	{`{"a":[1,-2.5e-3,true,false,null,"é\u00e9\ud83d\ude00",{}],"b":[],"A":0}`, ""},
	{" \t\r\n0 ", ""},
	{`"\ud800"`, ""},
	{nested(MaxDepth), ""},

	{"", "byte 0: want a value, found the end"},
	{"hello", "byte 0: want a value, found 'h'"},
	{"nul", "byte 0: want a value, found 'n'"},
	{"\x00", `byte 0: want a value, found '\x00'`},
	{"\ufeff{}", `byte 0: want a value, found '\ufeff'`},
	{"[\"\ufffd\xff\"]", "byte 5: not UTF-8"},
	{"{} x", "byte 3: 'x' after the end"},
	{"{}\x00", `byte 2: '\x00' after the end`},
	{"truex", "byte 4: 'x' after the end"},
	{"[1 2]", "byte 3: want ',' or ']', found '2'"},
	{"[1,]", "byte 3: want a value, found ']'"},
	{"[,1]", "byte 1: want a value, found ','"},
	{"[1}", "byte 2: want ',' or ']', found '}'"},
	{"[1", "byte 2: want ',' or ']', found the end"},
	{`{"a":1,}`, `byte 7: want '"', found '}'`},
	{`{"a" 1}`, "byte 5: want ':', found '1'"},
	{`{"a":é}`, "byte 5: want a value, found 'é'"},
	{`{a:1}`, `byte 1: want '"', found 'a'`},
	{`{"a":1,"a":2}`, `byte 7: key "a" is there twice`},
	{`[{"a":{},"\u0061":2}]`, `byte 9: key "a" is there twice`},
	{`{"` + strings.Repeat("a", 200) + `":1,"` + strings.Repeat("a", 200) + `":1}`, strings.Repeat("a", 120) + `"… is there twice`},
	{"\"a\nb\"", "byte 2: control character 0x0a in a string"},
	{`["a`, "byte 3: string without an end"},
	{`["a\`, "byte 4: string without an end"},
	{`["\q"]`, "byte 1: string with a wrong escape"},
	{`["\u12"]`, "byte 1: string with a wrong escape"},
	{"[\"\\\n\"]", "byte 1: string with a wrong escape"},
	{"[01]", `byte 1: "01" is no number`},
	{"[-]", `byte 1: "-" is no number`},
	{"[1.]", `byte 1: "1." is no number`},
	{"[+1]", "byte 1: want a value, found '+'"},
	{"[1x]", "byte 2: want ',' or ']', found 'x'"},
	{nested(MaxDepth + 1), "byte 65: nested more than 64 deep"},
	{strings.Repeat(`{"a":`, 1000), "nested more than 64 deep"},
}

func TestSkip(t *testing.T) {
	for _, c := range texts {
		r := NewReader([]byte(c.text))
		r.Skip()
		r.End()
		if got := fmt.Sprint(r.Err()); c.want == "" && r.Err() != nil || c.want != "" && !strings.Contains(got, c.want) {
			t.Errorf("%.80s: got %s, want %q", c.text, got, c.want)
		}
		if want := c.want == ""; judge([]byte(c.text)) != want {
			t.Errorf("%.80s: the judge does not say %v", c.text, want)
		}
	}
}

// FuzzSkip: no panic, and what is accepted is what the judge accepts.
func FuzzSkip(f *testing.F) {
	for _, c := range texts {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(data)
		raw := r.Raw()
		r.End()
		if got, want := r.Err() == nil, judge(data); got != want {
			t.Fatalf("%q: sound %v, want %v (%v)", data, got, want, r.Err())
		}
		if r.Err() == nil && !bytes.Equal(raw, bytes.Trim(data, " \t\r\n")) {
			t.Fatalf("%q: Raw gives %q", data, raw)
		}
	})
}

func TestTooManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range MaxKeys + 1 {
		fmt.Fprintf(&b, `,"%d":0`, i)
	}
	text := "{" + b.String()[1:] + "}"
	r := NewReader([]byte(text))
	r.Skip()
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "more than 100000 keys") {
		t.Errorf("got %v", err)
	}
	r, n := NewReader([]byte(text)), 0
	r.Entries(func(key []byte) {
		if string(key) != strconv.Itoa(n) {
			t.Fatalf("entry %d is %q", n, key)
		}
		n++
		r.Skip()
	})
	if r.End(); r.Err() != nil || n != MaxKeys+1 {
		t.Errorf("%d entries, %v", n, r.Err())
	}
}

func TestValues(t *testing.T) {
	const text = ` { "s": "a\n\u00e9", "n": [0, 18446744073709551615], "t": true, "f": false, "z": null, "q": 1, "raw": [1, "]"] } `
	r := NewReader([]byte(text))
	var got []any
	r.Object(func(key string) {
		switch key {
		case "s":
			got = append(got, r.Text(9)) // a, \n and \u00e9 as they stand
		case "n":
			r.Array(func() { got = append(got, r.Uint64()) })
		case "t", "f":
			got = append(got, r.Bool())
		case "z":
			got = append(got, r.Null())
		case "q":
			got = append(got, r.Null(), r.Uint64())
		case "raw":
			r.Peek()
			got = append(got, text[r.Offset():r.Offset()+8], string(r.From(r.Offset()).Raw()), string(r.Raw()))
		}
	})
	r.End()
	want := []any{"a\né", uint64(0), uint64(math.MaxUint64), true, false, true, false, uint64(1), `[1, "]"]`, `[1, "]"]`, `[1, "]"]`}
	if r.Err() != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, r.Err(), want)
	}
}

func TestWrongValues(t *testing.T) {
	for _, c := range []struct {
		text string
		read func(*Reader)
		want string
	}{
		{`[1]`, func(r *Reader) { r.Object(func(string) {}) }, "byte 0: want '{', found '['"},
		{`null`, func(r *Reader) { r.Array(func() {}) }, "byte 0: want '[', found 'n'"},
		{` 1`, func(r *Reader) { r.Text(NoLimit) }, `byte 1: want '"', found '1'`},
		{` "abcd"`, func(r *Reader) { r.Text(3) }, "byte 1: string of more than 3 bytes"},
		{` "\x"`, func(r *Reader) { r.Text(3) }, "byte 1: string with a wrong escape"},
		{`-1`, func(r *Reader) { r.Uint64() }, "byte 0: want a whole number of 0 or more, found '-'"},
		{`1.5`, func(r *Reader) { r.Uint64() }, "byte 1: want a whole number of 0 or more, found '.'"},
		{`1e3`, func(r *Reader) { r.Uint64() }, "byte 1: want a whole number of 0 or more, found 'e'"},
		{`007`, func(r *Reader) { r.Uint64() }, "byte 0: number with a leading zero"},
		{`18446744073709551616`, func(r *Reader) { r.Uint64() }, "byte 0: number does not fit 64 bits"},
		{`184467440737095516150`, func(r *Reader) { r.Uint64() }, "byte 0: number does not fit 64 bits"},
		{` 1`, func(r *Reader) { r.Bool() }, "byte 1: want true or false, found '1'"},
	} {
		r := NewReader([]byte(c.text))
		if c.read(r); r.Err() == nil || r.Err().Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.text, r.Err(), c.want)
		}
	}
}

// The first error stays, callbacks end with it, and places gather in front of it.
func TestErrorSticks(t *testing.T) {
	own := errors.New("own")
	r := NewReader([]byte(`{"a":[1,"x",3],"b":2}`))
	calls := 0
	r.Object(func(key string) {
		r.Array(func() {
			calls++
			if r.Uint64(); calls == 2 {
				r.Fail("later")
				r.Stop(own)
			}
		})
		r.In(key)
	})
	r.In("file")
	if r.Uint64() != 0 || r.Text(9) != "" || r.Bool() || r.Null() || r.Raw() != nil {
		t.Error("read after an error")
	}
	r.Skip()
	r.End()
	var syntax *Error
	if got := r.Err(); calls != 2 || !errors.As(got, &syntax) || got.Error() != "file: a: byte 8: want a whole number of 0 or more, found '\"'" || syntax.Offset != 8 {
		t.Errorf("after %d calls: %v", calls, got)
	}

	r = NewReader([]byte(`1`))
	r.In("nowhere")
	r.Stop(nil)
	if r.Err() != nil {
		t.Error(r.Err())
	}
	if r.Stop(own); r.Err() != own {
		t.Errorf("got %v, want %v", r.Err(), own)
	}
}

func TestUnmarshal(t *testing.T) {
	type form struct {
		A int
		B map[string]int
	}
	for _, c := range []struct {
		text, allow, refuse string // the errors, "" for none
	}{
		{`{"A":1,"B":{"x":2}} `, "", ""},
		{`{"A":1,"C":2}`, "", `unknown field "C"`},
		{`{"A":1,"A":2}`, `byte 7: key "A" is there twice`, `byte 7: key "A" is there twice`},
		{`{"A":1,"a":2}`, "", `byte 7: key "a" is there twice`},
		{`{"A":1,"X":{"k":1,"k":1}}`, `byte 18: key "k" is there twice`, `byte 18: key "k" is there twice`},
		{`{"A":1}{}`, "byte 7: '{' after the end", "byte 7: '{' after the end"},
		{`{"A":1`, "byte 6: want ',' or '}', found the end", "byte 6: want ',' or '}', found the end"},
		{`{"A":1.5}`, "cannot unmarshal number 1.5", "cannot unmarshal number 1.5"},
	} {
		for unknown, want := range map[Keys]string{AllowUnknown: c.allow, RefuseUnknown: c.refuse} {
			var v form
			err := Unmarshal([]byte(c.text), &v, unknown)
			if got := fmt.Sprint(err); want == "" && (err != nil || v.A == 0) || want != "" && !strings.Contains(got, want) {
				t.Errorf("%s, keys %d: %+v, %s, want %q", c.text, unknown, v, got, want)
			}
			if strings.HasPrefix(want, "byte") && v.A != 0 {
				t.Errorf("%s: changed to %+v in spite of %v", c.text, v, err)
			}
		}
	}
}

// refused reads a file and compares the error.
func refused(t *testing.T, path string, limit int64, want string) {
	t.Helper()
	if b, err := ReadFile(path, limit); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %q, %v, want the path and %q", path, b, err, want)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file.json")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{5, 6, 1 << 30} {
		if b, err := ReadFile(path, limit); err != nil || string(b) != "12345" {
			t.Errorf("limit %d: %q, %v", limit, b, err)
		}
	}
	refused(t, path, 4, "more than 4 bytes")
	refused(t, dir, 4, "not a regular file")
	if _, err := ReadFile(filepath.Join(dir, "none"), 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := os.Stat("/proc/cpuinfo"); err == nil { // regular, and said to have 0 bytes
		refused(t, "/proc/cpuinfo", 4, "more than 4 bytes")
	}
}
