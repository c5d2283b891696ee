package pdf

import (
	"encoding/json"
	"errors"
	"io"

	"facet/internal/child"
	"facet/vision"
)

// A Source is one document in the decoder's process; package vision/pdf/pdfium has it. An error that is no
// [vision.FormatError] and no [vision.UnsupportedError] ends the decoder.
type Source interface {
	// Pages returns how many there are.
	Pages() int
	// Page describes a page; n is from 1 to Pages.
	Page(n int) (Page, error)
	// Render draws a page in so many pixels, above white, and gives them to emit, red, green and blue, in pieces that are
	// used before it returns.
	Render(n, width, height int, emit func(pix []byte) error) error
	// Characters returns how many characters that are no spaces lie in the text layer of a page.
	Characters(n int) (int, error)
	// Text gives the lines of the text layer of a page to emit.
	Text(n int, emit func(Line) error) error
}

// Serve is the decoder's side: it answers the requests of one client from in to out, until in ends. sandbox is how the process
// is confined, as JSON, for the client's report. The caller ends the process when Serve returns.
func Serve(in io.Reader, out io.Writer, sandbox json.RawMessage, open func(password string) (Source, error)) error {
	s := &server{w: &child.Writer{W: out}, open: open}
	if err := s.w.SendJSON(child.KindHello, hello{protocolVersion, sandbox}); err != nil {
		return err
	}
	return child.Serve(&child.Reader{R: in, Most: most}, s.answer)
}

type server struct {
	w      *child.Writer
	open   func(password string) (Source, error)
	source Source
}

func (s *server) answer(q request) error {
	err := s.run(q)
	var (
		format      vision.FormatError
		unsupported vision.UnsupportedError
	)
	switch {
	case err == nil:
		return s.w.Send(child.KindDone)
	case errors.As(err, &format):
		return s.w.SendJSON(child.KindFailed, child.Failure{Kind: failedFormat, Text: clip(err.Error())})
	case errors.As(err, &unsupported):
		return s.w.SendJSON(child.KindFailed, child.Failure{Kind: failedUnsupported, Text: clip(err.Error())})
	}
	return err
}

func (s *server) run(q request) (err error) {
	if q.Op == "open" {
		if s.source, err = s.open(q.Password); err != nil {
			return err
		}
		return s.w.SendJSON(kindInfo, info{s.source.Pages()})
	}
	if s.source == nil {
		return child.ProtocolError("no document is open")
	}
	if q.Page < 1 || q.Page > s.source.Pages() {
		return formatErrorf("there is no page %d: the document has %d", q.Page, s.source.Pages())
	}
	switch q.Op {
	case "page":
		p, err := s.source.Page(q.Page)
		if err != nil {
			return err
		}
		return s.w.SendJSON(kindPage, pageInfo{p.Width, p.Height, p.Picture})
	case "render":
		return s.source.Render(q.Page, q.Width, q.Height, func(pix []byte) error {
			for len(pix) > 0 {
				n := min(len(pix), maxRows)
				if err := s.w.Send(kindRows, pix[:n]); err != nil {
					return err
				}
				pix = pix[n:]
			}
			return nil
		})
	case "characters":
		count, err := s.source.Characters(q.Page)
		if err != nil {
			return err
		}
		return s.w.SendJSON(kindCharacters, characters{count})
	case "text":
		return s.text(q.Page)
	}
	return child.ProtocolErrorf("no request %q", q.Op)
}

// text sends lines, as many at once as a message surely holds.
func (s *server) text(page int) error {
	const lineBytes, wordBytes, letters = 200, 200, 12 // of JSON, where a byte of text takes up to six
	var some []Line
	size := 0
	send := func() error {
		if len(some) == 0 {
			return nil
		}
		err := s.w.SendJSON(kindText, some)
		some, size = nil, 0
		return err
	}
	err := s.source.Text(page, func(l Line) error {
		n := lineBytes + letters*len(l.Text) + wordBytes*len(l.Words)
		if size+n > child.MaxText {
			if err := send(); err != nil {
				return err
			}
		}
		if n > child.MaxText {
			return unsupportedErrorf("a line of %d bytes in the text layer", len(l.Text))
		}
		some, size = append(some, l), size+n
		return nil
	})
	if err != nil {
		return err
	}
	return send()
}

// clip shortens a text that comes from a document.
func clip(s string) string { return s[:min(len(s), 1000)] }
