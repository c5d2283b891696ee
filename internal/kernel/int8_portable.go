package kernel

import (
	"encoding/binary"
	"math"
)

// portableInt8 is the definition of the integer kernels.
var portableInt8 = int8Bodies{
	name: "portable",
	quantizeRows: func(dst []byte, x []float32, xStride, rows, in int) {
		size := QuantizedBytes(in)
		for r := range rows {
			row := dst[r*size:][:size]
			for k := 0; k < in; k += xColumns {
				quantizeBlock(row[k/xColumns*xBlockBytes:][:xBlockBytes], x[r*xStride+k:][:xColumns])
			}
			clear(row[in/xColumns*xBlockBytes:])
		}
	},
	matMul: func(p int8Product) {
		f := &quantFormats[p.quant]
		group, row := p.quant.GroupBytes(p.in), QuantizedBytes(p.in)
		for r := range p.rows {
			for o := p.lo; o < p.hi; o++ {
				p.dst[r*p.dstStride+o-p.lo] = f.dot(p.x[r*row:][:row], p.w[o/GroupRows*group:][:group], o%GroupRows, p.in)
			}
		}
	},
	peak: func(n int) int64 {
		var a, b, c, d int32 = 1, 2, 3, 4
		for i := range int32(n) {
			a, b, c, d = a+i*3, b+i*5, c+i*7, d+i*9
		}
		if a+b+c+d == 0 { // keeps the loop
			return 0
		}
		return int64(n) * 8
	},
}

const (
	tooSmall  = 0x1p-100 // below, 127/x might overflow
	notFinite = 0x7f800000
)

// quantizeBlock rounds 32 values of x; see QuantizeRows.
func quantizeBlock(dst []byte, x []float32) {
	clear(dst)
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31)) // NaN is above infinity, and that above numbers
	}
	largest := math.Float32frombits(top)
	switch {
	case top >= notFinite:
		nan := math.Float32bits(float32(math.NaN()))
		binary.LittleEndian.PutUint32(dst[32:], nan)
		binary.LittleEndian.PutUint32(dst[44:], nan)
		return
	case largest < tooSmall:
		return
	}
	scale, by := largest/127, 127/largest
	var sums [2]int32
	for i, v := range x {
		q := int32(math.RoundToEven(float64(v * by)))
		dst[i] = byte(q)
		sums[i/16] += q
	}
	sum := sums[0] + sums[1]
	binary.LittleEndian.PutUint32(dst[32:], math.Float32bits(scale))
	binary.LittleEndian.PutUint32(dst[36:], uint32(-128*sum))
	binary.LittleEndian.PutUint32(dst[40:], uint32(-128*sums[0]))
	binary.LittleEndian.PutUint32(dst[44:], math.Float32bits(scale*float32(sum)))
}

// dot returns the product of a rounded row and row r of a group.
func (f *quantFormat) dot(x, group []byte, r, in int) float32 {
	var sum float32
	zero := f.zero()
	for k := 0; k < in; k += xColumns {
		xb := x[k/xColumns*xBlockBytes:][:xBlockBytes]
		head, block, b := f.span(group, k)
		var q quants
		f.get(&q, block, r)
		var sums [2]int
		for i := range xColumns {
			sums[i/16] += (q.at(i) - zero) * int(int8(xb[i]))
		}
		xScale := math.Float32frombits(binary.LittleEndian.Uint32(xb[32:]))
		first, second, min := f.scales(head, r, b)
		if f.scheme == kHalf {
			sum = fma(float32(sums[0]), first*xScale, sum)
			sum = fma(float32(sums[1]), second*xScale, sum)
		} else {
			sum = fma(float32(sums[0]+sums[1]), first*xScale, sum)
		}
		if f.hasMin() {
			sum = fma(min, math.Float32frombits(binary.LittleEndian.Uint32(xb[44:])), sum)
		}
	}
	return sum
}

// fma is a·b + c. The product is exact in float64 and the sum rounded there first, which
// is hardly ever seen in the result.
func fma(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }
