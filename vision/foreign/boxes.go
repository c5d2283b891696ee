package foreign

import "encoding/binary"

// properties are what a HEIC or AVIF file says of its primary item beside the pixels (ISO/IEC 23008-12, section 6.5).
type properties struct {
	turns  int   // quarter turns, against the clock
	mirror int   // after that: orientation of EXIF that exchanges top and bottom, 4, or left and right, 2; 0 if there is none
	nclx   *nclx // nil if the file gives none
}

// nclx are the numbers of ITU-T H.273 that say how YCbCr becomes RGB.
type nclx struct {
	matrix uint16 // MatrixCoefficients
	full   bool   // VideoFullRangeFlag
}

// A box is a part of the file, by its name.
type box struct {
	name string
	body []byte
}

// boxes parts data, as far as it is well-formed: these are not what a picture fails for.
func boxes(data []byte) (all []box) {
	be := binary.BigEndian
	for len(data) >= 8 {
		size, head := uint64(be.Uint32(data)), uint64(8)
		switch {
		case size == 1 && len(data) >= 16:
			size, head = be.Uint64(data[8:]), 16
		case size == 0:
			size = uint64(len(data))
		}
		if size < head || size > uint64(len(data)) {
			break
		}
		all = append(all, box{string(data[4:8]), data[head:size]})
		data = data[size:]
	}
	return all
}

// find returns the body of the first box of a name, without so many bytes at its beginning; nil if there is none.
func find(all []box, name string, skip int) []byte {
	for _, b := range all {
		if b.name == name && len(b.body) >= skip {
			return b.body[skip:]
		}
	}
	return nil
}

// fullBox is the bytes of version and flags.
const fullBox = 4

func readProperties(data []byte) (p properties) {
	be := binary.BigEndian
	meta := boxes(find(boxes(data), "meta", fullBox))
	var primary uint32
	switch id := find(meta, "pitm", fullBox); {
	case len(id) == 2:
		primary = uint32(be.Uint16(id))
	case len(id) == 4:
		primary = be.Uint32(id)
	default:
		return p
	}
	iprp := boxes(find(meta, "iprp", 0))
	all := boxes(find(iprp, "ipco", 0))
	for _, i := range associations(find(iprp, "ipma", 0), primary) {
		if i < 1 || i > len(all) {
			continue
		}
		switch b := all[i-1]; {
		case b.name == "irot" && len(b.body) >= 1:
			p.turns = int(b.body[0] & 3)
		case b.name == "imir" && len(b.body) >= 1:
			p.mirror = 4 - 2*int(b.body[0]&1)
		case b.name == "colr" && len(b.body) >= 11 && string(b.body[:4]) == "nclx":
			p.nclx = &nclx{matrix: be.Uint16(b.body[8:]), full: b.body[10]&0x80 != 0}
		}
	}
	return p
}

// associations returns the numbers, from 1, of an item's properties, of the box ipma.
func associations(b []byte, item uint32) (indices []int) {
	if len(b) < fullBox+4 {
		return nil
	}
	be := binary.BigEndian
	version, wide := b[0], b[3]&1 != 0
	idBytes, each := 2, 1
	if version > 0 {
		idBytes = 4
	}
	if wide {
		each = 2
	}
	for b = b[fullBox+4:]; len(b) > idBytes; {
		id := uint32(be.Uint16(b))
		if version > 0 {
			id = be.Uint32(b)
		}
		n := int(b[idBytes])
		b = b[idBytes+1:]
		if len(b) < n*each {
			break
		}
		for i := range n {
			v := int(b[each*i] & 0x7f) // the highest bit says that a reader must know it
			if wide {
				v = v<<8 | int(b[2*i+1])
			}
			if id == item {
				indices = append(indices, v)
			}
		}
		b = b[n*each:]
	}
	return indices
}
