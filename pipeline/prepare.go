package pipeline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"facet/audio"
	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/vision"
)

// prepare reads an item and sends its parts, the last one marked, or an error.
func (r *run) prepare(ctx context.Context, e entry) {
	defer e.release()
	w := &work{index: e.index, item: e.item, job: e.job}
	if e.item.Options != nil {
		w.options = *e.item.Options
	}
	w.options = over(w.options, r.Options)
	ctx, w.stop = context.WithCancel(ctx)
	start, waited := time.Now(), time.Duration(0)
	send := func(p *part) bool {
		begin := time.Now()
		defer func() { waited += time.Since(begin) }()
		p.work = w
		return r.deliver(ctx, p)
	}
	err := e.err
	if err == nil {
		err = r.parts(ctx, w, e, send)
	}
	if err != nil {
		send(&part{last: true, err: err})
	}
	r.out.meters.prepare.add(time.Since(start)-waited, 1)
}

// deliver hands a part to the model once there is room for it. It is false if ctx ends first: what was made since then
// may be cut short, or an error of that alone.
func (r *run) deliver(ctx context.Context, p *part) bool {
	p.weight = min(p.question.bytes(), r.Ahead)
	if r.room.Acquire(ctx, p.weight) != nil {
		return false
	}
	select {
	case r.ready <- p:
		return true
	case <-ctx.Done():
		r.room.Release(p.weight)
		return false
	}
}

// sender hands a part to the model; it is false when no more are wanted.
type sender func(*part) bool

// parts sends the parts of an item.
func (r *run) parts(ctx context.Context, w *work, e entry, send sender) error {
	item := e.item
	if item.Page > 0 && e.doc == nil {
		return errors.New("only PDF, TIFF and GIF files have pages here")
	}
	kind, mediaType := job.Image, documentType
	var err error
	if e.doc == nil || e.doc.image {
		if e.head == nil { // it could not be read: here is where that is told
			if e.head, err = source.Head(item.File); err != nil {
				return err
			}
		}
		if kind, mediaType, err = medium(w.job, e.head); err != nil {
			return err
		}
	}
	if w.plan, err = w.job.Plan(w.options, r.checkpoint, kind); err != nil {
		return err
	}
	if err := r.specs.takes(kind); err != nil {
		return err
	}
	w.record = job.Record{CustomID: item.CustomID, Job: w.job.Name, Attempts: 1, Source: job.Source{Path: item.Path, Type: mediaType}}
	w.record.Effective = job.Effective{
		Facet: r.Version, Model: r.modelName, ModelSHA256: r.modelHash,
		PromptSHA256: w.plan.PromptSHA256(), Temperature: w.options.Temperature, Seed: w.options.Seed,
	}
	switch {
	case e.doc != nil:
		return r.page(ctx, w, e, send)
	case kind == job.Image:
		return r.look(ctx, w, item, send)
	}
	before, err := os.Stat(item.File)
	if err != nil {
		return bare(err)
	}
	sum, size, err := source.Hash(ctx, item.File)
	if err != nil {
		return err
	}
	if err := w.identify(item, sum, size); err != nil {
		return err
	}
	if twin, err := r.isTwin(w, sum, send); twin || err != nil {
		return err
	}
	var last *part
	if kind == job.Film {
		last, err = r.watch(ctx, w, item, send)
	} else {
		last, err = r.listen(ctx, w, item, send)
	}
	if err != nil {
		return err
	}
	after, err := os.Stat(item.File)
	if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return errChanging
	}
	send(last)
	return nil
}

// medium tells by the first bytes of a file what it is to the job.
func medium(j job.Job, head []byte) (kind job.Medium, mediaType string, err error) {
	takes := func(m job.Medium) bool { return slices.Contains(j.Media, m) }
	image, sound := vision.Sniff(head), audio.Sniff(head)
	switch {
	case image != "" && takes(job.Image):
		return job.Image, image, nil
	case image != "":
		return "", "", fmt.Errorf("%s: an image has nothing to %s", image, j.Name)
	case strings.HasPrefix(sound, "audio/") && !takes(job.Sound) && sound != "audio/ogg" && sound != "audio/x-ms-wma": // which may hold pictures
		return "", "", fmt.Errorf("%s: sound has nothing to %s: facet transcribe takes it", sound, j.Name)
	case strings.HasPrefix(sound, "video/") && !takes(job.Film):
		return "", "", fmt.Errorf("%s: a video has nothing to %s: facet caption takes it", sound, j.Name)
	case takes(job.Sound):
		return job.Sound, sound, nil
	case takes(job.Film):
		return job.Film, sound, nil
	}
	return job.Image, "", nil // whose decoder says what is wrong
}

// identify says what the file is; a manifest may have meant another.
func (w *work) identify(item source.Item, sum [32]byte, size int64) error {
	w.record.ID = job.ID(sum, item.Page)
	w.record.Source.SHA256, w.record.Source.Bytes = hex.EncodeToString(sum[:]), size
	if item.ID != "" && item.ID != w.record.ID {
		return meansAnother(item.ID, w.record.ID)
	}
	return nil
}

func meansAnother(wanted, got string) error {
	return fmt.Errorf("the manifest means a file with id %.40q, this one has %s", wanted, got)
}

// look sends the one part of an image.
func (r *run) look(ctx context.Context, w *work, item source.Item, send sender) error {
	start := time.Now()
	picture, err := r.Stills.Open(ctx, item.File)
	if err != nil {
		return Unnamed(err, item.File)
	}
	defer picture.Close()
	w.record.Source.Type = picture.Type()
	if err := w.identify(item, picture.SHA256(), picture.Bytes()); err != nil {
		return err
	}
	if twin, err := r.isTwin(w, picture.SHA256(), send); twin || err != nil {
		return err
	}
	img, err := picture.Page(ctx, 1)
	r.out.meters.decode.since(start)
	switch {
	case err != nil:
		return Unnamed(err, item.File)
	case picture.Changed():
		return errChanging
	}
	return r.see(w, img, w.plan.Budget, send)
}

// see sends an image as a part of its item for each question about it, within a budget, or 0 for the one that its size asks for.
func (r *run) see(w *work, img *vision.Image, budget int, send sender) error {
	if budget == 0 {
		budget = r.specs.vision.AutoBudget(img.Width, img.Height, leastBudget, mostBudget, sharpness)
	}
	turn := job.Turns[w.options.Rotate]
	img = turned(img, turn)
	var ink *vision.Ink
	if w.job.Pages {
		ink = img.Ink()
	}
	if w.plan.SkipBlank && ink.Blank() {
		w.record.Attempts = 0
		w.record.Effective.Seen = &job.Seen{Budget: budget, SizeOriginal: [2]int{img.Width, img.Height}, Rotated: turn}
		send(&part{last: true})
		return nil
	}
	patches, seen, err := vision.Prepare(img, *r.specs.vision, budget)
	if err != nil {
		return err
	}
	w.record.Effective.Seen = seenAs(budget, turn, seen, img)
	asks, same := w.plan.Questions(), new(shared)
	for i, ask := range asks {
		q := r.questionOf(w, ask.Text)
		q.images = []*vision.Patches{patches}
		if len(asks) > 1 {
			q.shared = same
		}
		if !send(&part{question: q, last: i == len(asks)-1, reply: job.Reply{
			Medium: job.Image, Boxes: w.plan.Boxes, Find: ask.Find, Width: img.Width, Height: img.Height, Ink: ink,
		}}) {
			return nil
		}
	}
	return nil
}

// turned turns an image by some degrees clockwise.
func turned(img *vision.Image, degrees int) *vision.Image {
	return img.Upright(map[int]int{0: 1, 90: 6, 180: 3, 270: 8}[degrees]) // as EXIF numbers them
}

func seenAs(budget, turn int, seen, original *vision.Image) *job.Seen {
	return &job.Seen{
		Budget: budget, SizeSeen: [2]int{seen.Width, seen.Height}, SizeOriginal: [2]int{original.Width, original.Height},
		Downscaled: seen.Width < original.Width || seen.Height < original.Height, Rotated: turn,
	}
}

// The budget that is chosen where neither user nor checkpoint sets one: the smallest
// that leaves each side of the image at least sharpness of its length. Text of 10
// pixels stays 8 pixels high.
const (
	leastBudget = 70
	mostBudget  = 1120
	sharpness   = 0.8
)
