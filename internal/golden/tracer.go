package golden

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Tracer compares activations with a case's tensors in the order in which they come.
type Tracer struct {
	tolerance float64
	tensors   map[string]*reference

	// Second says that the towers of pictures run for the second time: for the frames of a
	// video after pictures. The reference's names then end in #1.
	Second bool
	// Compared counts the reference tensors met so far.
	Compared int
	// Worst is the largest difference so far, in the terms of Tolerance, and WorstName its tensor.
	Worst     float64
	WorstName string
	// First is the first tensor that departs from its reference; nil while none does.
	First error
}

// reference is one tensor of the case.
type reference struct {
	name    string
	shape   []int
	values  []float32
	largest float64 // max |value|
	calls   int     // of Trace so far
	rows    int     // in those calls together
}

// NewTracer returns a tracer over the tensors of c.
func NewTracer(c *Case, tolerance float64) (*Tracer, error) {
	t := &Tracer{tolerance: tolerance, tensors: map[string]*reference{}}
	for _, name := range c.tensors.Names() {
		r, err := c.reference(name)
		if err != nil {
			return nil, err
		}
		t.tensors[name] = r
	}
	return t, nil
}

// reference reads the tensor of this name, which the case has.
func (c *Case) reference(name string) (*reference, error) {
	w, _ := c.tensors.Tensor(name)
	if w.DType != "F32" || len(w.Shape) < 2 || len(w.Shape) > 4 {
		return nil, fmt.Errorf("reference tensor %s: %s of shape %v, want F32 with 2 to 4 dimensions", name, w.DType, w.Shape)
	}
	if w.Elements() == 0 {
		return nil, fmt.Errorf("reference tensor %s has no values: shape %v", name, w.Shape)
	}
	r := &reference{name: name, shape: w.Shape, values: make([]float32, w.Elements())}
	for i := range r.values {
		r.values[i] = math.Float32frombits(binary.LittleEndian.Uint32(w.Data[4*i:]))
		r.largest = max(r.largest, math.Abs(float64(r.values[i])))
	}
	return r, nil
}

// Logits returns the reference's logits [positions, width] of the prompt's last
// positions. It fails where the case has none.
func (c *Case) Logits() (logits []float32, positions, width int, err error) {
	const name = "logits"
	if _, ok := c.tensors.Tensor(name); !ok {
		return nil, 0, 0, fmt.Errorf("reference tensor %s is missing", name)
	}
	r, err := c.reference(name)
	switch {
	case err != nil:
		return nil, 0, 0, err
	case len(r.shape) != 2:
		return nil, 0, 0, fmt.Errorf("reference tensor %s has shape %v, want [positions, vocabulary]", name, r.shape)
	}
	return r.values, r.shape[0], r.shape[1], nil
}

// Trace compares one activation [rows, cols] with the rows that the reference kept of
// it. item counts the pictures or clips of a prompt in the activations of a tower.
func (t *Tracer) Trace(name string, item, rows, cols int, data []float32) {
	if t.Second && strings.Contains(name, "vision") {
		name += "#1"
	}
	r := t.tensors[name]
	if r == nil {
		return
	}
	if r.calls == 0 {
		t.Compared++
	}
	pairs, err := r.pairs(item, rows, cols)
	r.calls++
	r.rows += rows
	if err != nil {
		t.depart(fmt.Errorf("%s: %w", name, err))
		return
	}
	for _, p := range pairs {
		got := data[p.got*cols : (p.got+1)*cols]
		for i, want := range r.values[p.want*r.width(cols):][:r.width(cols)] {
			t.compare(r, p.got, i, float64(got[i]), float64(want))
		}
	}
}

func (t *Tracer) compare(r *reference, row, col int, got, want float64) {
	d := math.Abs(got-want) / max(r.largest, math.SmallestNonzeroFloat64)
	if !(d <= t.Worst) {
		t.Worst, t.WorstName = d, r.name
	}
	if !(d <= t.tolerance) { // also when it is NaN
		t.depart(fmt.Errorf("%s: row %d, column %d: got %g, want %g, off by %.1e of the largest value %g", r.name, row, col, got, want, d, r.largest))
	}
}

func (t *Tracer) depart(err error) {
	if t.First == nil {
		t.First = err
	}
}

// Missing lists the reference tensors that no activation came for, sorted.
func (t *Tracer) Missing() []string {
	var names []string
	for name, r := range t.tensors {
		if r.calls == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// pair is a row of an activation with the row of the reference that it must equal.
type pair struct{ got, want int }

// width is the number of a row's columns that the reference kept: all but of a convolution
// of two clips.
func (r *reference) width(cols int) int {
	if len(r.shape) == 4 {
		return r.shape[2] * r.shape[3]
	}
	return cols
}

// pairs undoes how the reference data was cut; its rules are in fixtures/README.md. A row
// of an activation of a convolution is a time step, with its frequencies and channels.
func (r *reference) pairs(item, rows, cols int) ([]pair, error) {
	kept := r.shape[0]
	if len(r.shape) == 4 { // two clips, the first time steps of each, the first frequencies of each
		if r.width(cols) > cols || item >= kept {
			return nil, fmt.Errorf("clip %d, %d columns, the reference has shape %v", item+1, cols, r.shape)
		}
		return run(0, item*r.shape[1], min(rows, r.shape[1])), nil
	}
	if width := len(r.values) / kept; len(r.shape) == 2 && width != cols || len(r.shape) == 3 && width%cols != 0 {
		return nil, fmt.Errorf("%d columns, the reference has shape %v", cols, r.shape)
	}
	decoder := strings.Contains(r.name, "language_model")
	switch {
	case r.name == "logits": // those of the last positions
		if rows < kept {
			return nil, fmt.Errorf("%d rows, the reference has shape %v", rows, r.shape)
		}
		return run(rows-kept, 0, kept), nil
	case len(r.shape) == 3 && !decoder && r.shape[1]*r.shape[2] == cols: // the first time steps of a convolution
		return run(0, 0, min(rows, kept)), nil
	case len(r.shape) == 3 && !decoder && kept == 2 && r.shape[2] == cols: // two pictures or clips, the first rows of each
		if item >= kept { // of a video's frames the first two were kept
			return nil, nil
		}
		return run(0, item*r.shape[1], min(rows, r.shape[1])), nil
	case len(r.shape) == 3: // the heads of the first positions
		return run(0, 0, min(rows, kept)), nil
	case decoder && kept == 24 && rows > 40:
		return append(run(0, 0, 8), run(rows-16, 8, 16)...), nil
	case r.calls > 0 || rows < kept: // pictures one after the other; a pooler's rows past the real ones are zero
		return run(0, r.rows, min(rows, kept-r.rows)), nil
	}
	return run(0, 0, kept), nil
}

func run(got, want, n int) []pair {
	var p []pair
	for i := range n {
		p = append(p, pair{got + i, want + i})
	}
	return p
}
