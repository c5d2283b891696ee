// Package eval measures the records of a run against labels: how much of the
// text is right, what was found where it stands, what a caption tells.
//
//	labels := ReadLabels(…)    // what is in each input          labels.go
//	run    := ReadRun(…)       // what was read                  labels.go
//	score  := OCR(labels, run) // input by input, then summed    ocr.go transcribe.go caption.go locate.go
//	score.WriteTable(…)        // for people, or as JSON         table.go
//
// docs/eval.md defines every figure.
package eval

import (
	"io"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Normalize is the form in which texts are compared: Unicode NFC, any run of
// white space in a line as one space, none at the ends of a line, no empty
// lines. Differences that only a byte comparison sees do not count as errors,
// and a blank line between paragraphs does not either.
func Normalize(s string) string {
	var lines []string
	for line := range strings.Lines(norm.NFC.String(s)) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return strings.Join(lines, "\n")
}

// Score is what one of the jobs' functions returns. Its JSON has the same figures, and every item.
type Score interface {
	// WriteTable writes the score for people, with a line for each item if they are wanted.
	WriteTable(w io.Writer, items bool) error
}

// EditDistance is Levenshtein's distance: the least number of characters to
// insert, delete or replace to turn a into b.
func EditDistance(a, b string) int { return edits([]rune(a), []rune(b)) }

// edits is Levenshtein's distance of sequences. It takes len(x)·len(y) steps
// for what is between the first and the last difference, and memory for y.
func edits[T comparable](x, y []T) int {
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	row := make([]int, len(y)+1) // row[j]: distance of what is read of x to y[:j]
	for j := range row {
		row[j] = j
	}
	for i, c := range x {
		diagonal := row[0] // row[j-1] before this c
		row[0] = i + 1
		for j, d := range y {
			replace := diagonal
			if c != d {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(y)]
}
