package job

import (
	"fmt"
	"slices"

	"facet/internal/strictjson"
	"facet/vision"
)

// Checkpoint is what a checkpoint says about jobs: the file facet.json beside
// its config.json, or a key of a GGUF file. A checkpoint trained for one prompt needs it; Google's
// have none and get the jobs' own questions.
//
//	{"jobs": {"ocr": {"prompt": "Read the text.", "budget": 70, "boxes": ["line"]}}}
type Checkpoint struct {
	Jobs map[string]Setting `json:"jobs"` // by job name
}

// Setting is what a checkpoint says about one job. A zero field says nothing.
type Setting struct {
	// Prompt is the only question it knows for this job. In that of locate {find} is the place of what is to be found, and
	// List is the question about all elements.
	Prompt string `json:"prompt,omitempty"`
	List   string `json:"list,omitempty"`
	Plain  string `json:"plain,omitempty"`  // that of ocr without boxes; without it Prompt asks for any
	Budget int    `json:"budget,omitempty"` // soft tokens an image, where the user sets none
	// Budgets are those it was trained with, ascending; without them it is Budget alone or, where that is 0 too, all.
	Budgets []int   `json:"budgets,omitempty"`
	Boxes   []Boxes `json:"boxes,omitempty"` // what its answers locate, the default first

	// What it was trained with, where the user sets nothing; as in Options.
	Segment int     `json:"segment,omitempty"` // of transcribe
	Window  float64 `json:"window,omitempty"`  // of caption
	Frames  int     `json:"frames,omitempty"`  // of caption
}

const maxCheckpointFile = 1 << 20 // bytes: room for a prompt for every job

// FormatError says what is wrong with a file of ours.
type FormatError string

func (e FormatError) Error() string { return "invalid data: " + string(e) }

// JobSettings is an open checkpoint. It returns the content of its facet.json and, for
// errors, the place where that stands; nil where it has none.
type JobSettings interface {
	JobSettings() (data []byte, place string, err error)
}

// OpenCheckpoint reads what a checkpoint says; one that says nothing gives the zero
// Checkpoint. Unknown keys, jobs and values are FormatErrors, so that a misspelt one is seen.
func OpenCheckpoint(s JobSettings) (Checkpoint, error) {
	data, place, err := s.JobSettings()
	if err != nil || data == nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(data)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%s: %w", place, err)
	}
	return c, nil
}

// ParseCheckpoint reads the content of a facet.json.
func ParseCheckpoint(data []byte) (Checkpoint, error) {
	var c Checkpoint
	if len(data) > maxCheckpointFile {
		return c, FormatError(fmt.Sprintf("more than %d bytes", maxCheckpointFile))
	}
	if err := strictjson.Unmarshal(data, &c, strictjson.RefuseUnknown); err != nil {
		return Checkpoint{}, FormatError(err.Error())
	}
	for name, s := range c.Jobs {
		j, ok := ByName(name)
		if !ok {
			return Checkpoint{}, FormatError(fmt.Sprintf("jobs: no job %.40q", name))
		}
		if err := s.check(j); err != nil {
			return Checkpoint{}, FormatError(fmt.Sprintf("jobs: %s: %v", name, err))
		}
	}
	return c, nil
}

func (s Setting) check(j Job) error {
	if len(s.Prompt) > maxPrompt {
		return fmt.Errorf("prompt of %d bytes: at most %d", len(s.Prompt), maxPrompt)
	}
	if err := s.checkFind(j); err != nil {
		return err
	}
	if err := s.checkPlain(j); err != nil {
		return err
	}
	if err := s.checkParts(j); err != nil {
		return err
	}
	if !knownBudget(s.Budget) {
		return fmt.Errorf("budget %d: want one of %v", s.Budget, vision.Budgets)
	}
	for i, b := range s.Budgets {
		if b == 0 || !knownBudget(b) || i > 0 && b <= s.Budgets[i-1] {
			return fmt.Errorf("budgets %v: want some of %v, ascending", s.Budgets, vision.Budgets)
		}
	}
	if s.Budget != 0 && len(s.Budgets) > 0 && !slices.Contains(s.Budgets, s.Budget) {
		return fmt.Errorf("budget %d is none of the budgets %v", s.Budget, s.Budgets)
	}
	for i, b := range s.Boxes {
		if !slices.Contains(j.Boxes, b) {
			return fmt.Errorf("boxes %.40q: want some of %v", b, j.Boxes)
		}
		if slices.Contains(s.Boxes[:i], b) {
			return fmt.Errorf("boxes %q twice", b)
		}
	}
	return nil
}

func (s Setting) checkPlain(j Job) error {
	switch {
	case s.Plain == "":
		return nil
	case !slices.Contains(j.Boxes, BoxesNone):
		return fmt.Errorf("plain: %s has no question without boxes", j.Name)
	case len(s.Plain) > maxPrompt:
		return fmt.Errorf("plain of %d bytes: at most %d", len(s.Plain), maxPrompt)
	case s.Prompt == "":
		return fmt.Errorf("plain %.40q without a prompt", s.Plain)
	case len(s.Boxes) > 0 && !slices.Contains(s.Boxes, BoxesNone):
		return fmt.Errorf("plain %.40q, but boxes %v do not have %q", s.Plain, s.Boxes, BoxesNone)
	}
	return nil
}

// checkParts holds the lengths of what is asked about at once to those that a user may choose.
func (s Setting) checkParts(j Job) error {
	switch {
	case s.Segment != 0 && j.Name != Transcribe.Name:
		return fmt.Errorf("segment %d: only transcribe has segments", s.Segment)
	case (s.Window != 0 || s.Frames != 0) && j.Name != Caption.Name:
		return fmt.Errorf("window %v, frames %d: only caption has them", s.Window, s.Frames)
	}
	if err := (Listening{Segment: s.Segment}).check(); err != nil {
		return err
	}
	return Watching{Window: s.Window, Frames: s.Frames}.check()
}
