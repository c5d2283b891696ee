package source

import (
	"archive/zip"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
)

// zipArchive is a zip archive (PKWARE APPNOTE 6.3.10), read by the directory at its end.
type zipArchive struct {
	files []*zip.File
	n     int // files that next went through
	open  io.ReadCloser
	err   error // of opening the current one
	out   *meter
	file  *zipFile
}

// zipFile counts what is read of a file while its directory is: the number of entries that it
// claims bounds nothing.
type zipFile struct {
	*os.File
	left int64 // bytes; < 0: any number
	at   int64 // where the last read ended
}

func (f *zipFile) ReadAt(p []byte, off int64) (int, error) {
	if f.left >= 0 {
		if int64(len(p)) > f.left {
			return 0, limitError("its directory is too large")
		}
		f.left -= int64(len(p))
	}
	n, err := f.File.ReadAt(p, off)
	f.at = off + int64(n)
	return n, err
}

// entryBytes is what the directory may have for each member that is allowed: 46 and a name.
const entryBytes = 128

func openZip(f *os.File, l Limits) (container, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	z := &zipArchive{file: &zipFile{File: f, left: int64(l.Members)*entryBytes + 1<<20}}
	r, err := zip.NewReader(z.file, info.Size())
	z.file.left = -1
	var limit limitError
	switch {
	case errors.Is(err, zip.ErrInsecurePath): // names are looked at one by one
	case errors.As(err, &limit):
		return nil, limit
	case err != nil:
		return nil, errors.New("damaged, or no zip archive: the directory at its end cannot be read")
	}
	const zipBzip2, zipZstd = 12, 93 // APPNOTE 4.4.5
	r.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	r.RegisterDecompressor(zipZstd, zstd.ZipDecompressor(zstdOptions()...))
	z.files = r.File
	z.out = &meter{limits: l, packed: info.Size}
	return z, nil
}

func (z *zipArchive) at() int64 { return z.file.at }

func (z *zipArchive) close() {
	if z.open != nil {
		z.open.Close()
	}
}

func (z *zipArchive) next() (header, error) {
	z.close()
	z.open, z.err = nil, nil
	if z.n == len(z.files) {
		return header{}, io.EOF
	}
	f := z.files[z.n]
	z.n++
	name := f.Name
	if f.NonUTF8 && !utf8.ValidString(name) { // APPNOTE D.1
		if s, err := charmap.CodePage437.NewDecoder().String(name); err == nil {
			name = s
		}
	}
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, `\`, "/") // as some Windows programs write, against 4.4.17.1
	}
	h := header{name: name, stat: Stat{Size: int64(f.UncompressedSize64)}}
	if !f.Modified.IsZero() {
		h.stat.ModTime = f.Modified.UnixNano()
	}
	const encrypted = 1 // APPNOTE 4.4.4
	switch mode := f.Mode(); {
	case mode.IsDir() || strings.HasSuffix(name, "/"):
		h.folder = true
	case mode&os.ModeSymlink != 0:
		h.wrong = errLink
	case !mode.IsRegular():
		h.wrong = errors.New("not a regular file")
	case f.Flags&encrypted != 0:
		h.wrong = errors.New("encrypted in its zip archive")
	case h.stat.Size < 0:
		h.wrong = errors.New("its size in the zip archive is impossible")
	}
	return h, nil
}

// Read reads the current file, which is opened by the first call.
func (z *zipArchive) Read(p []byte) (int, error) {
	if z.open == nil && z.err == nil {
		f := z.files[z.n-1]
		z.open, z.err = f.Open()
		switch {
		case errors.Is(z.err, zip.ErrAlgorithm):
			z.err = fmt.Errorf("compression method %d of zip archives is not read", f.Method)
		case z.err == nil:
			z.out.r = z.open
		}
	}
	if z.err != nil {
		return 0, z.err
	}
	return z.out.Read(p)
}
