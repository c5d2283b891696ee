package kernel

import (
	"fmt"
	"math"
	"testing"
)

// keySet is keys and values of n positions, in pages.
type keySet struct {
	dim   int
	k, v  []float32
	pages [][]uint16
}

func newKeySet(t *testing.T, n, dim int) *keySet {
	r := source()
	s := &keySet{dim: dim, k: randoms(r, n*dim), v: randoms(r, n*dim)}
	for p := 0; p < n; p += PageKeys {
		page := make([]uint16, PageLen(dim))
		h := min(PageKeys, n-p)
		PutKeys(page, 0, s.k[p*dim:], dim, s.v[p*dim:], dim, h, dim)
		s.pages = append(s.pages, halvesAtPageEnd(t, page))
	}
	return s
}

// attendAll runs rows of queries over all blocks of keys; apart takes each block on
// its own and merges.
func (s *keySet) attendAll(q []float32, rows, group int, visible func(r int) (from, to int), apart bool) []float32 {
	var t AttentionTile
	t.Load(q, group*s.dim, rows/group, group, s.dim)
	var a, part Attention
	a.Reset(rows, s.dim)
	for b := 0; b*BlockKeys < len(s.k)/s.dim; b++ {
		t.Pages = [4][]uint16{}
		copy(t.Pages[:], s.pages[b*BlockKeys/PageKeys:])
		for r := range rows {
			from, to := visible(r)
			t.From[r] = int32(max(0, min(BlockKeys, from-b*BlockKeys)))
			t.To[r] = int32(max(0, min(BlockKeys, to-b*BlockKeys)))
		}
		if apart {
			part.Reset(rows, s.dim)
			part.Add(&t)
			a.Merge(&part)
		} else {
			a.Add(&t)
		}
	}
	dst := make([]float32, rows*s.dim)
	a.Finish(dst, group*s.dim, group)
	return dst
}

// definition is the attention of a row over the rounded operands in float64, with
// weights not rounded, and the largest |v| it saw.
func (s *keySet) definition(q []float32, from, to int) (out []float64, size float64) {
	half := func(v float32) float64 { return float64(widenHalf(roundHalf(v))) }
	top, scores := math.Inf(-1), make([]float64, to)
	for j := from; j < to; j++ {
		for i, v := range q {
			scores[j] += half(v) * half(s.k[j*s.dim+i])
		}
		top = max(top, scores[j])
	}
	out = make([]float64, s.dim)
	var sum float64
	for j := from; j < to; j++ {
		w := math.Exp(scores[j] - top)
		sum += w
		for i := range out {
			out[i] += w * half(s.v[j*s.dim+i])
			size = max(size, math.Abs(half(s.v[j*s.dim+i])))
		}
	}
	for i := range out {
		out[i] /= sum
	}
	return out, size
}

// Every head size and tail, rows past a tile, windows and gaps, over pages that end
// where memory does; the same bits for any number of rows and however blocks are combined.
func TestAttention(t *testing.T) {
	for _, c := range []struct{ dim, keys, rows, group int }{
		{2, 1, 1, 1}, {4, 33, 3, 1}, {8, 40, 13, 1}, {16, 600, 26, 2}, {18, 130, 5, 1}, {32, 1100, 9, 1}, {36, 64, 4, 4},
		{64, 700, 40, 1}, {72, 530, 25, 1}, {96, 300, 12, 1}, {256, 600, 16, 8}, {512, 140, 8, 8}, {80, 97, 7, 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s := newKeySet(t, c.keys, c.dim)
			q := randoms(source(), c.rows*c.dim)
			for i := range q {
				q[i] *= 3 / float32(math.Sqrt(float64(c.dim))) // scores of order 3: many keys count
			}
			visible := func(r int) (int, int) {
				to := max(1, c.keys-(c.rows-1-r)/c.group*c.keys/c.rows)
				return max(0, to-1-r*37%(c.keys+5)), to
			}
			eachBF16Set(t, func(t *testing.T) {
				got := s.attendAll(q, c.rows, c.group, visible, false)
				for r := range c.rows {
					from, to := visible(r)
					want, size := s.definition(q[r*c.dim:(r+1)*c.dim], from, to)
					for i, w := range want {
						// A weight is off by half a unit of bfloat16 (2⁻⁹) and 2⁻¹³ of the exponential,
						// and the sum by as much: 2·size times that, at most.
						if g := float64(got[r*c.dim+i]); !(math.Abs(g-w) <= 2*size*(0x1p-9+0x1p-12)) {
							t.Fatalf("row %d sees [%d, %d): value %d is %v, want %v", r, from, to, i, g, w)
						}
					}
				}
				if apart := s.attendAll(q, c.rows, c.group, visible, true); !sameBits(apart, got) {
					t.Fatal("blocks on their own, merged: other bits")
				}
				for _, n := range []int{1, 3, 8} {
					var rows []float32
					for r := 0; r < c.rows; r += n * c.group {
						h := min(n*c.group, c.rows-r)
						rows = append(rows, s.attendAll(q[r*c.dim:], h, c.group, func(i int) (int, int) { return visible(r + i) }, false)...)
					}
					if !sameBits(rows, got) {
						t.Fatalf("%d rows at a time: other bits", n*c.group)
					}
				}
			})
		})
	}
}

// Scores of hundreds, of either sign, and one key far above the others.
func TestAttentionLargeScores(t *testing.T) {
	const dim, keys = 16, 700
	eachBF16Set(t, func(t *testing.T) {
		for _, scale := range []float32{30, -30, 300} {
			s := newKeySet(t, keys, dim)
			q := randoms(source(), dim)
			for i := range q {
				q[i] *= scale
			}
			got := s.attendAll(q, 1, 1, func(int) (int, int) { return 0, keys }, false)
			want, size := s.definition(q, 0, keys)
			for i, w := range want {
				// Scores of 1000 are sums whose rounding moves an exponent by 1e-3.
				if g := float64(got[i]); !(math.Abs(g-w) <= 2*size*(0x1p-9+0x1p-9)) {
					t.Fatalf("scale %v: value %d is %v, want %v", scale, i, g, w)
				}
			}
		}
		// One key alone is its value, exactly.
		s := newKeySet(t, 1, dim)
		got := s.attendAll(randoms(source(), dim), 1, 1, func(int) (int, int) { return 0, 1 }, false)
		for i, g := range got {
			if want := widenHalf(roundHalf(s.v[i])); g != want {
				t.Fatalf("one key: value %d is %v, want %v", i, g, want)
			}
		}
	})
}

// NaN in a query, or in a key that a row sees, makes that row NaN and no other.
func TestAttentionNaN(t *testing.T) {
	const dim, keys, rows = 16, 40, 3
	nan := float32(math.NaN())
	eachBF16Set(t, func(t *testing.T) {
		s := newKeySet(t, keys, dim)
		q := randoms(source(), rows*dim)
		q[dim+3] = nan
		got := s.attendAll(q, rows, 1, func(int) (int, int) { return 0, keys }, false)
		for r := range rows {
			if g := got[r*dim]; (g != g) != (r == 1) {
				t.Errorf("NaN in query 1: row %d is %v", r, g)
			}
		}
		k := randoms(source(), dim)
		k[5] = nan
		PutKeys(s.pages[0], 35, k, dim, s.v, dim, 1, dim)
		got = s.attendAll(randoms(source(), rows*dim), rows, 1, func(r int) (int, int) { return 0, 34 + r }, false)
		for r := range rows {
			if g := got[r*dim]; (g != g) != (r == 2) {
				t.Errorf("NaN in key 35: row %d, which sees %d keys, is %v", r, 34+r, g)
			}
		}
	})
}

// A slot can be written alone or with others, with the same outcome.
func TestPutKeys(t *testing.T) {
	eachBF16Set(t, func(t *testing.T) {
		for _, dim := range []int{2, 8, 16, 30, 48, 64, 72, 256} {
			r := source()
			k, v := randoms(r, PageKeys*dim), randoms(r, PageKeys*dim)
			whole := make([]uint16, PageLen(dim))
			PutKeys(whole, 0, k, dim, v, dim, PageKeys, dim)
			parts := make([]uint16, PageLen(dim))
			for s, n := 0, 1; s < PageKeys; s, n = s+n, n%5+1 {
				n = min(n, PageKeys-s)
				kp, checkK := guarded(t, k[s*dim:(s+n)*dim], s%8)
				vp, checkV := guarded(t, v[s*dim:(s+n)*dim], s%8)
				PutKeys(parts, s, kp, dim, vp, dim, n, dim)
				checkK()
				checkV()
			}
			for s := range PageKeys {
				for i := range dim {
					if got, want := whole[keyAt(dim, s, i)], roundHalf(k[s*dim+i]); got != want {
						t.Fatalf("dim %d: key %d, element %d is %#x, want %#x", dim, s, i, got, want)
					}
					if got, want := whole[valueAt(dim, s, i)], roundHalf(v[s*dim+i]); got != want {
						t.Fatalf("dim %d: value %d, element %d is %#x, want %#x", dim, s, i, got, want)
					}
				}
			}
			for i := range whole {
				if whole[i] != parts[i] {
					t.Fatalf("dim %d: slots one by one: place %d is %#x, want %#x", dim, i, parts[i], whole[i])
				}
			}
		}
	})
}

// The vision tower's heads over the patches of a picture, and a step over a long context.
func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ dim, rows, group int }{{64, 96, 1}, {72, 96, 1}, {256, 96, 8}, {512, 96, 8}, {256, 8, 8}, {512, 8, 8}} {
		b.Run(fmt.Sprintf("dim=%d/rows=%d", c.dim, c.rows), func(b *testing.B) {
			eachBF16Set(b, func(b *testing.B) {
				if chosenBF16 == &portableBF16 {
					return
				}
				const keys = 8 * BlockKeys
				s := &keySet{dim: c.dim, k: randoms(source(), PageKeys*c.dim)}
				for range keys / PageKeys {
					page := make([]uint16, PageLen(c.dim))
					PutKeys(page, 0, s.k, c.dim, s.k, c.dim, PageKeys, c.dim)
					s.pages = append(s.pages, page)
				}
				var t AttentionTile
				t.Load(s.k, c.group*c.dim, c.rows/c.group, c.group, c.dim)
				for r := range c.rows {
					t.From[r], t.To[r] = 0, BlockKeys
				}
				var a Attention
				a.Reset(c.rows, c.dim)
				for b.Loop() {
					for p := 0; p < len(s.pages); p += len(t.Pages) {
						copy(t.Pages[:], s.pages[p:])
						a.Add(&t)
					}
				}
				b.ReportMetric(4*keys*float64(c.rows*c.dim)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
			})
		})
	}
}
