package job

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/audio"
)

func transcript(replies ...Reply) *Record {
	rec := new(Record)
	Transcribe.Read(rec, replies)
	return rec
}

func spoken(start, end float64, text string) Reply {
	return Reply{Medium: Sound, Start: start, End: end, Tokens: Plain(text), Finish: FinishStop, Attempts: 1}
}

func TestReadTranscript(t *testing.T) {
	left, right := spoken(0.5, 4, "Hello there."), spoken(2, 3.00049, " Who\nis it?\n")
	left.Channel, right.Channel = 1, 2
	rec := transcript(left, spoken(6, 7, " "), spoken(8, 9, "Me."), right)
	want := []Segment{
		{Start: 0.5, End: 4, Text: "Hello there.", Channel: 1},
		{Start: 2, End: 3, Text: "Who is it?", Channel: 2},
		{Start: 8, End: 9, Text: "Me."},
	}
	if d := cmp.Diff(want, rec.Segments); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if rec.Text != "Hello there.\nWho is it?\nMe." || *rec.Blank || rec.Finish != FinishStop || len(rec.Warnings) > 0 {
		t.Errorf("got %+v", rec)
	}
}

func TestReadLanguage(t *testing.T) {
	for said, want := range map[string]string{"German": "German", " **Brazilian Portuguese**.\n": "Brazilian Portuguese", "I think that it is German.": "", "": ""} {
		r := spoken(0, 0, said)
		r.Detects = true
		rec := transcript(r, spoken(1, 2, "Ja."))
		if rec.Language != want || len(rec.Segments) != 1 || (len(rec.Warnings) == 0) != (want != "") {
			t.Errorf("%q: got %q, %v, %q", said, rec.Language, rec.Segments, rec.Warnings)
		}
	}
}

func TestReadTranscriptOfSilence(t *testing.T) {
	for _, rec := range []*Record{transcript(), transcript(spoken(0, 5, ""))} {
		if !*rec.Blank || rec.Segments == nil || rec.Text != "" || !slices.Equal(rec.Warnings, []string{"no speech was found"}) {
			t.Errorf("got %+v", rec)
		}
	}
}

// What repeats is there once, and is marked.
func TestReadTranscriptLoop(t *testing.T) {
	r := spoken(3600, 3629.2, "And then we go on to "+strings.Repeat("the next one and ", 40))
	r.Finish = FinishLoop
	rec := transcript(spoken(0, 1, "Yes."), r)
	if got, want := rec.Segments[1].Text, "And then we go on to the next one and"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if rec.Finish != FinishLoop || len(rec.Warnings) != 1 || !strings.HasPrefix(rec.Warnings[0], "1:00:00–1:00:30: ") {
		t.Errorf("got %s, %q", rec.Finish, rec.Warnings)
	}
}

func TestCutRepeats(t *testing.T) {
	for in, want := range map[string]string{
		"a b c":                         "a b c",
		"no no no no":                   "no",
		"well no no no":                 "well no",
		"he said no no":                 "he said no no", // people do
		"x y z x y z x y z":             "x y z",
		"a x y z x y z x y z x y":       "a x y z", // ends within
		"あいあいあいあい":                      "あい",
		"":                              "",
		"one two three four five six":   "one two three four five six",
		"go go go stop go go go stop a": "go go go stop go go go stop a",
	} {
		if got := cutRepeats(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTranslation(t *testing.T) {
	r := spoken(0, 2, "Guten Tag.\nEnglish: Good day.\n")
	r.Translate = "English"
	rec := transcript(r)
	if s := rec.Segments[0]; s.Text != "Guten Tag." || s.Translation != "Good day." {
		t.Errorf("got %+v", s)
	}
	r.Tokens = Plain("Guten Tag.")
	if rec := transcript(r); rec.Segments[0].Text != "Guten Tag." || len(rec.Warnings) != 1 {
		t.Errorf("got %+v", rec)
	}
	r.Tokens = Plain("English: Good day.") // which has no transcript
	if rec := transcript(r); len(rec.Segments) != 1 || rec.Segments[0].Translation != "Good day." || rec.Text != "" || *rec.Blank {
		t.Errorf("got %+v", rec)
	}
	loop := r
	loop.Tokens, loop.Finish = Plain("Guten Tag. Ja.\nEnglish: Good day. Yes, yes, yes, yes, yes, yes,"), FinishLoop
	if s := transcript(loop).Segments[0]; s.Text != "Guten Tag. Ja." || s.Translation != "Good day. Yes, yes," {
		t.Errorf("got %+v", s)
	}
	r.Tokens = Plain("English is spoken.\n**English:** good\nday") // a line that begins so is none
	if s := transcript(r).Segments[0]; s.Text != "English is spoken." || s.Translation != "good day" {
		t.Errorf("got %+v", s)
	}
}

func TestAskTranscribe(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "in its original language. Follow"},
		{Options{}, "write the digits"},
		{Options{Language: "German"}, "in German into German text. Follow"},
		{Options{Listening: Listening{Translate: "French"}}, "segment in its original language, then translate it into French."},
		{Options{Listening: Listening{Context: "Ada\nLovelace"}}, "may be said: Ada Lovelace"},
	} {
		if q := askTranscribe(c.o, Sound); !strings.Contains(q, c.want) {
			t.Errorf("%+v: %q lacks %q", c.o, q, c.want)
		}
	}
	if q := askTranscribe(Options{Listening: Listening{Numbers: NumbersWords}}, Sound); strings.Contains(q, "digits") {
		t.Errorf("%q", q)
	}
}

// Cues can be read: few lines, of bounded length, on show for bounded time, none over another,
// and no word is lost.
func TestCues(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	words := []string{"a", "the", "extraordinarily", "yes,", "no.", "Donaudampfschifffahrtsgesellschaftskapitänsmütze", "ok?", "字幕は読めなければならない。", "12"}
	for range 2000 {
		var segments []Segment
		at := 0.0
		for range 1 + r.IntN(4) {
			var text []string
			for range r.IntN(60) {
				text = append(text, words[r.IntN(len(words))])
			}
			at += r.Float64() * 3
			s := Segment{Start: Seconds(at), Text: strings.Join(text, " ")}
			at += 0.5 + r.Float64()*30
			s.End = Seconds(at)
			segments = append(segments, s)
		}
		last := 0.0
		for _, s := range segments {
			cues := Cues([]Segment{s})
			var shown []string
			for _, c := range cues {
				if c.Start < last || c.End < c.Start || c.Start < s.Start || c.End > s.End {
					t.Fatalf("%+v of %+v, after %v", c, s, last)
				}
				if c.End-c.Start > cueSeconds+0.0005 {
					t.Fatalf("%+v of %+v is on show for long", c, s)
				}
				last = c.End
				if len(c.Lines) == 0 || len(c.Lines) > cueLines {
					t.Fatalf("%+v has %d lines", c, len(c.Lines))
				}
				for _, l := range c.Lines {
					n := 0
					for _, r := range l {
						n += columns(r)
					}
					if n > cueColumns && len(cueWords(l)) > 1 {
						t.Fatalf("%q takes %d columns", l, n)
					}
				}
				shown = append(shown, c.Lines...)
				if c.Estimated != (len(cues) > 1) {
					t.Fatalf("%+v of %d", c, len(cues))
				}
			}
			if got, want := strings.Join(strings.Fields(strings.Join(shown, "")), ""), strings.ReplaceAll(s.Text, " ", ""); strings.ReplaceAll(got, " ", "") != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
}

func TestCuesOfChannelsDoNotOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		var segments []Segment
		for c := range 2 + r.IntN(95) {
			start := Seconds(r.Float64() * 10)
			segments = append(segments, Segment{Start: start, End: start + Seconds(r.Float64()*9), Text: "Yes.", Channel: c + 1})
		}
		cues := Cues(segments)
		for i, c := range cues {
			if !(c.End > c.Start) || c.End-c.Start > cueSeconds+0.0005 || i > 0 && c.Start < cues[i-1].End {
				t.Fatalf("%+v after %+v", c, cues[max(0, i-1)])
			}
		}
	}
	// What one says while another speaks gets half of the time.
	cues := Cues([]Segment{{Start: 0, End: 6, Text: "One.", Channel: 1}, {Start: 1, End: 2, Text: "Two.", Channel: 2}})
	if cues[0].End != 3 || cues[1].Start != 3 || cues[1].End != 6 {
		t.Errorf("got %+v", cues)
	}
}

// Where a line breaks within text that has no spaces, the segment gets none.
func TestSubtitleSegmentsOfWideText(t *testing.T) {
	const text = "字幕は読めなければならないのでこの長い文は二行に分けて表示されることになるはずである。"
	r := spoken(0, 5, text)
	r.Subtitles = true
	if rec := transcript(r); strings.ReplaceAll(rec.Text, "\n", "") != text {
		t.Errorf("got %q", rec.Text)
	}
}

// Sentences end cues where they can, and pauses say when.
func TestCueBorders(t *testing.T) {
	s := Segment{Start: 10, End: 20, Text: "This is the first of two sentences here. And this one is the second of the two sentences."}
	cues := s.cues([]audio.Span{{Start: 14, End: 15}})
	if len(cues) != 2 || !strings.HasSuffix(cues[0].Lines[len(cues[0].Lines)-1], "here.") || cues[0].End != 14 || cues[1].Start != 15 {
		t.Errorf("got %+v", cues)
	}
	r := spoken(10, 20, s.Text)
	r.Subtitles, r.Pauses = true, []audio.Span{{Start: 14, End: 15}}
	rec := transcript(r)
	if len(rec.Segments) != 2 || !rec.Segments[0].Estimated || rec.Segments[0].End != 14 {
		t.Errorf("got %+v", rec.Segments)
	}
}

func TestReadCaption(t *testing.T) {
	scene := func(start, end float64, text string) Reply {
		return Reply{Medium: Film, Start: start, End: end, Tokens: Plain(text), Finish: FinishStop, Attempts: 1}
	}
	rec := new(Record)
	Caption.Read(rec, []Reply{
		scene(0, 10, "```json\n{\"text\": \"A red ball rolls.\", \"on_screen_text\": \"EXIT\"}\n```"),
		scene(10, 20, "A dog sleeps."), spoken(1, 3, "Look!"), spoken(9, 15, "What a dog."),
	})
	want := []Scene{
		{Start: 0, End: 10, Text: "A red ball rolls.", Speech: "Look!", OnScreenText: "EXIT"},
		{Start: 10, End: 20, Text: "A dog sleeps.", Speech: "What a dog."},
	}
	if d := cmp.Diff(want, rec.Scenes); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	q := Caption.Sum(rec, Options{})
	for _, want := range []string{"0:00–0:10: A red ball rolls.", `Said: "What a dog."`} {
		if !strings.Contains(q, want) {
			t.Errorf("%q lacks %q", q, want)
		}
	}
	Caption.Summarise(rec, Reply{Tokens: Plain(" A ball and a dog.\n"), Finish: FinishStop})
	if rec.Summary != "A ball and a dog." || rec.Text != rec.Summary {
		t.Errorf("got %+v", rec)
	}
	one := new(Record)
	Caption.Read(one, []Reply{scene(0, 4, "A cat.")})
	if q := Caption.Sum(one, Options{}); q != "" || one.Text != "A cat." {
		t.Errorf("got %q, %+v", q, one)
	}
	image := new(Record)
	Caption.Read(image, []Reply{{Medium: Image, Tokens: Plain("A cat."), Finish: FinishStop}})
	if image.Text != "A cat." || image.Scenes != nil {
		t.Errorf("got %+v", image)
	}
}

// What an object says is the scene's text, also if that is nothing or goes round in circles.
func TestReadSceneObject(t *testing.T) {
	for reply, want := range map[string]Scene{
		`{"text": "", "on_screen_text": "EXIT"}`:                {OnScreenText: "EXIT"},
		`{"text": "A dog runs and runs and runs and runs and r`: {Text: "A dog runs and runs and runs and runs and r"},
		`{"text": "A dog. and runs and runs and runs and runs`:  {Text: "A dog. and runs"},
	} {
		rec := new(Record)
		Caption.Read(rec, []Reply{{Medium: Film, Tokens: Plain(reply), Finish: FinishLoop}})
		if d := cmp.Diff([]Scene{want}, rec.Scenes); d != "" {
			t.Errorf("%s: want -, got +:\n%s", reply, d)
		}
	}
}

// Speech of many segments finds its place among many scenes, the one that has most of it.
func TestSpeechOfManyScenes(t *testing.T) {
	rec := new(Record)
	var replies []Reply
	for i := range 3000 {
		replies = append(replies, Reply{Medium: Film, Start: float64(i), End: float64(i + 1), Tokens: Plain("A dog.")})
	}
	for i := 1; i < 3000; i++ {
		replies = append(replies, spoken(float64(i)-0.6, float64(i)+0.3, "Yes."))
	}
	Caption.Read(rec, append(replies, spoken(40000, 40001, "After the end.")))
	for i, s := range rec.Scenes {
		if want := i < 2999; (s.Speech == "Yes.") != want {
			t.Fatalf("scene %d: %+v", i, s)
		}
	}
}

// The summary counts for how a film's replies ended.
func TestReadSummaryFinish(t *testing.T) {
	rec := &Record{Finish: FinishStop, Attempts: 1}
	Caption.Summarise(rec, Reply{Tokens: Plain("A ball and"), Finish: FinishLength, Attempts: 2})
	if rec.Finish != FinishLength || rec.Attempts != 2 || len(rec.Warnings) != 1 {
		t.Errorf("got %+v", rec)
	}
}

// The summary of a film of very many scenes is made of scenes from all of it.
func TestAskSummaryOfManyScenes(t *testing.T) {
	rec := new(Record)
	for i := range 20000 {
		rec.Scenes = append(rec.Scenes, Scene{Start: float64(i), End: float64(i + 1), Text: "A dog runs."})
	}
	q := Caption.Sum(rec, Options{})
	if len(q) > 2*maxPrompt || !strings.Contains(q, "5:33:") || len(rec.Warnings) != 1 {
		t.Errorf("%d bytes, %q", len(q), rec.Warnings)
	}
}

// Whatever a model says, a reader does not fail and the record can be written.
func FuzzReadTranscript(f *testing.F) {
	f.Add("Hello. Hello. Hello. Hello.", 0.0, 30.0, true)
	f.Add("a\nEnglish: b", 1.0, 2.0, false)
	f.Fuzz(func(t *testing.T, text string, start, end float64, subtitles bool) {
		if !(start >= 0 && end > start && end < 1e7) || math.IsInf(end, 0) {
			return
		}
		for _, finish := range []Finish{FinishStop, FinishLoop} {
			for _, translate := range []string{"", "English"} {
				r := Reply{Medium: Sound, Start: start, End: end, Tokens: Plain(text), Finish: finish, Translate: translate, Subtitles: subtitles}
				rec := transcript(r)
				if _, err := rec.Line(); err != nil {
					t.Fatal(err)
				}
				Cues(rec.Segments)
				r.Medium = Film
				Caption.Read(new(Record), []Reply{r})
			}
		}
	})
}
