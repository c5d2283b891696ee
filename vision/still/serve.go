package still

import (
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"

	"facet/internal/child"
	"facet/vision"
)

// A Source is one file in the decoder's process; package vision/still/decoder has it.
type Source interface {
	// Type returns the media type.
	Type() string
	// Count returns how many pages there are, at least one.
	Count() int
	// Decode returns a page; n is from 1 to Count.
	Decode(n int) (*vision.Image, error)
}

// Serve is the decoder's side: it answers the requests of one client from in to out, until in ends. sandbox is how the process
// is confined, as JSON, for the client's report. open gets a file that is its own; an error, there or of its Source, that is no
// [vision.FormatError] and no [vision.UnsupportedError] ends the decoder. The caller ends the process when Serve returns.
func Serve(in io.Reader, out io.Writer, sandbox json.RawMessage, open func(data []byte, o vision.DecodeOptions) (Source, error)) error {
	s := &server{w: &child.Writer{W: out}, open: open}
	if err := s.w.SendJSON(child.KindHello, hello{protocolVersion, sandbox}); err != nil {
		return err
	}
	r := &child.Reader{R: in, Most: most}
	return child.ServeWith(func() (delivery, error) { return receive(r) }, s.answer)
}

// delivery is a request with the file that came with it.
type delivery struct {
	request
	data []byte
}

func receive(r *child.Reader) (d delivery, err error) {
	if d.request, err = child.ReadRequest[request](r); err != nil || d.Op != "open" {
		return d, err
	}
	const alone = 64 << 20 // is allocated at once; more comes as it comes
	d.data = make([]byte, 0, min(max(d.Size, 0), alone))
	for {
		k, piece, err := r.Next()
		switch {
		case err == io.EOF:
			return d, io.ErrUnexpectedEOF
		case err != nil:
			return d, err
		case k == child.KindDone:
			return d, nil
		case k != kindPiece:
			return d, child.ProtocolErrorf("a message of kind %q within a file", k)
		}
		d.data = append(d.data, piece...)
	}
}

type server struct {
	w      *child.Writer
	open   func([]byte, vision.DecodeOptions) (Source, error)
	source Source
	large  bool // so was the page
}

// largePage is from how many bytes of pixels on a page counts as large.
const largePage = 32 << 20

func (s *server) answer(d delivery) error {
	err := s.run(d)
	var (
		format      vision.FormatError
		unsupported vision.UnsupportedError
	)
	switch {
	case err == nil:
		if err := s.w.Send(child.KindDone); err != nil || !s.large {
			return err
		}
		s.large = false
		debug.FreeOSMemory() // it may be long until the next one like it
		return nil
	case errors.As(err, &format):
		return s.w.SendJSON(child.KindFailed, child.Failure{Kind: failedFormat, Text: clip(err.Error())})
	case errors.As(err, &unsupported):
		return s.w.SendJSON(child.KindFailed, child.Failure{Kind: failedUnsupported, Text: clip(err.Error())})
	}
	return err
}

func (s *server) run(d delivery) (err error) {
	switch d.Op {
	case "open":
		s.source = nil
		if s.source, err = s.open(d.data, d.Options); err != nil {
			return err
		}
		return s.w.SendJSON(kindInfo, info{s.source.Type(), s.source.Count()})
	case "page":
		if s.source == nil {
			return child.ProtocolError("no file is open")
		}
		img, err := s.source.Decode(d.Page)
		if err != nil {
			return err
		}
		return s.send(img)
	}
	return child.ProtocolErrorf("no request %q", d.Op)
}

func (s *server) send(img *vision.Image) error {
	s.large = len(img.Pix) >= largePage
	err := s.w.SendJSON(kindPage, pageInfo{
		img.Width, img.Height, img.Format, img.StoredWidth, img.StoredHeight, img.Orientation, img.Pages,
	})
	for pix := img.Pix; err == nil && len(pix) > 0; {
		n := min(len(pix), rowsSize)
		err, pix = s.w.Send(kindRows, pix[:n]), pix[n:]
	}
	return err
}

// clip shortens a text that may come from a file.
func clip(s string) string { return s[:min(len(s), 1000)] }
