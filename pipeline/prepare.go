package pipeline

import (
	"crypto/sha256"
	"encoding/hex"

	"facet/pipeline/job"
	"facet/vision"
)

// prepared is an item that is ready for the model, or that failed on the way.
type prepared struct {
	index   int
	record  job.Record // what is known so far
	patches *vision.Patches
	err     error
}

// prepare reads an item's file and cuts it into patches.
func (r *run) prepare(index int) prepared {
	p := prepared{index: index}
	p.err = r.fill(&p, r.items[index].Path)
	return p
}

func (r *run) fill(p *prepared, path string) error {
	data, err := read(path, r.Limits.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	p.record = job.Record{
		ID: job.ID(sum, 0), Job: r.Job.Name, Attempts: 1,
		Source: job.Source{Path: path, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Type: vision.Sniff(data)},
	}
	img, err := vision.Decode(data, vision.DecodeOptions{Limits: r.Limits, AlphaOverWhite: r.AlphaOverWhite})
	if err != nil {
		return err
	}
	budget := r.plan.Budget
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
		PromptSHA256: r.plan.PromptSHA256(), Temperature: r.Options.Temperature, Seed: r.Options.Seed,
	}
	return nil
}

// The budget that is chosen where neither user nor checkpoint sets one: the smallest
// that leaves each side of the picture at least sharpness of its length. Text of 10
// pixels stays 8 pixels high.
const (
	leastBudget = 70
	mostBudget  = 1120
	sharpness   = 0.8
)
