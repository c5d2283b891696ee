package main

import "testing"

func TestSize(t *testing.T) {
	for _, c := range []struct {
		n    int64
		want string
	}{
		{0, "0 B"},
		{999, "999 B"},
		{1000, "1.00 kB"},
		{9994, "9.99 kB"},
		{9996, "10.0 kB"},
		{99_949, "99.9 kB"},
		{99_960, "100 kB"},
		{999_499, "999 kB"},
		{999_500, "1.00 MB"},
		{4_697_620_480, "4.70 GB"},
		{1<<63 - 1, "9.22 EB"},
	} {
		if got := size(c.n); got != c.want {
			t.Errorf("size(%d) is %q, want %q", c.n, got, c.want)
		}
	}
	if got := count(31_273_086_512); got != "31.3 billion" {
		t.Errorf("got %q", got)
	}
}
