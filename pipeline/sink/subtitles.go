package sink

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/asticode/go-astisub"

	"facet/pipeline/job"
)

// WriteSRT writes the segments of a recording, or the scenes of a film, as SubRip subtitles.
// A recording in which nobody speaks gives nothing.
//
// It is written here, since go-astisub writes & and < as HTML does, which SubRip does not
// know: players show "R&amp;D".
func WriteSRT(w io.Writer, rec *job.Record) error {
	var b strings.Builder
	for i, c := range job.Cues(shown(rec)) {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%d\n%s --> %s\n", i+1, srtTime(c.Start), srtTime(c.End))
		for _, line := range c.Lines {
			b.WriteString(srtCommands.Replace(subtitleText(line)) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// srtTime is a time in seconds as SubRip has it: 00:59:08,200.
func srtTime(seconds float64) string {
	ms := duration(seconds).Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d,%03d", ms/3600000, ms/60000%60, ms/1000%60, ms%1000)
}

// srtCommands keeps players from taking text for a tag, <b>, or a place, {\an8}: they look
// for these characters next to each other, and a word joiner between them is not seen.
var srtCommands = strings.NewReplacer("<", "<\u2060", `{\`, "{\u2060\\")

// WriteVTT writes them as WebVTT; a note stands before each cue whose times are estimated.
func WriteVTT(w io.Writer, rec *job.Record) error {
	s := astisub.NewSubtitles()
	for _, c := range job.Cues(shown(rec)) {
		item := &astisub.Item{StartAt: duration(c.Start), EndAt: duration(c.End)}
		if c.Estimated {
			item.Comments = []string{"estimated"}
		}
		for _, line := range c.Lines {
			item.Lines = append(item.Lines, astisub.Line{Items: []astisub.LineItem{{Text: subtitleText(line)}}})
		}
		s.Items = append(s.Items, item)
	}
	if len(s.Items) == 0 {
		_, err := io.WriteString(w, "WEBVTT\n")
		return err
	}
	return s.WriteToWebVTT(w)
}

// shown is what a record has to show at its times: the scenes of a film that was described,
// or what is said, in translation where there is one.
func shown(rec *job.Record) []job.Segment {
	var out []job.Segment
	if rec.Scenes != nil {
		for _, s := range rec.Scenes {
			out = append(out, job.Segment{Start: s.Start, End: s.End, Text: s.Text})
		}
		return out
	}
	for _, s := range rec.Segments {
		s.Text = cmp.Or(s.Translation, s.Text)
		out = append(out, s)
	}
	return out
}

// translated tells whether what is said was translated.
func translated(rec *job.Record) bool {
	return slices.ContainsFunc(rec.Segments, func(s job.Segment) bool { return s.Translation != "" })
}

func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// subtitleText takes out of a line what a player would take for something else.
func subtitleText(s string) string {
	return strings.ReplaceAll(Printable(s), "-->", "→")
}

// WriteTSV writes start and end in milliseconds and the text of each segment, as Whisper does. Spreadsheets take a text
// that begins as a formula does for one, so that it gets an apostrophe before it.
func WriteTSV(w io.Writer, rec *job.Record) error {
	var b strings.Builder
	b.WriteString("start\tend\ttext\n")
	for _, s := range shown(rec) {
		text := strings.Join(strings.Fields(s.Text), " ")
		if text != "" && strings.ContainsRune("=+-@", rune(text[0])) {
			text = "'" + text
		}
		fmt.Fprintf(&b, "%d\t%d\t%s\n", duration(s.Start).Milliseconds(), duration(s.End).Milliseconds(), Printable(text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verbose is OpenAI's verbose_json of a transcription. What has no source here is null.
type verbose struct {
	Task     string           `json:"task"` // transcribe, or translate
	Language *string          `json:"language"`
	Duration float64          `json:"duration"`
	Text     string           `json:"text"`
	Segments []verboseSegment `json:"segments"`
}

type verboseSegment struct {
	ID               int      `json:"id"`
	Seek             *int     `json:"seek"` // null: what Whisper decodes together, in its frames
	Start            float64  `json:"start"`
	End              float64  `json:"end"`
	Text             string   `json:"text"`
	Tokens           []int    `json:"tokens"` // null: of Whisper's vocabulary
	Temperature      float64  `json:"temperature"`
	AvgLogprob       *float64 `json:"avg_logprob"`       // logarithm of the confidence
	CompressionRatio *float64 `json:"compression_ratio"` // null
	NoSpeechProb     *float64 `json:"no_speech_prob"`    // null: Gemma does not tell
}

// WriteVerboseJSON writes a transcript as OpenAI's transcription endpoint does with
// response_format verbose_json; what was translated has the translation for its text.
func WriteVerboseJSON(w io.Writer, rec *job.Record) error {
	v := verbose{Task: "transcribe", Segments: []verboseSegment{}}
	if rec.Language != "" {
		v.Language = &rec.Language
	}
	if h := rec.Effective.Heard; h != nil {
		v.Duration = h.AudioSeconds
	}
	if translated(rec) {
		v.Task = "translate"
	}
	var texts []string
	for i, s := range shown(rec) {
		t := verboseSegment{ID: i, Start: s.Start, End: s.End, Text: s.Text, Temperature: rec.Effective.Temperature}
		if s.Confidence > 0 {
			log := math.Round(math.Log(s.Confidence)*1e4) / 1e4
			t.AvgLogprob = &log
		}
		v.Segments, texts = append(v.Segments, t), append(texts, s.Text)
	}
	v.Text = strings.Join(texts, " ")
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(job.EscapeJSON(b.Bytes()))
	return err
}

// WriteMarkdown writes a caption, or the scenes of a film with what is said and shown.
func WriteMarkdown(w io.Writer, rec *job.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", markdown(PrintableLine(rec.Source.Path)))
	if rec.Text != "" {
		fmt.Fprintf(&b, "\n%s\n", markdown(rec.Text))
	}
	for _, s := range rec.Scenes {
		fmt.Fprintf(&b, "\n## %s–%s\n\n%s\n", job.Clock(s.Start), job.Clock(s.End), markdown(s.Text))
		if s.OnScreenText != "" {
			fmt.Fprintf(&b, "\n*Shown:* %s\n", markdown(s.OnScreenText))
		}
		if s.Speech != "" {
			fmt.Fprintf(&b, "\n*Said:* %s\n", markdown(s.Speech))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdown shows text as it is: what would be taken for Markdown or HTML is escaped.
func markdown(s string) string {
	return markdownEscapes.Replace(Printable(s))
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", "&", "&amp;", "#", `\#`)
