package vision

// This file raises subsampled chroma to full size and converts it to RGB with the integer arithmetic of the two
// libraries behind Pillow, libjpeg-turbo and libwebp. Both weigh the nearest sample 3/4 and the next 1/4 in each
// direction, and differ in how they round.

// A plane is the samples of one component. Samples past width and height in pix are padding, and must not count.
type plane struct {
	pix           []byte
	stride        int
	width, height int
}

func (p plane) row(y int) []byte {
	y = min(max(y, 0), p.height-1)
	return p.pix[y*p.stride:][:p.width]
}

// An upsampler gives the rows of a plane at full size.
type upsampler interface {
	// row returns row y, at least as long as the image is wide. It is valid until the next call.
	row(y int) []byte
}

// newUpsampler returns what libjpeg-turbo chooses (jdsample.c) for a plane with one sample for across × down pixels.
// Planes at most two wide are repeated, not interpolated, unless they are subsampled only downwards.
func newUpsampler(p plane, across, down int) upsampler {
	buffer := make([]byte, p.width*across)
	switch {
	case across == 1 && down == 1:
		return fullPlane{p}
	case across == 2 && down == 1 && p.width > 2:
		return &triangleAcross{p, buffer}
	case across == 1 && down == 2:
		return &triangleDown{p, buffer}
	case across == 2 && down == 2 && p.width > 2:
		return &triangleBoth{p, buffer, make([]int32, p.width)}
	}
	return &repeated{p, across, down, buffer}
}

type fullPlane struct{ plane }

type repeated struct {
	plane
	across, down int
	buffer       []byte
}

func (u *repeated) row(y int) []byte {
	src := u.plane.row(y / u.down)
	for x := range u.buffer {
		u.buffer[x] = src[x/u.across]
	}
	return u.buffer
}

// triangleAcross interpolates 4:2:2. Halves are rounded down for even pixels and up for odd ones, so
// that the picture gets neither darker nor brighter; so in the others.
type triangleAcross struct {
	plane
	buffer []byte
}

func (u *triangleAcross) row(y int) []byte {
	src, dst := u.plane.row(y), u.buffer
	last := len(src) - 1
	left, v := int32(src[0]), int32(src[0])
	for x := range src {
		right := int32(src[min(x+1, last)])
		dst[2*x] = byte((3*v + left + 1) >> 2)
		dst[2*x+1] = byte((3*v + right + 2) >> 2)
		left, v = v, right
	}
	return dst
}

// triangleDown interpolates 4:4:0.
type triangleDown struct {
	plane
	buffer []byte
}

func (u *triangleDown) row(y int) []byte {
	near, far := u.plane.row(y/2), u.plane.row(y/2-1)
	round := int32(1)
	if y%2 == 1 {
		far, round = u.plane.row(y/2+1), 2
	}
	for x, v := range near {
		u.buffer[x] = byte((3*int32(v) + int32(far[x]) + round) >> 2)
	}
	return u.buffer
}

// triangleBoth interpolates 4:2:0: first down, without rounding, then across.
type triangleBoth struct {
	plane
	buffer []byte
	sum    []int32
}

func (u *triangleBoth) row(y int) []byte {
	near, far := u.plane.row(y/2), u.plane.row(y/2-1+y%2*2)
	sum, dst := u.sum[:len(near)], u.buffer
	for x, v := range near {
		sum[x] = 3*int32(v) + int32(far[x])
	}
	last := len(sum) - 1
	left, v := sum[0], sum[0]
	for x := range sum {
		right := sum[min(x+1, last)]
		d := dst[2*x:][:2]
		d[0] = byte((3*v + left + 8) >> 4)
		d[1] = byte((3*v + right + 7) >> 4)
		left, v = v, right
	}
	return dst
}

// chromaTables hold the chroma terms of JFIF's conversion to RGB (JFIF 1.02, section 7) as libjpeg computes
// them (jdcolor.c): 16 binary places, rounded. The two terms of green are summed before the shift, and blue's has the half.
var chromaTables = func() (t struct{ crR, cbB, crG, cbG [256]int32 }) {
	const half = 1 << 15
	fix := func(x float64) int { return int(x*(1<<16) + 0.5) }
	for i := range 256 {
		c := i - 128
		t.crR[i] = int32((fix(1.40200)*c + half) >> 16)
		t.cbB[i] = int32((fix(1.77200)*c + half) >> 16)
		t.crG[i] = int32(-fix(0.71414) * c)
		t.cbG[i] = int32(-fix(0.34414)*c + half)
	}
	return t
}()

// convertYCbCr fills row, RGB, from as many samples of each component.
func convertYCbCr(row, luma, cb, cr []byte) {
	n := len(row) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	t := &chromaTables
	for x, l := range luma {
		y, b, r := int32(l), cb[x], cr[x]
		p := row[3*x:][:3]
		p[0] = clamp8(y + t.crR[r])
		p[1] = clamp8(y + (t.cbG[b]+t.crG[r])>>16)
		p[2] = clamp8(y + t.cbB[b])
	}
}

func clamp8(v int32) byte { return byte(min(max(v, 0), 255)) }

// webpUpsampler is libwebp's interpolation of 4:2:0 (src/dsp/upsampling.c): 9, 3, 3 and 1 sixteenths of the
// four samples around a pixel, through two roundings down that its packed arithmetic makes.
type webpUpsampler struct {
	plane
	buffer []byte
}

func (u *webpUpsampler) row(y int) []byte {
	near, far := u.plane.row(y/2), u.plane.row(y/2-1+y%2*2)
	dst, last := u.buffer, len(near)-1
	dst[0] = byte((3*int32(near[0]) + int32(far[0]) + 2) >> 2)
	n0, f0 := int32(near[0]), int32(far[0])
	for x := 1; x <= last; x++ {
		n1, f1 := int32(near[x]), int32(far[x])
		sum := n0 + n1 + f0 + f1 + 8
		d := dst[2*x-1:][:2]
		d[0] = byte(((sum+2*(n1+f0))>>3 + n0) >> 1)
		d[1] = byte(((sum+2*(n0+f1))>>3 + n1) >> 1)
		n0, f0 = n1, f1
	}
	dst[2*last+1] = byte((3*n0 + f0 + 2) >> 2) // used only if the width is even
	return dst
}

// convertWebP is [convertYCbCr] for WebP, whose luma runs from 16 to 235 (BT.601), with libwebp's 14-bit
// constants (src/dsp/yuv.h). The three offsets take care of 16 and 128 and hold the half for rounding.
func convertWebP(row, luma, cb, cr []byte) {
	n := len(row) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x, l := range luma {
		y, u, v := int32(l)*19077>>8, int32(cb[x]), int32(cr[x])
		p := row[3*x:][:3]
		p[0] = clamp8((y + v*26149>>8 - 14234) >> 6)
		p[1] = clamp8((y - u*6419>>8 - v*13320>>8 + 8708) >> 6)
		p[2] = clamp8((y + u*33050>>8 - 17685) >> 6)
	}
}
