package still

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"facet/internal/child"
	"facet/vision"
)

// A Picture is an opened image file. Its methods may be called by several goroutines, but for Close.
type Picture struct {
	pool  *Pool
	file  *os.File
	begin fs.FileInfo // of the file, when it was opened

	hashed    bool
	sum       [32]byte
	bytes     int64
	mediaType string
	pages     int
	broken    error // what is wrong with the contents
}

// Open opens an image file, which must be a regular one, and hands it to a decoder. What is wrong with the file's contents is
// told by [Picture.Page], so that a broken file has its hash and its type.
//
// The errors do not name the path. They are what the system says about the file; a [vision.FormatError] if it is empty or not
// regular and a [vision.UnsupportedError] if it is larger than the limit; an [UnavailableError]; or that of ctx.
func (p *Pool) Open(ctx context.Context, path string) (*Picture, error) {
	pic := &Picture{pool: p}
	if err := pic.openFile(path); err != nil {
		return nil, err
	}
	err := pic.use(ctx, func(*decoder) error { return nil })
	if isContent(err) {
		pic.broken, err = err, nil
		if !pic.hashed { // the decoder died over it
			_, err = pic.read(ctx, make([]byte, pieceSize), func([]byte) error { return nil })
		}
	}
	if err != nil {
		pic.Close()
		return nil, err
	}
	return pic, nil
}

func (pic *Picture) openFile(path string) error {
	// A look first: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return bare(err)
	}
	if pic.file, err = os.Open(path); err != nil {
		return bare(err)
	}
	if pic.begin, err = pic.file.Stat(); err == nil {
		err = regular(pic.begin) // what the path leads to may have changed
	}
	if most := pic.pool.o.Limits.Bytes; err == nil && most > 0 && pic.begin.Size() > most {
		err = tooLarge(most)
	}
	head := make([]byte, 32)
	if err == nil {
		var n int
		n, err = pic.file.ReadAt(head, 0)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if pic.mediaType = vision.Sniff(head[:n]); n == 0 && err == nil {
			err = vision.FormatError("the file is empty")
		}
	}
	if err != nil {
		pic.file.Close()
	}
	return bare(err)
}

func regular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return vision.FormatError("is a folder")
	case !info.Mode().IsRegular():
		return vision.FormatError("not a regular file")
	}
	return nil
}

func tooLarge(most int64) error {
	return vision.UnsupportedError(fmt.Sprintf("larger than the limit of %d bytes", most))
}

// bare takes the path out of an error of the file system.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// isContent reports whether an error is about the contents of a file.
func isContent(err error) bool {
	var (
		format      vision.FormatError
		unsupported vision.UnsupportedError
		died        DecoderError
	)
	return errors.As(err, &format) || errors.As(err, &unsupported) || errors.As(err, &died)
}

// SHA256 returns the hash of the bytes that the decoder was given.
func (pic *Picture) SHA256() [32]byte { return pic.sum }

// Bytes returns how many they are.
func (pic *Picture) Bytes() int64 { return pic.bytes }

// Type returns the media type by the first bytes, "" if it is no image that is known.
func (pic *Picture) Type() string { return pic.mediaType }

// Pages returns how many pages a TIFF or frames a GIF has; 1 of anything else, and of what is broken.
func (pic *Picture) Pages() int { return max(pic.pages, 1) }

// Changed reports whether the file is another than when it was opened, as far as size and time of change tell.
func (pic *Picture) Changed() bool {
	now, err := pic.file.Stat()
	return err != nil || now.Size() != pic.begin.Size() || !now.ModTime().Equal(pic.begin.ModTime())
}

// Close closes the file.
func (pic *Picture) Close() {
	pic.pool.forget(pic)
	pic.file.Close()
}

// Page decodes page n, from 1. The caller owns the image.
//
// The error does not name the path. It is a [vision.FormatError] or a [vision.UnsupportedError] as those of [vision.Decode], a
// [DecoderError], an [UnavailableError], or that of ctx.
func (pic *Picture) Page(ctx context.Context, n int) (*vision.Image, error) {
	if pic.broken != nil {
		return nil, pic.broken
	}
	if n < 1 || n > pic.Pages() {
		return nil, vision.FormatError(fmt.Sprintf("vision: there is no page %d: the file has %d", n, pic.Pages()))
	}
	var img *vision.Image
	err := pic.use(ctx, func(d *decoder) (err error) {
		img, err = d.page(ctx, n, pic.pool.o.Limits)
		return err
	})
	if err != nil {
		return nil, err
	}
	return img, nil
}

// use has a decoder that has the file do something. If a decoder dies of it that had other files or pages before, another one is
// tried: what becomes of a file does not depend on those before it.
func (pic *Picture) use(ctx context.Context, do func(*decoder) error) error {
	for {
		d, err := pic.pool.take(ctx, pic)
		if err != nil {
			return err
		}
		used := d.pages > 0 || d.files > 0 && d.holds != pic
		if d.holds != pic {
			if d.files >= filesServed {
				pic.pool.drop(d)
				continue
			}
			err = pic.load(ctx, d)
		}
		if err == nil {
			err = do(d)
		}
		if !d.gone {
			pic.pool.give(d)
			return err
		}
		pic.pool.drop(d)
		var died DecoderError
		if !errors.As(err, &died) || !used {
			return err
		}
	}
}

// load gives the file to a decoder.
func (pic *Picture) load(ctx context.Context, d *decoder) error {
	if d.piece == nil {
		d.piece = make([]byte, pieceSize)
	}
	d.files++
	var i *info
	q := request{Op: "open", Options: pic.pool.o.DecodeOptions, Size: pic.begin.Size()}
	err := d.ask(ctx, q, func(w *child.Writer) error {
		same, err := pic.read(ctx, d.piece, func(piece []byte) error { return w.Send(kindPiece, piece) })
		if err == nil && !same {
			err = vision.FormatError("the file changed while it was read")
		}
		if err != nil {
			return err
		}
		return w.Send(child.KindDone)
	}, func(k child.Kind, body []byte) error {
		if k != kindInfo || i != nil {
			return child.ProtocolErrorf("a message of kind %q for one info", k)
		}
		i = new(info)
		return child.ReadJSON(body, i)
	})
	switch {
	case err != nil:
		return err
	case i == nil || i.Pages < 1 || pic.pool.o.Limits.Pages > 0 && i.Pages > pic.pool.o.Limits.Pages:
		return d.wrong("no number of pages")
	}
	if pic.pages == 0 { // in Open; from then on it is read by all
		pic.pages = i.Pages
		if strings.HasPrefix(i.Type, "image/") && len(i.Type) < 64 {
			pic.mediaType = i.Type
		}
	}
	d.holds = pic
	return nil
}

// read reads the file from its beginning in pieces, and hashes it. It reports whether that is what was read the first time.
func (pic *Picture) read(ctx context.Context, buffer []byte, each func([]byte) error) (same bool, err error) {
	most := pic.pool.o.Limits.Bytes
	r, h, size := io.NewSectionReader(pic.file, 0, math.MaxInt64), sha256.New(), int64(0)
	for {
		n, err := r.Read(buffer)
		if size += int64(n); most > 0 && size > most {
			return false, tooLarge(most)
		}
		h.Write(buffer[:n])
		if n > 0 {
			if err := each(buffer[:n]); err != nil {
				return false, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return pic.remember(h, size), nil
		case err != nil:
			return false, bare(err)
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
	}
}

func (pic *Picture) remember(h hash.Hash, size int64) (same bool) {
	sum := [32]byte(h.Sum(nil))
	if pic.hashed {
		return sum == pic.sum
	}
	pic.hashed, pic.sum, pic.bytes = true, sum, size
	return true
}

// page asks for a page of the file that the decoder has.
func (d *decoder) page(ctx context.Context, n int, most vision.Limits) (*vision.Image, error) {
	d.pages++
	var img *vision.Image
	at := 0
	// Pixels are read to where they belong.
	d.Into = func(k child.Kind, size int) []byte {
		if k != kindRows || img == nil || size > len(img.Pix)-at {
			return nil
		}
		return img.Pix[at : at+size]
	}
	defer func() { d.Into = nil }()
	err := d.ask(ctx, request{Op: "page", Page: n}, func(*child.Writer) error { return nil }, func(k child.Kind, body []byte) error {
		switch {
		case k == kindPage && img == nil:
			var i pageInfo
			if err := child.ReadJSON(body, &i); err != nil {
				return err
			}
			if err := i.check(most); err != nil {
				return err
			}
			img = &vision.Image{
				Width: i.Width, Height: i.Height, Pix: make([]byte, 3*i.Width*i.Height), Format: i.Format,
				StoredWidth: i.StoredWidth, StoredHeight: i.StoredHeight, Orientation: i.Orientation, Pages: i.Pages,
			}
			return nil
		case k == kindRows && img != nil && len(body) <= len(img.Pix)-at:
			at += len(body)
			return nil
		}
		return child.ProtocolErrorf("a message of kind %q with %d bytes within a page", k, len(body))
	})
	switch {
	case err != nil:
		return nil, err
	case img == nil:
		return nil, d.wrong("no page")
	case at < len(img.Pix):
		return nil, d.wrong(fmt.Sprintf("%d bytes of %d", at, len(img.Pix)))
	}
	return img, nil
}

// check refuses what no decoder within the limits says.
func (i pageInfo) check(most vision.Limits) error {
	if i.Width < 1 || i.Height < 1 || i.Width > math.MaxInt32 || i.Height > math.MaxInt32 || int64(i.Width)*int64(i.Height) > math.MaxInt/3 ||
		most.Pixels > 0 && int64(i.Width)*int64(i.Height) > most.Pixels || most.Side > 0 && max(i.Width, i.Height) > most.Side {
		return child.ProtocolErrorf("an image of %d × %d pixels", i.Width, i.Height)
	}
	if i.StoredWidth < 1 || i.StoredHeight < 1 || i.Orientation < 1 || i.Orientation > 8 || i.Pages < 1 {
		return child.ProtocolErrorf("an image stored as %d × %d pixels, turned by %d, of %d pages", i.StoredWidth, i.StoredHeight, i.Orientation, i.Pages)
	}
	return nil
}

// ask is AskWith of the process, in the terms of this package.
func (d *decoder) ask(ctx context.Context, q request, body func(*child.Writer) error, each func(child.Kind, []byte) error) error {
	// The whole answer counts, not each message of it; what the file's disk takes does not.
	hung := time.AfterFunc(time.Hour, func() {
		d.Kill(&child.Died{Text: fmt.Sprintf(child.Hung+": no answer in %v", d.stall), Status: -1})
	})
	hung.Stop()
	defer hung.Stop()
	err := d.AskWith(ctx, q, func(w *child.Writer) error {
		err := body(w)
		hung.Reset(d.stall)
		return err
	}, func(string) {}, each)
	var (
		sent child.Failure
		died *child.Died
	)
	d.gone = err != nil && !errors.As(err, &sent)
	switch {
	case err == nil:
	case errors.As(err, &sent) && sent.Kind == failedFormat:
		return vision.FormatError(sent.Text)
	case errors.As(err, &sent):
		return vision.UnsupportedError(sent.Text)
	case errors.As(err, &died):
		return DecoderError("vision: " + died.Text)
	}
	return err
}

// wrong is the end of a decoder that left something out.
func (d *decoder) wrong(what string) error {
	d.gone = true
	return DecoderError("vision: the decoder answered wrongly: " + what)
}
