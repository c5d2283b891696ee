package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"facet/audio"
	"facet/pipeline/job"
	"facet/vision"
)

// prepare reads an item and sends its parts, the last one marked, or an error.
func (r *run) prepare(ctx context.Context, e entry, ready chan<- *part) {
	defer e.doc.release()
	w := &work{index: e.index, item: e.item, options: over(e.item.Options, r.Options)}
	ctx, w.stop = context.WithCancel(ctx)
	send := func(p *part) bool {
		if ctx.Err() != nil { // what was made since then may be cut short, or an error of that alone
			return false
		}
		p.work = w
		select {
		case ready <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := e.err
	if err == nil {
		err = r.parts(ctx, w, e, send)
	}
	if err != nil {
		send(&part{last: true, err: err})
	}
}

// sender hands a part to the model; it is false when no more are wanted.
type sender func(*part) bool

// parts sends the parts of an item.
func (r *run) parts(ctx context.Context, w *work, e entry, send sender) error {
	item := e.item
	switch {
	case !utf8.ValidString(item.Path):
		return errors.New("this path is not UTF-8 and records cannot hold it: rename the file")
	case item.Job != "" && item.Job != r.Job.Name:
		return fmt.Errorf("the manifest asks for job %q, and this run is %s", item.Job, r.Job.Name)
	case item.Page > 0 && e.doc == nil:
		return errors.New("only PDF documents have pages here")
	}
	kind, mediaType := job.Image, documentType
	var err error
	if e.doc == nil {
		if e.head == nil { // it could not be read: here is where that is told
			if e.head, err = readHead(item.Path); err != nil {
				return err
			}
		}
		if kind, mediaType, err = r.medium(e.head); err != nil {
			return err
		}
	}
	if w.plan, err = r.Job.Plan(w.options, r.checkpoint, kind); err != nil {
		return err
	}
	w.record = job.Record{Job: r.Job.Name, Attempts: 1, Source: job.Source{Path: item.Path, Type: mediaType}}
	w.record.Effective = job.Effective{
		Model: r.modelName, ModelSHA256: r.modelHash,
		PromptSHA256: w.plan.PromptSHA256(), Temperature: w.options.Temperature, Seed: w.options.Seed,
	}
	switch {
	case e.doc != nil:
		return r.page(ctx, w, e, send)
	case kind == job.Image:
		return r.look(w, item, send)
	}
	before, err := os.Stat(item.Path)
	if err != nil {
		return bare(err)
	}
	sum, size, err := hashFile(ctx, item.Path)
	if err != nil {
		return err
	}
	if err := w.identify(item, sum, size); err != nil {
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
	after, err := os.Stat(item.Path)
	if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return errors.New("the file has changed while it was read")
	}
	send(last)
	return nil
}

// medium tells by the first bytes of a file what it is to the job.
func (r *run) medium(head []byte) (kind job.Medium, mediaType string, err error) {
	takes := func(m job.Medium) bool { return slices.Contains(r.Job.Media, m) }
	image, sound := vision.Sniff(head), audio.Sniff(head)
	switch {
	case image != "" && takes(job.Image):
		return job.Image, image, nil
	case image != "":
		return "", "", fmt.Errorf("%s: an image has nothing to %s", image, r.Job.Name)
	case strings.HasPrefix(sound, "audio/") && !takes(job.Sound) && sound != "audio/ogg" && sound != "audio/x-ms-wma": // which may hold pictures
		return "", "", fmt.Errorf("%s: sound has nothing to %s: facet transcribe takes it", sound, r.Job.Name)
	case strings.HasPrefix(sound, "video/") && !takes(job.Film):
		return "", "", fmt.Errorf("%s: a video has nothing to %s: facet caption takes it", sound, r.Job.Name)
	case takes(job.Sound):
		return job.Sound, sound, nil
	case takes(job.Film):
		return job.Film, sound, nil
	}
	return job.Image, "", nil // whose decoder says what is wrong
}

// readHead returns the first bytes of a file, and refuses what is no file of bytes.
func readHead(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := headOf(f)
	if err == nil && len(head) == 0 {
		return nil, errors.New("the file is empty")
	}
	return head, err
}

// headOf returns the bytes of a file that tell what it is, or all if it has fewer. It moves
// nothing.
func headOf(f io.ReaderAt) ([]byte, error) {
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bare(err)
	}
	return head[:n], nil
}

// hashFile returns SHA-256 and size of a file of any size.
func hashFile(ctx context.Context, path string) (sum [32]byte, size int64, err error) {
	f, err := openRegular(path)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return [32]byte(h.Sum(nil)), size, nil
		case err != nil:
			return sum, 0, bare(err)
		case ctx.Err() != nil:
			return sum, 0, ctx.Err()
		}
	}
}

// identify says what the file is; a manifest may have meant another.
func (w *work) identify(item Item, sum [32]byte, size int64) error {
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
func (r *run) look(w *work, item Item, send sender) error {
	data, err := ReadFile(item.Path, r.Decode.Limits.Bytes)
	if err != nil {
		return err
	}
	w.record.Source.Type = vision.Sniff(data)
	if err := w.identify(item, sha256.Sum256(data), int64(len(data))); err != nil {
		return err
	}
	img, err := vision.Decode(data, r.Decode)
	if err != nil {
		return err
	}
	return r.see(w, img, w.plan.Budget, send)
}

// see sends an image as the one part of its item, within a budget, or 0 for the one that its size asks for.
func (r *run) see(w *work, img *vision.Image, budget int, send sender) error {
	if budget == 0 {
		budget = r.specs.vision.AutoBudget(img.Width, img.Height, leastBudget, mostBudget, sharpness)
	}
	var ink *vision.Ink
	if r.Job.Pages {
		ink = img.Ink()
	}
	if w.plan.SkipBlank && ink.Blank() {
		w.record.Attempts = 0
		w.record.Effective.Seen = &job.Seen{Budget: budget, SizeOriginal: [2]int{img.Width, img.Height}}
		send(&part{last: true})
		return nil
	}
	patches, seen, err := vision.Prepare(img, *r.specs.vision, budget)
	if err != nil {
		return err
	}
	w.record.Effective.Seen = seenAs(budget, seen, img)
	q := r.questionOf(w, w.plan.Prompt)
	q.images = []*vision.Patches{patches}
	send(&part{question: q, last: true, reply: job.Reply{Medium: job.Image, Boxes: w.plan.Boxes, Width: img.Width, Height: img.Height, Ink: ink}})
	return nil
}

func seenAs(budget int, seen, original *vision.Image) *job.Seen {
	return &job.Seen{
		Budget: budget, SizeSeen: [2]int{seen.Width, seen.Height}, SizeOriginal: [2]int{original.Width, original.Height},
		Downscaled: seen.Width < original.Width || seen.Height < original.Height,
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
