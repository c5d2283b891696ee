package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/asticode/go-astisub"

	"facet/pipeline/job"
)

// WriteSRT writes the segments of a recording, or the scenes of a film, as SubRip subtitles.
// A recording in which nobody speaks gives nothing.
func WriteSRT(w io.Writer, rec *job.Record) error {
	s := subtitles(rec)
	if len(s.Items) == 0 {
		return nil
	}
	return s.WriteToSRT(w)
}

// WriteVTT writes them as WebVTT; a note stands before each cue whose times are estimated.
func WriteVTT(w io.Writer, rec *job.Record) error {
	s := subtitles(rec)
	if len(s.Items) == 0 {
		_, err := io.WriteString(w, "WEBVTT\n")
		return err
	}
	return s.WriteToWebVTT(w)
}

func subtitles(rec *job.Record) *astisub.Subtitles {
	s := astisub.NewSubtitles()
	for _, c := range job.Cues(spoken(rec)) {
		item := &astisub.Item{StartAt: duration(c.Start), EndAt: duration(c.End)}
		if c.Estimated {
			item.Comments = []string{"estimated"}
		}
		for _, line := range c.Lines {
			item.Lines = append(item.Lines, astisub.Line{Items: []astisub.LineItem{{Text: subtitleText(line)}}})
		}
		s.Items = append(s.Items, item)
	}
	return s
}

// spoken is what subtitles show: what is said or, where a film was described, its scenes.
func spoken(rec *job.Record) []job.Segment {
	if rec.Scenes == nil {
		return rec.Segments
	}
	var out []job.Segment
	for _, s := range rec.Scenes {
		out = append(out, job.Segment{Start: s.Start, End: s.End, Text: s.Text})
	}
	return out
}

func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// subtitleText takes out of a line what a player would take for something else.
func subtitleText(s string) string {
	return strings.ReplaceAll(Printable(s), "-->", "→")
}

// WriteTSV writes start and end in milliseconds and the text of each segment, as Whisper does.
func WriteTSV(w io.Writer, rec *job.Record) error {
	var b strings.Builder
	b.WriteString("start\tend\ttext\n")
	for _, s := range rec.Segments {
		fmt.Fprintf(&b, "%d\t%d\t%s\n", duration(s.Start).Milliseconds(), duration(s.End).Milliseconds(), strings.Join(strings.Fields(s.Text), " "))
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
	v := verbose{Task: "transcribe", Text: strings.ReplaceAll(rec.Text, "\n", " "), Segments: []verboseSegment{}}
	if rec.Language != "" {
		v.Language = &rec.Language
	}
	if h := rec.Effective.Heard; h != nil {
		v.Duration = h.AudioSeconds
	}
	var translation []string
	for i, s := range rec.Segments {
		t := verboseSegment{ID: i, Start: s.Start, End: s.End, Text: s.Text, Temperature: rec.Effective.Temperature}
		if s.Confidence > 0 {
			log := math.Round(math.Log(s.Confidence)*1e4) / 1e4
			t.AvgLogprob = &log
		}
		if s.Translation != "" {
			v.Task, t.Text = "translate", s.Translation
			translation = append(translation, s.Translation)
		}
		v.Segments = append(v.Segments, t)
	}
	if v.Task == "translate" {
		v.Text = strings.Join(translation, " ")
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
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
