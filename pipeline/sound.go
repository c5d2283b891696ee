package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"facet/audio"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/video"
)

// Recording is the open sound of a file.
type Recording struct {
	audio.Stream
	Track, Tracks int // the number of this one, from 1, and how many the file has
	ctx           context.Context
	close         func() error
}

// Read is that of the stream. It ends when the context does that the recording was opened with.
func (r *Recording) Read(dst []float32) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Stream.Read(dst)
}

// Close closes the file and ends its decoder.
func (r *Recording) Close() error { return r.close() }

// OpenSound opens a track of sound, from 1 or 0 for the one that a player plays. WAV is read
// here, and everything else by FFmpeg in a process of its own. Errors do not name the path.
func OpenSound(ctx context.Context, path string, track int, o video.Options) (*Recording, error) {
	head, err := source.Head(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	if audio.Sniff(head) == "audio/wav" {
		if track > 1 {
			f.Close()
			return nil, fmt.Errorf("there is no track %d of sound: the file has 1", track)
		}
		s, err := audio.Open(path, f)
		var unsupported audio.UnsupportedError
		if err == nil {
			return &Recording{s, 1, 1, ctx, f.Close}, nil
		}
		if !errors.As(err, &unsupported) {
			f.Close()
			return nil, Unnamed(err, path)
		}
	}
	f.Close()
	s, err := video.OpenSound(ctx, path, track-1, o)
	if err != nil {
		return nil, Unnamed(err, path)
	}
	number, of := s.Track()
	return &Recording{audio.Watch(newTrack(s)), number + 1, of, ctx, s.Close}, nil
}

// Unnamed takes the path out of an error's text, for a caller that names it.
func Unnamed(err error, path string) error {
	if e := bare(err); e != err {
		return e
	}
	text := err.Error()
	if short := strings.Replace(text, path+": ", "", 1); short != text {
		return errors.New(short)
	}
	return err
}

// track is a sound track of a container as an audio.Stream: what a clip's clock has before
// the track begins is silence, and what a track has before the clock begins is left out.
type track struct {
	s        decoded
	silence  int64 // samples of each channel still to come before the track's
	skip     int64 // samples of each channel to leave out
	position int64
}

// decoded is a video.Sound.
type decoded interface {
	Rate() int
	Channels() int
	Start() float64
	Read(dst []float32) (int, error)
	Warnings() []string
}

func newTrack(s decoded) *track {
	t := &track{s: s}
	if first := int64(math.Round(s.Start() * float64(s.Rate()))); first >= 0 {
		t.silence = first
	} else {
		t.skip = -first
	}
	return t
}

func (t *track) Info() audio.Info {
	return audio.Info{SampleRate: t.s.Rate(), Channels: t.s.Channels(), Samples: -1}
}

func (t *track) Read(dst []float32) (int, error) {
	channels := t.s.Channels()
	if t.silence > 0 {
		n := int(min(int64(len(dst)/channels), t.silence))
		clear(dst[:n*channels])
		t.silence -= int64(n)
		t.position += int64(n)
		return n * channels, nil
	}
	for {
		n, err := t.s.Read(dst)
		n -= n % channels
		if gone := min(t.skip, int64(n/channels)); gone > 0 {
			n = copy(dst, dst[int(gone)*channels:n])
			t.skip -= gone
		}
		t.position += int64(n / channels)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (t *track) Position() int64    { return t.position }
func (t *track) Warnings() []string { return t.s.Warnings() }

// listen sends a part for each piece of a recording, and returns the one that ends them.
func (r *run) listen(ctx context.Context, w *work, item source.Item, send sender) (last *part, err error) {
	o := w.options
	rec, err := OpenSound(ctx, item.File, o.Track, r.Video)
	if err != nil {
		return nil, err
	}
	defer rec.Close()
	total := new(job.Heard)
	w.record.Effective.Heard = total
	cut := audio.Segments(time.Duration(cmp.Or(w.plan.Segment, longestPiece)) * time.Second)
	if o.Subtitles {
		cut = audio.Subtitles()
	}
	heard, warnings, err := r.pieces(w, rec, cut, w.plan.Prompt, send)
	if err != nil {
		return nil, err
	}
	return &part{last: true, finish: func(record *job.Record) {
		heard.tell(total)
		record.Warnings = append(record.Warnings, warnings...)
	}}, nil
}

// longestPiece is what Gemma 4 hears at once, in seconds.
const longestPiece = 30

// errStopped says that no more parts are wanted.
var errStopped = errors.New("stopped")

// heard is what is known of a recording at its end. A record is told of it then: it belongs
// to the model's goroutine, which counts the soft tokens, once a part is sent.
type heard job.Heard

func (h heard) tell(total *job.Heard) {
	h.AudioTokens = total.AudioTokens
	h.AudioSeconds, h.HeardSeconds = job.Seconds(h.AudioSeconds), job.Seconds(h.HeardSeconds)
	*total = job.Heard(h)
}

// pieces sends a part for each piece of a recording. One that breaks off after some of them
// is a warning: what was heard is worth keeping.
func (r *run) pieces(w *work, rec *Recording, cut audio.Cut, prompt string, send sender) (h heard, warnings []string, err error) {
	channels, err := audio.ParseChannels(cmp.Or(w.options.Channels, "mix"))
	if err != nil {
		return h, nil, err
	}
	info := rec.Info()
	h = heard{SampleRate: info.SampleRate, Channels: info.Channels, AudioTrack: rec.Track}
	track := 0
	if rec.Tracks > 1 {
		track = rec.Track
	}
	extractor := audio.NewExtractor(*r.specs.audio)
	clock := func() float64 { return float64(rec.Position()) / float64(info.SampleRate) }
	for piece, err := range audio.Pieces(rec, r.specs.audio.SampleRate, channels, cut) {
		if err != nil {
			if h.Pieces == 0 {
				return h, nil, Unnamed(err, w.item.File)
			}
			warnings = append(warnings, fmt.Sprintf("the recording breaks off at %s: %v", job.Clock(clock()), Unnamed(err, w.item.File)))
			break
		}
		span := piece.Heard
		features := extractor.Features(piece.PCM)
		if h.Pieces == 0 && w.options.Detect {
			q := r.questionOf(w, job.AskLanguage)
			q.textFirst, q.sound = true, []*audio.Features{features}
			if !send(&part{question: q, reply: job.Reply{Medium: job.Sound, Detects: true}}) {
				return h, nil, errStopped
			}
		}
		h.Pieces++
		h.HeardSeconds += span.End - span.Start
		q := r.questionOf(w, prompt)
		q.textFirst, q.sound = true, []*audio.Features{features}
		if !send(&part{question: q, reply: job.Reply{
			Medium: job.Sound, Start: span.Start, End: span.End, Channel: piece.Channel,
			Track: track, Pauses: piece.Pauses, Subtitles: w.options.Subtitles,
			Language: w.options.Language, Translate: w.options.Translate,
		}}) {
			return h, nil, errStopped
		}
	}
	h.AudioSeconds = clock()
	return h, append(warnings, rec.Warnings()...), nil
}
