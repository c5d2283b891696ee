package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Head returns the bytes of a file that tell what it is, or all if it has fewer. Like
// ReadFile and Hash it refuses what is no regular file, and its errors do not name the path,
// which the caller knows.
func Head(file string) ([]byte, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := headOf(f)
	if err == nil && len(head) == 0 {
		return nil, errEmpty
	}
	return head, err
}

var errEmpty = errors.New("the file is empty")

// headBytes is how many bytes tell what a file is.
const headBytes = 512

// headOf moves nothing.
func headOf(f io.ReaderAt) ([]byte, error) {
	head := make([]byte, headBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bare(err)
	}
	return head[:n], nil
}

// ReadFile returns the bytes of a media file if there are at most limit of them, and at
// least one.
func ReadFile(file string, limit int64) ([]byte, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, bare(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("larger than the limit of %d bytes", limit)
	}
	if len(data) == 0 {
		return nil, errEmpty
	}
	return data, nil
}

// Hash returns SHA-256 and size of a file of any size.
func Hash(ctx context.Context, file string) (sum [32]byte, size int64, err error) {
	f, err := openRegular(file)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = copyAll(ctx, h, f); err != nil {
		return sum, 0, bare(err)
	}
	return [32]byte(h.Sum(nil)), size, nil
}

// copyAll is io.Copy that ends with ctx.
func copyAll(ctx context.Context, dst io.Writer, src io.Reader) (n int64, err error) {
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := src.Read(buffer)
		if wrote, err := dst.Write(buffer[:got]); err != nil {
			return n + int64(wrote), err
		}
		n += int64(got)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// openRegular opens a regular file, with errors that do not name it. What the path leads to may change
// before it is opened, so the open file is looked at as well.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path) // before opening, since to open a device may do something
	if err != nil {
		return nil, bare(err)
	}
	if err := regular(info); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, bare(err)
	}
	if info, err = f.Stat(); err == nil {
		err = regular(info)
	}
	if err != nil {
		f.Close()
		return nil, bare(err)
	}
	return f, nil
}

func regular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errors.New("is a folder")
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return nil
}

// bare takes the path out of an error of the file system, since it is named already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
