package kernel

import (
	"fmt"
	"math"
)

// Attention in bfloat16 over keys and values that lie packed in pages.
//
// A page holds one KV head's keys and values of PageKeys consecutive positions, so that
// neither product has to add up lanes:
//
//	keys    [PageKeys/32][E/2][32][2]: of 32 keys, pairs of elements
//	values  for each strip of 32 columns, or 16 at the end, [PageKeys/2][width][2]:
//	        pairs of keys; columns are E rounded up to a multiple of 16
//
// A tile of query rows takes BlockKeys keys a call. What it has seen so far is an
// Attention: for each row the largest score, the sum of weights and the weighted sum
// of values.
const (
	PageKeys  = 128
	BlockKeys = 512

	keyGroup = 32 // keys beside each other in a page
	// maxHead is the largest head that the kernels take.
	maxHead = 1024
)

// PageLen is the number of bfloat16 values of a page for heads of dim values.
func PageLen(dim int) int { return PageKeys * (dim + outColumns(dim)) }

// outColumns is the length of an Attention's output row.
func outColumns(dim int) int { return (dim + 15) &^ 15 }

// strip is where the values of column d lie in a page, before those of slot 0, and its width.
func strip(dim, d int) (at, width int) {
	first := d &^ 31
	width = min(outColumns(dim)-first, 32)
	return PageKeys*(dim+first) + 2*(d-first), width
}

// PutKeys rounds keys and values of n positions to bfloat16 and stores them in slots
// [slot, slot+n) of a page. k and v are [n, dim], their strides count values.
// It panics if a slice is too short, slots are outside the page, or dim is odd or
// larger than 1024.
func PutKeys(page []uint16, slot int, k []float32, kStride int, v []float32, vStride, n, dim int) {
	checkPage("PutKeys", page, dim)
	checkMat("PutKeys", "k", len(k), kStride, n, dim)
	checkMat("PutKeys", "v", len(v), vStride, n, dim)
	if slot < 0 || n < 0 || slot+n > PageKeys {
		panic(fmt.Sprintf("kernel: PutKeys: slots [%d, %d) of a page of %d", slot, slot+n, PageKeys))
	}
	if n > 0 {
		chosenBF16.putKeys(page, slot, k, kStride, v, vStride, n, dim)
	}
}

func checkPage(function string, page []uint16, dim int) {
	if dim <= 0 || dim%2 != 0 || dim > maxHead {
		panic(fmt.Sprintf("kernel: %s: a head of %d", function, dim))
	}
	if len(page) < PageLen(dim) {
		panic(fmt.Sprintf("kernel: %s: %d values for a page of heads of %d", function, len(page), dim))
	}
}

// Attention is what rows of queries have gathered over the keys seen so far.
type Attention struct {
	rows, dim int
	max       []float32 // per row: the largest score · log₂e, −Inf before any key
	sum       []float32 // per row: Σ 2^(score·log₂e − max)
	out       []float32 // [rows, outColumns]: Σ 2^(score·log₂e − max)·v
}

// Reset makes a forget everything and gives it the shape [rows, dim], in its own memory
// where that suffices.
func (a *Attention) Reset(rows, dim int) {
	padded := (rows + 3) &^ 3 // bodies take rows in fours
	a.rows, a.dim = rows, dim
	a.max, a.sum, a.out = grow(a.max, padded), grow(a.sum, padded), grow(a.out, padded*outColumns(dim))
	for i := range a.max {
		a.max[i] = float32(math.Inf(-1))
	}
	clear(a.sum)
	clear(a.out)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// AttentionTile is rows of queries of one KV head and a block of keys.
type AttentionTile struct {
	// From and To are the keys [From, To) of the block, at most BlockKeys, that each row sees.
	From, To []int32
	// Pages hold the block's keys from 0 on; pages that no row sees may be nil.
	Pages [BlockKeys / PageKeys][]uint16

	rows, dim int
	q         []uint16 // [rows, dim]
}

// Load gives the tile rows of queries, [tokens·group, dim], rounded to bfloat16: row r is
// q[r/group·stride + r%group·dim] on, for tokens with group heads side by side.
// From and To get the length of rows.
// It panics if q is too short, or dim is odd or larger than 1024.
func (t *AttentionTile) Load(q []float32, stride, tokens, group, dim int) {
	if dim <= 0 || dim%2 != 0 || dim > maxHead {
		panic(fmt.Sprintf("kernel: Load: a head of %d", dim))
	}
	rows, width := tokens*group, group*dim
	padded := (rows + 3) &^ 3
	t.rows, t.dim = rows, dim
	t.q = grow(t.q, padded*dim+31) // RoundBF16 fills up to a multiple of 32
	t.From, t.To = grow(t.From, padded)[:rows], grow(t.To, padded)[:rows]
	checkMat("Load", "q", len(q), stride, tokens, width)
	if rows > 0 { // each row's fill is overwritten by the next
		chosenBF16.round(t.q, width, q, stride, tokens, width, float32(math.Inf(-1)), float32(math.Inf(1)))
	}
	for i := rows; i < padded; i++ { // rows that see nothing
		t.From[:padded][i], t.To[:padded][i] = 0, 0
	}
	clear(t.q[rows*dim : padded*dim])
}

// Add takes the tile's block of keys into a: a softmax over q·k, of values, without a
// factor on the scores. The result for a row depends on that row, the keys it sees and
// the blocks before. Weights are rounded to bfloat16, and their sum is that of the
// rounded ones. A NaN in a row's query, or in a key or value that it sees, makes the
// row NaN; one in a value may do so to rows that see other keys of the block only.
// It panics if a has another shape than the tile or a page that is needed is missing.
func (a *Attention) Add(t *AttentionTile) {
	if a.rows != t.rows || a.dim != t.dim || len(t.From) != t.rows || len(t.To) != t.rows {
		panic(fmt.Sprintf("kernel: Add: a tile [%d, %d] into [%d, %d]", t.rows, t.dim, a.rows, a.dim))
	}
	lo, hi := int32(BlockKeys), int32(0)
	for r, from := range t.From {
		if to := t.To[r]; from < to {
			lo, hi = min(lo, from), max(hi, to)
		}
	}
	if lo >= hi {
		return
	}
	if lo < 0 || hi > BlockKeys {
		panic(fmt.Sprintf("kernel: Add: keys [%d, %d) of a block of %d", lo, hi, BlockKeys))
	}
	for p := int(lo) / PageKeys; p*PageKeys < int(hi); p++ {
		checkPage("Add", t.Pages[p], t.dim)
	}
	chosenBF16.attend(a, t)
}

// Merge adds what next, the same rows over the next block, has gathered on its own:
// the same bits as if a had taken the block itself.
// It panics if the shapes differ.
func (a *Attention) Merge(next *Attention) {
	if a.rows != next.rows || a.dim != next.dim {
		panic(fmt.Sprintf("kernel: Merge: [%d, %d] into [%d, %d]", next.rows, next.dim, a.rows, a.dim))
	}
	chosenBF16.merge(a, next)
}

// Finish writes the attention of each row to dst, laid out as Load's q is.
// It panics if dst is too short.
func (a *Attention) Finish(dst []float32, stride, group int) {
	checkMat("Finish", "dst", len(dst), stride, a.rows/group, group*a.dim)
	if a.rows > 0 {
		chosenBF16.finish(a, dst, stride, group)
	}
}

// ---- The definition -------------------------------------------------------------

func portablePutKeys(page []uint16, slot int, k []float32, kStride int, v []float32, vStride, n, dim int) {
	for j := range n {
		s := slot + j
		for i := range dim {
			page[keyAt(dim, s, i)] = roundHalf(k[j*kStride+i])
			page[valueAt(dim, s, i)] = roundHalf(v[j*vStride+i])
		}
	}
}

// keyAt and valueAt are the places of element i of the key and the value in a slot.
func keyAt(dim, slot, i int) int {
	return slot/keyGroup*keyGroup*dim + i/2*2*keyGroup + slot%keyGroup*2 + i%2
}

func valueAt(dim, slot, i int) int {
	at, width := strip(dim, i)
	return at + slot/2*2*width + slot%2
}

func portableAttend(a *Attention, t *AttentionTile) {
	var scores [BlockKeys]float64
	cols := outColumns(t.dim)
	next := Attention{max: []float32{0}, sum: []float32{0}, out: make([]float32, cols), rows: 1, dim: t.dim}
	for r := range t.rows {
		from, to := int(t.From[r]), int(t.To[r])
		if from >= to {
			continue
		}
		top := math.Inf(-1)
		for j := from; j < to; j++ {
			page, sum := t.Pages[j/PageKeys], 0.0
			for i := range t.dim {
				sum += float64(widenHalf(t.q[r*t.dim+i])) * float64(widenHalf(page[keyAt(t.dim, j%PageKeys, i)]))
			}
			scores[j] = sum * math.Log2E
			if scores[j] > top {
				top = scores[j]
			}
		}
		var sum float64
		out := make([]float64, t.dim)
		for j := from; j < to; j++ {
			w := float64(widenHalf(roundHalf(float32(math.Exp2(scores[j] - top)))))
			sum += w
			for i := range out {
				out[i] += w * float64(widenHalf(t.Pages[j/PageKeys][valueAt(t.dim, j%PageKeys, i)]))
			}
		}
		next.max[0], next.sum[0] = float32(top), float32(sum)
		for i, v := range out {
			next.out[i] = float32(v)
		}
		row := Attention{rows: 1, dim: t.dim, max: a.max[r : r+1], sum: a.sum[r : r+1], out: a.out[r*cols : (r+1)*cols]}
		portableMerge(&row, &next)
	}
}

func portableMerge(a, next *Attention) {
	cols := outColumns(a.dim)
	for r := range a.rows {
		before, other := float64(a.max[r]), float64(next.max[r])
		if math.IsInf(other, -1) && next.sum[r] == 0 {
			continue
		}
		top := max(before, other)
		keep, take := factor(before, top), factor(other, top)
		a.max[r], a.sum[r] = float32(top), a.sum[r]*keep+next.sum[r]*take
		for i := r * cols; i < (r+1)*cols; i++ {
			a.out[i] = a.out[i]*keep + next.out[i]*take
		}
	}
}

// factor is 2^(m − top), 1 where both are −Inf.
func factor(m, top float64) float32 {
	if m == top {
		return 1
	}
	return float32(math.Exp2(m - top))
}

func portableFinish(a *Attention, dst []float32, stride, group int) {
	cols := outColumns(a.dim)
	for r := range a.rows {
		row := dst[r/group*stride+r%group*a.dim:][:a.dim]
		for i := range row {
			row[i] = a.out[r*cols+i] / a.sum[r]
		}
	}
}
