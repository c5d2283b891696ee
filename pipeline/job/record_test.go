package job

import (
	"crypto/sha256"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The line is part of what we promise: order, names, and what is left out.
func TestRecordLine(t *testing.T) {
	blank := false
	rec := Record{
		ID: ID(sha256.Sum256(nil), 2), Job: "ocr",
		Source:    Source{Path: "a & b.pdf", SHA256: "e3b0", Bytes: 1, Type: "application/pdf", Page: 2},
		Effective: Effective{Model: "nano", ModelSHA256: "ab", Seen: &Seen{Budget: 280, ImageTokens: 266, SizeSeen: [2]int{912, 672}, SizeOriginal: [2]int{1700, 2200}, Downscaled: true}, PromptSHA256: "cd"},
		Text:      "<é\u2028", Blank: &blank,
		Blocks: []Block{{Text: "x", Box: Box{0, 2, 3, 4}, Box2D: Box2D{1, 0, 3, 4.5}, Confidence: 0.97}, {Text: "y"}},
		Finish: FinishStop, Attempts: 1, Usage: Usage{PromptTokens: 1, OutputTokens: 2},
	}
	want := `{"id":"e3b0c44298fc1c14.p2","job":"ocr",` +
		`"source":{"path":"a & b.pdf","sha256":"e3b0","bytes":1,"type":"application/pdf","page":2},` +
		`"effective":{"model":"nano","model_sha256":"ab","budget":280,"image_tokens":266,"size_seen":[912,672],"size_original":[1700,2200],` +
		`"downscaled":true,"prompt_sha256":"cd","temperature":0,"seed":0},` +
		`"text":"<é\u2028","blank":false,` +
		`"blocks":[{"text":"x","box":[0,2,3,4],"box_2d":[1,0,3,4.5],"confidence":0.97},{"text":"y"}],` +
		`"finish":"stop","attempts":1,"warnings":[],"usage":{"prompt_tokens":1,"output_tokens":2}}` + "\n"
	got, err := rec.Line()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	var back Record
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	rec.Warnings = []string{}
	if d := cmp.Diff(rec, back); d != "" {
		t.Errorf("read back, want -, got +:\n%s", d)
	}
}

func TestRecordLineListsAreNotNull(t *testing.T) {
	got, err := new(Record).Line()
	if err != nil {
		t.Fatal(err)
	}
	if want := `"warnings":[]`; !strings.Contains(string(got), want) {
		t.Errorf("%s lacks %s", got, want)
	}
	for _, field := range []string{"blank", "blocks", "segments", "scenes", "budget", "audio_seconds"} {
		if strings.Contains(string(got), field) {
			t.Errorf("%s has fields no job set", got)
		}
	}
	for _, j := range []Job{OCR, Transcribe} {
		rec := new(Record)
		j.Read(rec, []Reply{{Finish: FinishStop, Width: 1, Height: 1}})
		got, err := rec.Line()
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"ocr": `"blocks":[]`, "transcribe": `"segments":[]`}[j.Name]; !strings.Contains(string(got), want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestRecordLineRefusesNaN(t *testing.T) {
	if line, err := (&Record{Effective: Effective{Temperature: math.NaN()}}).Line(); err == nil {
		t.Errorf("no error, %s", line)
	}
}

// errors.jsonl is a manifest.
func TestErrorRecordIsAnEntry(t *testing.T) {
	e := ErrorRecord{
		Entry: Entry{ID: "x", Path: "b/\"ä\".png", Page: 3, Job: "ocr", Options: Options{Budget: 280, Boxes: BoxesNone, Language: "German", Temperature: 0.5, Seed: 1 << 63}},
		Error: "PNG: truncated",
	}
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"x","path":"b/\"ä\".png","page":3,"job":"ocr","budget":280,"boxes":"none","language":"German","temperature":0.5,"seed":9223372036854775808,"error":"PNG: truncated"}` + "\n"
	if string(line) != want {
		t.Errorf("got  %swant %s", line, want)
	}
	got, err := ParseEntry(line)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(e.Entry, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":"x"}`:                     "no path",
		`{"path":"a","budgett":70}`:      `unknown field "budgett"`,
		`{"path":"a","path":"b"}`:        `key "path" is there twice`,
		`{"path":"a"} {"path":"b"}`:      "after the end",
		`{"path":"a","page":-1}`:         "page -1",
		`{"path":"a","budget":1.5}`:      "cannot unmarshal",
		`{"path":"a","temperature":-1}`:  "temperature -1",
		`{"path":"a","temperature":101}`: "temperature 101 is not in 0 to 100",
		`{"path":"a","budget":71}`:       "budget 71: want one of [70 140",
		`{"path":"a","max_tokens":-1}`:   "max_tokens -1",
		`{"path":"a"`:                    "found the end",
		`a.png`:                          "want a value, found 'a'",
		`{"path":"a","language":"x\ny"}`: "is not a name",
	} {
		if e, err := ParseEntry([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, error %v, want %q", line, e, err, want)
		}
	}
}

// A line commands no terminal, and says the same as it would without escapes.
func TestLineIsInert(t *testing.T) {
	text := "a\x1b[31m\u009b2J\x7f \u202egnp.exe\u202c \u2066x\u2069 \u2028 é 日本 <b>&"
	rec := Record{Text: text, Warnings: []string{text}}
	line, err := rec.Line()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(line[:len(line)-1]) {
		if r < 0x20 || commands(r) || r == 0x2028 {
			t.Errorf("%U in %s", r, line)
		}
	}
	if !strings.Contains(string(line), `\u202egnp.exe\u202c`) || !strings.Contains(string(line), "é 日本 <b>&") {
		t.Errorf("got %s", line)
	}
	var back Record
	if err := json.Unmarshal(line, &back); err != nil || back.Text != text || back.Warnings[0] != text {
		t.Errorf("read back: %q, %v", back.Text, err)
	}
}
