package child

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Kind is the first byte of a message. Those below are the same in every protocol; each protocol has its own besides.
type Kind byte

// The kinds that every protocol has.
const (
	KindHello   Kind = 'h' // JSON: what the decoder says of itself
	KindRequest Kind = 'q' // JSON
	KindNote    Kind = 'w' // text for the user that is no error
	KindAlive   Kind = 'p' // empty: an answer takes long
	KindFailed  Kind = 'e' // JSON: Failure
	KindDone    Kind = 'd' // empty
)

// MaxText is the most bytes of a message of text or JSON, requests left out, whose limit the protocol sets.
const MaxText = 1 << 20

const headerSize = 5

// Failure is an error that the decoder reports and outlives.
type Failure struct {
	Kind string `json:"kind"` // as the protocol has it
	Text string `json:"text"`
}

func (f Failure) Error() string { return f.Text }

// ProtocolError says that a message breaks the rules: the other side is not what it should be.
type ProtocolError string

func (e ProtocolError) Error() string { return string(e) }

// ProtocolErrorf formats a ProtocolError.
func ProtocolErrorf(format string, args ...any) error {
	return ProtocolError(fmt.Sprintf(format, args...))
}

// Writer writes messages. It is for one goroutine.
type Writer struct {
	W   io.Writer
	buf []byte
}

// Send writes one message whose bytes are parts, put together.
func (w *Writer) Send(k Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	w.buf = append(w.buf[:0], byte(k))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(n))
	for _, p := range parts {
		if len(w.buf)+len(p) > 64<<10 { // long ones go out as they are
			if _, err := w.W.Write(w.buf); err != nil {
				return err
			}
			if _, err := w.W.Write(p); err != nil {
				return err
			}
			w.buf = w.buf[:0]
			continue
		}
		w.buf = append(w.buf, p...)
	}
	_, err := w.W.Write(w.buf)
	return err
}

// SendJSON writes one message that holds v.
func (w *Writer) SendJSON(k Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Send(k, b)
}

// Reader reads messages of a side that it does not trust.
type Reader struct {
	R io.Reader
	// Most gives the most bytes of a message of a kind of the protocol's own, and of requests; false if there is no such kind.
	Most func(Kind) (int64, bool)
	// Begin, unless nil, is called before each message.
	Begin func()
	// Into, unless nil, gives the place of a message's body, of the length that is asked for; nil for a new one.
	Into func(Kind, int) []byte
}

// Next reads a message. At the end, between two messages, the error is io.EOF. What the other side claims beyond the
// limits is a ProtocolError and is never allocated.
func (r *Reader) Next() (Kind, []byte, error) {
	if r.Begin != nil {
		r.Begin()
	}
	var head [headerSize]byte
	if _, err := io.ReadFull(r.R, head[:]); err != nil {
		return 0, nil, err
	}
	k, n := Kind(head[0]), int64(binary.LittleEndian.Uint32(head[1:]))
	most, known := int64(MaxText), true
	switch k {
	case KindHello, KindNote, KindFailed:
	case KindDone, KindAlive:
		most = 0
	default:
		most, known = r.Most(k)
	}
	if !known {
		return 0, nil, ProtocolErrorf("a message of kind %#x", byte(k))
	}
	if n > most {
		return 0, nil, ProtocolErrorf("a message of kind %q with %d bytes, more than %d", k, n, most)
	}
	if r.Into != nil {
		if body := r.Into(k, int(n)); body != nil {
			_, err := io.ReadFull(r.R, body)
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return k, body, err
		}
	}
	body, err := readBody(r.R, int(n))
	return k, body, err
}

// readBody reads n bytes. A long body is allocated as it comes, so that a claim costs no more than four times what
// stands behind it.
func readBody(r io.Reader, n int) ([]byte, error) {
	const piece = 1 << 20
	body := make([]byte, min(n, piece))
	for at := 0; ; {
		m, err := io.ReadFull(r, body[at:])
		at += m
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case at == n:
			return body, nil
		}
		longer := make([]byte, min(n, 4*at))
		copy(longer, body)
		body = longer
	}
}

// ReadJSON reads v from a message that holds nothing else. Its errors are ProtocolErrors.
func ReadJSON(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return ProtocolErrorf("%v", err)
	}
	if d.More() {
		return ProtocolError("text after JSON")
	}
	return nil
}

// Peer is the client's end of a conversation.
type Peer struct {
	Reader
	Writer
}

// Ask sends a request and calls each with every message of the answer but notes, done and failed; notes go to note. What
// the other side says has failed is the error, a Failure. Any other error ends the conversation.
func (p *Peer) Ask(request any, note func(string), each func(Kind, []byte) error) error {
	if err := p.SendJSON(KindRequest, request); err != nil {
		return err
	}
	return p.Answer(note, each)
}

// Answer is the second half of Ask.
func (p *Peer) Answer(note func(string), each func(Kind, []byte) error) error {
	for {
		k, body, err := p.Next()
		if err != nil {
			return err
		}
		switch k {
		case KindAlive:
		case KindNote:
			note(string(body))
		case KindDone:
			return nil
		case KindFailed:
			var f Failure
			if err := ReadJSON(body, &f); err != nil {
				return err
			}
			return f
		default:
			if err := each(k, body); err != nil {
				return err
			}
		}
	}
}

// Serve is the decoder's loop: it calls answer for one request after another until in ends, and returns nil then. It does
// not wait for the answer under way, so the caller should end the process. An error of answer ends it as well.
func Serve[Q any](in *Reader, answer func(Q) error) error {
	return ServeWith(func() (Q, error) { return ReadRequest[Q](in) }, answer)
}

// ServeWith is Serve for requests that next reads, which returns io.EOF at the end.
func ServeWith[Q any](next func() (Q, error), answer func(Q) error) error {
	requests, ended := make(chan Q), make(chan error, 1)
	go func() {
		defer close(requests)
		for {
			q, err := next()
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				ended <- err
				return
			}
			requests <- q
		}
	}()
	failed := make(chan error, 1)
	go func() {
		for q := range requests {
			if err := answer(q); err != nil {
				failed <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		return err
	case err := <-failed:
		return err
	}
}

// ReadRequest reads a message that is a request. The error is io.EOF at the end, between two messages.
func ReadRequest[Q any](r *Reader) (q Q, err error) {
	k, body, err := r.Next()
	if err != nil {
		return q, err
	}
	if k != KindRequest {
		return q, ProtocolErrorf("a message of kind %q for a request", k)
	}
	return q, ReadJSON(body, &q)
}
