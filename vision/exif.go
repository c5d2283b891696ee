package vision

import (
	"encoding/binary"
	"math"
	"regexp"
)

// An ifd is an image file directory of TIFF 6.0, section 2: the header of a TIFF file, and of an EXIF block.
type ifd struct {
	data  []byte
	order binary.ByteOrder
	big   bool  // of BigTIFF, where offsets and counts have 8 bytes
	at    int64 // offset of the first entry
	n     int   // number of entries
	next  int64 // offset of the next directory, 0 if this is the last
}

const (
	tagOrientation  = 274
	tagXMP          = 700
	ifdByte         = 1 // the types of a value
	ifdShort        = 3
	ifdLong         = 4
	ifdUndefined    = 7
	ifdLong8        = 16
	classicTIFF     = 42 // the number after the byte order
	bigTIFF         = 43
	tiffHeaderBytes = 8
)

// entryBytes returns the size of an entry: tag, type, count, value or its offset.
func (d *ifd) entryBytes() int64 {
	if d.big {
		return 20
	}
	return 12
}

// offset reads an offset, or a count, at the beginning of b; what no file can have is the largest number.
func (d *ifd) offset(b []byte) int64 {
	if d.big {
		return int64(min(d.order.Uint64(b), math.MaxInt64))
	}
	return int64(d.order.Uint32(b))
}

// offsetBytes returns the size of an offset.
func (d *ifd) offsetBytes() int64 {
	if d.big {
		return 8
	}
	return 4
}

// firstIFD finds the first directory of a TIFF file or an EXIF block, which begins with a byte order.
func firstIFD(data []byte) (ifd, error) {
	d := ifd{data: data}
	if len(data) < tiffHeaderBytes {
		return d, formatErrorf("truncated: %d bytes are no TIFF header", len(data))
	}
	switch string(data[:2]) {
	case "II":
		d.order = binary.LittleEndian
	case "MM":
		d.order = binary.BigEndian
	default:
		return d, FormatError("a TIFF header without a byte order")
	}
	first := data[4:]
	switch d.order.Uint16(data[2:]) {
	case classicTIFF:
	case bigTIFF:
		if len(data) < 2*tiffHeaderBytes {
			return d, formatErrorf("truncated: %d bytes are no BigTIFF header", len(data))
		}
		if d.order.Uint16(first) != 8 || d.order.Uint16(data[6:]) != 0 {
			return d, FormatError("a BigTIFF header whose offsets do not have 8 bytes")
		}
		d.big, first = true, data[8:]
	default:
		return d, FormatError("a TIFF header without its magic number")
	}
	err := d.open(d.offset(first))
	return d, err
}

// open moves d to the directory at an offset.
func (d *ifd) open(offset int64) error {
	size := int64(len(d.data))
	count := int64(2) // bytes of the number of entries
	if d.big {
		count = 8
	}
	if offset < tiffHeaderBytes || offset > size-count {
		return formatErrorf("a directory at byte %d of %d", offset, size)
	}
	n := int64(d.order.Uint16(d.data[offset:]))
	if d.big {
		n = d.offset(d.data[offset:])
	}
	at := offset + count
	if n > (size-at)/d.entryBytes() {
		return formatErrorf("truncated: the directory at byte %d has %d entries, and the file %d bytes", offset, n, size)
	}
	d.n, d.at, d.next = int(n), at, 0
	end := at + n*d.entryBytes()
	if end+d.offsetBytes() <= size { // EXIF blocks are found without it
		d.next = d.offset(d.data[end:])
	}
	return nil
}

// find returns the type and the bytes of a tag's value; nil if the directory lacks it or the value lies outside of the file.
func (d *ifd) find(tag uint16) (kind uint16, value []byte) {
	for i := range d.n {
		e := d.data[d.at+int64(i)*d.entryBytes():][:d.entryBytes()]
		if d.order.Uint16(e) != tag {
			continue
		}
		kind = d.order.Uint16(e[2:])
		each := map[uint16]int64{ifdByte: 1, ifdShort: 2, ifdLong: 4, ifdUndefined: 1, ifdLong8: 8}[kind]
		count, value := d.offset(e[4:]), e[4+d.offsetBytes():]
		size := int64(len(d.data))
		if each == 0 || count > size {
			return kind, nil
		}
		bytes := each * count
		if bytes <= int64(len(value)) {
			return kind, value[:bytes]
		}
		offset := d.offset(value)
		if bytes > size || offset > size-bytes {
			return kind, nil
		}
		return kind, d.data[offset : offset+bytes]
	}
	return 0, nil
}

// numbers returns the first values of a tag, at most so many, that has shorts or longs; none if the tag is missing or of another type.
func (d *ifd) numbers(tag uint16, most int) (values []int64) {
	kind, value := d.find(tag)
	each := map[uint16]int{ifdShort: 2, ifdLong: 4, ifdLong8: 8}[kind]
	if each == 0 {
		return nil
	}
	values = make([]int64, min(most, len(value)/each))
	for i := range values {
		switch v := value[each*i:]; kind {
		case ifdShort:
			values[i] = int64(d.order.Uint16(v))
		case ifdLong:
			values[i] = int64(d.order.Uint32(v))
		case ifdLong8:
			values[i] = int64(min(d.order.Uint64(v), math.MaxInt64))
		}
	}
	return values
}

// number returns the first value of a tag, or otherwise if the directory lacks it.
func (d *ifd) number(tag uint16, otherwise int64) int64 {
	if v := d.numbers(tag, 1); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// orientation returns the directory's orientation, 0 if it gives none.
func (d *ifd) orientation() int {
	if v := d.numbers(tagOrientation, 2); len(v) == 1 {
		return int(v[0])
	}
	return 0
}

// orientation returns an image's orientation from its EXIF block and, if that gives none, its XMP packet. Either may
// be nil. As in Pillow a broken block counts as none, and what is not 2 to 8 as 1: metadata is
// no reason to refuse a picture.
func orientation(exif, xmp []byte) int {
	for len(exif) >= 6 && string(exif[:6]) == "Exif\x00\x00" { // in JPEG always, elsewhere by mistake
		exif = exif[6:]
	}
	o := 0
	if d, err := firstIFD(exif); err == nil {
		o = d.orientation()
	}
	return validOrientation(o, xmp)
}

func validOrientation(o int, xmp []byte) int {
	if o == 0 {
		if m := xmpOrientation.FindSubmatch(xmp); m != nil {
			o = int(m[1][0] - '0')
		}
	}
	if o < 1 || o > 8 {
		return 1
	}
	return o
}

// xmpOrientation matches the tag as an attribute and as an element.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)
