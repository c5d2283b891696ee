package tensor

import (
	"fmt"
	"runtime"

	"facet/internal/kernel"
)

// packed is a quantised weight in the order that integer kernels read it. Rows are
// [first, first+out) of the groups in data.
type packed struct {
	quant          kernel.Quant
	data           []byte
	first, out, in int
	memory         *memory // that data lies in
}

// memory is what a packed weight lies in; it is given back once no weight refers to it.
type memory struct{ data []byte }

// Pack returns the weight [out, in] whose blocks are in data as one that is multiplied in
// integers: MatMul rounds x to 8 bits in blocks of 32 and is off by at most half a step
// of a block, max|x|/254, for each weight. dtype is one of the formats of blocks of kernel.Quant; rows must
// be a whole number of blocks. The values of the weight are kept exactly (see Row), in about as many bytes
// as data has. The copy is made by all threads of p, and data is not kept.
//
// If release is not nil it is called with ranges [lo, hi) of data as they are done with,
// from several threads at once, each byte in one range: so a memory map can let go
// of its pages on the way.
//
// Another dtype, or a length that does not fit, is an error.
func Pack(p *Pool, dtype string, data []byte, out, in int, release func(lo, hi int)) (Weight, error) {
	q, ok := kernel.QuantOf(dtype)
	switch {
	case !ok:
		return nil, fmt.Errorf("weights of type %s are not packed", dtype)
	case in < 0 || in%q.Columns() != 0:
		return nil, fmt.Errorf("rows of %d values are no whole number of %s blocks of %d", in, dtype, q.Columns())
	}
	row := q.RowBytes(in)
	if out < 0 || row > 0 && out > len(data)/row || len(data) != out*row {
		return nil, fmt.Errorf("%d bytes for %s values [%d, %d]", len(data), dtype, out, in)
	}
	group := q.GroupBytes(in)
	groups := (out + kernel.GroupRows - 1) / kernel.GroupRows
	m, err := allocate(groups * group)
	if err != nil {
		return nil, fmt.Errorf("%d bytes for %s values [%d, %d]: %w", groups*group, dtype, out, in, err)
	}
	p.Run(groups, max(1, pieceBytes/max(1, group)), func(lo, hi int) {
		for g := lo; g < hi; g++ {
			o := g * kernel.GroupRows
			q.PackGroup(m.data[g*group:], data[o*row:], min(kernel.GroupRows, out-o), in)
		}
		if release != nil {
			release(lo*kernel.GroupRows*row, min(hi*kernel.GroupRows, out)*row)
		}
	})
	return &packed{q, m.data, 0, out, in, m}, nil
}

func (w *packed) Out() int      { return w.out }
func (w *packed) In() int       { return w.in }
func (w *packed) DType() string { return w.quant.String() }

// Bytes counts whole groups of rows, as they are read.
func (w *packed) Bytes() int64 { return int64(w.groups()) * int64(w.quant.GroupBytes(w.in)) }

// groups is the number of groups that w's rows touch.
func (w *packed) groups() int { return (w.first + w.out + kernel.GroupRows - 1) / kernel.GroupRows }

func (w *packed) rows(lo, hi int) Weight {
	group := w.quant.GroupBytes(w.in)
	first := w.first + lo
	v := &packed{w.quant, nil, first % kernel.GroupRows, hi - lo, w.in, w.memory}
	if hi > lo {
		from := first / kernel.GroupRows * group
		v.data = w.data[from : from+v.groups()*group]
	}
	return v
}

func (w *packed) Row(dst []float32, i int) {
	if len(dst) != w.in || i < 0 || i >= w.out {
		panic(fmt.Sprintf("tensor: Row: row %d of a weight [%d, %d] into %d values", i, w.out, w.in, len(dst)))
	}
	w.quant.UnpackRow(dst, w.data, w.first+i)
	runtime.KeepAlive(w.memory)
}

func (w *packed) MatMul(p *Pool, dst, x Mat) { MatMuls(p, x, Product{dst, w}) }

// Product is one of several products of the same x: Dst [T, W.Out] = x [T, W.In] · Wᵀ.
type Product struct {
	Dst Mat
	W   Weight
}

// MatMuls computes products of x as MatMul of each weight does, with the same bits. For
// packed weights x is rounded once for all, and their work is shared out as one.
// The Dst must not overlap each other nor x.
// It panics on shapes that do not fit.
func MatMuls(p *Pool, x Mat, products ...Product) {
	x.check("MatMul", "x")
	integer := make([]packedProduct, 0, 4)
	for _, m := range products {
		w, ok := m.W.(*packed)
		if !ok {
			m.W.MatMul(p, m.Dst, x)
			continue
		}
		m.Dst.check("MatMul", "dst")
		if m.Dst.Rows != x.Rows || m.Dst.Cols != w.out || x.Cols != w.in {
			panic(fmt.Sprintf("tensor: MatMul: dst %v, x %v, w [%d, %d]", m.Dst, x, w.out, w.in))
		}
		if w.out > 0 && x.Rows > 0 {
			integer = append(integer, packedProduct{dst: m.Dst, w: w})
		}
	}
	if len(integer) == 0 {
		return
	}
	size := kernel.QuantizedBytes(x.Cols)
	rounded := p.buffers.take(x.Rows * size)
	defer p.buffers.give(rounded)
	p.Run(x.Rows, 1+roundChunk/(1+x.Cols), func(lo, hi int) {
		kernel.QuantizeRows(rounded[lo*size:hi*size], x.Data[lo*x.Cols:], x.Cols, hi-lo, x.Cols)
	})
	pieces := 0
	for i := range integer {
		m := &integer[i]
		m.tiling = m.w.tiling(p, x.Rows)
		m.start = pieces
		pieces += m.count()
	}
	p.Run(pieces, 1, func(lo, hi int) {
		i := len(integer) - 1
		for integer[i].start > lo {
			i--
		}
		for n := lo; n < hi; n++ {
			for i+1 < len(integer) && integer[i+1].start <= n {
				i++
			}
			integer[i].piece(rounded, n-integer[i].start)
		}
	})
	for i := range integer {
		runtime.KeepAlive(integer[i].w.memory)
	}
}

// roundChunk is the number of values of x that are rounded at a time, some microseconds' worth.
const roundChunk = 1 << 15

// packedProduct is a product cut into pieces, the first of which is number start of
// all of a call; outs of its tiling counts groups.
type packedProduct struct {
	tiling
	dst   Mat
	w     *packed
	start int
}

// piece computes piece i from rounded rows of x.
func (m *packedProduct) piece(x []byte, i int) {
	w, size := m.w, kernel.QuantizedBytes(m.w.in)
	r, g := i/m.across*m.rows, i%m.across*m.outs
	rows := min(m.rows, m.dst.Rows-r)
	lo := max(w.first, g*kernel.GroupRows)
	hi := min(w.first+w.out, (g+m.outs)*kernel.GroupRows)
	w.quant.MatMul(m.dst.Data[r*w.out+lo-w.first:], w.out, x[r*size:], rows, w.data[g*w.quant.GroupBytes(w.in):], lo-g*kernel.GroupRows, hi-g*kernel.GroupRows, w.in)
}

const (
	// A piece of few rows is this many bytes of weights: the first ones of each come
	// without having been asked for ahead, and the fewer of those the better.
	packedBytes = 256 << 10
	// A piece of many rows has this many, in sixes as kernels take them: what a kernel
	// reads of them at a time then stays in the second-level cache …
	packedRows = 192
	// … and this many groups of outputs.
	packedGroups = 4
)

// tiling cuts a product into pieces of rows × groups of outputs.
func (w *packed) tiling(p *Pool, rows int) tiling {
	groups := w.groups()
	if p.Threads() == 1 && rows <= packedRows || rows*w.out*w.in < smallProduct {
		return tiling{rows, groups, 1, 1, 1}
	}
	t := tiling{rows: rows, outs: packedGroups, chunk: 1}
	if rows <= fewRows {
		t.outs = max(1, packedBytes/w.quant.GroupBytes(w.in))
	} else {
		t.rows = min(rows, packedRows)
	}
	// Not fewer than two pieces a thread, and groups in pairs.
	t.outs = min(t.outs, (groups+2*p.Threads()-1)/(2*p.Threads()))
	t.outs = (t.outs + 1) &^ 1
	t.down, t.across = (rows+t.rows-1)/t.rows, (groups+t.outs-1)/t.outs
	return t
}

// Packable reports whether Pack takes weights of this type.
func Packable(dtype string) bool {
	_, ok := kernel.QuantOf(dtype)
	return ok
}
