package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"facet/pipeline/job"
)

// WritePageMarkdown writes the text of a page that was read: its lines as they are, those that stand close
// together as a paragraph. What would be taken for Markdown or HTML is escaped, so that the text is shown as it was
// read. Before it, as YAML between lines of dashes, stands where it comes from. facet is the version of
// this program, for a record that does not say which one read the page.
func WritePageMarkdown(w io.Writer, rec *job.Record, facet string) error {
	about := aboutSource(rec.Source, madeBy(rec, facet), provenance(rec))
	if rec.Source.Page > 0 {
		about = append(about, [2]string{"page", fmt.Sprint(rec.Source.Page)})
	}
	if rec.Blank != nil && *rec.Blank {
		about = append(about, [2]string{"blank", "true"})
	}
	_, err := io.WriteString(w, yamlHead(about)+markdownText(rec))
	return err
}

// aboutSource puts where a text comes from before what made it.
func aboutSource(source job.Source, facet string, provenance [][2]string) [][2]string {
	return append([][2]string{{"source", source.Path}, {"source_sha256", source.SHA256}, {"facet", facet}}, provenance...)
}

// yamlHead is names and values as YAML between lines of dashes.
func yamlHead(about [][2]string) string {
	var b strings.Builder
	b.WriteString("---\n")
	for _, p := range about {
		value := p[1]
		if !slices.Contains(plainYAML, p[0]) {
			value = yamlString(value)
		}
		fmt.Fprintf(&b, "%s: %s\n", p[0], value)
	}
	b.WriteString("---\n")
	return b.String()
}

// markdownText is the text of a page: paragraphs, each with an empty line before it.
func markdownText(rec *job.Record) string {
	var b strings.Builder
	for _, r := range sheetOf(rec).regions {
		b.WriteString("\n")
		for _, l := range r.lines {
			b.WriteString(markdownLine(l) + "\n")
		}
	}
	return b.String()
}

// plainYAML are the names whose values are numbers or true.
var plainYAML = []string{"budget", "temperature", "seed", "page", "pages", "blank"}

// yamlString is s as a string of YAML 1.2, whose double-quoted strings are JSON's.
func yamlString(s string) string {
	quoted, err := json.Marshal(PrintableLine(s))
	if err != nil {
		panic(err) // fails for no string
	}
	return string(quoted)
}

// markdownLine is the words of a line, with a space between them: more than one has no meaning in Markdown.
func markdownLine(l line) string {
	words := make([]string, len(l.words))
	for i, w := range l.words {
		words[i] = markdown(w.text)
	}
	return markdownStart.ReplaceAllString(strings.Join(words, " "), `$1\$2`)
}

// markdownStart is what makes something else than a paragraph of a line that begins with it: marks of lists,
// quotations, tables, headings and code, and the number of a list.
var markdownStart = regexp.MustCompile(`^([0-9]*)([-+=>~|:.)])`)
