package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// strictLines reads a reply as a program would that knows nothing of repairs: a JSON list, alone, in a code fence or after
// prose, of objects that each have a text and a box of four finite numbers. It is independent of the reader.
func strictLines(reply string) (lines []string, ok bool) {
	from, to := strings.Index(reply, "[{"), strings.LastIndex(reply, "]")
	if from < 0 || to < from {
		rest := strings.Trim(strings.TrimSpace(reply), "`jsn\n")
		return nil, rest == "[]" || rest == "" // which has a warning
	}
	var list []struct {
		Text  *json.RawMessage `json:"text"`
		Box   []side           `json:"box_2d"`
		Box2D []side           `json:"box2d"` // as good
	}
	if json.Unmarshal([]byte(reply[from:to+1]), &list) != nil {
		return nil, false
	}
	for _, e := range list {
		var s string
		if e.Text == nil || len(e.Box)+len(e.Box2D) != 4 {
			return nil, false
		}
		if json.Unmarshal(*e.Text, &s) != nil || s == "" {
			var n float64
			if json.Unmarshal(*e.Text, &n) != nil || string(*e.Text) == "null" { // a number may be printed as one
				return nil, false
			}
			s = string(*e.Text)
		}
		lines = append(lines, s)
	}
	return lines, true
}

// side is a finite number, as one or as text.
type side float64

func (s *side) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	if err == nil && (math.IsInf(n, 0) || math.IsNaN(n)) {
		err = errors.New("not finite")
	}
	*s = side(n)
	return err
}

// mutations spoil a reply, or give it another form, at a place.
var mutations = []func(r *rand.Rand, s string) string{
	func(r *rand.Rand, s string) string { return "```json\n" + s + "\n```" },
	func(r *rand.Rand, s string) string { return "```\n" + s },
	func(r *rand.Rand, s string) string { return "Here is the text:\n" + s },
	func(r *rand.Rand, s string) string { return s + "\nI hope that helps." },
	func(r *rand.Rand, s string) string { return s[:r.IntN(len(s)+1)] },
	func(r *rand.Rand, s string) string { i := r.IntN(len(s) + 1); return s[:i] + `"` + s[i:] },
	func(r *rand.Rand, s string) string {
		i := r.IntN(len(s) + 1)
		return s[:i] + s[min(len(s), i+1+r.IntN(9)):]
	},
	func(r *rand.Rand, s string) string {
		i := r.IntN(len(s) + 1)
		return s[:i] + string([]byte{byte(r.IntN(256))}) + s[i:]
	},
	func(r *rand.Rand, s string) string { i := r.IntN(len(s) + 1); return s[:i] + s },
	one(`"text":`, `"text":"first","text":`), one(`"box_2d":`, `"box_2d":[1,2,3,4],"box_2d":`),
	one("100", "1e999"), one("100", "NaN"), one("100", "Infinity"), one("100", "null"), one("100", "true"), one("100", `"100"`), one("100", "-1e3"), one("100", "0x64"),
	one("100,", ""), one("100,", "100,100,"), one("[100", "[[100"), one(`"text"`, `"txt"`), one(`"text":"`, `"text":null,"x":"`),
	one(`"text":"`, `"text":["`), one(`"text":"`, `"text":1,"x":"`), one(`{"box`, `{"n":[{}],"box`), one("},{", "}{"), one("},{", "},,{"), one("}]", "},]"), one("]", ""), one("}", ""),
}

// one changes one of the places at which a text stands.
func one(from, to string) func(*rand.Rand, string) string {
	return func(r *rand.Rand, s string) string {
		n := strings.Count(s, from)
		if n == 0 {
			return s
		}
		at := 0
		for range r.IntN(n) {
			at += strings.Index(s[at:], from) + len(from)
		}
		return s[:at] + strings.Replace(s[at:], from, to, 1)
	}
}

// Of ten thousand replies that are spoiled in one to three ways each is marked, unless it is right for a strict reader too, with
// the same lines; and whatever is kept of it is within the page.
func TestMutatedReplies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	accepted := 0
	for i := range 10_000 {
		var entries []string
		for n := range 1 + r.IntN(4) {
			entries = append(entries, fmt.Sprintf(`{"box_2d":[100,%d,%d,100],"text":"line %d \u00e9"}`, r.IntN(50), 110+50*n, n+1))
		}
		reply := "[" + strings.Join(entries, ",") + "]"
		for range 1 + r.IntN(3) {
			reply = mutations[r.IntN(len(mutations))](r, reply)
		}
		rec := read(reply, FinishStop, BoxesLine)
		for _, b := range rec.Blocks {
			x := b.Box
			if x != (Box{}) && !(0 <= x[0] && x[0] < x[2] && x[2] <= 500 && 0 <= x[1] && x[1] < x[3] && x[3] <= 200) || b.Text == "" {
				t.Fatalf("reply %d %q: block %+v", i, reply, b)
			}
			for _, v := range b.Box2D {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("reply %d %q: block %+v", i, reply, b)
				}
			}
		}
		if line, err := rec.Line(); err != nil || !json.Valid(line) {
			t.Fatalf("reply %d %q: %v, %s", i, reply, err, line)
		}
		lines, ok := strictLines(reply)
		if rec.Finish == FinishStop {
			accepted++
			same := strings.Join(lines, "\n") == rec.Text || len(rec.Warnings) > 0 // of what was left out
			if !ok || !same {
				t.Errorf("reply %d %q is taken for right, with %q; strictly it is %v, %q", i, reply, rec.Text, ok, lines)
			}
		} else if rec.Finish != FinishSchema {
			t.Errorf("reply %d %q ends with %s", i, reply, rec.Finish)
		}
		if cut := read(reply, FinishLength, BoxesLine); cut.Finish != FinishLength {
			t.Errorf("reply %d %q, cut: %s", i, reply, cut.Finish)
		}
	}
	t.Logf("%d of 10,000 were right", accepted)
	if accepted < 1000 || accepted > 5000 {
		t.Error("that is not what mutations do")
	}
}
