package sink

import (
	"encoding/xml"
	"fmt"
	"io"
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

// settings is the provenance on a line.
func settings(rec *job.Record) string {
	var out []string
	for _, p := range provenance(rec) {
		out = append(out, p[0]+"="+p[1])
	}
	return strings.Join(out, " ")
}

// writeXML writes a document: the declaration, a document type if there is one, and v. Characters that XML cannot hold
// become U+FFFD.
func writeXML(w io.Writer, doctype string, v any) error {
	if _, err := io.WriteString(w, xml.Header+doctype); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
