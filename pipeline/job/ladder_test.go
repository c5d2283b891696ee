package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ask goes up the ladder as a run does. The model follows a script: what it is asked → how the reply ends.
func ask(t *testing.T, j Job, o Options, c Checkpoint, m Medium, script func(n int, a Attempt) Attempt) []Attempt {
	t.Helper()
	var history []Attempt
	next, ok := o, true
	for n := 0; ok; n++ {
		if n > 20 {
			t.Fatalf("no end: %+v", history)
		}
		plan, err := j.Plan(next, c, m)
		if err != nil {
			t.Fatalf("attempt %d cannot be asked: %v", n+1, err)
		}
		a := Attempt{Boxes: plan.Boxes, Temperature: next.Temperature, Seed: next.Seed, MaxTokens: plan.MaxTokens, OutputTokens: 10}
		if m == Image {
			a.Budget = plan.Budget
			if a.Budget == 0 {
				a.Budget = 280 // which the size of the image asks for
			}
		}
		history = append(history, script(n, a))
		before := slices.Clone(history)
		if next, ok = j.Next(o, c, m, history); !cmp.Equal(before, history) {
			t.Error("Next changes the history")
		}
	}
	return history
}

// show writes an attempt as what differs from the usual one.
func show(history []Attempt) string {
	var out []string
	for _, a := range history {
		s := fmt.Sprintf("%s@%d t%g s%d", a.Finish, a.Budget, a.Temperature, a.Seed)
		if a.Boxes != "" {
			s += " " + string(a.Boxes)
		}
		out = append(out, fmt.Sprintf("%s m%d", s, a.MaxTokens))
	}
	return strings.Join(out, ", ")
}

func TestLadder(t *testing.T) {
	released := Checkpoint{}
	one := Checkpoint{Jobs: map[string]Setting{"ocr": {Prompt: "Read.", Budget: 70, Boxes: []Boxes{BoxesLine}}}}
	three := Checkpoint{Jobs: map[string]Setting{"ocr": {Prompt: "Read.", Budget: 70, Budgets: []int{70, 280}, Boxes: []Boxes{BoxesLine}}}}
	always := func(f Finish) func(int, Attempt) Attempt {
		return func(_ int, a Attempt) Attempt {
			a.Finish = f
			if f == FinishLength {
				a.OutputTokens = a.MaxTokens
			}
			return a
		}
	}
	// unless ends with f as long as cond holds, and by itself after that.
	unless := func(f Finish, cond func(a Attempt) bool) func(int, Attempt) Attempt {
		return func(n int, a Attempt) Attempt {
			if cond(a) {
				return always(f)(n, a)
			}
			return always(FinishStop)(n, a)
		}
	}
	// each ends as this list says; the last goes on.
	each := func(list ...Finish) func(int, Attempt) Attempt {
		return func(n int, a Attempt) Attempt { return always(list[min(n, len(list)-1)])(n, a) }
	}
	for _, c := range []struct {
		name       string
		job        Job
		o          Options
		checkpoint Checkpoint
		medium     Medium
		script     func(int, Attempt) Attempt
		want       string
		best       int
	}{
		{"good", OCR, Options{}, released, Image, always(FinishStop), "stop@280 t0 s0 line m8192", 0},
		{"loops whatever is done", OCR, Options{}, released, Image, always(FinishLoop), "loop@280 t0 s0 line m8192, loop@560 t0 s0 line m8192, " +
			"loop@560 t0.2 s2 line m8192, loop@560 t0.5 s3 line m8192, loop@560 t0.8 s4 line m8192, loop@560 t0 s0 none m8192", 0},
		{"loops in a coarse picture", OCR, Options{}, released, Image, unless(FinishLoop, func(a Attempt) bool { return a.Budget < 560 }),
			"loop@280 t0 s0 line m8192, stop@560 t0 s0 line m8192", 1},
		{"loops while it is sure", OCR, Options{Seed: 7}, released, Image, unless(FinishLoop, func(a Attempt) bool { return a.Temperature < 0.5 }),
			"loop@280 t0 s7 line m8192, loop@560 t0 s7 line m8192, loop@560 t0.2 s9 line m8192, stop@560 t0.5 s10 line m8192", 3},
		{"loops in boxes", OCR, Options{}, released, Image, unless(FinishLoop, func(a Attempt) bool { return a.Boxes == BoxesLine }),
			"loop@280 t0 s0 line m8192, loop@560 t0 s0 line m8192, loop@560 t0.2 s2 line m8192, loop@560 t0.5 s3 line m8192, " +
				"loop@560 t0.8 s4 line m8192, stop@560 t0 s0 none m8192", 5},
		{"no larger picture", OCR, Options{}, Checkpoint{Jobs: map[string]Setting{"ocr": {Budget: 1120}}}, Image, each(FinishLoop, FinishStop),
			"loop@1120 t0 s0 line m8192, stop@1120 t0.2 s1 line m8192", 1},
		{"another form", OCR, Options{}, released, Image, each(FinishSchema, FinishSchema, FinishStop),
			"schema@280 t0 s0 line m8192, schema@560 t0 s0 line m8192, stop@560 t0.2 s2 line m8192", 2},
		{"another form, always", OCR, Options{Budget: 70, Boxes: BoxesLine}, released, Image, always(FinishSchema),
			"schema@70 t0 s0 line m8192, schema@70 t0.2 s1 line m8192, schema@70 t0.5 s2 line m8192, schema@70 t0.8 s3 line m8192", 0},
		{"a form of the user's", OCR, Options{Prompt: "Hm?"}, released, Image, always(FinishSchema), "schema@280 t0 s0 line m8192", 0},
		{"a prompt of the user's, in a loop", OCR, Options{Prompt: "Hm?", Budget: 70}, released, Image, always(FinishLoop),
			"loop@70 t0 s0 line m8192, loop@70 t0.2 s1 line m8192, loop@70 t0.5 s2 line m8192, loop@70 t0.8 s3 line m8192", 0},
		{"dense page", OCR, Options{}, released, Image, unless(FinishLength, func(a Attempt) bool { return a.MaxTokens <= 8192 }),
			"length@280 t0 s0 line m8192, stop@280 t0 s0 line m16384", 1},
		{"denser page", OCR, Options{}, released, Image, unless(FinishLength, func(a Attempt) bool { return a.Boxes == BoxesLine }),
			"length@280 t0 s0 line m8192, length@280 t0 s0 line m16384, stop@280 t0 s0 none m16384", 2},
		{"endless page", OCR, Options{}, released, Image, always(FinishLength),
			"length@280 t0 s0 line m8192, length@280 t0 s0 line m16384, length@280 t0 s0 none m16384", 0},
		{"the context is used up", OCR, Options{}, released, Image, func(_ int, a Attempt) Attempt { a.Finish, a.OutputTokens = FinishLength, 900; return a },
			"length@280 t0 s0 line m8192, length@280 t0 s0 none m8192", 0},
		{"as long as the user says", OCR, Options{MaxTokens: 20}, released, Image, always(FinishLength), "length@280 t0 s0 line m20", 0},
		{"a limit of the user's, in a loop", OCR, Options{MaxTokens: 500}, released, Image, each(FinishLoop, FinishLength), "loop@280 t0 s0 line m500, length@560 t0 s0 line m500", 1},
		{"a loop, then a long one", OCR, Options{}, released, Image, each(FinishLoop, FinishLength, FinishLoop, FinishStop),
			"loop@280 t0 s0 line m8192, length@560 t0 s0 line m8192, loop@560 t0 s0 line m16384, stop@560 t0.2 s3 line m16384", 3},
		{"everything", OCR, Options{}, released, Image, each(FinishLength, FinishLoop, FinishSchema, FinishSchema, FinishLoop, FinishSchema, FinishLength),
			"length@280 t0 s0 line m8192, loop@280 t0 s0 line m16384, schema@560 t0 s0 line m16384, schema@560 t0.2 s3 line m16384, " +
				"loop@560 t0.5 s4 line m16384, schema@560 t0.8 s5 line m16384, length@560 t0 s0 none m16384", 2},
		{"no reply", OCR, Options{}, released, Image, always(FinishError), "error@280 t0 s0 line m8192", -1},
		{"a picture that is too large for the context", OCR, Options{}, released, Image, each(FinishLoop, FinishError, FinishStop),
			"loop@280 t0 s0 line m8192, error@560 t0 s0 line m8192, stop@280 t0.2 s2 line m8192", 2},
		{"only the first gets a reply", OCR, Options{}, released, Image, each(FinishLoop, FinishError),
			"loop@280 t0 s0 line m8192, error@560 t0 s0 line m8192, error@280 t0.2 s2 line m8192, error@280 t0.5 s3 line m8192, " +
				"error@280 t0.8 s4 line m8192, error@280 t0 s0 none m8192", 0},
		{"one prompt, one budget", OCR, Options{}, one, Image, always(FinishLoop),
			"loop@70 t0 s0 line m8192, loop@70 t0.2 s1 line m8192, loop@70 t0.5 s2 line m8192, loop@70 t0.8 s3 line m8192", 0},
		{"budgets of the checkpoint", OCR, Options{}, three, Image, each(FinishLoop, FinishStop), "loop@70 t0 s0 line m8192, stop@280 t0 s0 line m8192", 1},
		{"hot already", OCR, Options{Temperature: 0.6, Budget: 70}, released, Image, always(FinishLoop),
			"loop@70 t0.6 s0 line m8192, loop@70 t0.6 s1 line m8192, loop@70 t0.6 s2 line m8192, loop@70 t0.8 s3 line m8192, loop@70 t0.6 s0 none m8192", 0},
		{"plain text", OCR, Options{Boxes: BoxesNone}, released, Image, each(FinishLoop, FinishLoop, FinishStop),
			"loop@280 t0 s0 none m8192, loop@560 t0 s0 none m8192, stop@560 t0.2 s2 none m8192", 2},
		{"speech", Transcribe, Options{}, released, Sound, each(FinishLoop, FinishLoop, FinishStop), "loop@0 t0 s0 m1024, loop@0 t0.2 s1 m1024, stop@0 t0.5 s2 m1024", 2},
		{"speech without end", Transcribe, Options{}, released, Sound, always(FinishLength),
			"length@0 t0 s0 m1024, length@0 t0.2 s1 m1024, length@0 t0.5 s2 m1024, length@0 t0.8 s3 m1024", 0},
		{"scene", Caption, Options{}, released, Film, each(FinishSchema, FinishStop), "schema@0 t0 s0 m1024, stop@0 t0.2 s1 m1024", 1},
		{"caption", Caption, Options{}, released, Image, each(FinishLoop, FinishStop), "loop@280 t0 s0 m1024, stop@560 t0 s0 m1024", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			history := ask(t, c.job, c.o, c.checkpoint, c.medium, c.script)
			if got := show(history); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(history) > 7 {
				t.Errorf("asked %d times", len(history))
			}
			if best := Best(history); best != c.best {
				t.Errorf("the best is %d, want %d", best, c.best)
			}
		})
	}
}

func TestBest(t *testing.T) {
	at := func(f Finish, chars int) Attempt { return Attempt{Finish: f, Chars: chars} }
	for _, c := range []struct {
		history []Attempt
		want    int
	}{
		{nil, -1},
		{[]Attempt{at(FinishError, 0)}, -1},
		{[]Attempt{at(FinishLoop, 900), at(FinishStop, 0), at(FinishStop, 9)}, 1},
		{[]Attempt{at(FinishLoop, 5), at(FinishLoop, 9), at(FinishLoop, 9), at(FinishError, 0)}, 1},
		{[]Attempt{at(FinishLoop, 900), at(FinishLength, 5), at(FinishSchema, 1)}, 2},
		{[]Attempt{at(FinishLength, 5), at(FinishLoop, 900), at(FinishLength, 6)}, 2},
	} {
		if got := Best(c.history); got != c.want {
			t.Errorf("%v: %d, want %d", c.history, got, c.want)
		}
	}
}

// Attempts that are not of the ladder end it instead of leading anywhere.
func TestNextOfOtherAttempts(t *testing.T) {
	stop, loop := Attempt{Finish: FinishStop}, Attempt{Finish: FinishLoop}
	if o, ok := OCR.Next(Options{Seed: 3}, Checkpoint{}, Image, []Attempt{stop, loop}); ok || o.Seed != 3 {
		t.Errorf("after a good one: %+v, %v", o, ok)
	}
	if _, ok := OCR.Next(Options{}, Checkpoint{}, Image, slices.Repeat([]Attempt{loop}, 100)); ok {
		t.Error("after a hundred attempts there is one more")
	}
}

func TestJudge(t *testing.T) {
	page := Reply{Tokens: Plain(`[{"box_2d": [1, 2, 3, 4], "text": "über"}]`), Finish: FinishStop, Boxes: BoxesLine, Width: 10, Height: 10}
	other := page
	other.Tokens = Plain("über")
	loop := page
	loop.Finish = FinishLoop
	speech := Reply{Medium: Sound, Tokens: Plain("five\nGerman: fünf"), Finish: FinishStop, Translate: "German", End: 1}
	for _, c := range []struct {
		job    Job
		reply  Reply
		finish Finish
		chars  int
	}{
		{OCR, page, FinishStop, 4}, {OCR, other, FinishSchema, 4}, {OCR, loop, FinishLoop, 4},
		{Transcribe, speech, FinishStop, 8},
	} {
		if f, n := c.job.Judge(c.reply); f != c.finish || n != c.chars {
			t.Errorf("%s %q: %s after %d characters, want %s after %d", c.job.Name, c.reply.text(), f, n, c.finish, c.chars)
		}
	}
}

func TestTriesInRecord(t *testing.T) {
	r := Reply{Tokens: Plain("one"), Finish: FinishStop, Boxes: BoxesNone, Width: 10, Height: 10, Tries: []Attempt{
		{Budget: 280, Boxes: BoxesLine, MaxTokens: 9, OutputTokens: 9, Finish: FinishLoop},
		{Budget: 280, Boxes: BoxesNone, MaxTokens: 9, OutputTokens: 2, Finish: FinishStop, Chars: 3, Kept: true},
	}}
	rec := Record{Attempts: 1}
	OCR.Read(&rec, []Reply{r})
	line, err := rec.Line()
	if err != nil {
		t.Fatal(err)
	}
	want := `"attempts":2,"tries":[{"budget":280,"boxes":"line","temperature":0,"seed":0,"max_tokens":9,"output_tokens":9,"finish":"loop","chars":0},` +
		`{"budget":280,"boxes":"none","temperature":0,"seed":0,"max_tokens":9,"output_tokens":2,"finish":"stop","chars":3,"kept":true}],` +
		`"warnings":["asked 2 times: the text was read without boxes, since the replies with boxes could not be used"]`
	if !strings.Contains(string(line), want) {
		t.Errorf("got %s, want %s", line, want)
	}
	r.Tries, rec = r.Tries[:1], Record{Attempts: 1}
	if OCR.Read(&rec, []Reply{r}); rec.Attempts != 1 || rec.Tries != nil {
		t.Errorf("asked once: %d, %v", rec.Attempts, rec.Tries)
	}
	// Of a recording the piece that was hardest.
	rec = Record{Attempts: 1}
	Transcribe.Read(&rec, []Reply{{Tokens: Plain("a"), Tries: make([]Attempt, 2)}, {Tokens: Plain("b"), Tries: make([]Attempt, 3)}, {Tokens: Plain("c"), Attempts: 1}})
	if rec.Attempts != 3 || len(rec.Tries) != 3 {
		t.Errorf("of pieces: %d, %v", rec.Attempts, rec.Tries)
	}
}
