package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"facet/internal/kernel"
	"facet/pipeline/job"
)

// Fingerprint is what the answers of a run depend on, by name: the same for two runs whose results may stand in one
// folder.
type Fingerprint map[string]string

// kernels is the one setting that may differ: it moves answers in their last digits only.
const kernels = "kernels"

// reading is the version of how replies are read and media prepared. A change that gives other records for the same
// replies or other pixels for the same file makes it one more.
const reading = "1"

// Fingerprint returns that of the pipeline's runs. Threads, batch and formats are not in it, since no answer depends
// on them, nor is the choice of inputs.
func (p *Pipeline) Fingerprint() Fingerprint {
	f := Fingerprint{
		"model": p.modelHash, "job": p.Job.Name, "reading": reading,
		"precision": p.Model.Precision().String(), kernels: kernel.Name(),
		"alpha over white": fmt.Sprint(p.Stills.Options().AlphaOverWhite),
	}
	for _, j := range job.All {
		if p.Job.Name != "" && j.Name != p.Job.Name {
			continue
		}
		for _, medium := range j.Media {
			if plan, err := j.Plan(p.Options, p.checkpoint, medium); err == nil {
				f[fmt.Sprintf("question of %s about %s", j.Name, medium)] = plan.Prompt
			}
		}
		set := p.checkpoint.Jobs[j.Name]
		set.Prompt, set.List, set.Plain = "", "", "" // which are there already, as questions
		for name, value := range fields(set) {
			f[fmt.Sprintf("%s of %s in the checkpoint", name, j.Name)] = value
		}
	}
	maps.Copy(f, fields(p.Options))
	return f
}

// fields returns the fields of a struct in JSON, by name.
func fields(v any) map[string]string {
	data, err := json.Marshal(v)
	var raw map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(data, &raw)
	}
	if err != nil {
		panic("pipeline: settings without JSON: " + err.Error())
	}
	f := map[string]string{}
	for name, value := range raw {
		f[name] = string(value)
	}
	return f
}

// differences lists what is not the same in two runs, each as a phrase for people.
func (f Fingerprint) differences(earlier Fingerprint) (lines []string) {
	names := maps.Clone(f)
	maps.Copy(names, earlier)
	show := func(v string) string {
		if v == "" {
			return "not set"
		}
		if len(v) > 60 {
			v = strings.ToValidUTF8(v[:60], "") + "…"
		}
		return v
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was, is := earlier[name], f[name]; was != is && name != kernels {
			lines = append(lines, fmt.Sprintf("%s was %s and is %s", name, show(was), show(is)))
		}
	}
	return lines
}
