package model

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"facet/fixtures"
	"facet/model/tokenizer"
)

// pieces is a vocabulary for the guard.
type pieces struct {
	name   string
	encode func(text string) []int32
	bytes  func(int32) []byte
}

// vocabularies are that of the small checkpoint, which has numbers up to 1000 as tokens in coordinates and hardly more than letters
// otherwise, and one that cuts text as Gemma's does: words with the space before them, rows of the same
// sign, and digits one by one.
func vocabularies(t *testing.T) []pieces {
	t.Helper()
	nano, err := tokenizer.Open(fixtures.Path("nano/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	ids, texts := map[string]int32{}, []string{}
	return []pieces{
		{"nano", func(s string) []int32 { return nano.Encode(s, nil) }, nano.Bytes},
		{"like Gemma's", func(s string) []int32 {
			var out []int32
			for _, piece := range gemmaPieces.FindAllString(s, -1) {
				id, ok := ids[piece]
				if !ok {
					id = int32(len(texts))
					ids[piece], texts = id, append(texts, piece)
				}
				out = append(out, id)
			}
			return out
		}, func(id int32) []byte { return []byte(texts[id]) }},
	}
}

var gemmaPieces = regexp.MustCompile(` ?\pL{1,8}|\d|\n{1,16}|\.{1,16}|-{1,16}|_{1,16}|={1,16}| {2,16}| ?\[?\{?"|"[:,}\]]|\},|(?s:.)`)

// stopsAt feeds a reply to a guard and returns the tokens read when it stopped, or 0.
func (v pieces) stopsAt(ids []int32) (int, Loop) {
	g := loopGuard{bytes: v.bytes}
	for i := range ids {
		if l, ok := g.add(ids[:i+1]); ok {
			return i + 1, l
		}
	}
	return 0, Loop{}
}

func (v pieces) text(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.Write(v.bytes(id))
	}
	return b.String()
}

func full() bool { return os.Getenv("FACET_FULL") != "" }

// Two thousand pages that repeat themselves are read to their ends, as text and as lines with boxes.
func TestLoopsPages(t *testing.T) {
	pages := 200
	if full() {
		pages = 2000
	}
	kinds := slices.Sorted(maps.Keys(pageKinds))
	for _, v := range vocabularies(t) {
		t.Run(v.name, func(t *testing.T) {
			tokens, false_ := 0, 0
			for i := range pages {
				r := rand.New(rand.NewPCG(7, uint64(i)))
				kind := kinds[i%len(kinds)]
				lines := pageKinds[kind](r)
				// The small checkpoint writes its objects in a row, the released ones each on a line.
				for form, text := range map[string]string{"text": strings.Join(lines, "\n"), "JSON": asJSON(r, lines, v.name == "nano")} {
					ids := v.encode(text)
					tokens += len(ids)
					if at, l := v.stopsAt(ids); at > 0 {
						false_++
						if false_ < 10 {
							t.Logf("page %d, %s as %s: stopped after %d of %d tokens, %d times: %.300q", i, kind, form, at, len(ids), l.Times, v.text(ids[l.Keep:at]))
						}
					}
				}
			}
			t.Logf("%d pages in 2 forms, %d tokens, %d stopped", pages, tokens, false_)
			if false_ > 2*pages/2000 {
				t.Errorf("%d of %d pages were stopped", false_, pages)
			}
		})
	}
}

// madeLoop is a reply that goes into a loop.
type madeLoop struct {
	kind   string
	prefix []int32
	period int // tokens
	round  func(i int) []int32
	least  int // repetitions for which the guard is to wait
}

// madeLoops are loops of every period in each form.
func madeLoops(v pieces, n int) []madeLoop {
	var out []madeLoop
	kinds := slices.Sorted(maps.Keys(pageKinds))
	for i := range n {
		r := rand.New(rand.NewPCG(8, uint64(i)))
		period := 1 + i%loopLongest
		page := strings.Join(pageKinds[kinds[r.IntN(len(kinds))]](r), "\n")
		l := madeLoop{period: period, prefix: v.encode(page[:min(len(page), r.IntN(1500))] + "\n")}
		var letters []int32 // tokens to choose from
		for _, id := range v.encode(words(r, 200)) {
			if unicode.IsLetter(rune(v.bytes(id)[len(v.bytes(id))-1])) {
				letters = append(letters, id)
			}
		}
		some := func(n int) []int32 {
			round := make([]int32, n)
			for i := range round {
				round[i] = letters[r.IntN(len(letters))]
			}
			return round
		}
		line := v.encode("\n")
		object := func(y int, text string) []int32 {
			return v.encode(fmt.Sprintf(`{"box_2d":[%d,100,%d,900],"text":"%s"},`, y, y, text))
		}
		if v.name != "nano" { // whose checkpoint writes no other form
			object = func(y int, text string) []int32 {
				return v.encode(fmt.Sprintf("  {\"box_2d\": [%d, 100, %d, 900], \"text\": \"%s\"},\n", y, y, text))
			}
		}
		objectText := v.text(some(max(1, period-len(object(999, "")))))
		l.kind = []string{"in a line", "lines", "three lines", "boxes that march", "one box"}[i%5]
		switch {
		case l.kind == "lines" && period > 2:
			round := append(some(period-1), line...)
			l.round, l.least = func(int) []int32 { return round }, loopPage
		case l.kind == "three lines" && period > 8:
			var round []int32
			for range 2 {
				round = append(append(round, some(period/3-1)...), line...)
			}
			round = append(append(round, some(period-len(round)-1)...), line...)
			l.round, l.least = func(int) []int32 { return round }, loopPage/3+1
		case l.kind == "boxes that march": // down the page and then along its end
			y, step := r.IntN(900), 1+r.IntN(20)
			l.round, l.least = func(i int) []int32 { return object(min(999, y+i*step), objectText) }, loopPage
			l.prefix, l.period = v.encode("["), len(object(999, objectText))
		case l.kind == "one box":
			round := object(100+r.IntN(800), objectText)
			l.round, l.least = func(int) []int32 { return round }, loopRounds
			l.prefix, l.period = v.encode("["), len(round)
		default:
			l.kind = "in a line"
			round := some(period)
			l.round, l.least = func(int) []int32 { return round }, (rowTokens(period)+period-1)/period
		}
		out = append(out, l)
	}
	return out
}

// Four hundred loops are stopped: those of up to 20 tokens one repetition after the guard's least at the latest, others
// within 2,048 tokens. What is kept is the text before and one round.
func TestLoopsAreStopped(t *testing.T) {
	for _, v := range vocabularies(t) {
		t.Run(v.name, func(t *testing.T) {
			most, kinds := 0, map[string]int{}
			for i, l := range madeLoops(v, 400) {
				ids := slices.Clone(l.prefix)
				for n := 0; len(ids) < len(l.prefix)+12000; n++ {
					ids = append(ids, l.round(n)...)
				}
				at, loop := v.stopsAt(ids)
				took := at - len(l.prefix)
				limit := 2048
				if l.period <= loopCell {
					limit = (l.least + 1) * l.period
				}
				switch {
				case at == 0:
					t.Errorf("loop %d, %s of %d tokens: not stopped: %.200q", i, l.kind, l.period, v.text(l.round(0)))
				case took > limit:
					t.Errorf("loop %d, %s of %d tokens: stopped after %d tokens, want %d", i, l.kind, l.period, took, limit)
				case loop.Keep < len(l.prefix) || loop.Times < loopRounds || at-loop.Keep < (loopRounds-2)*l.period ||
					loop.Keep > len(l.prefix)+2*l.period && l.kind != "boxes that march": // who stay at the end of the page may be kept up to there
					t.Errorf("loop %d, %s of %d tokens from %d on: %+v", i, l.kind, l.period, len(l.prefix), loop)
				}
				most = max(most, took)
				kinds[l.kind]++
			}
			t.Logf("at most %d tokens; %v", most, kinds)
		})
	}
}

// The edges of the guard, one by one.
func TestLoopEdges(t *testing.T) {
	v := vocabularies(t)[0]
	lines := func(n int, line func(int) string) string {
		return strings.Join(slicesOf(n, line), "\n") + "\n"
	}
	r := rand.New(rand.NewPCG(1, 2))
	same := func(s string) func(int) string { return func(int) string { return s } }
	entry := func(y int, text string) string {
		return fmt.Sprintf(`{"box_2d":[%d,1,%d,9],"text":"%s"},`, y, y+5, text)
	}
	for _, c := range []struct {
		name string
		text string
		want bool
	}{
		{"nothing", "", false},
		{"a line of 255 signs", "start " + strings.Repeat("*", 255), false},
		{"a line of 256 signs", "start " + strings.Repeat("*", 256), true},
		{"79 equal lines", lines(79, same("never again")), false},
		{"80 equal lines", lines(80, same("never again")), true},
		{"99 lines of zeros", lines(99, same("0.00")), false},
		{"100 lines of zeros", lines(100, same("0.00")), true},
		{"80 lines in pairs", lines(80, func(i int) string { return []string{"in", "out"}[i%2] }), true},
		{"eleven long rounds", lines(11*30, func(i int) string { return fmt.Sprint("line number ", i%30*i%30) }), false},
		{"other tokens, the same line", lines(80, func(i int) string { return []string{"a  b", "a b"}[i%2] }), true},
		{"24 long lines, too short in all", lines(24, same(words(r, 9))), false},
		{"40 long lines", lines(40, same(words(r, 9))), true},
		{"39 wide lines", lines(39, same(words(r, 40))), false},
		{"40 wide lines", lines(40, same(words(r, 40))), true},
		{"79 entries march", "[" + strings.Join(slicesOf(79, func(i int) string { return entry(10*i, "Total") }), ""), false},
		{"80 entries march", "[" + strings.Join(slicesOf(80, func(i int) string { return entry(10*i, "Total") }), ""), true},
		{"11 entries at one place", "[" + strings.Repeat(entry(7, "Total"), 11), false},
		{"12 entries at one place", "[" + strings.Repeat(entry(7, "Total"), 12), true},
		{"assignments", lines(150, func(i int) string { return fmt.Sprintf("    x[%d] = 0;", i) }), false},
		{"rows of a matrix", lines(30, same("    a.append([0, 0, 0, 0])")), false},
		{"entries of other amounts", "[" + strings.Join(slicesOf(300, func(i int) string { return entry(3*i, fmt.Sprint(i*i%997)) }), ""), false},
		{"199 that count", lines(199, func(i int) string { return fmt.Sprintf("Item %d", i+1) }), false},
		{"200 that count", lines(200, func(i int) string { return fmt.Sprintf("Item %d", i+1) }), true},
		{"many that count down in tens", lines(200, func(i int) string { return fmt.Sprintf("Item %d, page 1", 9000-10*i) }), true},
		{"300 numbers", lines(300, func(i int) string { return fmt.Sprint(i) }), false},
		{"300 readings", lines(300, func(i int) string { return fmt.Sprintf("Item %d", i*i) }), false},
		{"line breaks without end", "end" + strings.Repeat("\n \n \t \n", 400), true},
		{"a loop that was left", strings.Repeat("*", 200) + words(r, 300), false},
	} {
		at, l := v.stopsAt(v.encode(c.text))
		if (at > 0) != c.want {
			t.Errorf("%s: stopped at %d, %+v", c.name, at, l)
		}
	}
}

// What is kept ends where the first round does.
func TestLoopKeeps(t *testing.T) {
	for _, v := range vocabularies(t) {
		for _, c := range []struct{ text, want string }{
			{"Dear Sir,\nyes " + strings.Repeat("no maybe ", 400), "Dear Sir,\nyes no maybe"},
			{"title\n" + strings.Repeat("the same line\n", 100), "title\nthe same line\n"},
			{"title\n" + strings.Repeat("one\ntwo\n", 100), "title\none\ntwo\n"},
			{"[{\"text\":\"a\"}," + strings.Repeat(`{"box_2d":[1,2,3,4],"text":"b"},`, 100), `[{"text":"a"},{"box_2d":[1,2,3,4],"text":"b"}`},
		} {
			ids := v.encode(c.text)
			at, l := v.stopsAt(ids)
			if at == 0 {
				t.Errorf("%s: %.40q is not stopped", v.name, c.text)
				continue
			}
			got := strings.TrimRightFunc(v.text(ids[:l.Keep]), func(r rune) bool { return r == ' ' })
			if rest, ok := strings.CutPrefix(got, strings.TrimRight(c.want, " ")); !ok || strings.ContainsFunc(strings.TrimPrefix(rest, `,{"box_2d":`), unicode.IsLetter) {
				t.Errorf("%s: kept %q, want %q", v.name, got, c.want)
			}
		}
	}
}

// Without a tokenizer there are no lines to look at.
func TestLoopWithoutText(t *testing.T) {
	g := loopGuard{}
	var ids []int32
	for i := range 1000 {
		ids = append(ids, int32(i%5))
		if l, ok := g.add(ids); ok {
			if len(ids) != 256 || l != (Loop{5, 51}) {
				t.Errorf("stopped after %d: %+v", len(ids), l)
			}
			return
		}
	}
	t.Error("not stopped")
}
