package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"facet/fixtures"
	"facet/pipeline/job"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scored counts what transformers answered about the held-out inputs of a job, as a run would hold it.
func scored[S any](t *testing.T, j job.Job, score func([]Label, Run) (S, error)) S {
	t.Helper()
	all, err := ReadLabels(fixtures.Path("nano/heldout/labels.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	find := map[string]string{}
	var labels []Label
	for _, l := range all {
		if l.Task == j.Name {
			labels, find[l.File] = append(labels, l), l.Find
		}
	}
	f, err := os.Open(fixtures.Path("nano/heldout/hf_greedy.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var run Run
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var g struct{ File, Task, Output string }
		if err := json.Unmarshal(s.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		if g.Task != j.Name {
			continue
		}
		medium := map[string]job.Medium{".png": job.Image, ".wav": job.Sound, ".mp4": job.Film}[filepath.Ext(g.File)]
		rec := job.Record{Job: g.Task, Source: job.Source{Path: "some/where/" + g.File}}
		j.Read(&rec, []job.Reply{{Tokens: job.Plain(g.Output), Finish: job.FinishStop, Medium: medium, Width: 640, Height: 480, End: 8, Find: find[g.File]}})
		run.Records = append(run.Records, rec)
	}
	result, err := score(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// The figures of the reference's answers, which another program counts as well: make/nano/evaluate.py with scores.py. It does not
// match boxes one to one, which makes no difference here.
func TestNanoCard(t *testing.T) {
	pages, finds := scored(t, job.OCR, OCR), scored(t, job.Locate, Locate)
	words, captions := scored(t, job.Transcribe, Transcribe), scored(t, job.Caption, Caption)
	for _, c := range []struct {
		name              string
		got, want, within float64
	}{
		{"pages", float64(len(pages.Pages)), 20, 0},
		{"character error rate", pages.CharacterErrorRate, 0.0626, 0.00005},
		{"line recall", pages.LineRecall, 0.943, 0.0005},
		{"JSON valid", pages.JSONValid, 1, 0},
		{"edits", float64(pages.Edits), 59, 0},
		{"characters", float64(pages.Characters), 943, 0},
		{"lines", float64(pages.Lines), 70, 0},
		{"missing", float64(len(pages.Missing)), 0, 0},
		{"locate: JSON valid", finds.JSONValid, 1, 0},
		{"present", float64(finds.Present), 15, 0},
		{"found", finds.Found, 0.867, 0.0005},
		{"absent", float64(finds.Absent), 5, 0},
		{"empty", finds.Empty, 1, 0.0005},
		{"word error rate", words.WordErrorRate, 0.0201, 0.00005},
		{"shape", captions.Facets["shape"].Share, 0.95, 0.0005},
		{"colour", captions.Facets["colour"].Share, 1, 0.0005},
		{"count", captions.Facets["count"].Share, 0.9, 0.0005},
		{"motion", captions.Facets["motion"].Share, 1, 0.0005},
		{"on_screen_text", captions.Facets["on_screen_text"].Share, 1, 0.0005},
	} {
		if !(math.Abs(c.got-c.want) <= c.within) {
			t.Errorf("%s: got %v, want %v within %v", c.name, c.got, c.want, c.within)
		}
	}

	var b bytes.Buffer
	if err := pages.WriteTable(&b, false); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "nano.txt")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s, want -, got +:\n%s", golden, d)
	}
}

func label(file string, lines ...Line) Label { return Label{File: file, Lines: lines} }

func line(text string, y, x0, x1 float64) Line {
	return Line{Text: text, Box2D: job.Box2D{y, x0, y + 100, x1}}
}

// record is what reading lines gives.
func record(path string, lines ...Line) job.Record {
	r := job.Record{Job: "ocr", Source: job.Source{Path: path}, Finish: job.FinishStop}
	var text []string
	for _, l := range lines {
		r.Blocks = append(r.Blocks, job.Block{Text: l.Text, Box2D: l.Box2D})
		text = append(text, l.Text)
	}
	r.Text = strings.Join(text, "\n")
	return r
}

func TestMatching(t *testing.T) {
	none := Line{Text: "abc"} // a block without a box
	cases := []struct {
		name      string
		want, got []Line
		total     Total
		iou       float64
	}{
		{"equal", []Line{line("abc", 0, 0, 100)}, []Line{line("abc", 0, 0, 100)}, Total{3, 0, 1, 1, 1, 1}, 1},
		{"spaces", []Line{line("a bc", 0, 0, 100)}, []Line{line(" a  bc ", 0, 0, 100)}, Total{4, 0, 1, 1, 1, 1}, 1},
		{"half", []Line{line("abc", 0, 0, 100)}, []Line{line("abc", 0, 0, 50)}, Total{3, 0, 1, 1, 1, 1}, 0.5},
		{"less than half", []Line{line("abc", 0, 0, 100)}, []Line{line("abc", 0, 0, 40)}, Total{3, 0, 1, 1, 0, 0}, 0.4},
		{"no box", []Line{line("abc", 0, 0, 100)}, []Line{none}, Total{3, 0, 1, 1, 0, 0}, 0},
		{"nothing read", []Line{line("abc", 0, 0, 100), line("d", 200, 0, 100)}, nil, Total{5, 5, 2, 0, 0, 0}, 0},
		{"nothing there", nil, []Line{line("abc", 0, 0, 100)}, Total{0, 3, 0, 1, 0, 0}, 0},
		{"one box for two lines", []Line{line("abc", 0, 0, 100), line("abc", 0, 0, 100)}, []Line{line("abc", 0, 0, 100)},
			Total{7, 4, 2, 1, 1, 1}, 2},
		{"two boxes for one line", []Line{line("abc", 0, 0, 100)}, []Line{line("xyz", 0, 0, 100), line("abc", 0, 0, 90)},
			Total{3, 4, 1, 2, 1, 0}, 1},
		{"best pair first", []Line{line("abc", 0, 0, 100), line("def", 0, 20, 120)}, []Line{line("def", 0, 20, 120), line("abc", 0, 0, 100)},
			Total{7, 6, 2, 2, 2, 2}, 2},
	}
	for _, c := range cases {
		r := record("p", c.got...)
		p := scorePage(label("p", c.want...), &r)
		if p.Total != c.total || p.iou != c.iou {
			t.Errorf("%s: got %+v, IoU %v; want %+v, %v", c.name, p.Total, p.iou, c.total, c.iou)
		}
	}
}

func TestMissing(t *testing.T) {
	a, b := line("abc", 0, 0, 100), line("de", 0, 0, 100)
	cut := record("x/a.png", a)
	cut.Finish = job.FinishLength
	other := record("x/c.png")
	other.Job = "locate"
	run := Run{
		Records: []job.Record{cut, record("x/extra.png", a), other},
		Errors:  []job.ErrorRecord{{Entry: job.Entry{Path: "x/b\x1b.png"}, Error: "PNG: truncated"}},
	}
	labels := []Label{label("a.png", a), label("b\x1b.png", b), label("c.png"), {File: "a.png", Task: "locate"}}
	s, err := OCR(labels, run)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Missing{{File: "b\x1b.png", Error: "PNG: truncated"}, {File: "c.png"}}, s.Missing); d != "" {
		t.Errorf("missing, want -, got +:\n%s", d)
	}
	if s.Unlabelled != 1 || len(s.Pages) != 3 {
		t.Errorf("%d unlabelled, %d pages", s.Unlabelled, len(s.Pages))
	}
	if s.CharacterErrorRate != 0.4 || s.LineRecall != 0.5 || s.LinePrecision != 1 || s.JSONValid != 0 || s.PagesExact != 1.0/3 {
		t.Errorf("%+v", s)
	}
	var out bytes.Buffer
	if err := s.WriteTable(&out, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `b\x1b.png: PNG: truncated`) {
		t.Errorf("the table does not name what is missing, or not safely: %q", out.String())
	}
	if data, err := json.Marshal(s); err != nil || bytes.Contains(data, []byte("null")) {
		t.Errorf("JSON %s, %v", data, err)
	}
}

func TestPaths(t *testing.T) {
	l := line("abc", 0, 0, 100)
	page2 := record("d.pdf", l)
	page2.Source.Page = 2
	cases := []struct {
		name    string
		labels  []Label
		records []job.Record
		missing int
		err     string
	}{
		{"whole path", []Label{label("x/a.png", l)}, []job.Record{record("x/a.png", l)}, 0, ""},
		{"end of path", []Label{label("./x/a.png", l)}, []job.Record{record("/w/x/a.png", l), record("/w/y/a.png", l)}, 0, ""},
		{"no part of a name", []Label{label("a.png", l)}, []job.Record{record("/w/xa.png", l)}, 1, ""},
		{"page", []Label{{File: "d.pdf", Page: 2, Lines: []Line{l}}}, []job.Record{record("d.pdf"), page2}, 0, ""},
		{"two records", []Label{label("a.png", l)}, []job.Record{record("x/a.png", l), record("y/a.png", l)}, 0, "could be for x/a.png or y/a.png"},
		{"two labels", []Label{label("a.png", l), label("x/a.png", l)}, []job.Record{record("x/a.png", l)}, 0, "are both for x/a.png"},
		{"no label", nil, []job.Record{record("x/a.png", l)}, 0, "no label is for the job ocr"},
	}
	for _, c := range cases {
		s, err := OCR(c.labels, Run{Records: c.records})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || len(s.Missing) != c.missing || s.Found != 1-c.missing {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
}

func TestReadRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadRun(dir); err == nil {
		t.Error("a folder without records was read")
	}
	r := record("a.png", line("abc", 0, 0, 100))
	data, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	write("records.jsonl", string(data)+"\n"+string(data))
	run, err := ReadRun(dir)
	if err != nil || len(run.Records) != 2 || len(run.Errors) != 0 {
		t.Errorf("%d records, %d errors, %v", len(run.Records), len(run.Errors), err)
	}
	write("errors.jsonl", `{"path":"b.png","error":"broken"}`)
	run, err = ReadRun(dir)
	if err != nil || len(run.Errors) != 1 || run.Errors[0].Error != "broken" {
		t.Errorf("errors %+v, %v", run.Errors, err)
	}
	run, err = ReadRun(filepath.Join(dir, "records.jsonl"))
	if err != nil || len(run.Records) != 2 || len(run.Errors) != 0 {
		t.Errorf("from the file: %d records, %d errors, %v", len(run.Records), len(run.Errors), err)
	}
	for content, want := range map[string]string{
		string(data) + string(data[:20]): "records.jsonl:2: unexpected end",
		`{"text":"x"}`:                   "not a record",
		`[]`:                             "records.jsonl:1: ",
	} {
		write("records.jsonl", content)
		if _, err := ReadRun(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: error %v, want %q", content, err, want)
		}
	}
}

func TestReadLabelsRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.jsonl")
	for content, want := range map[string]string{
		"\n{\"lines\":[]}": "labels.jsonl:2: no file and no id",
		`{"file":"a","lines":[{"text":"x","box_2d":[5,5,5,9]}]}`: "line 1: box_2d [5 5 5 9] has no area",
		`{"file":"a","lines":[{"box_2d":[1,1,2,2]}]}`:            "line 1: no text",
		`{"file":"a"`: "labels.jsonl:1: unexpected end",
	} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLabels(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", content, err, want)
		}
	}
}
