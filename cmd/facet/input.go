package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// maxText bounds a prompt, a conversation or another text that is read whole, in bytes:
// far more than any context holds, and room for pictures in a conversation.
const maxText = 64 << 20

// readStdin reads a text from standard input.
func readStdin(ctx context.Context, in io.Reader) ([]byte, error) {
	return readText(ctx, "standard input", func() (io.ReadCloser, error) { return io.NopCloser(in), nil })
}

// readTextFile reads a text from a file, which may be a pipe.
func readTextFile(ctx context.Context, path string) ([]byte, error) {
	return readText(ctx, path, func() (io.ReadCloser, error) { return os.Open(path) })
}

// readText reads a text. One without end is an error, and when ctx ends so does the wait
// for a reader that gives nothing, or for a pipe that nobody opens.
func readText(ctx context.Context, name string, open func() (io.ReadCloser, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() { // left behind if ctx ends: nothing else ends a read
		f, err := open()
		if err != nil {
			read <- result{nil, err}
			return
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxText+1))
		read <- result{data, err}
	}()
	select {
	case r := <-read:
		if len(r.data) > maxText {
			return nil, fmt.Errorf("%s: more than the limit of %d MiB", name, maxText>>20)
		}
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
