package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"facet/audio"
	"facet/fixtures"
	"facet/model"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/video"
	"facet/vision"
)

// script is an engine that says what a function says of each question, in the order in
// which they were asked, or the other way round.
type script struct {
	say      func(q *question, asked int) (string, job.Finish)
	backward bool
	most     int                     // questions that were under way at once
	sure     func(asked int) float64 // probability of each token of an answer; nil: unknown

	asked   int
	waiting []answer
}

func (s *script) ask(id string, q *question, onToken func()) (cost, error) {
	text, finish := s.say(q, s.asked)
	s.asked++
	if text == "fail" {
		return cost{}, errors.New("the script fails here")
	}
	onToken()
	tokens := job.Plain(text)
	if s.sure != nil {
		tokens[0].LogProb = float32(math.Log(s.sure(s.asked - 1)))
	}
	s.waiting = append(s.waiting, answer{id: id, tokens: tokens, output: 1, finish: finish})
	s.most = max(s.most, len(s.waiting))
	return cost{prompt: 10, soft: 5 * (len(q.images) + len(q.sound) + len(q.film))}, nil
}

func (s *script) step() ([]answer, error) {
	at := 0
	if s.backward {
		at = len(s.waiting) - 1
	}
	a := s.waiting[at]
	s.waiting = slices.Delete(s.waiting, at, at+1)
	return []answer{a}, nil
}

func (s *script) open() int { return len(s.waiting) }
func (s *script) drop()     { s.waiting = nil }

// scripted is a pipeline whose engine follows a script.
func scripted(j job.Job, o job.Options, s *script) *Pipeline {
	return &Pipeline{
		Settings: Settings{Job: j, Options: o, Batch: 3, Separate: true, Ahead: 1 << 28},
		specs: specs{
			vision:      &vision.Gemma4,
			audio:       &audio.Gemma4,
			videoBudget: 70,
		},
		modelName: "script", newEngine: func() engine { return s },
	}
}

// wav writes mono sound at 8 kHz: for each pair of seconds, so long a tone and so long silence.
func wav(t *testing.T, dir, name string, seconds ...[2]float64) string {
	t.Helper()
	const rate = 8000
	var pcm []byte
	for _, s := range seconds {
		for i := range int((s[0] + s[1]) * rate) {
			v := 0.0
			if float64(i) < s[0]*rate {
				v = 8000 * math.Sin(float64(i)*440*2*math.Pi/rate)
			}
			pcm = binary.LittleEndian.AppendUint16(pcm, uint16(int16(v)))
		}
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	head = binary.LittleEndian.AppendUint32(head, uint32(len(pcm)))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(head)-8+len(pcm)))
	return put(t, dir, name, string(head)+string(pcm))
}

// A recording is heard in pieces, which are put together in order however they are answered,
// and with the same bytes.
func TestTranscribePieces(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	in := items(
		wav(t, dir, "a.wav", [2]float64{4, 8}, [2]float64{5, 8}, [2]float64{3, 1}),
		wav(t, dir, "silence.wav", [2]float64{0, 3}),
		wav(t, dir, "b.wav", [2]float64{2, 0}),
		filepath.Join(dir, "missing.wav"),
	)
	var lines [2]string
	for i, backward := range []bool{false, true} {
		s := &script{backward: backward, say: func(q *question, _ int) (string, job.Finish) {
			if !q.textFirst || len(q.sound) != 1 || !strings.Contains(q.text, "Transcribe") {
				t.Errorf("asked %q with %d pieces of sound", q.text, len(q.sound))
			}
			return fmt.Sprintf("%d frames.", q.sound[0].Valid), job.FinishStop
		}}
		results, progress := collect(t, scripted(job.Transcribe, job.Options{}, s), in)
		a := results[0].Record
		if a == nil || len(a.Segments) != 3 {
			t.Fatalf("got %+v, %v", a, results[0].Err)
		}
		for n, want := range [][2]float64{{0, 4}, {12, 17}, {25, 28}} {
			if g := a.Segments[n]; math.Abs(g.Start-want[0]) > 0.05 || math.Abs(g.End-want[1]) > 0.05 || !strings.HasSuffix(g.Text, "frames.") {
				t.Errorf("segment %d is %+v, want %v", n, g, want)
			}
		}
		if h := a.Effective.Heard; h.Pieces != 3 || h.AudioTokens != 15 || h.AudioSeconds != 29 || h.SampleRate != 8000 {
			t.Errorf("heard %+v", h)
		}
		if r := results[1].Record; r == nil || !*r.Blank || len(r.Segments) > 0 {
			t.Errorf("silence: %+v, %v", r, results[1].Err)
		}
		if len(results[2].Record.Segments) != 1 || results[3].Err == nil {
			t.Errorf("got %+v, %v", results[2].Record, results[3].Err)
		}
		if progress.Done != 4 || progress.Failed != 1 || s.most > 3 || math.Abs(progress.Seconds-14) > 0.3 {
			t.Errorf("got %+v, %d at once", progress, s.most)
		}
		for _, r := range results[:3] {
			line, err := r.Record.Line()
			if err != nil {
				t.Fatal(err)
			}
			lines[i] += string(line)
		}
	}
	if lines[0] != lines[1] {
		t.Errorf("the order of the answers changes the records:\n%s\n%s", lines[0], lines[1])
	}
}

// tinyE is a small random checkpoint that hears.
func tinyE(t *testing.T) *model.Model {
	t.Helper()
	m, err := model.Open(fixtures.Path("golden/checkpoints/tiny-e"), model.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// A recording of a minute gives the same bytes whatever is asked at once, also where replies
// are drawn; its pieces do not draw alike, even if they sound so.
func TestTranscribeSameBytes(t *testing.T) {
	m := tinyE(t)
	var pieces [][2]float64
	for range 10 {
		pieces = append(pieces, [2]float64{3, 3})
	}
	dir := t.TempDir()
	in := items(wav(t, dir, "minute.wav", pieces...), wav(t, dir, "short.wav", [2]float64{1, 0}))
	for _, o := range []job.Options{{MaxTokens: 6}, {MaxTokens: 6, Temperature: 1, Seed: 3}} {
		var lines []string
		for _, batch := range []int{1, 8} {
			p, err := New(Settings{Model: m, Job: job.Transcribe, Options: o, Batch: batch})
			if err != nil {
				t.Fatal(err)
			}
			results, _ := collect(t, p, in)
			rec := results[0].Record
			if rec == nil || len(rec.Segments) != 10 {
				t.Fatalf("got %+v, %v", rec, results[0].Err)
			}
			if o.Temperature > 0 && rec.Segments[1].Text == rec.Segments[2].Text {
				t.Errorf("two pieces draw %q", rec.Segments[1].Text)
			}
			for _, r := range results {
				line, err := r.Record.Line()
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, string(line))
			}
		}
		if diff := cmp.Diff(lines[:2], lines[2:]); diff != "" {
			t.Errorf("%+v, batch 1 and 8:\n%s", o, diff)
		}
	}
}

// A question that is asked again is not encoded again, and its media are let go of.
func TestAskAgain(t *testing.T) {
	m := tinyE(t)
	spec, _ := m.AudioSpec()
	q := &question{text: "?", textFirst: true, maxTokens: 3, sound: []*audio.Features{audio.NewExtractor(spec).Features(make([]float32, 16000))}}
	e := &modelEngine{m, m.NewBatch()}
	defer e.drop()
	first, err := e.ask("1", q, func() {})
	if err != nil || first.soft == 0 || q.sound != nil {
		t.Fatalf("got %+v, %v, sound %v", first, err, q.sound)
	}
	second, err := e.ask("2", q, func() {})
	if err != nil || second != (cost{prompt: first.prompt}) {
		t.Errorf("got %+v, %v, first %+v", second, err, first)
	}
	replies := map[string]string{}
	for e.open() > 0 {
		answers, err := e.step()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			replies[a.id] = fmt.Sprint(a.tokens)
		}
	}
	if replies["1"] != replies["2"] || replies["1"] == "" {
		t.Errorf("got %v", replies)
	}
}

// Which language is spoken is asked once for each recording, about its first piece.
func TestTranscribeDetectsLanguage(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	in := items(wav(t, dir, "a.wav", [2]float64{4, 8}, [2]float64{5, 0}), wav(t, dir, "silence.wav", [2]float64{0, 3}))
	s := &script{backward: true, say: func(q *question, _ int) (string, job.Finish) {
		if q.text == job.AskLanguage {
			return "German", job.FinishStop
		}
		return "Ja.", job.FinishStop
	}}
	results, _ := collect(t, scripted(job.Transcribe, job.Options{Listening: job.Listening{Detect: true}}, s), in)
	if rec := results[0].Record; rec.Language != "German" || len(rec.Segments) != 2 || rec.Effective.Pieces != 2 || s.asked != 3 {
		t.Errorf("got %q, %v, %d questions", rec.Language, rec.Segments, s.asked)
	}
	if rec := results[1].Record; rec.Language != "" || !*rec.Blank {
		t.Errorf("silence: %+v", rec)
	}
}

// A reply that repeats itself is asked for once more, less certainly; if that one is good it is
// taken, otherwise the first is.
func TestTranscribeRetries(t *testing.T) {
	noLeak(t)
	in := items(wav(t, t.TempDir(), "a.wav", [2]float64{3, 0}))
	for _, again := range []job.Finish{job.FinishStop, job.FinishLoop} {
		s := &script{say: func(q *question, asked int) (string, job.Finish) {
			if asked == 0 {
				return "so so so so so so", job.FinishLoop
			}
			if q.temperature == 0 || len(q.sound) != 1 {
				t.Errorf("asked again at temperature %v with %d sounds", q.temperature, len(q.sound))
			}
			return "fine fine fine fine", again
		}}
		results, _ := collect(t, scripted(job.Transcribe, job.Options{}, s), in)
		rec := results[0].Record
		want, asked := "fine fine fine fine", 2
		if again == job.FinishLoop { // at each temperature
			want, asked = "fine", 4
		}
		if rec.Text != want || rec.Finish != again || rec.Attempts != asked || s.asked != asked {
			t.Errorf("%s: got %q, %s, %d attempts, %d questions", again, rec.Text, rec.Finish, rec.Attempts, s.asked)
		}
	}
}

// A part that fails fails its item and no other, and what is still asked about it is dropped.
func TestTranscribeFailingPart(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	var pieces [][2]float64
	for range 12 {
		pieces = append(pieces, [2]float64{1, 8})
	}
	in := items(wav(t, dir, "bad.wav", pieces...), wav(t, dir, "good.wav", [2]float64{2, 0}))
	s := &script{say: func(q *question, asked int) (string, job.Finish) {
		if asked == 2 {
			return "fail", ""
		}
		return "word", job.FinishStop
	}}
	results, progress := collect(t, scripted(job.Transcribe, job.Options{}, s), in)
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	if failed != 1 || progress.Done != 2 || s.asked > 8 {
		t.Errorf("%d failed, %+v, %d questions", failed, progress, s.asked)
	}
}

// A WAV file that ends too soon gives what there is, with a warning.
func TestTranscribeTruncated(t *testing.T) {
	noLeak(t)
	path := wav(t, t.TempDir(), "a.wav", [2]float64{3, 8}, [2]float64{3, 0})
	if err := os.Truncate(path, 12*16000+44); err != nil {
		t.Fatal(err)
	}
	s := &script{say: func(*question, int) (string, job.Finish) { return "word", job.FinishStop }}
	results, _ := collect(t, scripted(job.Transcribe, job.Options{}, s), items(path))
	if r := results[0].Record; r == nil || len(r.Segments) != 2 || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], "truncated") {
		t.Errorf("got %+v, %v", r, results[0].Err)
	}
}

// The hash of a record is that of what was heard: a recording that is written to meanwhile
// is an error.
func TestTranscribeChangingFile(t *testing.T) {
	noLeak(t)
	path := wav(t, t.TempDir(), "a.wav", [2]float64{1, 8}, [2]float64{1, 8}, [2]float64{1, 8}, [2]float64{1, 8}, [2]float64{1, 8}, [2]float64{1, 8})
	s := &script{say: func(_ *question, asked int) (string, job.Finish) {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); asked == 0 && err == nil {
			f.WriteString("more")
			f.Close()
		}
		return "word", job.FinishStop
	}}
	results, _ := collect(t, scripted(job.Transcribe, job.Options{}, s), items(path))
	if err := results[0].Err; err == nil || err.Error() != "the file has changed while it was read" {
		t.Errorf("got %+v, %v", results[0].Record, err)
	}
}

// needMedia skips a test where facet-media is not built.
func needMedia(t *testing.T) video.Options {
	t.Helper()
	program := fixtures.Path("../bin/facet-media")
	if _, err := os.Stat(program); err != nil {
		t.Skip("facet-media is not built: make build")
	}
	return video.Options{Program: program}
}

// A film becomes scenes with what is said in each, and a summary of them.
func TestCaptionFilm(t *testing.T) {
	noLeak(t)
	decoder := needMedia(t)
	s := &script{backward: true, say: func(q *question, _ int) (string, job.Finish) {
		switch {
		case len(q.film) == 1:
			f := q.film[0]
			return fmt.Sprintf(`{"text": "%d frames from %v on"}`, len(f.frames), f.at[0]), job.FinishStop
		case len(q.sound) == 1:
			return "Beep.", job.FinishStop
		}
		return "All: " + fmt.Sprint(strings.Count(q.text, "frames")), job.FinishStop
	}}
	p := scripted(job.Caption, job.Options{Watching: job.Watching{Window: 1, Frames: 2}}, s)
	p.Video = decoder
	results, _ := collect(t, p, items(fixtures.Path("video/count.mp4"), fixtures.Path("video/beep.mka")))
	rec := results[0].Record
	if rec == nil {
		t.Fatal(results[0].Err)
	}
	if len(rec.Scenes) != 2 || rec.Scenes[1].Start != 1 || rec.Scenes[1].End != 2 || rec.Scenes[1].Text != "2 frames from 1s on" {
		t.Errorf("got %+v", rec.Scenes)
	}
	if rec.Summary != "All: 2" || rec.Text != rec.Summary {
		t.Errorf("got %q, %q", rec.Summary, rec.Text)
	}
	if w := rec.Effective.Watched; w.Frames != 4 || w.VideoTokens != 10 || w.VideoSeconds != 2 {
		t.Errorf("watched %+v", w)
	}
	if err := results[1].Err; err == nil || !strings.Contains(err.Error(), "no pictures") {
		t.Errorf("a sound file: %v", err)
	}

	p.Options.WithSpeech = true
	results, progress := collect(t, p, items(fixtures.Path("video/count.mp4")))
	if rec = results[0].Record; rec == nil {
		t.Fatal(results[0].Err)
	}
	if rec.Scenes[0].Speech+rec.Scenes[1].Speech != "Beep." || len(rec.Segments) != 1 {
		t.Errorf("said in %+v, %+v", rec.Scenes, rec.Segments)
	}
	h := rec.Effective.Heard
	if h.Pieces != 1 || h.AudioTokens != 5 || h.SampleRate != 16000 || h.AudioTrack != 1 || math.Abs(h.AudioSeconds-2) > 0.1 || math.Abs(h.HeardSeconds-0.25) > 0.1 {
		t.Errorf("heard %+v", h)
	}
	if progress.SoftTokens != 15 {
		t.Errorf("%d soft tokens in all", progress.SoftTokens)
	}
}

// A film whose summary cannot be made is not lost.
func TestCaptionWithoutSummary(t *testing.T) {
	noLeak(t)
	decoder := needMedia(t)
	s := &script{say: func(q *question, _ int) (string, job.Finish) {
		if len(q.film) == 0 {
			return "fail", ""
		}
		return "A number.", job.FinishStop
	}}
	p := scripted(job.Caption, job.Options{Watching: job.Watching{Window: 1, Frames: 2}}, s)
	p.Video = decoder
	results, progress := collect(t, p, items(fixtures.Path("video/count.mp4")))
	rec := results[0].Record
	if rec == nil || len(rec.Scenes) != 2 || rec.Summary != "" || rec.Text != "A number.\nA number." || !slices.Equal(rec.Warnings, []string{"no summary: the script fails here"}) || progress.Failed > 0 {
		t.Errorf("got %+v, %v", rec, results[0].Err)
	}
}

// A film whose decoder dies within gives the scenes that there are, with a warning.
func TestCaptionBreaksOff(t *testing.T) {
	noLeak(t)
	decoder := needMedia(t)
	const lists = "/proc/self/task/*/children"
	if found, _ := filepath.Glob(lists); len(found) == 0 {
		t.Skip("children cannot be listed here")
	}
	s := &script{say: func(_ *question, asked int) (string, job.Finish) {
		threads, _ := filepath.Glob(lists)
		for _, list := range threads {
			data, _ := os.ReadFile(list)
			for _, pid := range strings.Fields(string(data)) {
				id, _ := strconv.Atoi(pid)
				if child, err := os.FindProcess(id); err == nil && asked == 0 {
					child.Kill()
				}
			}
		}
		return "A number.", job.FinishStop
	}}
	p := scripted(job.Caption, job.Options{Watching: job.Watching{Window: 1, Frames: 2}}, s)
	p.Video = decoder
	results, _ := collect(t, p, items(fixtures.Path("video/scenes.mp4")))
	rec := results[0].Record
	if rec == nil || len(rec.Scenes) == 0 || len(rec.Scenes) == 4 || len(rec.Warnings) != 1 || !strings.HasPrefix(rec.Warnings[0], "the film breaks off at 0:0") {
		t.Errorf("got %+v, %v", rec, results[0].Err)
	}
	results, _ = collect(t, p, items(fixtures.Path("video/empty.mp4")))
	if err := results[0].Err; err == nil || err.Error() != "there is neither picture nor sound in this file" {
		t.Errorf("got %v", err)
	}
}

// A scene has no more frames than the context holds.
func TestSceneFrames(t *testing.T) {
	e2b := specs{context: 131072}
	for _, c := range []struct {
		s             specs
		asked, budget int
		want          int // 0: an error
	}{
		{specs{}, 0, 70, 32}, {specs{}, 40, 70, 40}, {e2b, 0, 70, 32}, {e2b, 256, 280, 256}, {e2b, 256, 560, 0}, {e2b, 0, 1120, 32},
		{specs{context: 4096}, 0, 280, 7}, {specs{context: 4096}, 8, 280, 0}, {specs{context: 1024}, 0, 70, 0},
	} {
		got, err := c.s.sceneFrames(c.asked, c.budget)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%+v: got %d, %v", c, got, err)
		}
	}
}

// What is no page is told from a broken one.
func TestOCROfOtherMedia(t *testing.T) {
	results, _ := collect(t, scripted(job.OCR, job.Options{}, &script{}), items(fixtures.Path("video/count.mpg"), fixtures.Path("video/beep.flac")))
	for i, want := range []string{"video/mpeg: a video has nothing to ocr: facet caption takes it", "audio/flac: sound has nothing to ocr: facet transcribe takes it"} {
		if err := results[i].Err; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A run of several jobs has not asked whether the checkpoint sees and hears: the item does, before anything is decoded.
func TestRunOfWhatTheCheckpointDoesNotTake(t *testing.T) {
	p := scripted(job.Job{}, job.Options{}, &script{})
	p.specs.vision, p.specs.audio = nil, nil
	p.Stills = stills(t)
	p.Documents.Cache = fixtures.PDFCache()
	in := items(page("00"), fixtures.Path("pdf/two.pdf"), wav(t, t.TempDir(), "a.wav", [2]float64{1, 0}))
	in[0].Job, in[1].Job, in[2].Job = "ocr", "caption", "transcribe"
	results, _ := collect(t, p, in)
	for i, want := range []string{"this checkpoint takes no images", "this checkpoint takes no images", "this checkpoint takes no images", "this checkpoint takes no sound"} {
		if err := results[i].Err; err == nil || err.Error() != want { // the document has two pages
			t.Errorf("result %d: %v, want %s", i, err, want)
		}
	}
}

// tones is decoded sound in two channels: sample n is n + 1 in the first and its negative in the second.
type tones struct {
	start float64
	n     int // samples read
}

func (s *tones) Rate() int          { return 100 }
func (s *tones) Channels() int      { return 2 }
func (s *tones) Start() float64     { return s.start }
func (s *tones) Warnings() []string { return nil }

func (s *tones) Read(dst []float32) (n int, err error) {
	for ; n+2 <= min(len(dst), 14) && s.n < 100; n += 2 { // few at a time
		s.n++
		dst[n], dst[n+1] = float32(s.n), -float32(s.n)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A track that begins after the clock does has silence before it, and of one that begins before it what is too early is left
// out: a count of samples is a time on the clock.
func TestTrackOnTheClock(t *testing.T) {
	for start, want := range map[float64]int{0: 0, 0.5: 50, 0.004: 0, -0.25: -25, -3: -100} {
		s := newTrack(&tones{start: start})
		var got []float32
		for buffer := make([]float32, 30); ; {
			n, err := s.Read(buffer)
			got = append(got, buffer[:n]...)
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if s.Position() != int64(100+want) || len(got) != 2*(100+want) {
			t.Errorf("begun at %v s: %d samples at position %d, want %d", start, len(got)/2, s.Position(), 100+want)
			continue
		}
		for i := 0; i < len(got); i += 2 {
			if n := float32(max(0, i/2-want+1)); got[i] != n || got[i+1] != -n {
				t.Fatalf("begun at %v s: sample %d is %v and %v, want %v and its negative", start, i/2, got[i], got[i+1], n)
			}
		}
	}
}

// Compressed sound is heard through the decoder child, and what is no media is one error.
func TestTranscribeCompressed(t *testing.T) {
	noLeak(t)
	decoder := needMedia(t)
	s := &script{say: func(*question, int) (string, job.Finish) { return "Beep.", job.FinishStop }}
	p := scripted(job.Transcribe, job.Options{}, s)
	p.Video = decoder
	in := items(fixtures.Path("video/beep.mp3"), fixtures.Path("video/beep.opus"), fixtures.Path("pages/ocr_00.png"), put(t, t.TempDir(), "text.mp3", "This is text."))
	results, _ := collect(t, p, in)
	for _, r := range results[:2] {
		if r.Record == nil || len(r.Record.Segments) == 0 || r.Record.Segments[0].Text != "Beep." {
			t.Errorf("%s: %+v, %v", r.Item.Path, r.Record, r.Err)
		}
	}
	for i, want := range []string{"an image has nothing to transcribe", "no media file"} {
		if err := results[2+i].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", results[2+i].Item.Path, err, want)
		}
	}
}

// Which of several tracks is heard is told, also where the player's choice is not the first.
func TestTranscribeTracks(t *testing.T) {
	noLeak(t)
	decoder := needMedia(t)
	for track, want := range []int{2, 1, 2} {
		s := &script{say: func(*question, int) (string, job.Finish) { return "Beep.", job.FinishStop }}
		p := scripted(job.Transcribe, job.Options{Listening: job.Listening{Track: track}}, s)
		p.Video = decoder
		results, _ := collect(t, p, items(fixtures.Path("video/tracks.mka"), fixtures.Path("video/beep.mka")))
		rec := results[0].Record
		if rec == nil || rec.Effective.Heard.AudioTrack != want || len(rec.Segments) > 0 && rec.Segments[0].Track != want {
			t.Errorf("track %d: got %+v, %v", track, rec, results[0].Err)
		}
		if one := results[1].Record; track < 2 && (one == nil || one.Segments[0].Track != 0 || one.Effective.Heard.AudioTrack != 1) {
			t.Errorf("track %d of one: got %+v, %v", track, one, results[1].Err)
		}
	}
	p := scripted(job.Transcribe, job.Options{Listening: job.Listening{Track: 2}}, &script{})
	results, _ := collect(t, p, items(wav(t, t.TempDir(), "a.wav", [2]float64{1, 0})))
	if err := results[0].Err; err == nil || err.Error() != "there is no track 2 of sound: the file has 1" {
		t.Errorf("WAV: %v", err)
	}
}

// Without facet-media everything but WAV and images is one clear error.
func TestWithoutMedia(t *testing.T) {
	noLeak(t)
	s := &script{say: func(*question, int) (string, job.Finish) { return "word", job.FinishStop }}
	p := scripted(job.Transcribe, job.Options{}, s)
	p.Video = video.Options{Program: filepath.Join(t.TempDir(), "facet-media")}
	results, _ := collect(t, p, items(fixtures.Path("video/beep.mp3"), wav(t, t.TempDir(), "a.wav", [2]float64{1, 0})))
	var unavailable video.UnavailableError
	if err := results[0].Err; err == nil || !strings.Contains(err.Error(), "facet-media") {
		t.Errorf("got %v (%v)", err, errors.As(err, &unavailable))
	}
	if results[1].Record == nil {
		t.Errorf("WAV: %v", results[1].Err)
	}
}

// An item that is under way when the run ends is neither done nor failed: nothing of it
// reaches the model that was made after the end, and nothing is waited for.
func TestCancelledWhilePreparing(t *testing.T) {
	path := wav(t, t.TempDir(), "a.wav", [2]float64{1, 0})
	in := items(path, "missing.wav")
	r := scripted(job.Transcribe, job.Options{}, &script{}).newRun(sample(in), new(Output))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 50 {
		r.prepare(ctx, entry{index: i, item: in[i%2], job: job.Transcribe})
	}
	if len(r.ready) > 0 {
		t.Errorf("%d parts of 50 items are sent after the end", len(r.ready))
	}

	rec, err := OpenSound(ctx, path, 0, video.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	if n, err := rec.Read(make([]float32, 100)); !errors.Is(err, context.Canceled) {
		t.Errorf("read %d samples, %v", n, err)
	}
}

// What is finished when a run ends is emitted, also past a recording that is half heard; that
// one is pending. No goroutine stays behind, nor if what is emitted cannot be written.
func TestCancelledAmongPieces(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	in := items(wav(t, dir, "long.wav", slices.Repeat([][2]float64{{1, 8}}, 40)...), wav(t, dir, "short.wav", [2]float64{1, 0}), wav(t, dir, "other.wav", slices.Repeat([][2]float64{{1, 8}}, 40)...))
	say := func(*question, int) (string, job.Finish) { return "word", job.FinishStop }
	ctx, cancel := context.WithCancel(t.Context())
	p := scripted(job.Transcribe, job.Options{}, &script{say: say})
	p.Progress = func(p Progress) {
		if p.Done == 1 {
			cancel()
		}
	}
	var results []Result
	progress, err := emitTo(ctx, p, in, func(r Result) error {
		results = append(results, r)
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(results) != 1 || results[0].Item.Path != in[1].Path || results[0].Err != nil || progress.Done != 1 {
		t.Errorf("got %+v, %+v, %v", results, progress, err)
	}
	full := errors.New("disk full")
	_, err = emitTo(t.Context(), scripted(job.Transcribe, job.Options{}, &script{say: say}), []source.Item{in[1], in[0], in[2]}, func(Result) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// Two recordings that keep both preparers busy do not hold up a batch of one for ever.
func TestLongItemsBatchOfOne(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	long := slices.Repeat([][2]float64{{1, 8}}, 12)
	in := items(wav(t, dir, "a.wav", long...), wav(t, dir, "b.wav", long...), wav(t, dir, "c.wav", [2]float64{1, 0}), "missing.wav", filepath.Join(dir, "a.wav"))
	p := scripted(job.Transcribe, job.Options{}, &script{say: func(*question, int) (string, job.Finish) { return "word", job.FinishStop }})
	p.Batch = 1
	results, progress := collect(t, p, in)
	if len(results) != 5 || progress.Failed != 1 || len(results[4].Record.Segments) != 12 {
		t.Errorf("got %+v", progress)
	}
}

// A run that ends while the model waits for a part asks nothing of the model.
func TestCancelledWhileWaiting(t *testing.T) {
	noLeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	r := scripted(job.Transcribe, job.Options{}, &script{}).newRun(sample(items("a.wav")), new(Output))
	if err := r.infer(ctx, ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
