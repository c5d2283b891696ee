package main

import (
	"os"

	"facet/vision/pdf/pdfium"
	"facet/vision/still/decoder"
)

// decodeCommand makes this program the decoder of files of one kind. Packages vision/still and vision/pdf start it.
type decodeCommand struct {
	Args []string `arg:"" optional:"" passthrough:""`
}

func (c *decodeCommand) Run() error {
	// The descriptors, whatever stands for them in tests.
	if len(c.Args) > 0 && c.Args[0] == "image" {
		os.Exit(decoder.Main(c.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(pdfium.Main(c.Args, os.Stdin, os.Stdout, os.Stderr))
	return nil
}
