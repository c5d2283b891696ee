package pipeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"facet/pipeline/job"
	"facet/pipeline/sink"
)

// documentFiles writes one file for all pages of a document, in each format that has such a form, while its pages are
// emitted one after the other. It is for one goroutine.
type documentFiles struct {
	files   *itemFiles
	path    string // of the document that is open; "" if none is
	index   int    // of its last page
	broken  bool   // a page is missing
	formats []Format
	open    []*sink.File
	writers []*sink.Document
}

// perDocument are the formats of a run that are written by document.
func perDocument(formats []Format) (some []Format) {
	for _, f := range formats {
		if slices.Contains(sink.DocumentFormats, string(f)) {
			some = append(some, f)
		}
	}
	return some
}

// page writes the page that is index-th in the run: a record or, of one that failed, why.
func (d *documentFiles) page(o *Output, index int, source job.Source, effective job.Effective, rec *job.Record, failed error) error {
	if d.path != source.Path {
		if err := d.end(true); err != nil {
			return err
		}
		if err := d.begin(o, index, source, effective); err != nil {
			return err
		}
	}
	if d.index >= 0 && index != d.index+1 {
		d.broken = true
	}
	d.index = index
	for _, w := range d.writers {
		var err error
		if rec != nil {
			err = w.Page(rec)
		} else {
			err = w.Failed(source.Page, [2]int{}, failed)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", source.Path, err)
		}
	}
	return nil
}

func (d *documentFiles) begin(o *Output, index int, source job.Source, effective job.Effective) error {
	d.path, d.index, d.broken = source.Path, -1, false
	source.Page = 0
	for _, f := range d.formats {
		name := d.files.names.Stem(d.files.template, sink.Named{Source: source.Path, Job: job.OCR.Name, N: index + 1}, f.suffix()) + f.suffix()
		file, err := d.files.dir.Create(name)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(d.files.path, name), bare(err))
		}
		d.open = append(d.open, file)
		w, err := sink.NewDocument(file, string(f), sink.About{Facet: o.info.Facet, Source: source, Effective: effective})
		if err != nil {
			return err
		}
		d.writers = append(d.writers, w)
	}
	return nil
}

// end ends the document that is open. One of which a page is missing, since the run was broken off, does not appear.
func (d *documentFiles) end(whole bool) (err error) {
	for i, w := range d.writers {
		if e := w.End(); e != nil {
			err = errors.Join(err, e)
		}
		if whole && !d.broken && err == nil {
			err = d.open[i].Commit()
		} else {
			d.open[i].Discard()
		}
	}
	d.path, d.open, d.writers = "", nil, nil
	return err
}
