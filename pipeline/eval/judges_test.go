package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"facet/pipeline/job"
)

// The figures of jiwer and pycocotools on random data, which fixtures/make/eval_judge.py wrote.
func TestJudges(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "judges.json"))
	if err != nil {
		t.Fatal(err)
	}
	var j struct {
		Texts  [][2]string
		WERRaw float64 `json:"wer_raw"`
		WER    float64
		CER    float64
		Boxes  [][2]*job.Box2D
		IoU    []float64
		Recall float64
	}
	if err := json.Unmarshal(data, &j); err != nil {
		t.Fatal(err)
	}
	if len(j.Texts) < 100 || len(j.Boxes) < 100 || len(j.IoU) != len(j.Boxes) {
		t.Fatal("the judges' file is not what it was")
	}
	var labels []Label
	var run Run
	for i, p := range j.Texts {
		file := fmt.Sprintf("%d.wav", i)
		labels = append(labels, Label{File: file, Text: &p[0]})
		run.Records = append(run.Records, job.Record{Job: "transcribe", Source: job.Source{Path: file}, Text: p[1], Finish: job.FinishStop})
	}
	// Three sentences parted into segments are the same text.
	run.Records[7].Text = breakLines(run.Records[7].Text)
	s, err := Transcribe(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range j.Boxes {
		file := fmt.Sprintf("%d.png", i)
		labels = append(labels, Label{File: file, Task: "locate", Lines: []Line{{Box2D: *b[0]}}})
		r := job.Record{Job: "locate", Source: job.Source{Path: file}, Finish: job.FinishStop}
		if b[1] != nil {
			r.Elements = []job.Element{{Box2D: *b[1]}}
		}
		run.Records = append(run.Records, r)
	}
	l, err := Locate(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"word error rate", s.WordErrorRate, j.WER}, {"raw", s.WordErrorRateRaw, j.WERRaw}, {"character error rate", s.CharacterErrorRate, j.CER},
		{"recall", l.BoxAt50, j.Recall},
	} {
		if !(math.Abs(c.got-c.want) <= 1e-12) { // the same whole numbers, divided
			t.Errorf("%s: %v, the judge has %v", c.name, c.got, c.want)
		}
	}
	for i, want := range j.IoU {
		if got := l.Items[i].IoU; !(math.Abs(got-want) <= 1e-9) { // sums of four products of numbers below 1000 in doubles
			t.Errorf("IoU of %v and %v: %v, the judge has %v", j.Boxes[i][0], j.Boxes[i][1], got, want)
		}
	}
}

// breakLines puts a line break in place of every third space.
func breakLines(s string) string {
	out, n := []rune(s), 0
	for i, r := range out {
		if r == ' ' {
			if n++; n%3 == 0 {
				out[i] = '\n'
			}
		}
	}
	return string(out)
}
