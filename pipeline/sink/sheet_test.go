package sink

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"facet/pipeline/job"
)

// lineOf is a line with this box on a page of 1000 × 1000 pixels.
func lineOf(text string, box job.Box) line {
	l, _ := newLine(job.Block{Text: text, Box: box}, job.Box{0, 0, 1000, 1000})
	return l
}

// Words divide the line by the widths of their letters: in order, without overlap, from one end to the other.
func TestSplit(t *testing.T) {
	for _, text := range []string{"one", "a bc d", "iiii MMMM", "Dear Sir, how are you?", "Größe  Ärger\tÜber", "汉字 test 日本語", "é́ x", "😀 smile"} {
		l := lineOf(text, job.Box{100, 10, 900, 30})
		words := l.words
		if len(words) != len(strings.Fields(text)) || words[0].box[0] != 100 || words[len(words)-1].box[2] != 900 {
			t.Errorf("%q: %v", text, words)
		}
		for i, w := range words {
			if w.box[1] != 10 || w.box[3] != 30 || w.box[0] >= w.box[2] || i > 0 && w.box[0] <= words[i-1].box[2] {
				t.Errorf("%q: word %d at %v", text, i, w.box)
			}
		}
	}
	wide := func(text string) int {
		b := lineOf(text, job.Box{0, 0, 1000, 10}).words[0].box
		return b[2] - b[0]
	}
	if i, m := wide("iiii xx"), wide("MMMM xx"); i >= m {
		t.Errorf("iiii is %d wide, MMMM %d", i, m)
	}
	if got := wide("汉汉 汉汉"); got < 430 || got > 490 { // two em of four and a space of about 0.28
		t.Errorf("half of a line is %d of 1000 wide", got)
	}
	if plain, marks := wide("aaa bbb"), wide("a\u0301a\u0308a\u0304 bbb"); plain != marks {
		t.Errorf("marks over letters change the width from %d to %d", plain, marks)
	}
}

func TestSplitDirections(t *testing.T) {
	hebrew := lineOf("שלום 12", job.Box{0, 0, 1000, 10})
	if w := hebrew.words; !hebrew.rtl || w[0].box[2] != 1000 || w[1].box[0] != 0 || w[1].box[2] >= w[0].box[0] {
		t.Errorf("from right to left: %v", w)
	}
	if l := lineOf("12 سلام", job.Box{0, 0, 1000, 10}); !l.rtl {
		t.Error("the first letter with a direction is Arabic")
	}
	if l := lineOf("12 a שלום", job.Box{0, 0, 1000, 10}); l.rtl {
		t.Error("the first letter with a direction is Latin")
	}
	down := lineOf("日本 語", job.Box{10, 0, 30, 900}).words
	if a, b := down[0].box, down[1].box; a[1] != 0 || b[3] != 900 || a[3] >= b[1] || a[0] != 10 || a[2] != 30 {
		t.Errorf("downwards: %v", down)
	}
}

// More words than pixels, and words without a width: each has a box with an area in that of the line.
func TestSplitNarrow(t *testing.T) {
	for _, text := range []string{strings.Repeat("a ", 50), "\u0301 \u200d", "a \u0301", strings.Repeat("\u0301 ", 9) + "x"} {
		for _, box := range []job.Box{{5, 5, 6, 6}, {5, 5, 12, 9}, {5, 5, 6, 20}} {
			for _, w := range lineOf(text, box).words {
				if !hasArea(w.box) || !inside(w.box, box) {
					t.Errorf("%q in %v: %v", text, box, w)
				}
			}
		}
	}
}

// Lines of a paragraph are a region, and so are those of each column.
func TestRegions(t *testing.T) {
	rec := &job.Record{Effective: job.Effective{Seen: &job.Seen{SizeOriginal: [2]int{1000, 1000}}}}
	for _, b := range []struct {
		text string
		box  job.Box
	}{
		{"title", job.Box{100, 50, 900, 90}},
		{"left 1", job.Box{100, 150, 450, 170}},
		{"left 2", job.Box{100, 175, 460, 195}},
		{"left 3, spaced", job.Box{110, 214, 450, 234}},
		{"right 1", job.Box{550, 150, 900, 170}},
		{"right 2", job.Box{550, 168, 900, 188}}, // boxes of lines may overlap
		{"lost 1", job.Box{}},
		{"lost 2", job.Box{2000, 2000, 2100, 2100}},
		{"foot", job.Box{100, 950, 200, 970}},
		{"beside", job.Box{700, 955, 900, 975}},
	} {
		rec.Blocks = append(rec.Blocks, job.Block{Text: b.text, Box: b.box})
	}
	var got []string
	for _, r := range sheetOf(rec).regions {
		s := fmt.Sprint(r.box)
		for _, l := range r.lines {
			s += " " + l.words[0].text
		}
		got = append(got, s)
	}
	want := []string{
		"[100 50 900 90] title",
		"[100 150 460 234] left left left",
		"[550 150 900 188] right right",
		"[0 0 1000 1000] lost lost",
		"[100 950 200 970] foot",
		"[700 955 900 975] beside",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// Whatever a record holds, documents can be read, and hold no commands.
func FuzzDocuments(f *testing.F) {
	for _, rec := range pages() {
		for _, b := range rec.Blocks {
			f.Add(b.Text, rec.Source.Path, b.Box[0], b.Box[1], b.Box[2], b.Box[3], b.Confidence)
		}
	}
	f.Fuzz(func(t *testing.T, text, path string, x0, y0, x1, y1 int, confidence float64) {
		rec := pages()["page"]
		rec.Source.Path, rec.Source.SHA256, rec.Text, rec.Finish = path, path, text, job.Finish(path)
		rec.Effective.Model, rec.Effective.PromptSHA256 = path, path
		block := job.Block{Text: text, Box: job.Box{x0, y0, x1, y1}, Confidence: confidence}
		for _, blocks := range [][]job.Block{nil, {block}, {rec.Blocks[0], block, block}} {
			rec.Blocks = blocks
			for name, write := range map[string]func(io.Writer, *job.Record, string) error{"alto": WriteALTO, "hocr": WriteHOCR, "md": WritePageMarkdown} {
				var b bytes.Buffer
				if err := write(&b, rec, path); err != nil {
					t.Fatal(err)
				}
				if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && commands(r) }) {
					t.Fatalf("%s: %q", name, b.String())
				}
				if name == "md" {
					continue
				}
				for d := xml.NewDecoder(&b); ; {
					if _, err := d.Token(); err == io.EOF {
						break
					} else if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
			}
		}
	})
}
