package sink

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"facet/pipeline/job"
)

// provenance lists what an answer depends on, as name and value.
func provenance(rec *job.Record) [][2]string {
	e := rec.Effective
	out := [][2]string{{"model", e.Model}, {"model_sha256", e.ModelSHA256}, {"prompt_sha256", e.PromptSHA256}}
	if e.Seen != nil {
		out = append(out, [2]string{"budget", fmt.Sprint(e.Budget)})
	}
	out = append(out, [][2]string{
		{"temperature", fmt.Sprint(e.Temperature)}, {"seed", fmt.Sprint(e.Seed)}, {"finish", string(rec.Finish)},
	}...)
	for i := range out { // records may be foreign
		out[i][1] = PrintableLine(out[i][1])
	}
	return out
}

// madeBy is the version of facet that read a page: what the record says, or else the one that writes it.
func madeBy(rec *job.Record, writer string) string { return cmp.Or(rec.Effective.Facet, writer) }

// settings is a provenance on a line.
func settings(provenance [][2]string) string {
	var out []string
	for _, p := range provenance {
		out = append(out, p[0]+"="+p[1])
	}
	return strings.Join(out, " ")
}

// xmlWriter writes an XML document piece by piece: elements stay open between calls. Characters that XML cannot hold
// become U+FFFD.
type xmlWriter struct {
	w  io.Writer
	x  *xml.Encoder
	up []xml.EndElement // of what is open, the last one first to close
}

func newXMLWriter(w io.Writer) xmlWriter {
	x := xml.NewEncoder(w)
	x.Indent("", " ")
	return xmlWriter{w: w, x: x}
}

// open begins the document: the declaration, a document type if there is one, and the root.
func (x *xmlWriter) open(doctype string, root xml.StartElement) error {
	if _, err := io.WriteString(x.w, xml.Header+doctype); err != nil {
		return err
	}
	return x.push(root)
}

// push opens an element.
func (x *xmlWriter) push(e xml.StartElement) error {
	x.up = append(x.up, e.End())
	return x.x.EncodeToken(e)
}

// end closes what is open and ends the document.
func (x *xmlWriter) end() error {
	for _, e := range slices.Backward(x.up) {
		if err := x.x.EncodeToken(e); err != nil {
			return err
		}
	}
	if err := x.x.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(x.w, "\n")
	return err
}

// attrs makes attributes of names and values in turn.
func attrs(pairs ...string) (out []xml.Attr) {
	for p := range slices.Chunk(pairs, 2) {
		out = append(out, xml.Attr{Name: xml.Name{Local: p[0]}, Value: p[1]})
	}
	return out
}

// xmlComment is the text of a comment, from remark; empty for none.
type xmlComment string

// remark makes a comment of a text, which may be foreign, for XML and for HTML: it stays on its line, and does not end
// early.
func remark(format string, args ...any) xmlComment {
	s := strings.Map(func(r rune) rune {
		if r == 0xfffe || r == 0xffff { // which XML cannot hold
			return 0xfffd
		}
		return r
	}, PrintableLine(fmt.Sprintf(format, args...)))
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "- -")
	}
	return xmlComment(" " + strings.NewReplacer("<", "‹", ">", "›").Replace(s) + " ")
}
