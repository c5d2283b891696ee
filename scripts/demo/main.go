// Command demo prints what `facet ocr` found: the text of every page with its boxes,
// and where the images with the boxes lie. It is the last step of `make demo`, and
// an example of a program that reads records.
//
//	go run ./scripts/demo RUN_DIRECTORY
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
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo RUN_DIRECTORY")
		os.Exit(2)
	}
	if err := show(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// record is the part of a line of records.jsonl that is shown.
type record struct {
	Source struct {
		Path string `json:"path"`
	} `json:"source"`
	Blocks []struct {
		Text string  `json:"text"`
		Box  *[4]int `json:"box"` // x0, y0, x1, y1 in pixels of the upright image; may be missing
	} `json:"blocks"`
	Warnings []string `json:"warnings"`
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
		fmt.Fprintf(w, "\n%s\n", r.Source.Path)
		for _, b := range r.Blocks {
			place := ""
			if b.Box != nil {
				place = fmt.Sprintf("(%4d,%4d)–(%4d,%4d)", b.Box[0], b.Box[1], b.Box[2], b.Box[3])
			}
			// Quoted: a model's answer may hold anything, and this is a terminal.
			fmt.Fprintf(w, "  %-23s  %q\n", place, b.Text)
		}
		if len(r.Blocks) == 0 {
			fmt.Fprintln(w, "  no text")
		}
		for _, text := range r.Warnings {
			fmt.Fprintf(w, "  warning: %q\n", text)
		}
	}
	return showImages(w, dir)
}

func showImages(w io.Writer, dir string) error {
	fmt.Fprintf(w, "\nimages with the boxes drawn:\n")
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".png" {
			fmt.Fprintf(w, "  %s\n", path)
		}
		return err
	})
}
