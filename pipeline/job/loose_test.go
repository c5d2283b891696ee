package job

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plain turns a value into what encoding/json would give.
func (v *value) plain() any {
	switch v.kind {
	case object:
		m := map[string]any{}
		for i, k := range v.keys {
			m[k] = v.items[i].plain()
		}
		return m
	case array:
		l := []any{}
		for i := range v.items {
			l = append(l, v.items[i].plain())
		}
		return l
	case number:
		return v.number
	case text:
		return v.text
	}
	switch v.text {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	return v.text
}

// FuzzLoose: what is valid JSON is read as encoding/json reads it.
func FuzzLoose(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `[[],{}]`, `"a"`, `1`, ` [1 , -2.5e3,true , null] `, `{"a":"b","c":{"d":["e"]},"a":2}`,
		`{"a\"b":"c\\","d":"e, \"f\": g","h":"]}"}`, `["\u00e9\ud83d\ude00\ud800x\/",""]`, `{"":"","a":""}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := looseParser{s: s}
		v := p.parse(0, true)
		if v.start > v.end || v.end > len(s) || p.values > maxValues {
			t.Fatalf("%q: span %d to %d, %d values", s, v.start, v.end, p.values)
		}
		var want any
		if err := json.Unmarshal([]byte(s), &want); err != nil || strings.Count(s, "[")+strings.Count(s, "{") > maxDepth {
			return
		}
		if d := cmp.Diff(want, v.plain()); d != "" {
			t.Fatalf("%q\nencoding/json -, ours +:\n%s", s, d)
		}
	})
}

func TestNumeral(t *testing.T) {
	for s, want := range map[string]float64{"1": 1, "-2.5e3": -2500, "+4": 4, ".5": .5, "007": 7, "1e999": math.Inf(1)} {
		if k, f := numeral(s); k != number || f != want {
			t.Errorf("numeral(%q) = %v, %v; want %v", s, k, f, want)
		}
	}
	for _, s := range []string{"", "NaN", "inf", "Infinity", "0x10", "1_000", "1-2", "e", "-", ".", "true"} {
		if k, f := numeral(s); k != word {
			t.Errorf("numeral(%q) = number %v", s, f)
		}
	}
}

// A megabyte of the worst we know takes time linear in it: milliseconds, not
// the hours of a parser that starts again at every bracket.
func TestReadIsLinear(t *testing.T) {
	const n = 1 << 20
	for _, piece := range []string{`[`, `{"`, `[{"`, `{"a":1}`, `"`, `" `, `{"text":"`, `\`, `1,`, `[{`, "[{\"text\":\"x\" \"", "```json\n", ` {"a":"b"}`} {
		s := strings.Repeat(piece, n/len(piece))
		for _, s := range []string{s, `[{"text":"` + s, strings.Repeat(" ", n/2) + s[:n/2]} {
			start := time.Now()
			read(s, FinishStop, BoxesLine)
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("1 MiB of %q took %v", piece, d)
			}
		}
	}
}
