package sink

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"facet/pipeline/job"
)

func TestWriteElements(t *testing.T) {
	rec := &job.Record{Elements: []job.Element{
		{Label: "Save\tas\ndraft\x1b[1m", Point: [2]int{3, 4}}, {Find: "the gear", Point: [2]int{5, 60}}, {Role: "icon"},
	}}
	var b bytes.Buffer
	if err := WriteText(&b, rec); err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n")) {
		if n := bytes.Count(line, []byte("\t")); n != 2 || bytes.ContainsRune(line, 0x1b) {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
	if want := "the gear\t5\t60\nicon\t0\t0\n"; !bytes.HasSuffix(b.Bytes(), []byte(want)) {
		t.Errorf("%q, want %q at its end", b.Bytes(), want)
	}
	b.Reset()
	if err := WriteText(&b, &job.Record{Elements: []job.Element{}, Text: "no"}); err != nil || b.Len() != 0 {
		t.Errorf("of nothing: %q, %v", b.Bytes(), err)
	}
}

// The picture shows the frame, a ring around the point whose pixel stays as it was, and the name beside the frame.
func TestOverlayOfElements(t *testing.T) {
	rec := &job.Record{Elements: []job.Element{{Label: "Save", Box: job.Box{200, 100, 300, 140}, Point: [2]int{250, 120}}}}
	var b bytes.Buffer
	if err := WriteOverlay(&b, page(600, 300, color.White), rec, "1"); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	dark := func(r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if c := color.GrayModel.Convert(img.At(x, y)).(color.Gray); c.Y < 128 {
					n++
				}
			}
		}
		return n
	}
	if n := dark(image.Rect(225, 105, 275, 135)); n < 20 || n > 300 {
		t.Errorf("%d dark pixels around the point", n)
	}
	if n := dark(image.Rect(205, 105, 235, 135)); n != 0 {
		t.Errorf("%d dark pixels in the box, beside the point", n)
	}
	if n := dark(image.Rect(100, 90, 198, 160)); n < 200 {
		t.Errorf("%d dark pixels left of the box, where the name is", n)
	}
}
