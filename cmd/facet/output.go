package main

import (
	"encoding/json"
	"fmt"
	"io"
)

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
