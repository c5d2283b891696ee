package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// output is standard output. It keeps its first error and takes nothing after it, so
// that a command which prints many lines need not look at each: run reports the error.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (n int, err error) {
	if o.err == nil {
		n, o.err = o.Writer.Write(p)
	}
	return n, o.err
}

// printJSON writes v as one line, with <, > and & as they are.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// size writes a number of bytes for people: "3.20 GB".
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return short(n, []string{"kB", "MB", "GB", "TB", "PB", "EB"})
}

// count writes a number for people: "5.12 billion".
func count(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return short(n, []string{"thousand", "million", "billion", "trillion"})
}

// short writes n, at least 1,000, with three digits in the largest unit that leaves a
// digit before the point; each unit is a thousand of the one before.
func short(n int64, units []string) string {
	v, u := float64(n)/1000, 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	digits := 2
	for limit := 9.995; v >= limit && digits > 0; limit *= 10 {
		digits--
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[u])
}
