package tensor

import (
	"fmt"
	"math"
	"sync"

	"facet/internal/kernel"
)

// Bounds hold values between Lo and Hi.
type Bounds struct{ Lo, Hi float32 }

// unbounded lets every value pass.
var unbounded = Bounds{float32(math.Inf(-1)), float32(math.Inf(1))}

// Panels is a weight rounded to bfloat16 and laid out for products of many rows, which
// round x to bfloat16 too and add up in float32. It is a copy: what it was made of is
// not read again.
type Panels struct {
	panels    []uint16
	out, in   int
	xIn, xOut Bounds
}

// PackBF16 returns w as panels. It uses all threads of the pool.
func PackBF16(p *Pool, w Weight) *Panels {
	b := &Panels{make([]uint16, kernel.PanelLen(w.Out(), w.In())), w.Out(), w.In(), unbounded, unbounded}
	size := kernel.PanelLen(1, b.in)
	p.Run(len(b.panels)/max(1, size), 1, func(lo, hi int) {
		row := make([]float32, b.in)
		stride := halfStride(b.in)
		rows := make([]uint16, kernel.PanelOuts*stride)
		for i := lo; i < hi; i++ {
			first := i * kernel.PanelOuts
			n := min(kernel.PanelOuts, b.out-first)
			for o := range n {
				w.Row(row, first+o)
				kernel.RoundBF16(rows[o*stride:], stride, row, b.in, 1, b.in, unbounded.Lo, unbounded.Hi)
			}
			kernel.PackPanel(b.panels[i*size:(i+1)*size], rows, stride, n, b.in)
		}
	})
	return b
}

// Clipped returns the weight of a clipped linear layer: MatMul holds x between the
// bounds in before the product, and the result between the bounds out, on the way.
// The panels are shared.
func (w *Panels) Clipped(in, out Bounds) *Panels {
	c := *w
	c.xIn, c.xOut = in, out
	return &c
}

// Out is Weight's.
func (w *Panels) Out() int { return w.out }

// In is Weight's.
func (w *Panels) In() int { return w.in }

// Bytes counts whole panels, as they are read.
func (w *Panels) Bytes() int64 { return 2 * int64(len(w.panels)) }

// DType is that of the panels, whatever was packed.
func (w *Panels) DType() string { return "BF16" }

// Row sets dst to row i of W as float32, as rounded.
func (w *Panels) Row(dst []float32, i int) {
	if len(dst) != w.in || i < 0 || i >= w.out {
		panic(fmt.Sprintf("tensor: Row: row %d of a weight [%d, %d] into %d values", i, w.out, w.in, len(dst)))
	}
	panel := w.panels[i/kernel.PanelOuts*kernel.PanelLen(1, w.in):]
	for k := range dst {
		h := panel[k&^1*kernel.PanelOuts+2*(i%kernel.PanelOuts)+k&1]
		dst[k] = math.Float32frombits(uint32(h) << 16)
	}
}

// rows shares the memory where lo is the start of a panel, and packs anew elsewhere.
func (w *Panels) rows(lo, hi int) Weight {
	part := *w
	part.out = hi - lo
	if lo%kernel.PanelOuts == 0 {
		part.panels = w.panels[kernel.PanelLen(lo, w.in):kernel.PanelLen(hi, w.in)]
		return &part
	}
	p := &Pool{}
	packed := PackBF16(p, shifted{w, lo, hi})
	return packed.Clipped(w.xIn, w.xOut)
}

// shifted is rows [lo, hi) of a weight, for reading.
type shifted struct {
	Weight
	lo, hi int
}

func (s shifted) Out() int                 { return s.hi - s.lo }
func (s shifted) Row(dst []float32, i int) { s.Weight.Row(dst, s.lo+i) }

// MatMul is Weight's; x is held between the bounds and rounded on the way.
func (w *Panels) MatMul(p *Pool, dst, x Mat) {
	halfMatMul(p, w, dst, x, w.xIn, func(dst []float32, x []uint16, stride, rows, o, outs int) {
		at := kernel.PanelLen(o, w.in)
		kernel.MatMulBF16Panels(dst, w.out, x, stride, rows, w.panels[at:], outs, w.in, w.xOut.Lo, w.xOut.Hi)
	})
}

// halfRows is a weight of bfloat16 that is read where it lies, in rows.
type halfRows struct{ *dense }

// BF16Rows returns w, if it is stored as bfloat16, as a weight that multiplies in
// bfloat16: x is rounded too and sums are float32. It shares w's memory. Other weights
// are returned as they are.
func BF16Rows(w Weight) Weight {
	if d, ok := w.(*dense); ok && d.name == "BF16" {
		return halfRows{d}
	}
	return w
}

func (w halfRows) rows(lo, hi int) Weight { return halfRows{w.dense.rows(lo, hi).(*dense)} }

// MatMul is Weight's; x is rounded on the way.
func (w halfRows) MatMul(p *Pool, dst, x Mat) {
	halfMatMul(p, w, dst, x, unbounded, func(dst []float32, x []uint16, stride, rows, o, outs int) {
		kernel.MatMulBF16Rows(dst, w.out, x, stride, rows, w.from(o), w.in, outs, w.in)
	})
}

// halfMatMul shares out dst = x·Wᵀ in pieces, each of which multiply computes: rows of
// x, rounded and stride apart, with outputs [o, o + outs).
//
// x is rounded first, by all threads. Pieces then go through it for some outputs, whose
// weights are read from memory once. A tall x is rounded piece by piece instead.
func halfMatMul(p *Pool, w Weight, dst, x Mat, bounds Bounds, multiply func(dst []float32, x []uint16, stride, rows, o, outs int)) {
	dst.check("MatMul", "dst")
	x.check("MatMul", "x")
	if dst.Rows != x.Rows || dst.Cols != w.Out() || x.Cols != w.In() {
		panic(fmt.Sprintf("tensor: MatMul: dst %v, x %v, w [%d, %d]", dst, x, w.Out(), w.In()))
	}
	for lo := 0; lo < x.Rows && w.Out() > 0; lo += halfRowsAtOnce {
		hi := min(lo+halfRowsAtOnce, x.Rows)
		halfProduct(p, w.Out(), dst.Slice(lo, hi), x.Slice(lo, hi), bounds, multiply)
	}
}

// halfProduct is halfMatMul of at most halfRowsAtOnce rows.
func halfProduct(p *Pool, out int, dst, x Mat, bounds Bounds, multiply func(dst []float32, x []uint16, stride, rows, o, outs int)) {
	stride := halfStride(x.Cols)
	b := halfBuffer(x.Rows * stride)
	defer halfBuffers.Put(b)
	half := *b
	p.Run(x.Rows, 1+normChunk/(1+x.Cols), func(lo, hi int) {
		kernel.RoundBF16(half[lo*stride:], stride, x.Data[lo*x.Cols:], x.Cols, hi-lo, x.Cols, bounds.Lo, bounds.Hi)
	})
	t := halfTiling(p, x.Rows, out, x.Cols)
	p.Run(t.count(), t.chunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			r, o := i%t.down*t.rows, i/t.down*t.outs
			rows, outs := min(t.rows, x.Rows-r), min(t.outs, out-o)
			multiply(dst.Data[r*out+o:], half[r*stride:], stride, rows, o, outs)
		}
	})
}

// halfStride is the distance of rounded rows of n values: a line more than they need,
// since rows a power of two apart fall on the same few places of a cache.
func halfStride(n int) int { return (n+31)&^31 + 32 }

var halfBuffers = sync.Pool{New: func() any { return new([]uint16) }}

// halfBuffer borrows n values from halfBuffers.
func halfBuffer(n int) *[]uint16 {
	b := halfBuffers.Get().(*[]uint16)
	if cap(*b) < n {
		*b = make([]uint16, n)
	}
	*b = (*b)[:n]
	return b
}

const (
	// halfRowsAtOnce bounds the memory of rounded rows.
	halfRowsAtOnce = 1024
	// A piece of many rows has at most this many: eight of the kernels' tiles, whose x, of
	// 1536 columns, is 300 kB …
	halfRowsAPiece = 96
	// … and this many multiply-adds, some 40 µs: the thread that ends first must not
	// wait so long for the other that it falls asleep.
	halfPieceSize = 10 << 20
	// halfTile and halfPanel are the rows and outputs in which kernels take them.
	halfTile, halfPanel = 12, kernel.PanelOuts
)

func halfTiling(p *Pool, rows, out, in int) tiling {
	if p.Threads() == 1 && rows <= halfRowsAPiece || rows*out*in < smallProduct {
		return tiling{rows, out, 1, 1, 1}
	}
	t := tiling{rows: rows, chunk: 1}
	if rows <= fewRows {
		t.outs = pieceBytes / (2 * max(1, in))
	} else {
		down := (rows + halfRowsAPiece - 1) / halfRowsAPiece
		t.rows = (rows + down - 1) / down
		t.rows = (t.rows + halfTile - 1) / halfTile * halfTile
		t.outs = halfPieceSize / (t.rows * max(1, in))
	}
	// Not fewer than two pieces a thread.
	t.down = (rows + t.rows - 1) / t.rows
	if pieces := 2 * p.Threads(); t.down < pieces {
		across := (pieces + t.down - 1) / t.down
		t.outs = min(t.outs, (out+across-1)/across)
	}
	t.outs = (max(1, t.outs) + halfPanel - 1) / halfPanel * halfPanel
	t.across = (out + t.outs - 1) / t.outs
	return t
}
