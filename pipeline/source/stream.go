package source

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"

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
			if l.blank() {
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
	p, err := l.parse()
	if err != nil {
		var says struct { // as far as it can be read
			Path, ID string
			CustomID string `json:"custom_id"`
		}
		json.Unmarshal(l.text, &says) // what is wrong is told already
		item.Path, item.ID, item.CustomID = says.Path, says.ID, says.CustomID
		return item, err
	}
	item.Path, item.File = p.Path, p.Path
	write := within(p.Path)
	if p.data != "" {
		item.Path = inlinePath(name, l.number, p.data)
		write = func(ctx context.Context, to io.Writer) error { return writeData(ctx, p.data, to) }
	}
	if write != nil {
		item.File, item.member = "", &member{write: write}
	}
	item.ID, item.CustomID, item.Page, item.Job = p.ID, p.CustomID, p.Page, p.Job
	if p.Options != (job.Options{}) {
		item.Options = &p.Options
	}
	if info, err := os.Stat(item.Path); err == nil {
		item.Stat = Stat{info.Size(), info.ModTime().UnixNano()}
	}
	return item, nil
}

// Reopen finds an item again by its Path, for one who needs its bytes later. The caller ends it with Release.
// Errors do not name the path.
func Reopen(ctx context.Context, path string) (Item, error) {
	item := Item{Path: path, File: path}
	if write := within(path); write != nil {
		item.File, item.member = "", &member{write: write}
	}
	return item.Take(ctx)
}

// within finds out how to get at the bytes of what is in an archive or a manifest; nil for a file.
func within(path string) func(context.Context, io.Writer) error {
	archive, name, ok := splitMember(path)
	if !ok {
		return inlineAt(path)
	}
	return func(ctx context.Context, to io.Writer) error {
		var c cursor
		defer c.close()
		return c.write(ctx, archive, name, DefaultLimits, to)
	}
}
