package pdfium

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"facet/vision"
)

// PDFium holds a decoder of JPEG 2000 (OpenJPEG), since PDF documents hold such pictures. A file that is one alone is
// therefore read as the document of one page that it fills, put around it in memory.

// Signatures: of a JP2 file (ISO/IEC 15444-1, annex I.5.1) and of a bare codestream (annex A.4).
const (
	jp2Signature  = "\x00\x00\x00\x0cjP  \r\n\x87\n"
	codestreamSIZ = "\xff\x4f\xff\x51"
)

// asDocument returns the file as a PDF document, which it may be already, and its size.
func asDocument(file io.ReaderAt, size int64) (io.ReadSeeker, int64, error) {
	head := make([]byte, min(size, 64<<10))
	if _, err := file.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, 0, err
	}
	if !bytes.HasPrefix(head, []byte(jp2Signature)) && !bytes.HasPrefix(head, []byte(codestreamSIZ)) {
		return io.NewSectionReader(file, 0, size), size, nil
	}
	if err := jpxWhole(file, size); err != nil {
		return nil, 0, err
	}
	width, height, ok := jpxSize(head)
	if !ok {
		return nil, 0, vision.FormatError("a JPEG 2000 file without its size")
	}
	var before, after bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, before.Len())
		fmt.Fprintf(&before, "%d 0 obj\n", len(offsets))
		fmt.Fprintf(&before, format, args...)
	}
	before.WriteString("%PDF-1.7\n")
	draw := fmt.Sprintf("q %d 0 0 %d 0 0 cm /I Do Q", width, height)
	object("<</Type/Catalog/Pages 2 0 R>>\nendobj\n")
	object("<</Type/Pages/Count 1/Kids[3 0 R]>>\nendobj\n")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>\nendobj\n", width, height)
	object("<</Length %d>>\nstream\n%s\nendstream\nendobj\n", len(draw), draw)
	object("<</Type/XObject/Subtype/Image/Width %d/Height %d/Filter/JPXDecode/Length %d>>\nstream\n", width, height, size)
	after.WriteString("\nendstream\nendobj\n")
	xref := int64(before.Len()) + size + int64(after.Len())
	fmt.Fprintf(&after, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		fmt.Fprintf(&after, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&after, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, xref)
	whole := joined{before.Bytes(), file, size, after.Bytes()}
	total := int64(before.Len()) + size + int64(after.Len())
	return io.NewSectionReader(whole, 0, total), total, nil
}

// jpxWhole returns an error if a file ends before its codestream does: PDFium draws what there is, or nothing.
func jpxWhole(file io.ReaderAt, size int64) error {
	at := int64(0) // of a box; the first is the signature in JP2, and a codestream has none
	end := size
	for head := make([]byte, 16); at < size; {
		n, err := file.ReadAt(head, at)
		if err != nil && err != io.EOF {
			return err
		}
		if n < 8 || bytes.HasPrefix(head, []byte(codestreamSIZ)) {
			break
		}
		length := int64(binary.BigEndian.Uint32(head))
		switch {
		case length == 0:
			length = size - at
		case length == 1 && n == 16:
			length = int64(min(binary.BigEndian.Uint64(head[8:]), 1<<62))
		}
		if length < 8 || length > size-at {
			return vision.FormatError(fmt.Sprintf("truncated: the box at byte %d has %d bytes, and the file ends at %d", at, length, size))
		}
		at += length
		if string(head[4:8]) == "jp2c" {
			end = at
			break
		}
	}
	// Some writers fill up behind the mark at the end.
	tail := make([]byte, min(end, 64))
	if _, err := file.ReadAt(tail, end-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	if !bytes.Contains(tail, []byte("\xff\xd9")) {
		return vision.FormatError(fmt.Sprintf("truncated: the picture is not complete at byte %d", end))
	}
	return nil
}

// joined is a file with something before and after it.
type joined struct {
	before []byte
	file   io.ReaderAt
	size   int64
	after  []byte
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, at int64) (n int, err error) {
	first := int64(len(j.before))
	for n < len(p) {
		var m int
		rest := p[n:]
		switch pos := at + int64(n); {
		case pos < first:
			m = copy(rest, j.before[pos:])
		case pos < first+j.size:
			rest = rest[:min(int64(len(rest)), first+j.size-pos)]
			if m, err = j.file.ReadAt(rest, pos-first); m < len(rest) {
				return n + m, err // it is shorter than it was
			}
		case pos < first+j.size+int64(len(j.after)):
			m = copy(rest, j.after[pos-first-j.size:])
		default:
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// jpxSize finds the size in the header of the picture: the box ihdr of a JP2 file, or the marker SIZ of its codestream.
func jpxSize(head []byte) (width, height uint32, ok bool) {
	be := binary.BigEndian
	if at := bytes.Index(head, []byte("\x00\x00\x00\x16ihdr")); at >= 0 && at+16 <= len(head) {
		height, width = be.Uint32(head[at+8:]), be.Uint32(head[at+12:])
	} else if at := bytes.Index(head, []byte(codestreamSIZ)); at >= 0 && at+24 <= len(head) {
		x, y := be.Uint32(head[at+8:]), be.Uint32(head[at+12:])
		x0, y0 := be.Uint32(head[at+16:]), be.Uint32(head[at+20:])
		if x0 >= x || y0 >= y {
			return 0, 0, false
		}
		width, height = x-x0, y-y0
	}
	const most = 1 << 24 // and what may be drawn the client says
	return width, height, width > 0 && height > 0 && width <= most && height <= most
}
