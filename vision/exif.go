package vision

import (
	"encoding/binary"
	"regexp"
)

// An ifd is an image file directory of TIFF 6.0, section 2: the header of a TIFF file, and of an EXIF block.
type ifd struct {
	data  []byte
	order binary.ByteOrder
	at    int64 // offset of the first entry
	n     int   // number of entries
	next  int64 // offset of the next directory, 0 if this is the last
}

const (
	ifdEntry        = 12 // bytes of one entry: tag, type, count, value or its offset
	tagOrientation  = 274
	tagXMP          = 700
	ifdByte         = 1 // the types of a value
	ifdShort        = 3
	ifdLong         = 4
	ifdUndefined    = 7
	classicTIFF     = 42 // the number after the byte order
	bigTIFF         = 43
	tiffHeaderBytes = 8
)

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
	switch d.order.Uint16(data[2:]) {
	case classicTIFF:
	case bigTIFF:
		return d, UnsupportedError("BigTIFF is not supported")
	default:
		return d, FormatError("a TIFF header without its magic number")
	}
	err := d.open(int64(d.order.Uint32(data[4:])))
	return d, err
}

// open moves d to the directory at an offset.
func (d *ifd) open(offset int64) error {
	size := int64(len(d.data))
	if offset < tiffHeaderBytes || offset+2 > size {
		return formatErrorf("a directory at byte %d of %d", offset, size)
	}
	d.n = int(d.order.Uint16(d.data[offset:]))
	d.at = offset + 2
	end := d.at + int64(d.n)*ifdEntry
	if end > size {
		return formatErrorf("truncated: the directory at byte %d has %d entries, and the file %d bytes", offset, d.n, size)
	}
	d.next = 0
	if end+4 <= size { // EXIF blocks are found without it
		d.next = int64(d.order.Uint32(d.data[end:]))
	}
	return nil
}

// find returns the type and the bytes of a tag's value; nil if the directory lacks it or the value lies outside of the file.
func (d *ifd) find(tag uint16) (kind uint16, value []byte) {
	for i := range d.n {
		e := d.data[d.at+int64(i)*ifdEntry:][:ifdEntry]
		if d.order.Uint16(e) != tag {
			continue
		}
		kind = d.order.Uint16(e[2:])
		bytes := map[uint16]int64{ifdByte: 1, ifdShort: 2, ifdLong: 4, ifdUndefined: 1}[kind] * int64(d.order.Uint32(e[4:]))
		if bytes <= 4 {
			return kind, e[8 : 8+bytes]
		}
		offset := int64(d.order.Uint32(e[8:]))
		if offset+bytes > int64(len(d.data)) {
			return kind, nil
		}
		return kind, d.data[offset : offset+bytes]
	}
	return 0, nil
}

// numbers returns the values of a tag that has shorts or longs; none if the tag is missing or of another type.
func (d *ifd) numbers(tag uint16) (values []uint32) {
	kind, value := d.find(tag)
	switch kind {
	case ifdShort:
		for ; len(value) >= 2; value = value[2:] {
			values = append(values, uint32(d.order.Uint16(value)))
		}
	case ifdLong:
		for ; len(value) >= 4; value = value[4:] {
			values = append(values, d.order.Uint32(value))
		}
	}
	return values
}

// number returns the first value of a tag, or otherwise if the directory lacks it.
func (d *ifd) number(tag uint16, otherwise uint32) uint32 {
	if v := d.numbers(tag); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// orientation returns the directory's orientation, 0 if it gives none.
func (d *ifd) orientation() int {
	if v := d.numbers(tagOrientation); len(v) == 1 {
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
