package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"facet/fixtures"
)

// The README repeats the table of fast. Its figures are those of one kernel set, but its
// rows are those of the fixtures: another case or file changes them.
func TestReadmeHasTheTable(t *testing.T) {
	var out, stderr bytes.Buffer
	if status := run([]string{"check", "--precision", "fast", fixtures.Path("golden")}, strings.NewReader(""), &out, &stderr); status != statusOK {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, got := tableRows(out.String()), tableRows(string(readme))
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("README.md has the rows %q, facet check prints %q: copy its table", got, want)
	}
}

// tableRows returns the checkpoints of a table with the numbers of their positions.
func tableRows(text string) (rows []string) {
	_, table, ok := strings.Cut(text, " largest margin\n")
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if !ok || len(fields) < 2 {
			break
		}
		rows = append(rows, fields[0]+" "+fields[1])
	}
	return rows
}
