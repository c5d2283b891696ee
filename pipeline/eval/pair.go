package eval

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"facet/pipeline/job"
)

// Missing is an input that is labelled and has no record. Its answer counts as empty.
type Missing struct {
	File  string `json:"file"`
	Page  int    `json:"page,omitempty"`
	Error string `json:"error,omitempty"` // of the run, if it tried
}

// paired is a label and the record that it is about.
type paired struct {
	label   Label
	record  *job.Record // an empty one where there is none
	missing bool
}

// pairs are the labels of a job with their records.
type pairs struct {
	list       []paired
	missing    []Missing // never nil
	unlabelled int       // records of the job without a label
}

// pair finds the record of each label of a job. It returns an error if no label is of this job, if two labels are for one
// input and ask the same, or if two records could be a label's.
func pair(labels []Label, run Run, jobName string) (pairs, error) {
	p := pairs{missing: []Missing{}}
	records := newIndex(run.Records, func(r *job.Record) (key, bool) {
		return key{r.Source.Path, r.ID, r.Source.Page}, r.Job == jobName
	})
	failures := newIndex(run.Errors, func(e *job.ErrorRecord) (key, bool) { return key{e.Path, e.ID, e.Page}, true })
	type question struct {
		of   *job.Record
		find string
	}
	used := map[question]string{}
	known := map[*job.Record]bool{}
	for _, l := range labels {
		if !l.of(jobName) {
			continue
		}
		r, err := records.find(l)
		if err != nil {
			return p, err
		}
		asked := r != nil && (jobName != job.Locate.Name || l.Find == "" || slices.Contains(r.Effective.Find, l.Find))
		if r != nil {
			known[r] = true
		}
		if !asked {
			m := Missing{File: l.name(), Page: l.Page}
			if e, _ := failures.find(l); e != nil {
				m.Error = e.Error
			} else if r != nil {
				m.Error = fmt.Sprintf("%q was not asked for", l.Find)
			}
			p.missing = append(p.missing, m)
			p.list = append(p.list, paired{l, new(job.Record), true})
			continue
		}
		q := question{r, l.Find}
		if other, ok := used[q]; ok {
			return p, fmt.Errorf("labels %s and %s are both for %s", other, l.name(), r.Source.Path)
		}
		used[q] = l.name()
		p.list = append(p.list, paired{l, r, false})
	}
	if len(p.list) == 0 {
		return p, fmt.Errorf("no label is for the job %s", jobName)
	}
	p.unlabelled = records.n - len(known)
	return p, nil
}

// key is what a label knows an input by.
type key struct {
	path, id string
	page     int
}

// index finds what belongs to a label among things with a key.
type index[T any] struct {
	items  []T
	key    func(*T) (k key, ok bool)
	byBase map[string][]int // last part of the path → places in items
	byID   map[string][]int
	n      int // how many are ok
}

func newIndex[T any](items []T, of func(*T) (key, bool)) *index[T] {
	x := &index[T]{items: items, key: of, byBase: map[string][]int{}, byID: map[string][]int{}}
	for i := range items {
		if k, ok := of(&items[i]); ok {
			base := path.Base(filepath.ToSlash(k.path))
			x.byBase[base] = append(x.byBase[base], i)
			x.byID[k.id] = append(x.byID[k.id], i)
			x.n++
		}
	}
	return x
}

// find returns the item whose path is the label's file or ends with it and whose id is the label's, as far as it has them; nil
// if there is none, and an error if there are several.
func (x *index[T]) find(l Label) (*T, error) {
	file := path.Clean(filepath.ToSlash(l.File))
	candidates := x.byID[l.ID]
	if l.File != "" {
		candidates = x.byBase[path.Base(file)]
	}
	var found *T
	var foundPath string
	for _, i := range candidates {
		item := &x.items[i]
		k, _ := x.key(item)
		full := path.Clean(filepath.ToSlash(k.path))
		switch {
		case l.ID != "" && k.id != l.ID:
			continue
		case l.File == "": // the id has the page
		case k.page != l.Page || full != file && !strings.HasSuffix(full, "/"+file):
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("label %s could be for %s or %s", l.name(), foundPath, k.path)
		}
		found, foundPath = item, k.path
	}
	return found, nil
}
