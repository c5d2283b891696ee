package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"facet/fixtures"
)

// writerFunc is a function as a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// What breaks in a command is not taken for its end.
func TestRunPanics(t *testing.T) {
	defer func() {
		if v := recover(); v != "broken" {
			t.Errorf("recovered %v", v)
		}
	}()
	status := run([]string{"version"}, nil, writerFunc(func([]byte) (int, error) { panic("broken") }), io.Discard)
	t.Errorf("status %d", status)
}

// The first run of what bench measures warms up and does not count.
func TestBenchMedian(t *testing.T) {
	c, runs := benchCommand{Rounds: 3}, 0
	got, err := c.median(func() (float64, error) {
		runs++
		return []float64{100, 3, 1, 2}[runs-1], nil
	})
	if got != 2 || err != nil || runs != 4 {
		t.Errorf("%v, %v after %d runs", got, err, runs)
	}
}

// A command whose output cannot be written failed, also when it does not look at each write.
func TestRunFullDisk(t *testing.T) {
	t.Setenv("FACET_MODEL", fixtures.Path("nano"))
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("disk full") })
	for _, args := range []string{
		"--help",
		"--version",
		"version",
		"inspect config",
		"inspect tensors",
		"inspect memory",
		"inspect memory --json",
		"bench --prompt 8 --gen 2 --rounds 1 --budgets 70",
		"generate hello --max-tokens 1",
		"ocr " + fixtures.Path("pages/ocr_00.png"),
	} {
		var stderr bytes.Buffer
		status := run(strings.Fields(args), strings.NewReader(""), full, &stderr)
		if status != statusError || !strings.HasSuffix(stderr.String(), "facet: disk full\n") {
			t.Errorf("%s: status %d: %s", args, status, &stderr)
		}
	}
}
