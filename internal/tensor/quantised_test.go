package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"facet/internal/quant"
)

// blocks returns a weight [out, in] of random blocks, and the same values in float32.
func blocks(t *testing.T, name string, out, in int) (w, judge Weight) {
	t.Helper()
	f, ok := quant.Named(name)
	if !ok {
		t.Fatal(name)
	}
	r := rand.New(rand.NewPCG(1, uint64(out*in)))
	data := make([]byte, f.Size(out*in))
	values := make([]float32, out*in)
	for finite := false; !finite; { // scales of random bits may be anything
		for i := range data {
			data[i] = byte(r.Uint32()) & 0x3f // a float16 of less than 2, or an integer
		}
		f.Dequantize(values, data)
		finite = !slices.ContainsFunc(values, func(v float32) bool { return v-v != 0 })
	}
	w, err := WeightOf(name, data, out, in)
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, 4*len(values))
	f32, _ := quant.Named("F32")
	if err := f32.Quantize(plain, values); err != nil {
		t.Fatal(err)
	}
	judge, err = WeightOf("F32", plain, out, in)
	if err != nil {
		t.Fatal(err)
	}
	return w, judge
}

// A weight of blocks multiplies as its values do in float32, to the last bit, for any
// number of rows and threads.
func TestQuantisedAsItsValues(t *testing.T) {
	for _, name := range []string{"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"} {
		for _, threads := range []int{1, 3} {
			p := NewPool(threads)
			for _, size := range []struct{ rows, out, in int }{{1, 1, 256}, {1, 700, 512}, {5, 130, 768}, {40, 33, 256}, {0, 4, 256}, {3, 0, 256}} {
				w, judge := blocks(t, name, size.out, size.in)
				if w.Out() != size.out || w.In() != size.in || w.DType() != name || w.Bytes() >= judge.Bytes() && size.out > 0 {
					t.Errorf("%s: [%d, %d] of %s, %d bytes", name, w.Out(), w.In(), w.DType(), w.Bytes())
				}
				x, got, want := New(size.rows, size.in), New(size.rows, size.out), New(size.rows, size.out)
				for i := range x.Data {
					x.Data[i] = float32(i%17) - 8
				}
				w.MatMul(p, got, x)
				judge.MatMul(p, want, x)
				if !slices.Equal(got.Data, want.Data) {
					t.Errorf("%s, %d threads, %v: products differ", name, threads, size)
				}
				if size.out < 3 {
					continue
				}
				row, wantRow := make([]float32, size.in), make([]float32, size.in)
				RowsOf(w, 1, 3).Row(row, 1)
				judge.Row(wantRow, 2)
				if !slices.Equal(row, wantRow) {
					t.Errorf("%s: row 2 differs", name)
				}
			}
			p.Close()
		}
	}
}

func TestQuantisedRefuses(t *testing.T) {
	for _, c := range []struct {
		bytes, out, in int
		want           string
	}{
		{18, 1, 33, "rows of 33 values are no whole number of Q4_0 blocks of 32"},
		{18, 1, -32, "rows of -32 values"},
		{18, 2, 32, "18 bytes for Q4_0 values [2, 32]"},
		{36, 1, 32, "36 bytes for Q4_0 values [1, 32]"},
		{18, -1, 32, "18 bytes for Q4_0 values [-1, 32]"},
		{18, math.MaxInt, 32, "18 bytes for Q4_0 values"},
	} {
		if _, err := WeightOf("Q4_0", make([]byte, c.bytes), c.out, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d bytes as [%d, %d]: got %v, want %s", c.bytes, c.out, c.in, err, c.want)
		}
	}
	if _, err := WeightOf("Q2_K", nil, 0, 0); err == nil || !strings.Contains(err.Error(), "weights of type Q2_K are not supported") {
		t.Errorf("Q2_K: %v", err)
	}
	w, _ := blocks(t, "Q4_0", 2, 32)
	for want, call := range map[string]func(){
		"row 2 of a weight [2, 32] into 32 values": func() { w.Row(make([]float32, 32), 2) },
		"row 0 of a weight [2, 32] into 31 values": func() { w.Row(make([]float32, 31), 0) },
		"MatMul: dst [1, 2], x [2, 32], w [2, 32]": func() { w.MatMul(nil, New(1, 2), New(2, 32)) },
		"MatMul: dst [1, 3], x [1, 32], w [2, 32]": func() { w.MatMul(nil, New(1, 3), New(1, 32)) },
		"MatMul: dst [1, 2], x [1, 64], w [2, 32]": func() { w.MatMul(nil, New(1, 2), New(1, 64)) },
		"MatMul: dst is [1, 2] with 1 values":      func() { w.MatMul(nil, Mat{1, 2, make([]float32, 1)}, New(1, 32)) },
		"RowsOf: rows [1, 3) of a weight [2, 32]":  func() { RowsOf(w, 1, 3) },
	} {
		func() {
			defer func() {
				if r := recover(); !strings.Contains(fmt.Sprint(r), want) {
					t.Errorf("got %v, want %s", r, want)
				}
			}()
			call()
		}()
	}
}
