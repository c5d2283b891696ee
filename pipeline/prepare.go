package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"facet/pipeline/job"
	"facet/vision"
)

// prepared is an item that is ready for the model, or that failed on the way.
type prepared struct {
	index   int
	options job.Options // of the item over those of the run
	plan    job.Plan
	record  job.Record // what is known so far
	patches *vision.Patches
	err     error
}

// prepare reads an item's file and cuts it into patches.
func (r *run) prepare(index int) *prepared {
	item := r.items[index]
	p := &prepared{index: index, options: over(item.Options, r.Options)}
	if p.err = r.ask(p, item); p.err == nil {
		p.err = r.read(p, item)
	}
	return p
}

// ask settles what is asked about an item.
func (r *run) ask(p *prepared, item Item) (err error) {
	switch {
	case !utf8.ValidString(item.Path):
		return errors.New("this path is not UTF-8 and records cannot hold it: rename the file")
	case item.Job != "" && item.Job != r.Job.Name:
		return fmt.Errorf("the manifest asks for job %q, and this run is %s", item.Job, r.Job.Name)
	case item.Page > 0:
		return fmt.Errorf("page %d: pages of documents are not supported yet", item.Page)
	}
	p.plan, err = r.Job.Plan(p.options, r.checkpoint)
	return err
}

func (r *run) read(p *prepared, item Item) error {
	data, err := ReadFile(item.Path, r.Decode.Limits.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	p.record = job.Record{
		ID: job.ID(sum, item.Page), Job: r.Job.Name, Attempts: 1,
		Source: job.Source{Path: item.Path, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Type: vision.Sniff(data)},
	}
	if item.ID != "" && item.ID != p.record.ID {
		return fmt.Errorf("the manifest means a file with id %.40q, this one has %s", item.ID, p.record.ID)
	}
	img, err := vision.Decode(data, r.Decode)
	if err != nil {
		return err
	}
	budget := p.plan.Budget
	if budget == 0 {
		budget = r.spec.AutoBudget(img.Width, img.Height, leastBudget, mostBudget, sharpness)
	}
	var seen *vision.Image
	if p.patches, seen, err = vision.Prepare(img, r.spec, budget); err != nil {
		return err
	}
	p.record.Effective = job.Effective{
		Model: r.modelName, ModelSHA256: r.modelHash, Budget: budget,
		ImageTokens: r.spec.SoftTokens(seen.Width, seen.Height),
		SizeSeen:    [2]int{seen.Width, seen.Height}, SizeOriginal: [2]int{img.Width, img.Height},
		Downscaled:   seen.Width < img.Width || seen.Height < img.Height,
		PromptSHA256: p.plan.PromptSHA256(), Temperature: p.options.Temperature, Seed: p.options.Seed,
	}
	return nil
}

// The budget that is chosen where neither user nor checkpoint sets one: the smallest
// that leaves each side of the image at least sharpness of its length. Text of 10
// pixels stays 8 pixels high.
const (
	leastBudget = 70
	mostBudget  = 1120
	sharpness   = 0.8
)
