package job

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Caption asks what is to be seen in an image or a film.
var Caption = Job{
	Name:      "caption",
	MaxTokens: 1024,
	Media:     []Medium{Image, Film},
	Ask:       askCaption,
	Own:       ownCaption,
	Read:      readCaption,
	Sum:       askSummary,
	Summarise: readSummary,
}

// ownCaption takes out the options about speech: they are for the question of Transcribe,
// which is asked besides.
func ownCaption(o Options) (Options, error) {
	rest := o
	rest.Budget, rest.DPI, rest.Watching, rest.Track = 0, 0, Watching{}, 0
	if o.WithSpeech {
		rest.Language, rest.Translate, rest.Context, rest.Numbers, rest.Channels = "", "", "", "", ""
	} else if rest.Language != "" {
		return o, fmt.Errorf("language %q is that of what is said, which with_speech asks for", o.Language)
	}
	o.Language, o.Listening = "", Listening{}
	return o, rest.strange()
}

func askCaption(o Options, m Medium) string {
	long := o.Detail == DetailLong
	if m == Image {
		if long {
			return "Describe this image in detail: what is to be seen, where, and any text in it. Answer with one paragraph of plain text."
		}
		return "Describe this image in one sentence of plain text."
	}
	much := "one or two sentences"
	if long {
		much = "a paragraph"
	}
	return fmt.Sprintf(`Describe what is to be seen and what happens in this part of a video, in %s. `+
		`Answer with JSON: {"text": "the description", "on_screen_text": "text that is shown, exactly as printed; empty if none is"}.`, much)
}

// readCaption reads the caption of an image, or the scenes of a film.
func readCaption(rec *Record, replies []Reply) {
	w := warnings{list: rec.Warnings}
	rec.Finish = FinishStop
	if len(replies) == 1 && replies[0].Medium == Image {
		r := replies[0]
		rec.Text, rec.Finish = r.caption(&w, "the reply"), r.Finish
		rec.asked(r)
		rec.Warnings = w.all()
		return
	}
	rec.Scenes = []Scene{}
	for _, r := range replies {
		rec.asked(r)
		if r.Finish != FinishStop && rec.Finish == FinishStop {
			rec.Finish = r.Finish
		}
		if r.Medium == Film {
			rec.Scenes = append(rec.Scenes, readScene(r, &w))
		}
	}
	for _, r := range replies {
		if r.Medium == Sound {
			if s, ok := readSegment(r, &w); ok {
				rec.Segments = append(rec.Segments, s)
			}
		}
	}
	rec.speak()
	var lines []string
	for _, s := range rec.Scenes {
		lines = append(lines, s.Text)
	}
	rec.Text = strings.Join(lines, "\n") // until there is a summary
	rec.Warnings = w.all()
}

// speak gives each segment of speech to the scene in which most of it is said.
func (rec *Record) speak() {
	for _, s := range rec.Segments {
		best, most := -1, 0.0
		first, _ := slices.BinarySearchFunc(rec.Scenes, s.Start, func(scene Scene, t float64) int { return cmp.Compare(scene.End, t) })
		for i := first; i < len(rec.Scenes) && rec.Scenes[i].Start < s.End; i++ {
			scene := rec.Scenes[i]
			if shared := min(s.End, scene.End) - max(s.Start, scene.Start); shared > most {
				best, most = i, shared
			}
		}
		if best >= 0 {
			scene := &rec.Scenes[best]
			scene.Speech = strings.TrimSpace(scene.Speech + " " + s.Text)
		}
	}
}

// caption is a reply that is text, with what a loop repeats once.
func (r Reply) caption(w *warnings, what string) string {
	r = r.kept()
	text := plainText(r.text())
	switch r.Finish {
	case FinishLoop:
		text = cutRepeats(text)
		w.warn("%s %s and was stopped: its end is missing", what, r.looped())
	case FinishLength:
		w.warn("%s was cut at the token limit: its end is missing", what)
	}
	return text
}

// readScene reads the reply about some seconds of a film: an object as asked for, or prose.
func readScene(r Reply, w *warnings) Scene {
	r = r.kept()
	s := Scene{Start: Seconds(r.Start), End: Seconds(r.End)}
	reply, asked := r.text(), false
	if i := strings.IndexByte(reply, '{'); i >= 0 {
		p := looseParser{s: reply, at: i}
		v := p.parse(0, true)
		if t, ok := v.field(isTextKey); ok && t.kind == text {
			s.Text, asked = strings.TrimSpace(valid(t.text)), true
			if r.Finish == FinishLoop {
				s.Text = cutRepeats(s.Text)
			}
		}
		if t, ok := v.field(isOnScreenKey); ok && t.kind == text {
			s.OnScreenText = strings.TrimSpace(valid(t.text))
		}
	}
	said := r.caption(w, r.when()+": the reply")
	if !asked {
		s.Text = said
	}
	return s
}

func isOnScreenKey(k string) bool { return strings.EqualFold(k, "on_screen_text") }

// askSummary asks about the scenes of a film, as text: all of it at once is more than a
// model can look at. Of a film whose scenes are more than a question may hold it is told
// every so many.
func askSummary(rec *Record, o Options) string {
	if len(rec.Scenes) < 2 {
		return ""
	}
	lines := make([]string, len(rec.Scenes))
	length := 0
	for i, s := range rec.Scenes {
		lines[i] = fmt.Sprintf("%s–%s: %s", Clock(s.Start), Clock(s.End), s.Text)
		if s.Speech != "" {
			lines[i] += fmt.Sprintf(" Said: %q", s.Speech)
		}
		length += len(lines[i]) + 1
	}
	step := (length + maxPrompt - 1) / maxPrompt
	var b strings.Builder
	b.WriteString("These are the scenes of one video, in order:\n\n")
	for i := 0; i < len(lines) && b.Len() < maxPrompt; i += step {
		b.WriteString(lines[i] + "\n")
	}
	if step > 1 {
		w := warnings{list: rec.Warnings}
		w.warn("the summary is made of one scene in %d: all of them are too long a text", step)
		rec.Warnings = w.all()
	}
	much := "one or two sentences"
	if o.Detail == DetailLong {
		much = "a paragraph"
	}
	fmt.Fprintf(&b, "\nSay in %s of plain text what the whole video shows.", much)
	return b.String()
}

func readSummary(rec *Record, r Reply) {
	w := warnings{list: rec.Warnings}
	rec.Summary = r.caption(&w, "the summary")
	rec.Text = rec.Summary
	rec.asked(r)
	if rec.Finish == FinishStop {
		rec.Finish = r.Finish
	}
	rec.Warnings = w.all()
}
