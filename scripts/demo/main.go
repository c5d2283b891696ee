// Command demo prints what facet found: lines and elements with their boxes, sentences
// and scenes with their times, and where the images with the boxes lie. It is the last step of
// `make demo`, and an example of a program that reads records.
//
//	go run ./scripts/demo RUN_DIRECTORY…
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: demo RUN_DIRECTORY…")
		os.Exit(2)
	}
	for _, dir := range os.Args[1:] {
		if err := show(os.Stdout, dir); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			os.Exit(1)
		}
	}
}

// record is the part of a line of records.jsonl that is shown.
type record struct {
	Job    string `json:"job"`
	Source struct {
		Path string `json:"path"`
	} `json:"source"`
	Effective struct {
		Find []string `json:"find"`
	} `json:"effective"`
	Text   string `json:"text"`
	Blocks []struct {
		Text string `json:"text"`
		Box  box    `json:"box"`
	} `json:"blocks"`
	Elements []struct {
		Label string `json:"label"`
		Box   box    `json:"box"`
	} `json:"elements"`
	Segments []struct {
		span
		Text string `json:"text"`
	} `json:"segments"`
	Scenes []struct {
		span
		Text   string `json:"text"`
		Shown  string `json:"on_screen_text"`
		Speech string `json:"speech"`
	} `json:"scenes"`
	Warnings []string `json:"warnings"`
}

// box is x0, y0, x1, y1 in pixels of the upright image; nil if the record has none.
type box *[4]int

// span is a stretch of a recording or film, in seconds.
type span struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

func show(w io.Writer, dir string) error {
	f, err := os.Open(filepath.Join(dir, "records.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	for records := json.NewDecoder(bufio.NewReader(f)); ; {
		var r record
		if err := records.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		r.show(w)
	}
	return showImages(w, dir)
}

// show prints what was found, quoted: a model's answer may hold anything, and this is a terminal.
func (r *record) show(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.Source.Path)
	line := func(where, text string) { fmt.Fprintf(w, "  %-23s  %q\n", where, text) }
	for _, b := range r.Blocks {
		line(place(b.Box), b.Text)
	}
	for _, find := range r.Effective.Find {
		fmt.Fprintf(w, "  find %q\n", find)
	}
	for _, e := range r.Elements {
		line(place(e.Box), e.Label)
	}
	for _, s := range r.Segments {
		if len(r.Scenes) == 0 { // which have what is said in them
			line(s.span.String(), s.Text)
		}
	}
	for _, s := range r.Scenes {
		line(s.span.String(), s.Text)
		if s.Shown != "" {
			line("  shown", s.Shown)
		}
		if s.Speech != "" {
			line("  said", s.Speech)
		}
	}
	switch {
	case r.Job == "ocr" && len(r.Blocks) == 0:
		fmt.Fprintln(w, "  no text")
	case r.Job == "locate" && len(r.Elements) == 0:
		fmt.Fprintln(w, "  not there")
	case r.Job == "caption" && len(r.Scenes) == 0:
		line("", r.Text)
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(w, "  warning: %q\n", text)
	}
}

func place(b box) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("(%4d,%4d)–(%4d,%4d)", b[0], b[1], b[2], b[3])
}

func (s span) String() string { return fmt.Sprintf("%.2f s – %.2f s", s.Start, s.End) }

func showImages(w io.Writer, dir string) error {
	title := "\nimages with the boxes drawn:\n"
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".png" {
			fmt.Fprintf(w, "%s  %s\n", title, path)
			title = ""
		}
		return err
	})
}
