package job

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// located runs Locate's reader on replies about an image of 500 x 200 pixels, each to the question that finds names.
func located(finds []string, finish Finish, replies ...string) *Record {
	rec := new(Record)
	var all []Reply
	for i, reply := range replies {
		r := Reply{Tokens: Plain(reply), Finish: finish, Medium: Image, Width: 500, Height: 200, Attempts: 1}
		if finds != nil {
			r.Find = finds[i]
		}
		all = append(all, r)
	}
	Locate.Read(rec, all)
	return rec
}

func TestReadLocate(t *testing.T) {
	const save = `{"box_2d":[100,200,300,400],"label":"Save"}`
	e := Element{Label: "Save", Find: "Save", Box: Box{100, 20, 200, 60}, Box2D: Box2D{100, 200, 300, 400}, Point: [2]int{150, 40}}
	unnamed := e
	unnamed.Label = ""
	button := e
	button.Role = "button"
	gear := unnamed
	gear.Role = "icon"
	for _, c := range []struct {
		name     string
		reply    string
		elements []Element
		finish   Finish
		warn     string // part of the only warning; "" for none
	}{
		{"one", `[` + save + `]`, []Element{e}, FinishStop, ""},
		{"fence", "```json\n[" + save + "]\n```", []Element{e}, FinishStop, ""},
		{"role", `[{"box_2d":[100,200,300,400],"label":"Save","role":"button"}]`, []Element{button}, FinishStop, ""},
		{"role alone", `[{"box_2d":[100,200,300,400],"label":"","role":"icon"}]`, []Element{gear}, FinishStop, ""},
		{"text as label", `[{"box_2d":[100,200,300,400],"text":"Save"}]`, []Element{e}, FinishStop, ""},
		{"absent", `[]`, []Element{}, FinishStop, ""},
		{"absent, fence", "```json\n[]\n```", []Element{}, FinishStop, ""},
		{"twice", `[` + save + `,` + save + `]`, []Element{e}, FinishStop, "1 repeated"},
		{"prose before", "Here it is:\n[" + save + "]", []Element{e}, FinishStop, "around the list"},
		{"swapped", `[{"box_2d":[300,400,100,200],"label":"Save"}]`, []Element{e}, FinishStop, "swapped"},

		{"empty", " \n", []Element{}, FinishSchema, "says nothing"},
		{"prose", "There is no such button.", []Element{}, FinishSchema, `no list of elements: "There is`},
		{"not closed", `[` + save, []Element{e}, FinishSchema, "repairs"},
		{"no label", `[{"box_2d":[100,200,300,400]}]`, []Element{unnamed}, FinishSchema, "element 1: no label"},
		{"no box", `[{"label":"Save"},` + save + `]`, []Element{e}, FinishSchema, "element 1: no box"},
		{"three numbers", `[{"box_2d":[1,2,3],"label":"Save"}]`, []Element{}, FinishSchema, "four finite"},
		{"not a number", `[{"box_2d":[1,2,NaN,4],"label":"Save"}]`, []Element{}, FinishSchema, ""},
		{"no area", `[{"box_2d":[100,200,100,400],"label":"Save"}]`, []Element{}, FinishSchema, "no area"},
		{"outside", `[{"box_2d":[100,1000,300,1100],"label":"Save"}]`, []Element{}, FinishSchema, "outside"},
	} {
		rec := located([]string{"Save"}, FinishStop, c.reply)
		if d := cmp.Diff(c.elements, rec.Elements); d != "" {
			t.Errorf("%s: want -, got +:\n%s", c.name, d)
		}
		got := strings.Join(rec.Warnings, "; ")
		if rec.Finish != c.finish || !strings.Contains(got, c.warn) || c.warn != "" && len(rec.Warnings) != 1 || (c.finish == FinishStop && c.warn == "") != (got == "") {
			t.Errorf("%s: %s, warnings %q; want %s, %q", c.name, rec.Finish, rec.Warnings, c.finish, c.warn)
		}
		if d := cmp.Diff([]string{"Save"}, rec.Effective.Find); d != "" {
			t.Errorf("%s: effective.find %v", c.name, rec.Effective.Find)
		}
	}
	// A point lies in the part of a box that is in the image.
	rec := located(nil, FinishStop, `[{"box_2d":[0,0,1,1],"label":"dot"},{"box_2d":[900,-500,1100,100],"label":"edge"}]`)
	if d := cmp.Diff([][2]int{{0, 0}, {25, 190}}, [][2]int{rec.Elements[0].Point, rec.Elements[1].Point}); d != "" {
		t.Error(d)
	}
	if rec.Text != "dot\nedge" || rec.Effective.Find != nil || rec.Elements[0].Find != "" {
		t.Errorf("%+v", rec)
	}
}

// Several questions are several replies and one record, which says what each element is the answer to.
func TestReadLocateSeveral(t *testing.T) {
	rec := located([]string{"Save", "Quit", "Help"}, FinishStop,
		`[{"box_2d":[100,200,300,400],"label":"Save as"}]`, `[]`, `[{"box_2d":[1,2,3],"label":"Help"}]`)
	if d := cmp.Diff([]string{"Save", "Quit", "Help"}, rec.Effective.Find); d != "" {
		t.Error(d)
	}
	if len(rec.Elements) != 1 || rec.Elements[0].Find != "Save" || rec.Elements[0].Label != "Save as" || rec.Finish != FinishSchema {
		t.Errorf("%+v", rec)
	}
	if d := cmp.Diff([]string{`"Help": element 1: box is not four finite numbers: left out`}, rec.Warnings); d != "" {
		t.Error(d)
	}
	line, err := rec.Line()
	if err != nil || !strings.Contains(string(line), `"elements":[{"label":"Save as","find":"Save","box":[100,20,200,60],"box_2d":[100,200,300,400],"point":[150,40]}]`) {
		t.Errorf("%s %v", line, err)
	}
	if early := located([]string{"Save", "Quit"}, FinishStop, "There is none.", "[]"); early.Finish != FinishSchema {
		t.Errorf("the first answer is prose: %s", early.Finish)
	}
	none := located([]string{"Quit"}, FinishStop, `[]`)
	if line, err := none.Line(); err != nil || !strings.Contains(string(line), `"elements":[]`) || !strings.Contains(string(line), `"find":["Quit"]`) {
		t.Errorf("%s %v", line, err)
	}
}

func TestReadLocateCut(t *testing.T) {
	const reply = `[{"box_2d":[100,200,300,400],"label":"Save"},{"box_2d":[500,200,600,400],"label":"Qu`
	for _, finish := range []Finish{FinishLength, FinishLoop} {
		rec := located(nil, finish, reply)
		if rec.Finish != finish || len(rec.Elements) != 1 || len(rec.Warnings) != 1 {
			t.Errorf("%s: %+v", finish, rec)
		}
		if f, chars := Locate.Judge(Reply{Tokens: Plain(reply), Finish: finish, Width: 500, Height: 200}); f != finish || chars != 4 {
			t.Errorf("judged %s, %d characters", f, chars)
		}
	}
}

// Half a role is none.
func TestReadLocateCutRole(t *testing.T) {
	rec := located(nil, FinishLength, `[{"box_2d":[100,200,300,400],"label":"Save","role":"but`)
	if len(rec.Elements) != 1 || rec.Elements[0].Label != "Save" || rec.Elements[0].Role != "" {
		t.Errorf("%+v", rec.Elements)
	}
}

func TestPlanLocate(t *testing.T) {
	nano := Checkpoint{Jobs: map[string]Setting{"locate": {Prompt: "Find: {find}", List: "List the elements.", Budget: 70}}}
	finder := Checkpoint{Jobs: map[string]Setting{"locate": {Prompt: "Find: {find}"}}}
	lister := Checkpoint{Jobs: map[string]Setting{"locate": {List: "List."}}}
	for _, c := range []struct {
		name       string
		o          Options
		checkpoint Checkpoint
		want       []Ask
		prompt     string
		err        string
	}{
		{"nano", Options{Find: "Save {find} as"}, nano, []Ask{{"Save {find} as", "Find: Save {find} as"}}, "Find: Save {find} as", ""},
		{"nano, several", Options{Find: "A\nB"}, nano, []Ask{{"A", "Find: A"}, {"B", "Find: B"}}, "Find: A\nFind: B", ""},
		{"nano, all", Options{}, nano, []Ask{{"", "List the elements."}}, "List the elements.", ""},
		{"own prompt", Options{Find: "A", Prompt: "Where is {find}? {find}!"}, nano, []Ask{{"A", "Where is A? A!"}}, "Where is A? A!", ""},
		{"own prompt, all", Options{Prompt: "What is there?"}, nano, []Ask{{"", "What is there?"}}, "What is there?", ""},
		{"released, all", Options{}, Checkpoint{}, []Ask{{"", askList}}, askList, ""},
		{"no place", Options{Find: "A", Prompt: "Where?"}, nano, nil, "", `locate: find "A" has no place`},
		{"nothing named", Options{Prompt: "Where is {find}?"}, nano, nil, "", "nothing to find is named"},
		{"cannot list", Options{}, finder, nil, "", "cannot list all elements"},
		{"cannot find", Options{Find: "A"}, lister, nil, "", `find "A": this checkpoint knows one prompt only, "List."`},
		{"boxes", Options{Boxes: BoxesLine}, nano, nil, "", "no such option"},
		{"language", Options{Language: "German"}, nano, nil, "", "no such option"},
		{"control", Options{Find: "A\tB"}, nano, nil, "", "control characters"},
	} {
		p, err := Locate.Plan(c.o, c.checkpoint, Image)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			continue
		}
		if d := cmp.Diff(c.want, p.Asks); d != "" || p.Prompt != c.prompt {
			t.Errorf("%s: %q: %s", c.name, p.Prompt, d)
		}
	}
	p, err := Locate.Plan(Options{Find: "Save \"now\"\nB"}, Checkpoint{}, Image)
	if err != nil || !strings.HasPrefix(p.Question(`Save "now"`), `What is the bounding box for the "Save \"now\"" element in the image?`) || p.Budget != 0 || p.MaxTokens != 4096 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := OCR.Plan(Options{Find: "A"}, Checkpoint{}, Image); err == nil || !strings.Contains(err.Error(), `{"find":"A"}: this job has no such option`) {
		t.Errorf("ocr with find: %v", err)
	}
	for data, want := range map[string]string{
		`{"jobs":{"locate":{"prompt":"Find it."}}}`:                                   "has no place for what to find",
		`{"jobs":{"ocr":{"list":"List."}}}`:                                           "only locate has",
		`{"jobs":{"locate":{"prompt":"Find: {find}","list":"List.","budgets":[70]}}}`: "",
	} {
		if _, err := ParseCheckpoint([]byte(data)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
}

// What is to be found is one text or a list of texts in a manifest, and is written as it was read.
func TestFinds(t *testing.T) {
	for data, want := range map[string]string{
		`"Save as draft"`:                       `"Save as draft"`,
		`["a <b>","ü"]`:                         `["a <b>","ü"]`,
		`["a"]`:                                 `"a"`,
		`"a\nb"`:                                "more than one line",
		`["a","a"]`:                             "twice",
		`[" "]`:                                 "nothing is named",
		`""`:                                    "nothing is named",
		`["a","\u001b"]`:                        "control",
		`7`:                                     "want a text or a list",
		`["` + strings.Repeat("x", 1001) + `"]`: "at most 1000",
		`[` + strings.Repeat(`"0",`, 100) + `"y"]`: "at most 100",
		`[]`: `""`,
	} {
		var f Finds
		err := json.Unmarshal([]byte(data), &f)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.40s: %v, want %q", data, err, want)
			}
			continue
		}
		if got, err := f.MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("%.40s: %s, %v; want %s", data, got, err, want)
		}
	}
	e, err := ParseEntry([]byte(`{"path":"a.png","job":"locate","find":["Save","Quit"]}`))
	if err != nil || cmp.Diff([]string{"Save", "Quit"}, e.Find.List()) != "" {
		t.Errorf("%+v, %v", e, err)
	}
	line, err := (&ErrorRecord{Entry: e, Error: "broken"}).Line()
	if err != nil || !strings.Contains(string(line), `"find":["Save","Quit"]`) {
		t.Errorf("%s, %v", line, err)
	}
}

// A single question climbs as a page's does; of several the picture stays the same.
func TestLadderOfLocate(t *testing.T) {
	loop := []Attempt{{Budget: 70, MaxTokens: 4096, Finish: FinishLoop}}
	o, ok := Locate.Next(Options{Find: "a"}, Checkpoint{}, Image, loop)
	if !ok || o.Budget != 140 || o.Find != "a" {
		t.Errorf("one: %+v, %v", o, ok)
	}
	o, ok = Locate.Next(Options{Find: "a\nb"}, Checkpoint{}, Image, loop)
	if !ok || o.Budget != 0 || o.Temperature != 0.2 {
		t.Errorf("several: %+v, %v", o, ok)
	}
	history := ask(t, Locate, Options{}, Checkpoint{}, Image, func(int, Attempt) Attempt { return Attempt{Finish: FinishSchema, Budget: 1120} })
	if len(history) != 4 { // three temperatures
		t.Errorf("%d attempts: %s", len(history), show(history))
	}
}

// Whatever boxes a reply has (N9 of the promises): those that are kept are finite, have an area, and touch the image as they were said; their
// pixels and points are in it; what is no box of four finite numbers with an area that touches is left out and marked.
func TestLocateBoxes(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	odd := []string{"NaN", "null", `"12"`, "true", "1e999", "-1e999", "Infinity", "[1]", `"x"`, "{}", "-0", "1e-9", "1000.5"}
	kept := 0
	for range 20_000 {
		var sides []string
		var b Box2D
		usable := true
		n := 4
		if r.IntN(20) == 0 {
			n = r.IntN(7)
		}
		usable = n == 4
		for i := range n {
			v := float64(r.IntN(1600) - 300)
			text := fmt.Sprint(v)
			if r.IntN(15) == 0 {
				text = odd[r.IntN(len(odd))]
				var said float64
				if json.Unmarshal([]byte(strings.Trim(text, `"[]`)), &said) != nil || text == "null" {
					usable = false
				}
				v = said
			}
			if i < 4 {
				b[i] = v
			}
			sides = append(sides, text)
		}
		list := "[" + strings.Join(sides, ",") + "]"
		w, h := 1+r.IntN(3000), 1+r.IntN(3000)
		rec := new(Record)
		Locate.Read(rec, []Reply{{Tokens: Plain(`[{"box_2d":` + list + `,"label":"x"}]`), Finish: FinishStop, Width: w, Height: h}})
		if strings.Contains(list, "[1]") { // a side in a list of its own: refused
			usable = false
		}
		u, _ := b.upright()
		usable = usable && u[2] > u[0] && u[3] > u[1] && u[2] > 0 && u[3] > 0 && u[0] < 1000 && u[1] < 1000
		if got := len(rec.Elements) == 1; got != usable {
			t.Fatalf("%s: kept %v, want %v: %q", list, got, usable, rec.Warnings)
		}
		if (rec.Finish == FinishStop) != usable {
			t.Fatalf("%s: %s", list, rec.Finish)
		}
		if !usable {
			continue
		}
		kept++
		e := rec.Elements[0]
		x, p := e.Box, e.Point
		if e.Box2D != u || !(0 <= x[0] && x[0] < x[2] && x[2] <= w && 0 <= x[1] && x[1] < x[3] && x[3] <= h) {
			t.Fatalf("%s in %d x %d: %+v", list, w, h, e)
		}
		if !(x[0] <= p[0] && p[0] < x[2] && x[1] <= p[1] && p[1] < x[3]) {
			t.Fatalf("%s in %d x %d: point %v is not in %v", list, w, h, p, x)
		}
		for i, side := range [4]int{x[1], x[0], x[3], x[2]} { // back on the grid, within a pixel
			size := float64([]int{h, w}[i%2])
			if back := float64(side) * 1000 / size; math.Abs(back-min(1000, max(0, u[i]))) > 1000/size {
				t.Fatalf("%s: side %d is %v and comes back as %v", list, i, u[i], back)
			}
		}
	}
	if kept < 5000 || kept > 18_000 {
		t.Errorf("%d of 20,000 were kept: that is not a test of both", kept)
	}
}

// Ten thousand spoiled replies: what is taken for right a strict reader takes for right too, with as many elements.
func TestMutatedLocate(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	right := 0
	for range 10_000 {
		reply := `[{"box_2d":[100,200,300,400],"text":"Save"},{"box_2d":[500,100,600,400],"text":"Quit"}]`
		for range 1 + r.IntN(3) {
			reply = mutations[r.IntN(len(mutations))](r, reply)
		}
		rec := located([]string{"x"}, FinishStop, reply)
		if rec.Finish != FinishStop {
			continue
		}
		right++
		lines, ok := strictLines(reply)
		if !ok { // objects that stand alone, or in several lists, are as good
			if lines, ok = wholeObjects(reply); len(lines) > len(rec.Elements) && len(rec.Warnings) == 1 && strings.Contains(rec.Warnings[0], "repeated") {
				continue
			}
		}
		if !ok || len(lines) != len(rec.Elements) && len(rec.Warnings) == 0 {
			t.Errorf("%q is taken for right, with %d elements; strictly it is %v, %q", reply, len(rec.Elements), ok, lines)
		}
	}
	if right < 1000 || right > 5000 {
		t.Errorf("%d of 10,000 were right: that is not what mutations do", right)
	}
}

// wholeObjects are the objects of a reply, if each is one of JSON with a text and a box.
func wholeObjects(reply string) (texts []string, ok bool) {
	objects := regexp.MustCompile(`\{[^{}]*\}`).FindAllString(reply, -1)
	for _, object := range objects {
		lines, ok := strictLines("[" + object + "]")
		if !ok {
			return nil, false
		}
		texts = append(texts, lines...)
	}
	return texts, len(objects) > 0 && len(objects) == strings.Count(reply, "{")
}

func FuzzReadLocate(f *testing.F) {
	for _, s := range []string{
		"", "[]", "plain", "```json\n[{\"box_2d\":[1,2,3,4],\"label\":\"a\",\"role\":\"tab\"}]\n```", `[{"box_2d":["1",2.5,1e9,null],"label":"b\u00e9"}`,
		"[{\"label\":\"\xff\\ud800\x00\",\"box_2d\":\"1 2 3 4\",\"role\":7}]", strings.Repeat("[{\"", 50), strings.Repeat(`{"label":"`, 50),
	} {
		f.Add(s, 640, 480, uint8(0))
	}
	f.Fuzz(func(t *testing.T, s string, w, h int, how uint8) {
		if w <= 0 || h <= 0 {
			return
		}
		finish := []Finish{FinishStop, FinishLength, FinishLoop}[how%3]
		rec := new(Record)
		Locate.Read(rec, []Reply{
			{Tokens: Plain(s), Finish: finish, Width: w, Height: h, Find: "a"}, {Tokens: Plain("[]"), Finish: FinishStop, Width: w, Height: h, Find: "b"},
		})
		line, err := rec.Line()
		if err != nil || !json.Valid(line) || !utf8.Valid(line) || strings.Count(string(line), "\n") != 1 {
			t.Fatalf("%q, %v", line, err)
		}
		if rec.Elements == nil || len(rec.Warnings) > maxWarnings+1 {
			t.Fatalf("%+v", rec)
		}
		for _, e := range rec.Elements {
			x := e.Box
			if !(0 <= x[0] && x[0] <= e.Point[0] && e.Point[0] < x[2] && x[2] <= w && 0 <= x[1] && x[1] <= e.Point[1] && e.Point[1] < x[3] && x[3] <= h) || !e.Box2D.Finite() {
				t.Fatalf("%+v in %d x %d", e, w, h)
			}
		}
	})
}
