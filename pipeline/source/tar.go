package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// tarball is a tar archive (POSIX.1-2001 pax, ustar, GNU and V7), packed or not.
type tarball struct {
	*tar.Reader
	packed *counter // nil if it is not packed
	file   *os.File
	stream io.Reader // unpacked, where packed
	out    *meter
	done   func()
}

// maxWindow bounds the memory that a zstd stream may ask for, and maxDecoder all that its
// decoder takes. zstd itself refuses more than 128 MiB unless told otherwise (--long).
const maxWindow = 128 << 20

func openTar(ctx context.Context, f *os.File, head []byte, l Limits) (container, error) {
	t := &tarball{file: f, done: func() {}}
	c := &counter{r: f}
	buffered := bufio.NewReaderSize(c, 64<<10)
	var unpacked io.Reader
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		unpacked, err = gzip.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("BZh")):
		unpacked = bzip2.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		z, err = zstd.NewReader(buffered, zstdOptions()...)
		if err == nil {
			unpacked, t.done = z, z.Close
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not a packed tar archive: %w", err)
	}
	if unpacked == nil {
		t.Reader = tar.NewReader(f) // which passes over members by seeking
	} else {
		t.packed = c
		t.stream = &meter{r: unpacked, limits: l, packed: t.at, alive: ctx.Err}
		t.Reader = tar.NewReader(t.stream)
	}
	// A sparse member unpacks to more than the stream holds.
	t.out = &meter{r: t.Reader, limits: l, packed: t.at}
	return t, nil
}

func zstdOptions() []zstd.DOption {
	return []zstd.DOption{
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(2 * maxWindow),
	}
}

func (t *tarball) at() int64 {
	if t.packed != nil {
		return t.packed.n
	}
	n, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return n
}

func (t *tarball) close() { t.done() }

func (t *tarball) Read(p []byte) (int, error) { return t.out.Read(p) }

func (t *tarball) next() (header, error) {
	for {
		h, err := t.Reader.Next()
		if errors.Is(err, io.EOF) {
			return header{}, t.end()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return header{}, err
		}
		out := header{name: h.Name, stat: Stat{Size: h.Size, ModTime: h.ModTime.UnixNano()}}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg, tar.TypeGNUSparse:
		case tar.TypeDir:
			out.folder = true
		case tar.TypeLink, tar.TypeSymlink:
			out.wrong = errLink
		default:
			out.wrong = errors.New("not a regular file")
		}
		return out, nil
	}
}

var errLink = errors.New("a link in an archive, which is not followed")

// end reads what follows the last member, since the checksum of a packed archive stands at its end.
func (t *tarball) end() error {
	if t.stream == nil {
		return io.EOF
	}
	if _, err := io.Copy(io.Discard, t.stream); err != nil {
		return err
	}
	return io.EOF
}
