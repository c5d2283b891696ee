package sink

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/asticode/go-astisub"

	"facet/pipeline/job"
)

func talk() *job.Record {
	return &job.Record{
		Text: "Hello & <welcome>.\nA --> B", Language: "English",
		Effective: job.Effective{Heard: &job.Heard{AudioSeconds: 3700.5}},
		Segments: []job.Segment{
			{Start: 0.25, End: 2, Text: "Hello & <welcome>.", Confidence: 0.5},
			{Start: 3600, End: 3612.5, Text: "A --> B, and this goes on for longer than a subtitle may be on show, so it is parted. It ends here."},
		},
	}
}

// What is written can be read by what reads subtitles, and says the same.
func TestSubtitlesCanBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		write func(*bytes.Buffer) error
		read  func(*bytes.Buffer) (*astisub.Subtitles, error)
	}{
		"srt": {func(b *bytes.Buffer) error { return WriteSRT(b, talk()) }, func(b *bytes.Buffer) (*astisub.Subtitles, error) { return astisub.ReadFromSRT(b) }},
		"vtt": {func(b *bytes.Buffer) error { return WriteVTT(b, talk()) }, func(b *bytes.Buffer) (*astisub.Subtitles, error) { return astisub.ReadFromWebVTT(b) }},
	} {
		var b bytes.Buffer
		if err := c.write(&b); err != nil {
			t.Fatal(err)
		}
		written := b.String()
		s, err := c.read(&b)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, written)
		}
		if len(s.Items) != 3 || s.Items[0].StartAt != 250*time.Millisecond || s.Items[2].EndAt != time.Hour+12500*time.Millisecond {
			t.Fatalf("%s: %v\n%s", name, s.Items, written)
		}
		if got := strings.ReplaceAll(s.Items[0].String(), "\u2060", ""); got != "Hello & <welcome>." {
			t.Errorf("%s: got %q\n%s", name, got, written)
		}
		if name == "vtt" && strings.Count(written, "NOTE estimated") != 2 {
			t.Errorf("%s", written)
		}
	}
}

// SubRip knows no escapes: text is written as it is, and what players would take for a tag
// or a place is parted by a character that is not seen.
func TestWriteSRT(t *testing.T) {
	var b bytes.Buffer
	rec := &job.Record{Segments: []job.Segment{{Start: 3661.0625, End: 3663, Text: `R&D is 1 < 2 <b>here</b> {\an8}up ♪`}, {Start: 3664, End: 3665, Text: "No."}}}
	if err := WriteSRT(&b, rec); err != nil {
		t.Fatal(err)
	}
	want := "1\n01:01:01,063 --> 01:01:03,000\nR&D is 1 <\u2060 2 <\u2060b>here<\u2060/b> {\u2060\\an8}up ♪\n\n2\n01:01:04,000 --> 01:01:05,000\nNo.\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// What was translated is shown in translation, by every format for people; where the model
// gave none, what is said.
func TestWriteTranslation(t *testing.T) {
	rec := &job.Record{Text: "Guten Tag.\nJa.", Segments: []job.Segment{{End: 1, Text: "Guten Tag.", Translation: "Good day."}, {Start: 2, End: 3, Text: "Ja."}}}
	for name, c := range map[string]struct {
		write func(io.Writer, *job.Record) error
		want  string
	}{
		"srt":  {WriteSRT, "1\n00:00:00,000 --> 00:00:01,000\nGood day.\n\n2\n00:00:02,000 --> 00:00:03,000\nJa.\n"},
		"vtt":  {WriteVTT, "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.000\nGood day.\n\n2\n00:00:02.000 --> 00:00:03.000\nJa.\n"},
		"tsv":  {WriteTSV, "start\tend\ttext\n0\t1000\tGood day.\n2000\t3000\tJa.\n"},
		"text": {WriteText, "Good day.\nJa.\n"},
	} {
		var b bytes.Buffer
		if err := c.write(&b, rec); err != nil || b.String() != c.want {
			t.Errorf("%s: %v, got %q, want %q", name, err, b.String(), c.want)
		}
	}
	var b bytes.Buffer
	if err := WriteVerboseJSON(&b, rec); err != nil || !strings.Contains(b.String(), `"task":"translate"`) || !strings.Contains(b.String(), `"text":"Good day. Ja."`) {
		t.Errorf("%v, %s", err, b.String())
	}
}

func TestSubtitlesOfSilence(t *testing.T) {
	var srt, vtt bytes.Buffer
	if err := WriteSRT(&srt, &job.Record{Segments: []job.Segment{}}); err != nil || srt.Len() > 0 {
		t.Errorf("%v, %q", err, srt.String())
	}
	if err := WriteVTT(&vtt, &job.Record{}); err != nil || vtt.String() != "WEBVTT\n" {
		t.Errorf("%v, %q", err, vtt.String())
	}
}

func TestWriteTSV(t *testing.T) {
	var b bytes.Buffer
	rec := talk()
	rec.Segments[1].Text = "A\t\x1b[2JB"
	if err := WriteTSV(&b, rec); err != nil || b.String() != "start\tend\ttext\n250\t2000\tHello & <welcome>.\n3600000\t3612500\tA \\x1b[2JB\n" {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestWriteVerboseJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteVerboseJSON(&b, talk()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	first := got["segments"].([]any)[0].(map[string]any)
	if got["task"] != "transcribe" || got["duration"] != 3700.5 || got["language"] != "English" || first["avg_logprob"] != -0.6931 || first["start"] != 0.25 {
		t.Errorf("got %s", b.String())
	}
	for _, field := range []string{"seek", "tokens", "compression_ratio", "no_speech_prob"} {
		if v, ok := first[field]; !ok || v != nil {
			t.Errorf("%s is %v, there: %v; want null", field, v, ok)
		}
	}
}

func TestWriteMarkdown(t *testing.T) {
	var b bytes.Buffer
	rec := &job.Record{Source: job.Source{Path: "a_b.mp4"}, Text: "All of it.", Scenes: []job.Scene{{Start: 0, End: 61, Text: "<b>", Speech: "Hi", OnScreenText: "EXIT"}}}
	if err := WriteMarkdown(&b, rec); err != nil {
		t.Fatal(err)
	}
	want := "# a\\_b.mp4\n\nAll of it.\n\n## 0:00–1:01\n\n&lt;b>\n\n*Shown:* EXIT\n\n*Said:* Hi\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
