package pipeline

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"facet/pipeline/job"
	"facet/pipeline/sink"
	"facet/vision"
)

// itemFiles writes the files of items into a folder, one for each format. It is for one goroutine.
type itemFiles struct {
	path     string
	dir      *sink.Dir
	names    *sink.Names
	template sink.Template
	own      bool           // the names are the user's
	docs     *documentFiles // nil if there is none with one for each document
	ours     bool           // files of the item whose turn it is may be there already, and are replaced
}

func newItemFiles(path string, dir *sink.Dir, o OutputOptions) (*itemFiles, error) {
	f := &itemFiles{path: path, dir: dir, template: sink.DefaultTemplate, own: o.Name != ""}
	if f.own {
		var err error
		if f.template, err = sink.ParseTemplate(o.Name); err != nil {
			return nil, OptionError{err}
		}
	}
	if o.PerDocument {
		f.docs = &documentFiles{files: f, formats: perDocument(o.Formats)}
	}
	dir.Guard(func(name string) bool { return name == infoName || f.ours }) // in this order: run.json comes from another goroutine
	f.names = sink.NewNames(sink.NameOptions{
		Shared: o.Folder, Reserved: []string{recordsName, errorsName, infoName, journalName, "journal.quarantine", "lock"}, Occupied: dir.Occupied,
	})
	return f, nil
}

// write writes the files of the item that is index-th in the run, but for those that skip says are there.
func (f *itemFiles) write(o *Output, rec *job.Record, index int, skip func(Format, string, namesHash) bool) (made bool, err error) {
	if f.docs != nil && rec.Source.Page > 0 && index >= 0 {
		if err := f.docs.page(o, index, rec.Source, rec.Effective, rec, nil); err != nil {
			return false, err
		}
	}
	named := sink.Named{Source: rec.Source.Path, Page: rec.Source.Page, ID: rec.ID, Job: rec.Job, N: index + 1}
	var formats []Format
	var names []string
	var all namesHash
	var stems []string
	for _, format := range o.Formats {
		if format == JSONL || f.docs != nil && rec.Source.Page > 0 && slices.Contains(f.docs.formats, format) {
			continue
		}
		template := f.template
		if format == Sidecar && !f.own {
			template = sink.SidecarTemplate
		}
		stem := f.names.Stem(template, named, format.suffix())
		if !slices.Contains(stems, stem) { // so that one more format beside the others changes nothing
			stems = append(stems, stem)
		}
		formats, names = append(formats, format), append(names, stem+format.suffix())
	}
	sum := sha256.Sum256([]byte(strings.Join(stems, "\n")))
	copy(all[:], sum[:])
	for i, format := range formats {
		name := names[i]
		if skip(format, name, all) {
			continue
		}
		var img *vision.Image
		if format == Overlay {
			if img, err = o.decode(rec); err != nil {
				o.Warn(fmt.Sprintf("%s: no overlay: %v", rec.Source.Path, err))
				continue
			}
		}
		if err := f.dir.Write(name, func(w io.Writer) error { return format.write(w, rec, img, o.info.Facet) }); err != nil {
			return made, fmt.Errorf("%s: %w", filepath.Join(f.path, name), bare(err))
		}
		made = true
	}
	return made, nil
}
