package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/pipeline/job"
)

// Each thing to be found is a question of its own about one image, in whatever order they are answered; the record has the answers in
// the order of the questions, and a question that is asked again says so.
func TestLocateSeveral(t *testing.T) {
	noLeak(t)
	find, err := job.NewFinds([]string{"Save", "Quit", "Help"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, backward := range []bool{false, true} {
		asked := map[string]int{}
		images := map[*shared]bool{}
		s := &script{backward: backward, say: func(q *question, _ int) (string, job.Finish) {
			images[q.shared] = true
			name, _, _ := strings.Cut(strings.TrimPrefix(q.text, "Find: "), "\n")
			asked[name]++
			switch {
			case name == "Quit":
				return "[]", job.FinishStop
			case name == "Help" && asked[name] == 1:
				return "There is none.", job.FinishStop
			}
			return fmt.Sprintf(`[{"box_2d":[100,200,300,400],"label":%q}]`, name+"!"), job.FinishStop
		}}
		p := scripted(job.Locate, job.Options{Find: find}, s)
		p.checkpoint = job.Checkpoint{Jobs: map[string]job.Setting{"locate": {Prompt: "Find: {find}", Budget: 70, Budgets: []int{70, 140}}}}
		p.Stills = stills(t)
		results, _ := collect(t, p, items(fixtures.Path("pages/ocr_04.png")))
		if len(results) != 1 || results[0].Err != nil {
			t.Fatalf("%+v", results)
		}
		rec := results[0].Record
		if fmt.Sprint(asked) != "map[Help:2 Quit:1 Save:1]" || len(images) != 1 || images[nil] {
			t.Errorf("asked %v, about %v", asked, images)
		}
		if len(rec.Elements) != 2 || rec.Elements[0].Find != "Save" || rec.Elements[1].Label != "Help!" || rec.Finish != job.FinishStop {
			t.Errorf("%+v", rec)
		}
		if fmt.Sprint(rec.Effective.Find) != "[Save Quit Help]" || rec.Attempts != 2 || rec.Effective.Temperature != 0 || rec.Effective.Budget != 70 {
			t.Errorf("%+v", rec)
		}
		if rec.Tries[0].Finish != job.FinishSchema || rec.Tries[1].Temperature != 0.2 {
			t.Errorf("tries %+v", rec.Tries)
		}
		line, err := rec.Line()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	if lines[0] != lines[1] {
		t.Errorf("other bytes in another order of answers:\n%s%s", lines[0], lines[1])
	}
}
