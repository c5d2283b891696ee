package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"facet/internal/kernel"
)

// packedTypes are the formats that Pack takes, with the places of the binary16 scales in a block.
var packedTypes = []struct {
	name          string
	values, bytes int
	scales        []int
}{
	{"Q4_0", 32, 18, []int{0}},
	{"Q4_1", 32, 20, []int{0, 2}},
	{"Q5_0", 32, 22, []int{0}},
	{"Q5_1", 32, 24, []int{0, 2}},
	{"Q8_0", 32, 34, []int{0}},
	{"Q4_K", 256, 144, []int{0, 2}},
	{"Q5_K", 256, 176, []int{0, 2}},
	{"Q6_K", 256, 210, []int{208}},
}

// randomBlocks returns n values as blocks of type i: any quants, scales between 2⁻⁸ and 2⁻⁶
// of either sign.
func randomBlocks(r *rand.Rand, i, n int) []byte {
	c := packedTypes[i]
	b := make([]byte, n/c.values*c.bytes)
	for at := range b {
		b[at] = byte(r.Uint32())
	}
	for at := 0; at < len(b); at += c.bytes {
		for _, s := range c.scales {
			b[at+s+1] = b[at+s+1]&0x87 | 0x1c
		}
	}
	return b
}

// pack returns random blocks as a packed weight, and as one that dequantises.
func pack(t testing.TB, p *Pool, r *rand.Rand, i, out, in int) (integer, exact Weight) {
	t.Helper()
	data := randomBlocks(r, i, out*in)
	exact, err := WeightOf(packedTypes[i].name, data, out, in)
	if err != nil {
		t.Fatal(err)
	}
	integer, err = Pack(p, packedTypes[i].name, slices.Clone(data), out, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return integer, exact
}

// What a packed weight is, row by row, is what the file has, however rows are cut.
func TestPackKeepsRows(t *testing.T) {
	r := source()
	p := newPool(t, 2)
	for i, c := range packedTypes {
		for _, out := range []int{0, 1, 16, 17, 100} {
			in := c.values * (1 + out%4)
			w, exact := pack(t, p, r, i, out, in)
			if w.Out() != out || w.In() != in || w.DType() != c.name {
				t.Fatalf("%s [%d, %d] became %s [%d, %d]", c.name, out, in, w.DType(), w.Out(), w.In())
			}
			got, want := make([]float32, in), make([]float32, in)
			for lo := 0; lo < out; lo += 1 + out/5 {
				hi := min(out, lo+1+out/3)
				part := RowsOf(RowsOf(w, lo/2, out), lo-lo/2, hi-lo/2)
				for o := lo; o < hi; o++ {
					part.Row(got, o-lo)
					exact.Row(want, o)
					if !slices.Equal(got, want) {
						t.Fatalf("%s [%d, %d]: row %d of rows [%d, %d) is %v, want %v", c.name, out, in, o-lo, lo, hi, got[:4], want[:4])
					}
				}
			}
		}
	}
}

// Every byte is released once, none before it was read.
func TestPackReleases(t *testing.T) {
	p := newPool(t, 2)
	for i, c := range packedTypes {
		in := c.values * 8
		data := randomBlocks(source(), i, 1000*in)
		want, err := Pack(p, c.name, slices.Clone(data), 1000, in, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		seen := make([]bool, len(data))
		got, err := Pack(p, c.name, data, 1000, in, func(lo, hi int) {
			mu.Lock()
			defer mu.Unlock()
			for at := lo; at < hi; at++ {
				if seen[at] {
					t.Fatalf("%s: byte %d released twice", c.name, at)
				}
				seen[at] = true
			}
			clear(data[lo:hi])
		})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(seen, false) {
			t.Errorf("%s: byte %d not released", c.name, slices.Index(seen, false))
		}
		if !slices.Equal(got.(*packed).data, want.(*packed).data) {
			t.Errorf("%s: released before it was read", c.name)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	p := newPool(t, 1)
	for _, c := range []struct {
		dtype      string
		n, out, in int
	}{
		{"BF16", 64, 1, 32},
		{"Q2_K", 84, 1, 256},
		{"Q4_0", 18, 1, 31},
		{"Q4_K", 72, 1, 128},
		{"Q4_0", 17, 1, 32},
		{"Q4_0", 36, 1, 32},
		{"Q4_0", 18, -1, 32},
		{"Q4_0", 18, 1, -32},
		{"Q4_0", 18, 1 << 60, 32},
	} {
		if w, err := Pack(p, c.dtype, make([]byte, c.n), c.out, c.in, nil); err == nil {
			t.Errorf("%d bytes as %s [%d, %d] became %v", c.n, c.dtype, c.out, c.in, w)
		}
	}
}

// The product of rounded x: off from the product of the same values in float64 by half
// a step of x for each weight, and by float32's rounding.
func TestPackedMatMul(t *testing.T) {
	r := source()
	p := newPool(t, 2)
	for i, c := range packedTypes {
		for _, s := range [][3]int{{1, 300, 3}, {5, 17, 1}, {16, 100, 2}, {70, 90, 5}, {0, 16, 1}, {3, 0, 1}, {4, 16, 0}} {
			rows, out, in := s[0], s[1], s[2]*c.values
			w, exact := pack(t, p, r, i, out, in)
			x, dst, row := random(r, rows, in), random(r, rows, out), make([]float32, in)
			w.MatMul(p, dst, x)
			for o := range out {
				exact.Row(row, o)
				for n := range rows {
					var want, step float64
					for k := 0; k < in; k += 32 {
						var top, size float64
						for j := k; j < k+32; j++ {
							v := float64(x.Row(n)[j])
							want += v * float64(row[j])
							top = max(top, math.Abs(v))
							size += math.Abs(float64(row[j]))
						}
						// Minima of up to 63·2⁻⁶ and scales of as much cancel; float32 rounds both.
						step += top * (size/254 + 32*64*0x1p-24*8)
					}
					if got := float64(dst.Row(n)[o]); !(math.Abs(got-want) <= step) {
						t.Fatalf("%s [%d, %d]·[%d, %d]ᵀ: dst[%d][%d] = %v, want %v ± %v", c.name, rows, in, out, in, n, o, got, want, step)
					}
				}
			}
		}
	}
}

// The same bits for any number of threads, any cut of the batch and of the weight.
func TestPackedSameBits(t *testing.T) {
	const rows, out = 107, 230
	r := source()
	var pools []*Pool
	for _, threads := range []int{1, 2, 4} {
		pools = append(pools, newPool(t, threads))
	}
	for i, c := range packedTypes {
		in := 2 * c.values
		w, _ := pack(t, pools[0], r, i, out, in)
		x, want := random(r, rows, in), New(rows, out)
		w.MatMul(pools[0], want, x)
		for _, p := range pools {
			for _, step := range []int{1, 2, 7, 50, rows} {
				got := New(rows, out)
				for lo := 0; lo < rows; lo += step {
					hi := min(lo+step, rows)
					w.MatMul(p, got.Slice(lo, hi), x.Slice(lo, hi))
				}
				if !sameBits(got, want) {
					t.Fatalf("%s: %d threads, %d rows at a time: other bits than one thread, all rows", c.name, p.Threads(), step)
				}
			}
			for _, step := range []int{16, 50, 129} {
				for lo := 0; lo < out; lo += step {
					hi := min(lo+step, out)
					part := New(rows, hi-lo)
					RowsOf(w, lo, hi).MatMul(p, part, x)
					for n := range rows {
						if !slices.Equal(part.Row(n), want.Row(n)[lo:hi]) {
							t.Fatalf("%s: %d threads, rows [%d, %d) of the weight: other bits than the whole", c.name, p.Threads(), lo, hi)
						}
					}
				}
			}
		}
	}
}

// Several products at once are what they are one by one, of any kinds of weights.
func TestMatMuls(t *testing.T) {
	r := source()
	for _, threads := range []int{1, 3} {
		p := newPool(t, threads)
		for _, rows := range []int{1, 5, 200} {
			x := random(r, rows, 512)
			var products []Product
			for i, out := range []int{700, 16, 33, 0, 250} {
				w, _ := pack(t, p, r, i, out, 512)
				products = append(products, Product{New(rows, out), w})
			}
			dense, _ := weightOf(t, "BF16", random(r, 60, 512))
			products = slices.Insert(products, 2, Product{New(rows, 60), dense})
			products = append(products, Product{New(rows, 40), RowsOf(products[0].W, 123, 163)})
			MatMuls(p, x, products...)
			for i, m := range products {
				want := New(rows, m.W.Out())
				m.W.MatMul(p, want, x)
				if !sameBits(m.Dst, want) {
					t.Errorf("%d threads, %d rows: product %d has other bits than alone", threads, rows, i)
				}
			}
			MatMuls(p, x)
		}
	}
}

func TestPackedTilingCoversTheProduct(t *testing.T) {
	for _, threads := range []int{1, 2, 16} {
		p := &Pool{workers: make([]*worker, threads-1)}
		for _, rows := range []int{1, 2, 16, 17, 192, 193, 5000} {
			for _, out := range []int{1, 16, 17, 100, 12288} {
				for _, in := range []int{32, 1536, 12288} {
					w := &packed{quant: kernel.Q4_0, first: out % 5, out: out, in: in}
					c, groups := w.tiling(p, rows), w.groups()
					if c.rows*c.down < rows || c.rows*(c.down-1) >= rows || c.outs*c.across < groups || c.outs*(c.across-1) >= groups {
						t.Errorf("%d threads, %d rows, weight [%d, %d]: pieces %+v", threads, rows, out, in, c)
					}
				}
			}
		}
	}
}

// A step of a sequence must not fill the heap.
func TestPackedMatMulAllocatesLittle(t *testing.T) {
	for _, threads := range []int{1, 2} {
		p := newPool(t, threads)
		w, _ := pack(t, p, source(), 0, 512, 512)
		x, dst := random(source(), 16, 512), New(16, 512)
		var before, after runtime.MemStats
		w.MatMul(p, dst, x)
		runtime.ReadMemStats(&before)
		const calls = 100
		for range calls {
			w.MatMul(p, dst, x)
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) / calls; per > 2048 {
			t.Errorf("%d threads: %d bytes a call", threads, per)
		}
	}
}

// Calls from several goroutines have rounded rows of their own.
func TestPackedMatMulFromSeveralGoroutines(t *testing.T) {
	p := newPool(t, 2)
	w, _ := pack(t, p, source(), 0, 160, 256)
	var wg sync.WaitGroup
	for n := range 4 {
		x := random(rand.New(rand.NewPCG(9, uint64(n))), 1+20*n, 256)
		want := New(x.Rows, 160)
		w.MatMul(p, want, x)
		wg.Go(func() {
			for range 50 {
				got := New(x.Rows, 160)
				w.MatMul(p, got, x)
				if !sameBits(got, want) {
					t.Error("other bits beside other calls")
				}
			}
		})
	}
	wg.Wait()
}

func TestPackedWrongShapesPanic(t *testing.T) {
	p := newPool(t, 1)
	w, _ := pack(t, p, source(), 0, 20, 64)
	for name, f := range map[string]func(){
		"rows":   func() { w.MatMul(p, New(4, 20), New(5, 64)) },
		"out":    func() { w.MatMul(p, New(4, 19), New(4, 64)) },
		"in":     func() { w.MatMul(p, New(4, 20), New(4, 32)) },
		"data":   func() { w.MatMul(p, Mat{4, 20, make([]float32, 79)}, New(4, 64)) },
		"Row":    func() { w.Row(make([]float32, 64), 20) },
		"length": func() { w.Row(make([]float32, 63), 0) },
		"RowsOf": func() { RowsOf(w, 10, 21) },
	} {
		if panicOf(f) == nil {
			t.Errorf("%s: no panic", name)
		}
	}
}

// The layers of an E2B-sized decoder in Q4_0: each call takes weights that no cache
// holds, in turns. Beside each figure, the memory's limit in the same run.
func BenchmarkPacked(b *testing.B) {
	const total = 256 << 20
	r := source()
	for _, shape := range [][2]int{{2048, 1536}, {6144, 1536}, {12288, 1536}, {1536, 6144}, {1536, 12288}, {262144, 1536}} {
		out, in := shape[0], shape[1]
		data := randomBlocks(r, 0, out*in)
		builder := newPool(b, 0)
		var weights []Weight
		for size := 0; size < total; size += len(data) {
			w, err := Pack(builder, "Q4_0", data, out, in, nil)
			if err != nil {
				b.Fatal(err)
			}
			weights = append(weights, w)
		}
		for _, rows := range []int{1, 4, 8, 16, 512} {
			if out > 1<<16 && rows > 16 {
				continue
			}
			x, dst := random(r, rows, in), New(rows, out)
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("out=%d/in=%d/rows=%d/threads=%d", out, in, rows, threads), func(b *testing.B) {
					p := newPool(b, threads)
					for i := 0; b.Loop(); i++ {
						weights[i%len(weights)].MatMul(p, dst, x)
					}
					seconds := b.Elapsed().Seconds() / float64(b.N)
					b.ReportMetric(float64(weights[0].Bytes())/1e9/seconds, "GB/s")
					b.ReportMetric(2*float64(rows*out)*float64(in)/1e9/seconds, "GOP/s")
				})
			}
		}
	}
}

// Packing: bytes of the file a second.
func BenchmarkPack(b *testing.B) {
	for i, c := range packedTypes {
		b.Run(c.name, func(b *testing.B) {
			p := newPool(b, 0)
			data := randomBlocks(source(), i, 4096*1536)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Pack(p, c.name, data, 4096, 1536, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
