package kernel

import "fmt"

// Quant is a format of quantised weights, as GGUF files have it: blocks of columns that
// share a scale, and where the format has one a value that is added to each. A
// weight is scale·q, or scale·q + min, for a small integer q.
//
// # Packed weights
//
// PackGroup rearranges [GroupRows] rows of a file into a group, which kernels read from
// one end to the other. A group is spans of columns; a span is a head with the
// scales of its rows, then blocks of 32 columns. All parts are multiples of 64 bytes.
//
//	format      span  head
//	Q4_0 Q5_0     64  2 × 16 binary16 scales, one set a block (where a row has an odd
//	Q8_0              number of blocks, the last one of the group is zeros)
//	Q4_1 Q5_1     32  16 binary16 scales, 16 binary16 minima
//	Q4_K Q5_K    256  8 × 16 bytes, 8 × 16 bytes, 16 binary16, 16 binary16: scale is byte ·
//	                  binary16 of the first kinds, min is − byte · binary16 of the second
//	Q6_K         256  16 × 16 signed bytes, one set for 16 columns, 16 binary16, 32 unused
//	                  bytes: scale is byte · binary16
//
// A block holds the upper four bits of its quants, then the bits below, if any. All
// are in words of four bytes for four columns, and the words of the 16 rows for the
// same columns lie side by side:
//
//	256 bytes           word j of 4 has columns 4j … 4j + 3 in the lower halves of its
//	                    bytes, columns 16 + 4j … in the upper ones
//	 64 bytes, 5 bits   one word, bit c of its bytes for columns 4c … 4c + 3
//	128 bytes, 6 bits   two words, bits 2c and 2c + 1 of the first one's bytes for
//	                    columns 4c …, of the second one's for columns 16 + 4c …
//	512 bytes, 8 bits   instead: word c of 8 has columns 4c …, q + 128
//
// So a packed weight takes the bytes that the file has for it: 4.5 bits a weight for
// Q4_0, and at most 3 % more for the K formats.
//
// # Products
//
// Rows of x are rounded to 8 bits by [QuantizeRows]: blocks of 32 with q in [−127, 127] and one
// float32 scale, so that an element is off by at most 1/254 of the largest of its block. The products of
// quants are summed as integers, without error, for each 32 columns (16 for Q6_K); those sums
// are multiplied by both scales and added in order of the columns.
type Quant int

// The formats, by their names in GGUF.
const (
	Q4_0 Quant = iota
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q4_K
	Q5_K
	Q6_K
)

// GroupRows is the number of rows of weights that are packed together.
const GroupRows = 16

// int8Bodies is one implementation of the integer kernels.
type int8Bodies struct {
	name         string
	quantizeRows func(dst []byte, x []float32, xStride, rows, in int)
	matMul       func(p int8Product)
	peak         func(n int) int64
}

// chosenInt8 is what the exported functions run. Only tests change it after start.
var chosenInt8 = best(int8Sets(), func(b *int8Bodies) string { return b.name })

// xColumns is the number of columns of x that share a scale, and of weights in a block
// of a group.
const xColumns = 32

// xBlockBytes is the size of a rounded block of x: 32 int8; float32 scale; int32 −128·Σq; the
// same of the first 16; float32 scale·Σq.
const xBlockBytes = 48

// scheme is how a format's scales are stored.
type scheme int

const (
	scaleOnly scheme = iota // one binary16 a block
	scaleMin                // two of them
	kMin                    // Q4_K, Q5_K: bytes for 32 columns, two binary16 for 256
	kHalf                   // Q6_K: signed bytes for 16 columns, one binary16 for 256
)

// quantFormat is what the functions have to know of a Quant.
type quantFormat struct {
	name    string
	bits    int // of a quant
	scheme  scheme
	columns int // that a block in the file has
	bytes   int // that it takes there
}

var quantFormats = [...]quantFormat{
	Q4_0: {"Q4_0", 4, scaleOnly, 32, 2 + 16},
	Q4_1: {"Q4_1", 4, scaleMin, 32, 4 + 16},
	Q5_0: {"Q5_0", 5, scaleOnly, 32, 2 + 4 + 16},
	Q5_1: {"Q5_1", 5, scaleMin, 32, 4 + 4 + 16},
	Q8_0: {"Q8_0", 8, scaleOnly, 32, 2 + 32},
	Q4_K: {"Q4_K", 4, kMin, 256, 4 + 12 + 128},
	Q5_K: {"Q5_K", 5, kMin, 256, 4 + 12 + 32 + 128},
	Q6_K: {"Q6_K", 6, kHalf, 256, 128 + 64 + 16 + 2},
}

// QuantOf returns the format of the given name.
func QuantOf(name string) (Quant, bool) {
	for q, f := range quantFormats {
		if f.name == name {
			return Quant(q), true
		}
	}
	return 0, false
}

func (q Quant) String() string { return quantFormats[q].name }

// Columns is the number of columns of a block in a file: the length of a row is a
// multiple of it.
func (q Quant) Columns() int { return quantFormats[q].columns }

// RowBytes is the size of a row of in weights in a file.
func (q Quant) RowBytes(in int) int { return in / quantFormats[q].columns * quantFormats[q].bytes }

// GroupBytes is the size of a packed group of rows of in weights.
func (q Quant) GroupBytes(in int) int {
	f := &quantFormats[q]
	return (in + f.spanColumns() - 1) / f.spanColumns() * f.spanBytes()
}

func (f *quantFormat) spanColumns() int { return [...]int{64, 32, 256, 256}[f.scheme] }
func (f *quantFormat) headBytes() int   { return [...]int{64, 64, 320, 320}[f.scheme] }
func (f *quantFormat) blockBytes() int  { return f.bits * GroupRows * xColumns / 8 }
func (f *quantFormat) spanBytes() int {
	return f.headBytes() + f.spanColumns()/xColumns*f.blockBytes()
}

// QuantizedBytes is the size of a row of in values as QuantizeRows writes it.
func QuantizedBytes(in int) int { return (in/xColumns + 1) &^ 1 * xBlockBytes }

// QuantizeRows rounds rows of x to 8 bits for products with packed weights: row r of x
// begins at x[r·xStride] and has in values, row r of dst begins at dst[r·QuantizedBytes(in)].
//
// For each 32 columns scale = max|x| / 127 and q = x · (127 / max|x|), rounded to the nearest integer,
// ties to even. A block whose largest magnitude is below 2⁻¹⁰⁰ counts as zeros. A NaN or an infinity
// makes all products with its row NaN.
// It panics if in is not a multiple of 32 or a slice too short.
func QuantizeRows(dst []byte, x []float32, xStride, rows, in int) {
	if in%xColumns != 0 {
		panic(fmt.Sprintf("kernel: QuantizeRows: rows of %d values, not a multiple of %d", in, xColumns))
	}
	checkMat("QuantizeRows", "x", len(x), xStride, rows, in)
	checkMat("QuantizeRows", "dst", len(dst), QuantizedBytes(in), rows, QuantizedBytes(in))
	if rows > 0 && in > 0 {
		chosenInt8.quantizeRows(dst, x, xStride, rows, in)
	}
}

// int8Product is the operands of a product with packed weights: outputs [lo, hi) for
// rows of x.
type int8Product struct {
	quant     Quant
	dst       []float32
	dstStride int
	x         []byte
	rows      int
	w         []byte
	lo, hi    int
	in        int
}

// MatMul sets dst[r·dstStride+o−lo] = Σₖ x[r][k] · w[o][k] for r < rows, lo ≤ o < hi, k < in. x is what QuantizeRows
// made of rows of in values, w is packed groups, of which the first has rows 0 … 15. The slices may be
// longer than needed.
// It panics if one is too short, dstStride is smaller than hi − lo or in not a multiple of q.Columns.
func (q Quant) MatMul(dst []float32, dstStride int, x []byte, rows int, w []byte, lo, hi, in int) {
	f := &quantFormats[q]
	if lo < 0 || hi < lo || in < 0 || in%f.columns != 0 {
		panic(fmt.Sprintf("kernel: MatMul: outputs [%d, %d) of %v rows of %d", lo, hi, q, in))
	}
	checkMat("MatMul", "dst", len(dst), dstStride, rows, hi-lo)
	checkMat("MatMul", "x", len(x), QuantizedBytes(in), rows, QuantizedBytes(in))
	checkMat("MatMul", "w", len(w), q.GroupBytes(in), (hi+GroupRows-1)/GroupRows, q.GroupBytes(in))
	if rows > 0 && hi > lo {
		chosenInt8.matMul(int8Product{q, dst, dstStride, x, rows, w, lo, hi, in})
	}
}

// PeakInt8 runs n rounds of independent multiply-adds of bytes in registers, as the
// bodies in use do them, and returns how many operations that was (a multiply-add
// counts two): the limit of a product of quantised weights with many rows.
func PeakInt8(n int) int64 { return chosenInt8.peak(n) }
