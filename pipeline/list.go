package pipeline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"facet/pipeline/job"
	"facet/pipeline/source"
	"facet/vision"
)

// entry is an item whose turn has come.
type entry struct {
	index int
	item  source.Item
	job   job.Job
	key   itemKey
	head  []byte    // of its file; nil if that could not be read
	doc   *document // of a page, with the entry as its user
	err   error     // why it cannot be prepared
}

// release lets go of what the entry holds.
func (e *entry) release() {
	e.doc.release()
	e.item.Release()
}

// list gives out the items in their order, and for a document its pages. What an earlier run has done, if its file
// is as it was, is not given out but noted as done; a document all of whose pages are is not even opened.
func (r *run) list(ctx context.Context, to chan<- entry) {
	l := lister{run: r, to: to}
	defer func() { l.doc.release() }()
	for item, err := range r.inputs.All(ctx) {
		if ctx.Err() != nil || r.stopped.Load() || !l.item(ctx, item, err) {
			r.cut.Store(true)
			return
		}
	}
	if ctx.Err() != nil {
		r.cut.Store(true)
	}
}

// lister is list at work.
type lister struct {
	*run
	to  chan<- entry
	doc *document // the last one that was opened
}

// item lists one item of the inputs. It is false when no more are wanted.
func (l *lister) item(ctx context.Context, item source.Item, err error) bool {
	start := time.Now()
	e := entry{item: item, err: err}
	if e.err == nil && !utf8.ValidString(item.Path) {
		e.err = errNotUTF8
	}
	var known bool
	if e.job, known = l.jobOf(item); !known && e.err == nil {
		e.err = l.noJob(item)
	}
	e.key = keyOf(e.job.Name, item)
	if l.recalled(&e) {
		return true
	}
	if e.err == nil {
		if pages, ok := l.remembered(item); ok {
			return l.pagesOf(ctx, e, pages)
		}
		// The bytes of a member of an archive are there as long as its turn is.
		if e.item, err = item.Take(ctx); err != nil {
			e.err = err
		}
	}
	if e.err == nil {
		e.head, _ = source.Head(e.item.File) // an error is told when the item is prepared
	}
	isDocument := e.err == nil && l.isDocument(e)
	if isDocument {
		e.err = l.openDocument(ctx, e.item)
	}
	l.out.meters.list.since(start)
	if e.err != nil || !isDocument {
		return l.give(ctx, e)
	}
	if l.doc.single() && e.item.Page == 0 {
		e.doc = l.doc
		return l.give(ctx, e)
	}
	return l.pagesOf(ctx, e, l.doc.Pages())
}

// recalled numbers an item that an earlier run has done. It is false for any other.
func (l *lister) recalled(e *entry) bool {
	index := int(l.count.Load())
	if !l.out.recall(index, e.key, e.item) {
		return false
	}
	l.count.Add(1)
	return true
}

// give numbers an item and hands it on.
func (l *lister) give(ctx context.Context, e entry) bool {
	e.index = int(l.count.Load())
	if e.doc != nil {
		e.doc.users.Add(1)
	}
	l.count.Add(1)
	l.issued.Add(1)
	select {
	case <-ctx.Done():
	case <-l.Stop:
	case l.to <- e:
		return true
	}
	l.count.Add(-1)
	l.issued.Add(-1)
	e.release()
	return false
}

// remembered returns the number of pages of a document that an earlier run has opened and that is as it was.
func (l *lister) remembered(item source.Item) (pages int, ok bool) {
	d, ok := l.out.ledger.document(item.Path, item.Stat)
	return d.Pages, ok
}

// openDocument makes a document the open one.
func (l *lister) openDocument(ctx context.Context, item source.Item) error {
	if l.doc != nil && l.doc.path == item.Path && !l.doc.Changed() {
		return nil
	}
	l.doc.release()
	var err error
	if l.doc, err = openDocument(ctx, item, l.Pipeline); err != nil {
		return err
	}
	if item.Page > 0 || l.doc.single() {
		return nil
	}
	return l.out.ledger.open(item.Path, opened{statOf(item.Stat), hex.EncodeToString(l.doc.sum[:]), l.doc.Pages()})
}

// pagesOf lists the pages of a document that has so many; of one that is named with a page, that one.
func (l *lister) pagesOf(ctx context.Context, e entry, n int) bool {
	pages := []int{e.item.Page}
	if e.item.Page == 0 {
		if pages = l.Documents.Pages.of(n); len(pages) == 0 {
			e.err = fmt.Errorf("none of the chosen pages is there: the document has %d", n)
			return l.give(ctx, e)
		}
		l.pages.Add(int64(len(pages) - 1))
	}
	for _, page := range pages {
		of := e
		of.item.Page, of.item.ID = page, ""
		if e.item.Page > 0 {
			of.item.ID = e.item.ID
		}
		of.key = keyOf(e.job.Name, of.item)
		if l.recalled(&of) {
			continue
		}
		if l.doc == nil || l.doc.path != e.item.Path {
			item, err := e.item.Take(ctx)
			if err == nil {
				err = l.openDocument(ctx, item)
			}
			of.err = err
		}
		if of.doc = l.doc; of.err != nil {
			of.doc = nil
		} else if id := job.ID(of.doc.sum, 0); e.item.Page == 0 && e.item.ID != "" && e.item.ID != id {
			of.err = meansAnother(e.item.ID, id)
		}
		if !l.give(ctx, of) {
			return false
		}
	}
	return true
}

// jobOf is what is done with an item.
func (r *run) jobOf(item source.Item) (j job.Job, ok bool) {
	switch {
	case r.Job.Name != "":
		return r.Job, item.Job == "" || item.Job == r.Job.Name
	case item.Job == "":
		return job.Job{}, false
	}
	return job.ByName(item.Job)
}

func (r *run) noJob(item source.Item) error {
	var names []string
	for _, j := range job.All {
		names = append(names, j.Name)
	}
	switch {
	case r.Job.Name != "":
		return fmt.Errorf("the manifest asks for job %q, and this run is %s", item.Job, r.Job.Name)
	case item.Job == "":
		return fmt.Errorf("no job: want one of %v", names)
	}
	return fmt.Errorf("job %.40q: want one of %v", item.Job, names)
}

// isDocument reports whether an item is, or is called, a document that its job reads: one with pages of its own.
func (r *run) isDocument(e entry) bool {
	if e.head == nil || !slices.Contains(e.job.Media, job.Image) {
		return false
	}
	kind := vision.Sniff(e.head)
	return kind == documentType || kind == jpeg2000 || imageOfPages(kind) || kind == "" && strings.EqualFold(filepath.Ext(e.item.Path), ".pdf")
}

const (
	documentType = "application/pdf"
	jpeg2000     = "image/jp2" // which the renderer of documents reads, as one page
)

var errNotUTF8 = errors.New("this path is not UTF-8 and records cannot hold it: rename the file")
