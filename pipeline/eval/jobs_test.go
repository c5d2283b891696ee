package eval

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/pipeline/job"
)

func TestWords(t *testing.T) {
	for s, want := range map[string]string{
		"":                         "",
		"  \n.,;-– ":               "",
		"Don’t stop, 'Now' don't!": "don't|stop|now|don't",
		"well-known 3.5 % E2B_x":   "well|known|3|5|e2b|x",
		"U\u0308BER den Fluß":      "über|den|fluß",
		"О́н пришёл。你好":            "о́н|пришёл|你好",
	} {
		if got := strings.Join(Words(s), "|"); got != want {
			t.Errorf("Words(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestTranscribeScore(t *testing.T) {
	text := func(s string) *string { return &s }
	heard := func(path, text string, segments ...job.Segment) job.Record {
		return job.Record{Job: "transcribe", Source: job.Source{Path: path}, Text: text, Segments: segments, Finish: job.FinishStop}
	}
	labels := []Label{
		{File: "a.wav", Text: text("One two, three."), Segments: []Span{{0, 2}, {3, 5}, {8, 9}}},
		{File: "silence.wav", Text: text("")},
		{File: "gone.wav", Text: text("lost words")},
		{ID: "0123456789abcdef", Text: text("By its id.")},
		{File: "other.wav", ID: "fedcba9876543210", Text: text("")}, // the file has another
		{File: "a.wav", Lines: []Line{}},                            // of ocr
	}
	byID := heard("x/y.wav", "by its id.")
	byID.ID = "0123456789abcdef"
	s, err := Transcribe(labels, Run{Records: []job.Record{
		heard("a.wav", "one\ntwo four three", job.Segment{Start: 3.5, End: 5}, job.Segment{Start: 0.5, End: 3.2}), heard("silence.wav", "you"), byID, heard("other.wav", "x"),
	}, Errors: []job.ErrorRecord{{Entry: job.Entry{Path: "gone.wav"}, Error: "broken"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := SpokenTotal{Words: 3 + 0 + 2 + 3, WordEdits: 1 + 1 + 2 + 0, RawWords: 8, RawWordEdits: (1 + 1 + 1 + 1) + 1 + 2 + 1, Characters: 15 + 0 + 10 + 10, Edits: s.Edits}
	if s.SpokenTotal != want || s.WordErrorRate != 0.5 || s.WordErrorRateRaw != 1 || s.Exact != 0.2 || s.Unlabelled != 1 {
		t.Errorf("%+v, want %+v", s, want)
	}
	// Segments 1 and 2 are met by the second and the first that was read; the third by none.
	if s.Labelled != 3 || s.Read != 2 || s.Matched != 2 || math.Abs(s.Error-(0.5+1.2+0.5+0)/4) > 1e-12 {
		t.Errorf("times %+v", s.Times)
	}
	if d := cmp.Diff([]Missing{{File: "gone.wav", Error: "broken"}, {File: "other.wav"}}, s.Missing); d != "" {
		t.Error(d)
	}
	var b bytes.Buffer
	if err := s.WriteTable(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"word error rate       50.00 %   4 edits in 8 words", "time error            0.55 s", "\na.wav ", "0123456789abcdef ", "gone.wav: broken"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	data, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(data), `"word_error_rate":0.5`) || !strings.Contains(string(data), `"time_error":0.55`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestLocateScore(t *testing.T) {
	at := func(y, x float64) job.Box2D { return job.Box2D{y, x, y + 100, x + 100} }
	place := func(boxes ...job.Box2D) []Line {
		lines := []Line{}
		for _, b := range boxes {
			lines = append(lines, Line{Box2D: b})
		}
		return lines
	}
	found := func(path string, finish job.Finish, find []string, elements ...job.Element) job.Record {
		r := job.Record{Job: "locate", Source: job.Source{Path: path}, Finish: finish, Elements: elements}
		r.Effective.Find = find
		return r
	}
	labels := []Label{
		{File: "a.png", Find: "Save", Lines: place(at(0, 0))},
		{File: "a.png", Find: "Quit", Lines: place()},
		{File: "a.png", Find: "Help", Lines: place(at(0, 0))},                 // was not asked
		{File: "b.png", Task: "locate", Lines: place(at(500, 500), at(0, 0))}, // two places are right
		{File: "c.png", Task: "locate", Lines: place(at(0, 0))},
		{File: "d.png", Task: "locate", Lines: place()},
		{File: "e.png", Task: "locate", Lines: place()},
	}
	run := Run{Records: []job.Record{
		found("a.png", job.FinishStop, []string{"Save", "Quit"}, job.Element{Find: "Save", Box2D: at(0, 0)}, job.Element{Find: "Save", Box2D: at(900, 0)}),
		found("b.png", job.FinishStop, []string{"x"}, job.Element{Find: "x", Box2D: at(0, 60)}), // a quarter, and its middle is outside
		found("c.png", job.FinishStop, nil, job.Element{Box2D: at(300, 300)}),
		found("d.png", job.FinishSchema, nil), // nothing, but not by an empty list
		found("e.png", job.FinishStop, nil, job.Element{Box2D: at(0, 0)}),
	}}
	s, err := Locate(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	got := []float64{float64(s.Present), float64(s.Absent), s.BoxAt50, s.Point, s.Found, s.Empty, s.MeanIoU, s.JSONValid}
	want := []float64{4, 3, 0.25, 0.25, 0.25, 1.0 / 3, (1 + 0.25) / 4, 5.0 / 7}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-12) {
			t.Errorf("figure %d: %v, want %v", i, got[i], want[i])
		}
	}
	if d := cmp.Diff([]Missing{{File: "a.png", Error: `"Help" was not asked for`}}, s.Missing); d != "" {
		t.Error(d)
	}
	if _, err := Locate([]Label{{File: "a.png", Task: "locate", Lines: place()}}, run); err == nil || !strings.Contains(err.Error(), "its record has 2 questions") {
		t.Errorf("a label without find: %v", err)
	}
	if _, err := Locate([]Label{labels[0], labels[0]}, run); err == nil || !strings.Contains(err.Error(), "are both for a.png") {
		t.Errorf("two labels: %v", err)
	}
}

func TestCaptionScore(t *testing.T) {
	read := func(content string) []Label {
		t.Helper()
		path := filepath.Join(t.TempDir(), "labels.jsonl")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		labels, err := ReadLabels(path)
		if err != nil {
			t.Fatal(err)
		}
		return labels
	}
	labels := read(`{"path":"a.png","words":{"colour":["red","blue"],"shape":[["circle","circles"],"star"],"count":["two red circles"]},"not":{"colour":["green"]}}
{"path":"b.mp4","task":"caption","words":{"motion":[["moves left","goes left"]],"on_screen_text":["Open now"],"speech":["hello"]},"scenes":[{"start":0,"end":4}]}
{"path":"c.png","words":{"colour":["red"]}}
{"path":"gone.png","not":{"colour":["red"]}}
{"path":"e.png","not":{"colour":["red"]}}`)
	told := func(path, text string) job.Record {
		return job.Record{Job: "caption", Source: job.Source{Path: path}, Text: text, Finish: job.FinishStop}
	}
	film := told("b.mp4", "A star goes left; it says hello and open now.")
	film.Scenes = []job.Scene{{Start: 0, End: 3, Text: "A star moves.", OnScreenText: "OPEN NOW!"}}
	film.Segments = []job.Segment{{Text: "Oh, hello."}}
	run := Run{Records: []job.Record{told("a.png", "Two red circles, and a blue star."), film, told("c.png", "A bored reddish thing."), told("e.png", "A blue one.")}}
	s, err := Caption(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Facet{
		"colour": {4, 2, 0.5}, "shape": {1, 1, 1}, "count": {1, 1, 1}, "motion": {1, 1, 1}, "on_screen_text": {1, 1, 1}, "speech": {1, 1, 1},
	}
	if d := cmp.Diff(want, s.Facets); d != "" || s.All != 0.6 || s.Error != 0.5 || len(s.Missing) != 1 {
		t.Errorf("%+v: %s", s, d)
	}
	run.Records[0].Text += " Nothing is green."
	film.Scenes[0].OnScreenText, run.Records[1].Segments = "", nil
	if s, err = Caption(labels, run); err != nil || s.Facets["colour"].Right != 1 || s.Facets["speech"].Right != 0 || s.Facets["on_screen_text"].Right != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	var b bytes.Buffer
	if err := s.WriteTable(&b, true); err != nil || !strings.Contains(b.String(), "colour          25.0 %") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if data, err := json.Marshal(s); err != nil || bytes.Contains(data, []byte("null")) {
		t.Errorf("%s %v", data, err)
	}
}

func TestReadLabelsOfJobsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.jsonl")
	for content, want := range map[string]string{
		`{"task":"ocr","lines":[]}`:                               "no file and no id",
		`{"file":"a","task":"transcribe"}`:                        "no text",
		`{"file":"a","task":"locate"}`:                            "no lines",
		`{"file":"a","find":"x"}`:                                 "no lines",
		`{"file":"a","task":"caption"}`:                           "no words",
		`{"file":"a","words":{"x":["!"]}}`:                        "words: x: an entry without a word",
		`{"file":"a","not":{"x":[[]]}}`:                           "words: x: an entry without a word",
		`{"file":"a","text":"","segments":[{"start":2,"end":1}]}`: "time 1: from 2 to 1",
		`{"file":"a","find":"x","lines":[{"box_2d":[1,1,1,1]}]}`:  "no area",
	} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLabels(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", content, err, want)
		}
	}
}
