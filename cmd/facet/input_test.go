package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"facet/fixtures"
)

// readerFunc is a function as a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Texts have a bound.
func TestEndlessText(t *testing.T) {
	t.Setenv("FACET_MODEL", fixtures.Path("nano"))
	zeros := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	for _, args := range []string{"generate -", "inspect tokens", "inspect chat"} {
		var stderr bytes.Buffer
		status := run(strings.Fields(args), zeros, io.Discard, &stderr)
		if want := "facet: standard input: more than the limit of 64 MiB\n"; status != statusError || stderr.String() != want {
			t.Errorf("%s: status %d: %s", args, status, &stderr)
		}
	}
}

// Ctrl-C ends the wait for a text.
func TestReadTextCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	wait, end := io.Pipe()
	defer end.Close()
	waiting := readerFunc(func(p []byte) (int, error) {
		cancel()
		return wait.Read(p)
	})
	if _, err := readStdin(ctx, waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
