package job_test

import (
	"fmt"

	"facet/pipeline/job"
)

func Example() {
	plan, err := job.OCR.Plan(job.Options{}, job.Checkpoint{}, job.Image)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The model is asked plan.Prompt about an image of 640 x 480 pixels.
	tokens := job.Plain("```json\n[{\"box_2d\": [250, 125, 375, 500], \"text\": \"Open daily\"}]\n```")

	var rec job.Record
	job.OCR.Read(&rec, []job.Reply{{Tokens: tokens, Finish: job.FinishStop, Boxes: plan.Boxes, Width: 640, Height: 480}})
	for _, b := range rec.Blocks {
		fmt.Println(b.Box, b.Text)
	}
	// Output: [80 120 320 180] Open daily
}
