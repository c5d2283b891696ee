package kernel

import "encoding/binary"

// portableBF16 defines the bfloat16 kernels.
var portableBF16 = bf16Bodies{
	name: "portable",
	round: func(dst []uint16, dstStride int, x []float32, xStride, rows, n int, lo, hi float32) {
		for r := range rows {
			to := dst[r*dstStride:][:(n+31)&^31]
			for i, v := range x[r*xStride:][:n] {
				if v < lo { // false for NaN
					v = lo
				} else if v > hi {
					v = hi
				}
				to[i] = roundHalf(v)
			}
			clear(to[n:])
		}
	},
	matMulRows: func(p halfProduct, w []byte, wStride int) {
		p.portable(rowBlock, func(o, k int) uint16 { return binary.LittleEndian.Uint16(w[2*(o*wStride+k):]) })
	},
	matMulPanels: func(p halfProduct, w []uint16, lo, hi float32) {
		panel := PanelLen(1, p.in)
		p.portable(panelBlock, func(o, k int) uint16 {
			return w[o/PanelOuts*panel+k&^1*PanelOuts+2*(o%PanelOuts)+k&1]
		})
		for r := range p.rows {
			portable.clamp(p.dst[r*p.dstStride:][:p.outs], lo, hi)
		}
	},
	putKeys: portablePutKeys,
	attend:  portableAttend,
	merge:   portableMerge,
	finish:  portableFinish,
	peak:    portable.peakFMA,
}

// portable computes the product with the weights at(output, k), block products at a time.
func (p *halfProduct) portable(block int, at func(o, k int) uint16) {
	w := make([]float32, min(block, p.in))
	x := make([]float32, len(w))
	for o := range p.outs {
		for k := 0; k == 0 || k < p.in; k += block {
			n := min(p.in-k, block)
			for i := range n {
				w[i] = widenHalf(at(o, k+i))
			}
			for r := range p.rows {
				for i, h := range p.x[r*p.xStride+k:][:n] {
					x[i] = widenHalf(h)
				}
				s := dot(x[:n], w[:n])
				if k > 0 {
					s += p.dst[r*p.dstStride+o]
				}
				p.dst[r*p.dstStride+o] = s
			}
		}
	}
}
