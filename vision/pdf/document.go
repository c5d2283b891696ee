package pdf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"

	"facet/internal/child"
	"facet/vision"
)

// A Document is an open file. It is safe for concurrent use; its pages are drawn one at a time, fastest in their order.
type Document struct {
	path  string
	file  *os.File
	begin fs.FileInfo // of the file, when it was opened
	o     Options
	pages int

	mu      sync.Mutex
	decoder *child.Process // nil when the last one has ended; the next request starts another
	served  int            // pages that it was asked about
	last    int            // the page that it was asked about last
}

// Open opens the document of that name: a regular file, of which only its own bytes are ever read.
//
// The error names the file and wraps a [vision.FormatError] (broken, no PDF, no pages), a [vision.UnsupportedError] (it needs a
// password, or is past a limit), a [DecoderError], an [UnavailableError], or what the system said about the file.
func Open(ctx context.Context, path string, o Options) (*Document, error) {
	o.Limits = o.Limits.orDefault()
	d := &Document{path: path, o: o}
	if err := d.openFile(); err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	err := d.start(ctx)
	if err == nil && d.pages == 0 {
		err = formatErrorf("the document has no pages")
	}
	if err != nil {
		d.Close()
		return nil, d.named(err)
	}
	return d, nil
}

func (d *Document) openFile() error {
	// A look first: opening a named pipe would wait for its writer.
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", d.path, formatErrorf("not a regular file"))
	}
	if d.file, err = os.Open(d.path); err != nil {
		return err
	}
	if d.begin, err = d.file.Stat(); err == nil && d.begin.Size() > maxBytes {
		err = fmt.Errorf("%s: %w", d.path, unsupportedErrorf("%d bytes are more than the limit of %d", d.begin.Size(), maxBytes))
	}
	if err != nil {
		d.file.Close()
	}
	return err
}

// maxBytes is the largest file whose offsets the renderer can hold.
const maxBytes = math.MaxInt32

// named puts the file's name before an error.
func (d *Document) named(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("pdf: %s: %w", d.path, err)
}

// Pages returns how many pages the document has, at least one.
func (d *Document) Pages() int { return d.pages }

// SHA256 reads the whole file and returns the hash and the size of what the pages are made of.
func (d *Document) SHA256(ctx context.Context) (sum [32]byte, size int64, err error) {
	h := sha256.New()
	r := io.NewSectionReader(d.file, 0, d.begin.Size()) // the decoder shares the file's own offset
	for {
		n, err := io.CopyN(h, r, 1<<20)
		size += n
		switch {
		case errors.Is(err, io.EOF):
			return [32]byte(h.Sum(nil)), size, nil
		case err != nil:
			return sum, 0, d.named(err)
		case ctx.Err() != nil:
			return sum, 0, ctx.Err()
		}
	}
}

// Changed reports whether the file is another than when it was opened, as far as size and time of change tell.
func (d *Document) Changed() bool {
	now, err := d.file.Stat()
	return err != nil || now.Size() != d.begin.Size() || !now.ModTime().Equal(d.begin.ModTime())
}

// Close ends the decoder and closes the file.
func (d *Document) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
	return d.file.Close()
}

func (d *Document) stop() {
	if d.decoder != nil {
		d.decoder.Close()
		d.decoder, d.served = nil, 0
	}
}

// Page describes page n, from 1.
//
// The error names the file and wraps a [vision.FormatError] if there is no such page or it is broken, or a [DecoderError].
func (d *Document) Page(ctx context.Context, n int) (Page, error) {
	var p *Page
	err := d.ask(ctx, request{Op: "page", Page: n}, func(k child.Kind, body []byte) error {
		if k != kindPage || p != nil {
			return child.ProtocolErrorf("a message of kind %q for one page", k)
		}
		var i pageInfo
		if err := child.ReadJSON(body, &i); err != nil {
			return err
		}
		for _, v := range []float64{i.Width, i.Height} {
			if !(v > 0 && v <= maxPoints) {
				return child.ProtocolErrorf("a page of %v × %v points", i.Width, i.Height)
			}
		}
		if i.Picture[0] < 0 || i.Picture[1] < 0 {
			return child.ProtocolErrorf("a picture of %v pixels", i.Picture)
		}
		p = &Page{Number: n, Width: i.Width, Height: i.Height, Picture: i.Picture}
		return nil
	})
	if err == nil && p == nil {
		err = d.named(decoderErrorf("page %d: the decoder answered wrongly: no page", n))
	}
	if err != nil {
		return Page{}, err
	}
	return *p, nil
}

// maxPoints bounds the side of a page: PDF has 14,400 units at most, each of up to 75,000 points.
const maxPoints = 14_400 * 75_000

// Render draws page n, from 1, in so many pixels, above white. The caller owns the image.
//
// The error is that of Page, or wraps a [vision.UnsupportedError] if the pixels are past the limit. It panics if width or height is
// not positive.
func (d *Document) Render(ctx context.Context, n, width, height int) (*vision.Image, error) {
	if width < 1 || height < 1 {
		panic(fmt.Sprintf("pdf: Render in %d × %d pixels", width, height))
	}
	if pixels := int64(width) * int64(height); pixels > d.o.Limits.Pixels {
		return nil, d.named(unsupportedErrorf("page %d: %d × %d pixels are more than the limit of %d", n, width, height, d.o.Limits.Pixels))
	}
	img := &vision.Image{
		Width: width, Height: height, Pix: make([]byte, 3*width*height), Format: "application/pdf",
		StoredWidth: width, StoredHeight: height, Orientation: 1, Pages: d.pages,
	}
	at := 0
	err := d.ask(ctx, request{Op: "render", Page: n, Width: width, Height: height}, func(k child.Kind, body []byte) error {
		if k != kindRows || len(body) > len(img.Pix)-at {
			return child.ProtocolErrorf("a message of kind %q with %d bytes for %d bytes of pixels", k, len(body), len(img.Pix)-at)
		}
		at += copy(img.Pix[at:], body)
		return nil
	})
	if err == nil && at < len(img.Pix) {
		err = d.named(decoderErrorf("page %d: the decoder answered wrongly: %d bytes of %d", n, at, len(img.Pix)))
	}
	if err != nil {
		return nil, err
	}
	return img, nil
}

// pagesServed is how many pages a decoder is asked about before another takes over, so that what it keeps of a document of
// thousands of pages stays small.
const pagesServed = 200

// ask asks about a page. A page of which a decoder dies that served others before is tried with a fresh one: what becomes of a
// page does not depend on those before it.
func (d *Document) ask(ctx context.Context, q request, each func(child.Kind, []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.Page != d.last && d.served >= pagesServed {
		d.stop()
	}
	for {
		fresh := d.decoder == nil
		if fresh {
			if err := d.start(ctx); err != nil {
				return d.named(err)
			}
		}
		if q.Page != d.last || fresh {
			d.served++
			d.last = q.Page
		}
		served, began := d.served, false
		err := translate(d.decoder.Ask(ctx, q, ignore, func(k child.Kind, body []byte) error {
			began = true
			return each(k, body)
		}))
		var (
			format      vision.FormatError
			unsupported vision.UnsupportedError
			died        DecoderError
		)
		switch {
		case err == nil:
			return nil
		case errors.As(err, &format), errors.As(err, &unsupported): // it goes on
			return d.named(fmt.Errorf("page %d: %w", q.Page, err))
		}
		d.stop()
		if !errors.As(err, &died) {
			return d.named(err)
		}
		if served <= 1 || began {
			return d.named(fmt.Errorf("page %d: %w", q.Page, err))
		}
	}
}

func ignore(string) {}

// translate puts an error of the decoder into the terms of this package.
func translate(err error) error {
	var (
		sent child.Failure
		died *child.Died
	)
	switch {
	case errors.As(err, &sent) && sent.Kind == failedFormat:
		return vision.FormatError(sent.Text)
	case errors.As(err, &sent):
		return vision.UnsupportedError(sent.Text)
	case errors.As(err, &died):
		return DecoderError(died.Text)
	}
	return err
}

// start starts a decoder and has it open the document.
func (d *Document) start(ctx context.Context) error {
	p, _, err := d.o.greet(ctx, d.file)
	if err != nil {
		return err
	}
	var i *info
	err = translate(p.Ask(ctx, request{Op: "open", Password: d.o.Password}, ignore, func(k child.Kind, body []byte) error {
		if k != kindInfo || i != nil {
			return child.ProtocolErrorf("a message of kind %q for one info", k)
		}
		i = new(info)
		return child.ReadJSON(body, i)
	}))
	switch {
	case err != nil:
	case i == nil || i.Pages < 0:
		err = decoderErrorf("the decoder answered wrongly: no number of pages")
	case i.Pages > d.o.Limits.Pages:
		err = unsupportedErrorf("%d pages are more than the limit of %d", i.Pages, d.o.Limits.Pages)
	case d.pages > 0 && i.Pages != d.pages:
		err = formatErrorf("the document changed while it was read")
	}
	if err != nil {
		p.Close()
		return err
	}
	if d.pages == 0 { // in Open; from then on it is read by all
		d.pages = i.Pages
	}
	d.decoder, d.served, d.last = p, 0, 0
	return nil
}
