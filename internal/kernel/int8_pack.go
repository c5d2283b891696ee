package kernel

import (
	"encoding/binary"
	"fmt"
)

// PackGroup packs rows of a file, row after row in src, into a group; see Quant for the
// layout. Rows that are missing from GroupRows become zeros.
// It panics if rows or in do not fit the format, or a slice is too short.
func (q Quant) PackGroup(dst, src []byte, rows, in int) {
	f := &quantFormats[q]
	size := q.GroupBytes(in)
	if rows < 1 || rows > GroupRows || in%f.columns != 0 || len(src) < rows*q.RowBytes(in) || len(dst) < size {
		panic(fmt.Sprintf("kernel: PackGroup: %d bytes from %d %v rows of %d in %d bytes", len(dst), rows, q, in, len(src)))
	}
	if rows < GroupRows || in%f.spanColumns() != 0 {
		clear(dst[:size])
	}
	row := q.RowBytes(in)
	for k := 0; k < in; k += xColumns { // all rows of a block while its place is in the cache
		head, block, b := f.span(dst, k)
		from := k / f.columns * f.bytes
		for r := range rows {
			f.pack(head, block, b, r, src[r*row+from:][:f.bytes], k%f.columns/xColumns)
		}
	}
}

// UnpackRow sets dst to row i of the packed groups in w: the values that the file has,
// scale·q + min rounded once (and exact without a min).
// It panics if dst is not whole blocks or w too short.
func (q Quant) UnpackRow(dst []float32, w []byte, i int) {
	f := &quantFormats[q]
	in := len(dst)
	size := q.GroupBytes(in)
	if i < 0 || in%f.columns != 0 || len(w) < (i/GroupRows+1)*size {
		panic(fmt.Sprintf("kernel: UnpackRow: %d values of %v row %d in %d bytes", in, q, i, len(w)))
	}
	group := w[i/GroupRows*size:][:size]
	for k := 0; k < in; k += xColumns {
		f.unpack(dst[k:k+xColumns], group, i%GroupRows, k)
	}
}

// quants is 32 quants of a row, unsigned: byte t of word c is column 4c + t.
type quants [8]uint32

// each repeats a byte in the four of a word.
const each = 0x01010101

// span returns the span with column k, which its head begins, the block that begins at the
// column, and the block's number in the span.
func (f *quantFormat) span(group []byte, k int) (head, block []byte, b int) {
	span := group[k/f.spanColumns()*f.spanBytes():][:f.spanBytes()]
	b = k % f.spanColumns() / xColumns
	return span, span[f.headBytes()+b*f.blockBytes():][:f.blockBytes()], b
}

// pack puts 32 columns of row r, the n-th ones of a block of a file, into block b of a span,
// and with the first ones the scales of all.
func (f *quantFormat) pack(head, block []byte, b, r int, src []byte, n int) {
	if n == 0 {
		f.putScales(head, b, r, src)
	}
	if f.bits == 4 && f.columns == xColumns { // as they lie in the file
		words := src[f.bytes-16:]
		for j := range 4 {
			binary.LittleEndian.PutUint32(block[64*j+4*r:], binary.LittleEndian.Uint32(words[4*j:]))
		}
		return
	}
	var q quants
	f.read(&q, src, n)
	f.put(block, r, &q)
}

// putScales puts the scales of row r in the head of a span, from a block of a file that
// begins with block b.
func (f *quantFormat) putScales(head []byte, b, r int, src []byte) {
	switch f.scheme {
	case scaleOnly:
		copy(head[32*b+2*r:][:2], src)
	case scaleMin:
		copy(head[2*r:][:2], src)
		copy(head[32+2*r:][:2], src[2:])
	case kMin:
		copy(head[256+2*r:][:2], src)
		copy(head[288+2*r:][:2], src[2:])
		for b := range 8 {
			head[16*b+r], head[128+16*b+r] = kScale(src[4:16], b)
		}
	case kHalf:
		copy(head[256+2*r:][:2], src[208:])
		for i, s := range src[192:208] {
			head[16*i+r] = s
		}
	}
}

// kScale is scale and min b of the 6-bit pairs in the 12 bytes of Q4_K and Q5_K. The first
// four of each have a byte of their own, whose upper two bits are the last four's.
func kScale(s []byte, b int) (scale, min byte) {
	if b < 4 {
		return s[b] & 63, s[b+4] & 63
	}
	return s[b+4]&15 | s[b-4]>>6<<4, s[b+4]>>4 | s[b]>>6<<4
}

// read takes the quants of the b-th 32 columns from a block of a file.
func (f *quantFormat) read(q *quants, src []byte, b int) {
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(src[at:]) }
	low, up := uint32(each*0x0f), 4*(b&1)
	switch {
	case f.bits == 8:
		for c := range q {
			q[c] = word(2+4*c) ^ each*0x80
		}
	case f.columns == xColumns: // columns c and 16 + c in the halves of a byte, then at the end
		at := f.bytes - 16
		for j := range 4 {
			w := word(at + 4*j)
			q[j], q[j+4] = w&low, w>>4&low
		}
		if f.bits == 5 { // bit c of the word before them is column c's
			high := word(at - 4)
			for c := range q {
				n := high >> (4 * c)
				q[c] |= (n&1 | n&2<<7 | n&4<<14 | n&8<<21) << 4
			}
		}
	case f.scheme == kMin: // blocks 2n and 2n + 1 in the halves of 32 bytes
		at := f.bytes - 128 + 32*(b/2)
		for c := range q {
			q[c] = word(at+4*c) >> up & low
			if f.bits == 5 { // bit b of 32 bytes is block b's
				q[c] |= word(16+4*c) >> b & each << 4
			}
		}
	case f.scheme == kHalf: // of 128 columns: four bits of the first 64 in lower, of the others in upper halves
		at := 64*(b/4) + 32*(b%2)
		for c := range q {
			q[c] = word(at+4*c)>>(4*(b/2%2))&low | word(128+32*(b/4)+4*c)>>(2*(b%4))&(each*3)<<4
		}
	}
}

// put stores the quants of row r in a block of a group.
func (f *quantFormat) put(block []byte, r int, q *quants) {
	plane := func(i int) []byte { return block[64*i+4*r:][:4] }
	if f.bits == 8 {
		for c, w := range q {
			binary.LittleEndian.PutUint32(plane(c), w)
		}
		return
	}
	below := f.bits - 4
	for j := range 4 {
		w := q[j]>>below&(each*15) | q[j+4]>>below&(each*15)<<4
		binary.LittleEndian.PutUint32(plane(j), w)
	}
	switch below {
	case 1:
		var w uint32
		for c := range q {
			w |= q[c] & each << c
		}
		binary.LittleEndian.PutUint32(plane(4), w)
	case 2:
		for h := range 2 {
			var w uint32
			for c := range 4 {
				w |= q[4*h+c] & (each * 3) << (2 * c)
			}
			binary.LittleEndian.PutUint32(plane(4+h), w)
		}
	}
}

// get is the inverse of put.
func (f *quantFormat) get(q *quants, block []byte, r int) {
	plane := func(i int) uint32 { return binary.LittleEndian.Uint32(block[64*i+4*r:]) }
	if f.bits == 8 {
		for c := range q {
			q[c] = plane(c)
		}
		return
	}
	below := f.bits - 4
	for j := range 4 {
		w := plane(j)
		q[j], q[j+4] = w&(each*15)<<below, w>>4&(each*15)<<below
	}
	for c := range q {
		switch below {
		case 1:
			q[c] |= plane(4) >> c & each
		case 2:
			q[c] |= plane(4+c/4) >> (2 * (c % 4)) & (each * 3)
		}
	}
}

func (f *quantFormat) hasMin() bool { return f.scheme == scaleMin || f.scheme == kMin }

// zero is the quant that stands for 0, in formats without a min.
func (f *quantFormat) zero() int {
	if f.hasMin() {
		return 0
	}
	return 1 << (f.bits - 1)
}

// scales returns what multiplies, and what is added to, the first and the second 16
// quants of row r in block b of a span.
func (f *quantFormat) scales(head []byte, r, b int) (first, second, min float32) {
	half := func(at int) float32 { return fromF16(binary.LittleEndian.Uint16(head[at+2*r:])) }
	switch f.scheme {
	case scaleOnly:
		first = half(32 * b)
	case scaleMin:
		first, min = half(0), half(32)
	case kMin: // 11 and 6 bits: the products are exact
		first, min = half(256)*float32(head[16*b+r]), -half(288)*float32(head[128+16*b+r])
	case kHalf:
		d := half(256)
		return d * float32(int8(head[32*b+r])), d * float32(int8(head[32*b+16+r])), 0
	}
	return first, first, min
}

// unpack sets dst to the 32 values of row r from column k on.
func (f *quantFormat) unpack(dst []float32, group []byte, r, k int) {
	head, block, b := f.span(group, k)
	var q quants
	f.get(&q, block, r)
	first, second, min := f.scales(head, r, b)
	zero := f.zero()
	for i := range dst {
		scale := first
		if i >= 16 {
			scale = second
		}
		dst[i] = scale * float32(q.at(i)-zero)
		if f.hasMin() {
			dst[i] += min
		}
	}
}

// at is column i of a block.
func (q *quants) at(i int) int { return int(q[i/4] >> (8 * (i % 4)) & 255) }
