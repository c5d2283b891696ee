package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"

	"facet/pipeline/job"
)

// Stream gives the entries of a manifest as its lines come, each at once, whether the next is there
// or not. A wrong line is an error and the stream goes on; it has the Path if the line has one. name is what
// Item.Line calls the manifest.
//
// Lines are read on a goroutine of its own. It ends with r, and where ctx ends first, with the next line.
func Stream(ctx context.Context, r io.Reader, name string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		lines := make(chan rawLine)
		go func() {
			defer close(lines)
			in := newLines(r)
			for {
				l, ok := in.next()
				if !ok {
					return
				}
				select {
				case lines <- l:
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			var l rawLine
			var ok bool
			select {
			case l, ok = <-lines:
			case <-ctx.Done():
			}
			if !ok {
				return
			}
			if len(bytes.TrimSpace(l.text)) == 0 && l.err == nil {
				continue
			}
			if !yield(streamed(l, name)) {
				return
			}
		}
	}
}

func streamed(l rawLine, name string) (Item, error) {
	item := Item{Line: fmt.Sprintf("%s:%d", name, l.number)}
	if l.err != nil {
		return item, l.err
	}
	e, err := job.ParseEntry(l.text)
	if err != nil {
		return item, err
	}
	item.Path, item.File, item.ID, item.Page, item.Job = e.Path, e.Path, e.ID, e.Page, e.Job
	if e.Options != (job.Options{}) {
		item.Options = &e.Options
	}
	return item, nil
}

// Reopen finds an item again by its Path, for one who needs its bytes later. The caller ends it with Release.
func Reopen(ctx context.Context, path string) (Item, error) {
	return Item{Path: path, File: path}, ctx.Err()
}
