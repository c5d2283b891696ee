package still_test

import (
	"os"
	"testing"

	"facet/vision/still"
	"facet/vision/still/decoder"
)

// TestMain is a decoder when package still starts it as one.
func TestMain(m *testing.M) {
	if n := len(still.Command); len(os.Args) > n && os.Args[1] == still.Command[0] && os.Args[2] == still.Command[1] {
		os.Exit(decoder.Main(os.Args[1+n:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
