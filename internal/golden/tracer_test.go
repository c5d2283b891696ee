package golden

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
)

func tracer(t *testing.T, dir, name string) *Tracer {
	t.Helper()
	c, err := OpenCase(fixtures.Path(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tr, err := NewTracer(c, Tolerance)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// full undoes the cut of a decoder's tensor: rows that the reference dropped are NaN,
// so that a comparison with one of them would be seen.
func full(r *reference, rows int) []float32 {
	cols := len(r.values) / r.shape[0]
	data := slices.Repeat([]float32{float32(math.NaN())}, rows*cols)
	copy(data, r.values[:8*cols])
	copy(data[(rows-16)*cols:], r.values[8*cols:])
	return data
}

// A difference is found in each row that the reference kept, and in no other.
func TestTracerComparesKeptRows(t *testing.T) {
	const name, rows = "model.language_model.layers.0", 85
	for row := range rows {
		tr := tracer(t, "golden/tiny-e", "image")
		r := tr.tensors[name]
		cols := len(r.values) / r.shape[0]
		data := full(r, rows)
		data[row*cols+3] += float32(2 * Tolerance * r.largest)
		tr.Trace(name, 0, rows, cols, data)
		kept := row < 8 || row >= rows-16
		if (tr.First != nil) != kept {
			t.Errorf("row %d changed: %v", row, tr.First)
		}
		if kept && (!strings.Contains(tr.First.Error(), name) || tr.WorstName != name) {
			t.Errorf("row %d: %q does not name the tensor", row, tr.First)
		}
	}
}

func TestTracerWithinTolerance(t *testing.T) {
	tr := tracer(t, "golden/tiny-e", "image")
	const name, rows = "model.language_model.layers.0", 85
	r := tr.tensors[name]
	data := full(r, rows)
	data[5] += float32(0.9 * Tolerance * r.largest)
	tr.Trace(name, 0, rows, len(r.values)/r.shape[0], data)
	if tr.First != nil || tr.Worst < 0.8*Tolerance {
		t.Errorf("worst %g, first %v", tr.Worst, tr.First)
	}
	if tr.Compared != 1 || slices.Contains(tr.Missing(), name) || len(tr.Missing()) != len(tr.tensors)-1 {
		t.Errorf("%d compared, %d missing of %d", tr.Compared, len(tr.Missing()), len(tr.tensors))
	}
}

func TestTracerNaN(t *testing.T) {
	tr := tracer(t, "golden/tiny-e", "image")
	const name = "model.language_model.layers.0"
	data := full(tr.tensors[name], 85)
	data[0] = float32(math.NaN())
	if tr.Trace(name, 0, 85, 48, data); tr.First == nil {
		t.Error("a NaN passed")
	}
}

// Two pictures: the first rows of each in the tower's layers, all rows one after the
// other where the tower hands over.
func TestTracerTwoPictures(t *testing.T) {
	tr := tracer(t, "golden/tiny-e", "images")
	layer := tr.tensors["model.vision_tower.encoder.layers.1"]
	for item := range 2 {
		pad := make([]float32, 600*48)
		copy(pad, layer.values[item*24*48:(item+1)*24*48])
		tr.Trace(layer.name, item, 600, 48, pad)
	}
	soft := tr.tensors["model.embed_vision"]
	tr.Trace(soft.name, 0, 63, 48, soft.values[:63*48])
	tr.Trace(soft.name, 1, soft.shape[0]-63, 48, soft.values[63*48:])
	if tr.First != nil {
		t.Fatal(tr.First)
	}
	tr.Trace(layer.name, 1, 600, 48, make([]float32, 600*48))
	if tr.First == nil {
		t.Error("another second picture passed")
	}
}

func TestCases(t *testing.T) {
	names, err := Cases(fixtures.Path("golden/tiny-e"))
	if err != nil || !slices.Equal(names, []string{"audio", "audios", "image", "images", "long", "mixed", "page", "text"}) {
		t.Errorf("got %v, %v", names, err)
	}
	if _, err := OpenCase(fixtures.Path("golden/tiny-e"), "none"); err == nil || !strings.Contains(err.Error(), filepath.Join("tiny-e", "none.json")) {
		t.Errorf("a case that is not there: %v", err)
	}
}

// Of a convolution over one clip the reference kept the first two time steps, of two
// clips those of each with the first frequencies.
func TestTracerConvolution(t *testing.T) {
	const name, steps, freq, channels = "model.audio_tower.subsample_conv_projection.layer0.norm", 25, 64, 128
	const cols = freq * channels
	for _, c := range []struct {
		file           string
		item, row, bin int
		clips, kept    int // clips in the reference, frequencies of each step
		seen           bool
	}{
		{"audio", 0, 0, 63, 1, 64, true}, {"audio", 0, 1, 0, 1, 64, true}, {"audio", 0, 2, 0, 1, 64, false},
		{"audios", 0, 1, 23, 2, 24, true}, {"audios", 1, 0, 0, 2, 24, true}, {"audios", 1, 1, 23, 2, 24, true},
		{"audios", 1, 1, 24, 2, 24, false}, {"audios", 0, 2, 0, 2, 24, false},
	} {
		tr := tracer(t, "golden/tiny-e", c.file)
		r := tr.tensors[name]
		for item := range c.clips {
			data := make([]float32, steps*cols)
			for step := range 2 {
				from := (item*2 + step) * c.kept * channels
				copy(data[step*cols:], r.values[from:from+c.kept*channels])
			}
			if item == c.item {
				data[c.row*cols+c.bin*channels+5] += float32(2 * Tolerance * r.largest)
			}
			tr.Trace(name, item, steps, cols, data)
		}
		if (tr.First != nil) != c.seen {
			t.Errorf("%s: clip %d, step %d, frequency %d changed: %v", c.file, c.item, c.row, c.bin, tr.First)
		}
	}
}

// The frames of a video after a picture are the second call of the vision tower, and only
// the first two are compared where each has rows of its own.
func TestTracerVideoAfterPicture(t *testing.T) {
	tr := tracer(t, "golden/tiny-e", "mixed")
	tr.Second = true
	r := tr.tensors["model.vision_tower.patch_embedder#1"]
	for item := range 3 {
		data := make([]float32, 540*48)
		if item < 2 {
			copy(data, r.values[item*24*48:(item+1)*24*48])
		}
		tr.Trace("model.vision_tower.patch_embedder", item, 540, 48, data)
	}
	if tr.First != nil || tr.Compared != 1 {
		t.Errorf("%d compared, %v", tr.Compared, tr.First)
	}
	if tr.Trace("model.vision_tower.patch_embedder", 1, 540, 48, make([]float32, 540*48)); tr.First == nil {
		t.Error("another second frame passed")
	}
	if _, ok := tr.tensors["model.embed_audio"]; !ok {
		t.Fatal("no sound in this case")
	}
	tr.First = nil
	if tr.Trace("model.embed_audio", 0, 13, 48, make([]float32, 13*48)); tr.First == nil {
		t.Error("sound was not compared")
	}
}
