package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"facet/vision"
)

// read runs OCR's reader on a page of 500 x 200 pixels.
func read(reply string, finish Finish, boxes Boxes) *Record {
	rec := new(Record)
	OCR.Read(rec, []Reply{{Tokens: Plain(reply), Finish: finish, Boxes: boxes, Width: 500, Height: 200}})
	return rec
}

func TestReadOCR(t *testing.T) {
	const one = `{"box_2d":[100,200,300,400],"text":"one"}`
	const two = `{"box_2d":[400,200,500,1000],"text":"two"}`
	b1 := Block{Text: "one", Box: Box{100, 20, 200, 60}, Box2D: Box2D{100, 200, 300, 400}}
	b2 := Block{Text: "two", Box: Box{100, 80, 500, 100}, Box2D: Box2D{400, 200, 500, 1000}}
	said := func(s string) Block { b := b1; b.Text = s; return b }

	cases := []struct {
		name   string
		reply  string
		blocks []Block
		finish Finish // of the record; generation ended with stop
		warn   string // part of the only warning; "" for none
	}{
		{"list", `[` + one + `,` + two + `]`, []Block{b1, b2}, FinishStop, ""},
		{"fence", "```json\n[" + one + ",\n" + two + "]\n```", []Block{b1, b2}, FinishStop, ""},
		{"fence not closed", "```json\n[" + one + "]", []Block{b1}, FinishStop, ""},
		{"label", `[{"box_2d": [100, 200, 300, 400], "label": "one"}]`, []Block{b1}, FinishStop, ""},
		{"text wins over label", `[{"label":"line","box_2d":[100,200,300,400],"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"text first", `[{"text":"one","box_2d":[100,200,300,400]}]`, []Block{b1}, FinishStop, ""},
		{"key in other case", `[{"Box_2D":[100,200,300,400],"Text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"floats", `[{"box_2d":[100.0,2e2,300,4.0e2],"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"numbers as strings", `[{"box_2d":["100","200"," 300","400"],"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"box as string", `[{"box_2d":"[100, 200, 300, 400]","text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"box in a list", `[{"box_2d":[[100,200,300,400]],"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"box by sides", `[{"box_2d":{"ymin":100,"xmin":200,"ymax":300,"xmax":400},"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"box by corners from 0", `[{"box_2d":{"x0":200,"y0":100,"x1":400,"y1":300},"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"box by corners from 1", `[{"box_2d":{"x1":200,"y1":100,"x2":400,"y2":300},"text":"one"}]`, []Block{b1}, FinishStop, ""},
		{"number as text", `[{"box_2d":[100,200,300,400],"text":2026}]`, []Block{said("2026")}, FinishStop, ""},
		{"single object", one, []Block{b1}, FinishStop, ""},
		{"one object a line", one + "\n" + two + "\n", []Block{b1, b2}, FinishStop, ""},
		{"two lists", "[" + one + "]\n[" + two + "]", []Block{b1, b2}, FinishStop, ""},
		{"list in an object", `{"lines": [` + one + `,` + two + `]}`, []Block{b1, b2}, FinishStop, ""},
		{"escapes", `[{"box_2d":[100,200,300,400],"text":"a\"b\\c\u00e9\ud83d\ude00\n"}]`, []Block{said("a\"b\\cé😀\n")}, FinishStop, ""},

		{"prose", "Here are the [2] lines:\n```json\n[" + one + "]\n```\nAnything else?", []Block{b1}, FinishStop, `"Here are the [2] lines: Anything else?"`},
		{"list not closed", `[` + one + `,` + two, []Block{b1, b2}, FinishSchema, "repairs"},
		{"object not closed", `[{"box_2d":[100,200,300,400],"text":"one"`, []Block{b1}, FinishSchema, "repairs"},
		{"brace forgotten", `[{"box_2d":[100,200,300,400],"text":"one", ` + two + `]`, []Block{b1, b2}, FinishSchema, "repairs"},
		{"brace too many", `[` + one + `}, ` + two + `]`, []Block{b1, b2}, FinishSchema, "repairs"},
		{"comma forgotten", `[` + one + two + `]`, []Block{b1, b2}, FinishSchema, "repairs"},
		{"comma too many", `[` + one + `,,` + two + `,]`, []Block{b1, b2}, FinishSchema, "repairs"},
		{"raw line break", "[{\"box_2d\":[100,200,300,400],\"text\":\"a\nb\x00\"}]", []Block{said("a\nb\x00")}, FinishSchema, "repairs"},
		{"foreign escape", `[{"box_2d":[100,200,300,400],"text":"C:\dir"}]`, []Block{said(`C:\dir`)}, FinishSchema, "repairs"},
		{"quotes not escaped", `[{"box_2d":[100,200,300,400],"text":"He said "hi", then "bye"."}]`, []Block{said(`He said "hi", then "bye".`)}, FinishSchema, "repairs"},

		{"a line in pieces", `[{"box_2d" [[100,200,300,400],"text":"lost"},` + one + `]`, []Block{b1}, FinishSchema, "pieces of lines"},
		{"an object of other keys", `[` + one + `,{"bax_2d":[1,2,3,4],"txt":"lost"}]`, []Block{b1}, FinishSchema, "1 objects that have neither"},
		{"an object in prose", `I was asked {"for": "text"}: [` + one + `]`, []Block{b1}, FinishSchema, "pieces of lines"},
		{"duplicates", `[` + one + `,` + one + `,` + two + `,` + one + `]`, []Block{b1, b2}, FinishStop, "2 repeated"},
		{"same text elsewhere", `[` + one + `,{"box_2d":[400,200,500,1000],"text":"one"}]`,
			[]Block{b1, {Text: "one", Box: b2.Box, Box2D: b2.Box2D}}, FinishStop, ""},
		{"swapped", `[{"box_2d":[300,200,100,400],"text":"one"}]`, []Block{b1}, FinishStop, "swapped"},
		{"past the edge", `[{"box_2d":[100,200,300,1004],"text":"one"}]`,
			[]Block{{Text: "one", Box: Box{100, 20, 500, 60}, Box2D: Box2D{100, 200, 300, 1004}}}, FinishStop, "past the image"},
		{"outside", `[{"box_2d":[100,1000,300,1100],"text":"one"}]`, []Block{{Text: "one"}}, FinishStop, "outside"},
		{"no area", `[{"box_2d":[100,200,100,400],"text":"one"}]`, []Block{{Text: "one"}}, FinishStop, "no area"},
		{"no box", `[{"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "no box"},
		{"foreign box key", `[{"bbox":[1,2,3,4],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "no box"},
		{"null box", `[{"box_2d":null,"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"three numbers", `[{"box_2d":[1,2,3],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"five numbers", `[{"box_2d":[1,2,3,4,5],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"true in box", `[{"box_2d":[1,2,true,4],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"null in box", `[{"box_2d":[1,2,null,4],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"too large for a float", `[{"box_2d":[1,2,3,4e999],"text":"one"}]`, []Block{{Text: "one"}}, FinishSchema, "four finite"},
		{"no text", `[` + one + `,{"box_2d":[1,2,3,4],"text":null}]`, []Block{b1}, FinishSchema, "line 2: no text"},
		{"blank", "```json\n[]\n```", []Block{}, FinishStop, ""},
		{"empty", " \n", []Block{}, FinishStop, "empty"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec := read(c.reply, FinishStop, BoxesLine)
			if d := cmp.Diff(c.blocks, rec.Blocks); d != "" {
				t.Errorf("reply %s\nblocks, want -, got +:\n%s", c.reply, d)
			}
			texts := []string{}
			for _, b := range c.blocks {
				texts = append(texts, b.Text)
			}
			if want := strings.Join(texts, "\n"); rec.Text != want {
				t.Errorf("reply %s\ntext %q, want %q", c.reply, rec.Text, want)
			}
			if rec.Finish != c.finish {
				t.Errorf("reply %s\nfinish %q, want %q", c.reply, rec.Finish, c.finish)
			}
			if *rec.Blank != (len(c.blocks) == 0) {
				t.Errorf("reply %s\nblank is %v", c.reply, *rec.Blank)
			}
			got := strings.Join(rec.Warnings, "; ")
			if (c.warn == "") != (got == "") || !strings.Contains(got, c.warn) || len(rec.Warnings) > 1 {
				t.Errorf("reply %s\nwarnings %q, want one with %q", c.reply, rec.Warnings, c.warn)
			}
		})
	}
}

// What is on a page and in no box shows, and so do boxes where nothing is. A box may be off by a quarter of its height.
func TestReadOCRInk(t *testing.T) {
	page := vision.Image{Width: 500, Height: 200, Pix: bytes.Repeat([]byte{255}, 3*500*200)}
	print := func(x0, y0, x1, y1 int) {
		for y := y0; y < y1; y++ {
			clear(page.Pix[3*(500*y+x0) : 3*(500*y+x1)])
		}
	}
	print(100, 20, 200, 24)
	print(100, 64, 200, 65) // 4 under the box of "one", which is 40 high
	print(300, 150, 400, 155)
	for _, c := range []struct {
		reply   string
		outside float64
		warn    []string
	}{
		{`[{"box_2d":[100,200,300,400],"text":"one"},{"box_2d":[750,600,775,800],"text":"two"}]`, 0, nil},
		{`[{"box_2d":[100,200,300,400],"text":"one"}]`, 0.5, nil},
		{`[{"box_2d":[750,600,775,800],"text":"two"},{"box_2d":[400,0,500,100],"text":"dreamt"}]`, 0.5, []string{"line 2: nothing is printed where its box is"}},
		{`[{"text":"two"}]`, 1, []string{"line 1: no box", "100 % of what is on the page is in no box: pictures, or text that was missed"}},
		{`[]`, 1, []string{"100 % of what is on the page is in no box: pictures, or text that was missed"}},
	} {
		rec := new(Record)
		OCR.Read(rec, []Reply{{Tokens: Plain(c.reply), Finish: FinishStop, Boxes: BoxesLine, Width: 500, Height: 200, Ink: page.Ink()}})
		if rec.InkOutside == nil || *rec.InkOutside != c.outside {
			t.Errorf("%s: outside %v, want %v", c.reply, rec.InkOutside, c.outside)
		}
		for i, b := range rec.Blocks {
			if want := b.Text == "dreamt"; b.NoInk != want || want && (i != 1 || rec.BoxesWithoutInk != 1) {
				t.Errorf("%s: block %+v, %d boxes without ink", c.reply, b, rec.BoxesWithoutInk)
			}
		}
		if d := cmp.Diff(append([]string{}, c.warn...), rec.Warnings); d != "" {
			t.Errorf("%s: warnings, want -, got +:\n%s", c.reply, d)
		}
	}
	for _, r := range []Reply{
		{Tokens: Plain("text"), Boxes: BoxesNone, Ink: page.Ink()},
		{Tokens: Plain("[]"), Boxes: BoxesLine},
	} {
		r.Width, r.Height, r.Finish = 500, 200, FinishStop
		rec := new(Record)
		OCR.Read(rec, []Reply{r})
		if rec.InkOutside != nil || len(rec.Warnings) > 0 {
			t.Errorf("%s: outside %v, warnings %q", r.Tokens[0].Text, rec.InkOutside, rec.Warnings)
		}
	}
}

// A page that nobody was asked about is empty.
func TestReadOCRNothing(t *testing.T) {
	rec := &Record{Text: "x"}
	OCR.Read(rec, nil)
	if rec.Blank == nil || !*rec.Blank || rec.Text != "" || rec.Blocks == nil || rec.Finish != FinishStop {
		t.Errorf("got %+v", rec)
	}
}

// NaN makes JSON invalid and the box unusable: two warnings.
func TestReadOCRNaN(t *testing.T) {
	rec := read(`[{"box_2d":[NaN,200,300,400],"text":"one"},{"box_2d":[1,2,Infinity,4],"text":"two"}]`, FinishStop, BoxesLine)
	if d := cmp.Diff([]Block{{Text: "one"}, {Text: "two"}}, rec.Blocks); d != "" {
		t.Errorf("blocks, want -, got +:\n%s", d)
	}
	if len(rec.Warnings) != 3 || rec.Finish != FinishSchema {
		t.Errorf("finish %q, warnings %q", rec.Finish, rec.Warnings)
	}
}

// A list of two lines cut anywhere keeps the lines that are whole and never
// shows JSON as text.
func TestReadOCRCut(t *testing.T) {
	const whole = `[{"box_2d":[100,200,300,400],"text":"one"},{"box_2d":[400,200,500,600],"text":"two"}]`
	for n := 2; n < len(whole); n++ { // a bracket alone may as well be text
		rec := read(whole[:n], FinishLength, BoxesLine)
		want := ""
		if n > strings.Index(whole, `one"`)+3 {
			want = "one"
		}
		if n > strings.Index(whole, `two"`)+3 {
			want = "one\ntwo"
		}
		if rec.Text != want {
			t.Errorf("%s: text %q, want %q", whole[:n], rec.Text, want)
		}
		if rec.Finish != FinishLength || *rec.Blank || len(rec.Warnings) != 1 {
			t.Errorf("%s: finish %q, blank %v, warnings %q", whole[:n], rec.Finish, *rec.Blank, rec.Warnings)
		}
	}
}

func TestReadOCRPlainText(t *testing.T) {
	cases := []struct {
		reply string
		boxes Boxes
		text  string
		blank bool
		warn  bool
	}{
		{"Dear Sir,\n  [1] see {below}\n", BoxesNone, "Dear Sir,\n  [1] see {below}", false, false},
		{"```\nDear Sir,\n```", BoxesNone, "Dear Sir,", false, false},
		{"```text\nDear Sir,\n```\nDone.", BoxesNone, "```text\nDear Sir,\n```\nDone.", false, false},
		{"[]", BoxesNone, "", true, false},
		{"", BoxesNone, "", true, false},
		{`[{"box_2d":[1,2,3,4],"text":"code on the page"}]`, BoxesNone, `[{"box_2d":[1,2,3,4],"text":"code on the page"}]`, false, false},
		{"Dear Sir,\n[1] see {below} or {\"x\": 1}", BoxesLine, "Dear Sir,\n[1] see {below} or {\"x\": 1}", false, true},
		{"a\xffb", BoxesNone, "a\ufffdb", false, false},
	}
	for _, c := range cases {
		rec := read(c.reply, FinishStop, c.boxes)
		if rec.Text != c.text || *rec.Blank != c.blank || (len(rec.Warnings) > 0) != c.warn || len(rec.Blocks) > 0 {
			t.Errorf("%q with boxes %s: text %q, blank %v, warnings %q, %d blocks", c.reply, c.boxes, rec.Text, *rec.Blank, rec.Warnings, len(rec.Blocks))
		}
	}
}

func TestConfidence(t *testing.T) {
	ln := func(p float64) float32 { return float32(math.Log(p)) }
	frame := func(s string) Token { return Token{s, -20} } // of no account
	cases := []struct {
		name   string
		tokens []Token // of the text "héy"
		want   float64
	}{
		{"one token", []Token{{"héy", ln(0.5)}}, 0.5},
		{"geometric mean", []Token{{"h", ln(0.9)}, {"éy", ln(0.4)}}, 0.6},
		{"bytes held back", []Token{{"h", ln(0.8)}, {"", ln(0.1)}, {"é", ln(0.8)}, {"y", ln(0.1)}}, 0.2828},
		{"half a character", []Token{{"h\xc3", ln(0.9)}, {"\xa9y", ln(0.4)}}, 0.6},
		{"unknown", []Token{{"héy", float32(math.NaN())}}, 0},
		{"forced", []Token{{"h", ln(0.5)}, {"é", float32(math.NaN())}, {"y", ln(0.5)}}, 0.5},
		{"a thought between", []Token{{"hé", ln(0.5)}, {"", float32(math.NaN())}, {"y", ln(0.5)}}, 0.5},
		{"impossible", []Token{{"héy", float32(math.Inf(-1))}}, 0.0001},
		{"above one", []Token{{"héy", 0.5}}, 1},
	}
	for _, c := range cases {
		tokens := []Token{frame(`[{"box_2d":[1,2,`), frame(`3,4],"text":"`)}
		tokens = append(tokens, c.tokens...)
		tokens = append(tokens, frame(`"}]`), frame(""))
		rec := new(Record)
		OCR.Read(rec, []Reply{{Tokens: tokens, Finish: FinishStop, Width: 10, Height: 10}})
		if len(rec.Blocks) != 1 || rec.Blocks[0].Confidence != c.want {
			t.Errorf("%s: blocks %+v, want confidence %v", c.name, rec.Blocks, c.want)
		}
	}

	// A token that holds frame and text counts only where no other tells of the text.
	rec := new(Record)
	OCR.Read(rec, []Reply{{Tokens: []Token{frame(`[{"box_2d":[1,2,3,4],`), {`"text":"a`, ln(0.9)}, {`b"}]`, ln(0.4)}}, Finish: FinishStop, Width: 10, Height: 10}})
	if rec.Blocks[0].Confidence != 0.6 {
		t.Errorf("shared tokens: confidence %v, want 0.6", rec.Blocks[0].Confidence)
	}
	rec = new(Record)
	OCR.Read(rec, []Reply{{Tokens: []Token{frame(`[{"box_2d":[1,2,3,4],`), {`"text":"a`, ln(0.9)}, {`b`, ln(0.5)}, {"c", ln(0.5)}, {`."}]`, ln(0.4)}}, Finish: FinishStop, Width: 10, Height: 10}})
	if rec.Blocks[0].Confidence != 0.5 {
		t.Errorf("text and shared tokens: confidence %v, want 0.5", rec.Blocks[0].Confidence)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	rec := read("["+strings.Repeat(`{"text":"x"},`, 1000)+"]", FinishStop, BoxesLine)
	if n := len(rec.Warnings); n != maxWarnings+1 {
		t.Errorf("%d warnings, want %d and a count of the rest", n, maxWarnings)
	}
	if last := rec.Warnings[maxWarnings]; last != "981 more warnings" {
		t.Errorf("last warning %q", last)
	}
}

// FuzzReadOCR holds the reader's promises on any reply.
func FuzzReadOCR(f *testing.F) {
	for _, s := range []string{
		"", "[]", "plain", "```json\n[{\"box_2d\":[1,2,3,4],\"text\":\"a\"}]\n```",
		`[{"box_2d":[1,2,3,4],"text":"a"},{"box_2d":["1",2.5,1e9,null],"label":"b\u00e9"}`,
		`{"text":"He said "hi", then","box_2d":{"y1":1,"x1":2,"y2":3,"x2":4}}`,
		"[{\"text\":\"\xff\\ud800\x00\",\"box_2d\":\"1 2 3 4\"}]",
		strings.Repeat("[{\"", 50), strings.Repeat(`{"text":"`, 50), strings.Repeat("[", 100),
	} {
		f.Add(s, 3, true, 640, 480)
	}
	f.Fuzz(func(t *testing.T, s string, cut int, boxes bool, w, h int) {
		if w <= 0 || h <= 0 {
			return
		}
		r := Reply{Finish: FinishStop, Width: w, Height: h}
		if !boxes {
			r.Boxes = BoxesNone
		}
		if 0 <= cut && cut <= len(s) {
			r.Tokens = []Token{{s[:cut], -0.5}, {s[cut:], float32(cut) - 3}}
		} else {
			r.Tokens = Plain(s)
		}
		rec := new(Record)
		OCR.Read(rec, []Reply{r})
		line, err := rec.Line()
		if err != nil {
			t.Fatalf("Line: %v", err)
		}
		if !json.Valid(line) || strings.Count(string(line), "\n") != 1 || !utf8.Valid(line) {
			t.Fatalf("not one line of JSON: %q", line)
		}
		if len(rec.Text) > 3*len(s)+len(rec.Blocks) { // a byte that is no UTF-8 becomes three
			t.Fatalf("%d bytes of text from %d bytes", len(rec.Text), len(s))
		}
		if n := len(rec.Warnings); n > maxWarnings+1 {
			t.Fatalf("%d warnings", n)
		}
		for _, b := range rec.Blocks {
			x := b.Box
			if x != (Box{}) && !(0 <= x[0] && x[0] < x[2] && x[2] <= w && 0 <= x[1] && x[1] < x[3] && x[3] <= h) {
				t.Fatalf("box %v of %v in %d x %d", x, b.Box2D, w, h)
			}
			if (x == Box{}) != (b.Box2D == Box2D{}) {
				t.Fatalf("box %v of %v", x, b.Box2D)
			}
			if c := b.Confidence; !(c >= 0 && c <= 1) {
				t.Fatalf("confidence %v", c)
			}
		}
	})
}

// The confidence of each line is the geometric mean over the tokens of its text, however the reply is cut into tokens:
// compared with the mean computed byte by byte.
func TestConfidenceOfCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	lines := []string{"one", "two, 2", "ünï — 三", "x"}
	reply, part := "[", []int{0} // part: by byte, the line whose text it is, from 1
	for i, l := range lines {
		before := fmt.Sprintf(`{"box_2d":[%d,1,%d,9],"text":"`, i*9, i*9+5)
		reply += before + l + `"},`
		part = append(append(append(part, make([]int, len(before))...), slices.Repeat([]int{i + 1}, len(l))...), 0, 0, 0)
	}
	reply, part[len(part)-1] = strings.TrimSuffix(reply, ",")+"]", 0
	for range 300 {
		var tokens []Token
		sums, counts := make([]float64, len(lines)+1), make([]float64, len(lines)+1)
		for from := 0; from < len(reply); {
			to := min(len(reply), from+1+r.IntN(5))
			token := Token{reply[from:to], -3 * r.Float32()}
			if r.IntN(6) == 0 {
				token.LogProb = float32(math.NaN())
			}
			if p := part[from]; p > 0 && part[to-1] == p && token.LogProb < 1 { // no NaN
				sums[p] += float64(token.LogProb)
				counts[p]++
			}
			tokens, from = append(tokens, token), to
		}
		rec := new(Record)
		OCR.Read(rec, []Reply{{Tokens: tokens, Finish: FinishStop, Boxes: BoxesLine, Width: 10, Height: 10}})
		for i, b := range rec.Blocks {
			if counts[i+1] == 0 {
				continue // see TestConfidence
			}
			if want := math.Exp(sums[i+1] / counts[i+1]); math.Abs(b.Confidence-want) > 1e-4 {
				t.Fatalf("line %q of %v: confidence %g, want %g", b.Text, tokens, b.Confidence, want)
			}
		}
		if len(rec.Blocks) != len(lines) {
			t.Fatalf("%d blocks of %q", len(rec.Blocks), reply)
		}
	}
}

// Of what a reply repeated one round is kept, and the record says how often it stood there.
func TestReadLoops(t *testing.T) {
	const one = `{"box_2d":[100,200,300,400],"text":"one"},`
	march := func(y int) string { return fmt.Sprintf(`{"box_2d":[%d,200,%d,400],"text":"no end"},`, y, y+5) }
	tokens := Plain("[" + one + march(300))
	tokens = append(tokens, Plain(march(310))...)
	tokens = append(tokens, Plain(march(320)+`{"box_2d":[330,`)...)
	r := Reply{Tokens: tokens, Finish: FinishLoop, Loop: Loop{Keep: 1, Times: 80}, Boxes: BoxesLine, Width: 500, Height: 200}
	warning := "the model repeated itself 80 times and was stopped: what it repeated is there once, and the end of the text is missing"
	for _, c := range []struct {
		loop Loop
		want string
		warn string
	}{
		{Loop{1, 80}, "one\nno end", warning},
		{Loop{2, 80}, "one\nno end\nno end", warning},
		{Loop{}, "one\nno end\nno end\nno end", strings.ReplaceAll(warning, " 80 times", "")}, // of an engine that does not know
		{Loop{99, 80}, "one\nno end\nno end\nno end", warning},
	} {
		rec, r := new(Record), r
		r.Loop = c.loop
		OCR.Read(rec, []Reply{r})
		if rec.Text != c.want || rec.Finish != FinishLoop || !slices.Equal(rec.Warnings, []string{c.warn}) || *rec.Blank {
			t.Errorf("%+v: text %q, finish %s, warnings %q", c.loop, rec.Text, rec.Finish, rec.Warnings)
		}
	}
	stopped := r
	stopped.Finish = FinishStop // no loop, whatever stands there
	rec := new(Record)
	if OCR.Read(rec, []Reply{stopped}); !strings.HasSuffix(rec.Text, "no end\nno end\nno end") {
		t.Errorf("without a loop: %q", rec.Text)
	}
	speech := Reply{Medium: Sound, Tokens: []Token{{"Hello.", 0}, {" So", -1}, {" what", -9}, {" so", -9}, {" what", -9}}, Finish: FinishLoop, Loop: Loop{3, 50}, End: 2}
	if s := transcript(speech).Segments[0]; s.Text != "Hello. So what" || s.Confidence != 0.0357 { // exp(-10/3)
		t.Errorf("speech: %+v", s)
	}
	for _, m := range []Medium{Image, Film} {
		speech.Medium, rec = m, new(Record)
		if Caption.Read(rec, []Reply{speech}); rec.Text != "Hello. So what" || len(rec.Warnings) != 1 || !strings.Contains(rec.Warnings[0], "repeated itself 50 times") {
			t.Errorf("caption of %s: %q, %q", m, rec.Text, rec.Warnings)
		}
	}
}
